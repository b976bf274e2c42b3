import importlib.util
import socket
import subprocess
import sys
import sysconfig
import threading

import pytest

import corewise
from corewise.plugins.checks import CheckContext
from corewise.settings.model import ParallelConfig
from corewise_ray import doctor, plugin
from corewise_ray.doctor import check
from corewise_ray.settings import RaySettings

pytestmark = pytest.mark.usefixtures("fresh_runtime")
HERE = plugin.unavailable() is None


def without_ray(monkeypatch, *, free_threaded):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else real(name))
    monkeypatch.setattr(corewise, "is_free_threaded", lambda: free_threaded)


def config(address="", executor="ray"):
    return ParallelConfig(
        executor=executor,
        executor_reason="",
        use_ray=executor == "ray",
        num_cpus=2,
        num_threads=2,
        num_backend_threads=1,
        num_batch_jobs=2,
        executors={"ray": RaySettings(address=address)},
    )


def findings(**given):
    return [(finding.level, finding.message) for finding in check(CheckContext(config=config(**given)))]


def test_loading_the_plugin_imports_no_ray():
    code = (
        "import sys, corewise_ray.plugin as p; p.corewise_executors(); p.corewise_checks(); print('ray' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert told.stdout == "False\n"


def test_where_ray_is_missing_asking_for_it_says_what_to_install(monkeypatch):
    without_ray(monkeypatch, free_threaded=False)
    with pytest.raises(corewise.ExecutorUnavailableError, match=r'pip install "corewise-ray\[ray\]"'):
        corewise.executor("ray")
    assert findings() == [("error", 'Ray is not installed; pip install "corewise-ray[ray]"')]
    assert findings(executor="serial")[0][0] == "note"


def test_on_a_free_threaded_build_asking_for_it_says_why_not(monkeypatch):
    without_ray(monkeypatch, free_threaded=True)
    with pytest.raises(corewise.ExecutorUnavailableError, match="Ray has no release for free-threaded Python"):
        corewise.executor("ray")


def test_this_build_says_of_itself_what_is_so():
    why = plugin.unavailable()
    if importlib.util.find_spec("ray") is not None:
        assert why is None
    else:
        free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
        assert ("free-threaded" in why) == free_threaded


@pytest.mark.parametrize("wrong", [{"num_cpus": -1}, {"num_gpus": -0.5}, {"max_crashes": -1}])
def test_a_negative_amount_is_refused(wrong):
    with pytest.raises(ValueError, match="must be >= 0"):
        RaySettings(**wrong)


@pytest.mark.skipif(not HERE, reason="Ray is installed for one Python only")
class TestDoctor:
    def test_it_tells_version_and_what_would_be_done(self, monkeypatch):
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        found = findings()
        assert found[0][1].startswith("Ray 2.")
        assert found[1] == ("note", "Ray is not active here; with executor = 'ray' a local cluster is started")

    def test_an_address_where_nothing_answers_is_an_error(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{unused.getsockname()[1]}"
            level, message = findings(address=address)[1]
        assert level == "error"
        assert message.startswith(f"executors.ray.address: nothing answers at '{address}'")

    def test_an_address_that_is_none_is_an_error(self):
        level, message = findings(address="nonsense")[1]
        assert level == "error"
        assert message.endswith("nothing answers at 'nonsense': it is no HOST:PORT")

    def test_an_address_that_takes_too_long_is_not_waited_for(self, monkeypatch):
        asked, over = threading.Event(), threading.Event()

        def look_up(*_, **__):
            asked.set()
            over.wait(60)  # as looking up a name does where no server of names answers
            raise OSError

        monkeypatch.setattr(doctor, "PATIENCE_SECONDS", 0.1)
        monkeypatch.setattr(socket, "create_connection", look_up)
        try:
            level, message = findings(address="head:6379")[1]
        finally:
            over.set()
        assert asked.is_set()
        assert (level, message) == (
            "error",
            "executors.ray.address: nothing answers at 'head:6379': no answer within 0.1 seconds",
        )

    def test_the_address_of_the_variable_that_the_executor_follows_is_tried_where_none_is_set(self, monkeypatch):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{unused.getsockname()[1]}"
            monkeypatch.setenv("RAY_ADDRESS", address)
            [_, finding] = check(CheckContext(config=config()))
        assert finding.level == "error"
        assert finding.message.startswith(f"RAY_ADDRESS: nothing answers at '{address}'")
        assert finding.mend.endswith("or correct RAY_ADDRESS")

    def test_an_address_that_is_set_comes_before_the_variable(self, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
        assert findings(address="local")[1][0] == "note"

    def test_an_address_where_something_answers_is_told(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"127.0.0.1:{server.getsockname()[1]}"
            assert findings(address=address)[1] == ("note", f"Ray is not active here; something answers at {address}")
