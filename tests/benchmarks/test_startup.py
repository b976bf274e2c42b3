import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import corewise
from corewise.plugins.host import load_plugins
from corewise.settings.model import PluginSettings

INSTALLED = 300


def python(code):
    subprocess.run([sys.executable, "-I", "-c", code], check=True)


def test_import_over_a_bare_interpreter(compare):
    compare(
        "import corewise",
        lambda: python("import corewise"),
        lambda: python("pass"),
        named="bare interpreter",
        rounds=30,
        show="difference",
        goal="at most 10 ms",
    )


def test_init_when_already_initialised(compare):
    def repeatedly(function, times=100_000):
        for _ in range(times):
            function()

    corewise.ensure_parallel_init()
    try:
        compare(
            "ensure_parallel_init(), done before",
            lambda: repeatedly(corewise.ensure_parallel_init),
            lambda: repeatedly(object),
            named="object()",
            rounds=20,
            per=100_000,
            show="difference",
            goal="at most 200 ns in all",
        )
    finally:
        corewise.reset()


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Put 300 distributions on the path; a third of them have entry points, none of them ours."""
    for number in range(INSTALLED):
        folder = tmp_path / f"fake_{number}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-{number}\nVersion: 1.0\n")
        if number % 3 == 0:
            (folder / "entry_points.txt").write_text(f"[console_scripts]\nfake{number} = fake_{number}:main\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed")
def test_plugin_discovery_with_300_installed_distributions(compare):
    assert "serial" in load_plugins(PluginSettings()).executors()
    compare(
        f"plugins found and loaded, {INSTALLED} distributions",
        lambda: load_plugins(PluginSettings()),
        lambda: entry_points(group="corewise"),
        named="importlib.metadata.entry_points",
        rounds=20,
    )
