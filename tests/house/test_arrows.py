import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]

PUBLIC = {
    "corewise",
    "corewise.backends.contract",
    "corewise.backends.outcomes",
    "corewise.cpus",
    "corewise.errors",
    "corewise.executors.chunks",
    "corewise.executors.contract",
    "corewise.executors.deferred",
    "corewise.executors.frozen",
    "corewise.executors.late_start",
    "corewise.executors.transfer",
    "corewise.executors.worker",
    "corewise.plugins.calling",
    "corewise.plugins.checks",
    "corewise.plugins.marker",
    "corewise.settings",
    "corewise.settings.model",
    "corewise.testing",
}
"""What a plugin may import: the front door, and the modules of contracts."""


def imported(source):
    """Yield (module, name) of each import in the source; the name is None for ``import module``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def trespasses(source):
    """Return the imports of core's private parts in the source of a plugin."""
    return [
        f"{module}.{name}" if name else module
        for module, name in imported(source)
        if module.split(".")[0] == "corewise"
        if not (module in PUBLIC or f"{module}.{name}" in PUBLIC) or (name or "").startswith("_")
    ]


def test_private_imports_of_a_plugin_are_seen():
    source = "import corewise.runtime\nfrom corewise.executors import engine\nfrom corewise.errors import _x\n"
    assert trespasses(source) == ["corewise.runtime", "corewise.executors.engine", "corewise.errors._x"]
    assert not trespasses("import corewise\nfrom corewise.executors import contract\nfrom corewise import errors\n")


def test_distributions_under_plugins_import_public_names_only():
    sources = ROOT.glob("plugins/*/src/**/*.py")
    assert not {str(path.relative_to(ROOT)): found for path in sources if (found := trespasses(path.read_text()))}


def test_core_never_imports_a_plugin():
    names = {path.name for path in ROOT.glob("plugins/*/src/*")}
    sources = (ROOT / "core/src").rglob("*.py")
    assert not [
        f"{path.relative_to(ROOT)}: {module}"
        for path in sources
        for module, _ in imported(path.read_text())
        if module.split(".")[0] in names
    ]
