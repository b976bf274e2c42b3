import sys
import sysconfig


def test_the_suite_of_a_free_threaded_build_runs_without_the_gil():
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert getattr(sys, "_is_gil_enabled", lambda: True)() is not free_threaded
