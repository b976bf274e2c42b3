import subprocess
import sys

SLOW = {"attr", "attrs", "cattrs", "cyclopts", "numpy", "pluggy", "ray", "rich", "threadpoolctl", "torch", "typing"}


def imported_by(code):
    """Return the top-level modules that a fresh interpreter imports for the code."""
    script = (
        f"import sys; bare = set(sys.modules)\n{code}\nprint(*{{n.partition('.')[0] for n in {{*sys.modules}} - bare}})"
    )
    command = [sys.executable, "-I", "-c", script]
    return set(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split())


def test_import_corewise_imports_nothing_that_is_slow():
    assert not imported_by("import corewise") & SLOW


def test_a_slow_import_is_seen():
    assert "attrs" in imported_by("import attrs") & SLOW
