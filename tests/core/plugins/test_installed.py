import json

import pytest
from installed_plugin import CORE, FreshEnvironment, write_plugin

SHOW = """
import json
from corewise.plugins.host import load_plugins
from corewise.settings.model import PluginSettings

host = load_plugins(PluginSettings())
print(json.dumps({
    "records": {one.name: [one.distribution, one.version, one.state, one.executors] for one in host.records},
    "problems": host.problems,
}))
"""
WORK = """
from corewise.executors.contract import ExecutorRequest
from corewise.plugins.host import load_plugins
from corewise.settings.model import PluginSettings

create = load_plugins(PluginSettings()).executor("example").create
request = ExecutorRequest(
    workers=2, settings=None, worker=None, environment=None, start_worker=None, stop_worker=None
)
with create(request) as executor:
    print(executor.submit(pow, 2, 10).result())
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    path = tmp_path_factory.mktemp("installed")
    environment = FreshEnvironment(path / "venv")
    environment.uv("build", "--wheel", "--out-dir", str(path / "wheels"), str(CORE))
    [wheel] = (path / "wheels").glob("corewise-*.whl")
    environment.install(str(wheel), str(write_plugin(path / "example")))
    return environment


def test_an_installed_plugin_is_found_beside_the_wheel_of_corewise(environment):
    shown = json.loads(environment.run(SHOW))
    assert shown["records"]["example"] == ["corewise-example", "0.3.1", "active", ["example"]]
    assert shown["problems"] == []


def test_the_executor_of_an_installed_plugin_runs(environment):
    assert environment.run(WORK).strip() == "1024"


def test_an_uninstalled_plugin_is_gone(environment):
    environment.uv("pip", "uninstall", "--python", str(environment.python), "corewise-example")
    try:
        assert "example" not in json.loads(environment.run(SHOW))["records"]
    finally:
        environment.install(str(environment.python.parents[2] / "example"))
