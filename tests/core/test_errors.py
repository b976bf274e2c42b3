import inspect
import pickle

import pytest

import corewise
from corewise import errors

EXAMPLES = {
    errors.SettingsError: errors.SettingsError(["env A: b: is wrong"]),
    errors.WorkerDiedError: errors.WorkerDiedError("gone", exitcode=-9, stderr="last words"),
    errors.RemoteError: errors.RemoteError("text", type_name="m.E", traceback="Traceback"),
}


def exception_classes():
    return [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, BaseException)]


@pytest.mark.parametrize("cls", exception_classes())
def test_every_exception_survives_pickling_with_all_that_it_knows(cls):
    error = EXAMPLES.get(cls) or cls("message")
    error.add_note("item 3")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_every_exception_is_public():
    assert {cls.__name__ for cls in exception_classes()} <= set(corewise.__all__)


def test_settings_error_lists_every_problem():
    error = errors.SettingsError(["env A: b: is wrong", "corewise.toml line 3: c: is wrong"])
    assert str(error) == "2 settings are wrong:\n  env A: b: is wrong\n  corewise.toml line 3: c: is wrong"


def test_a_warning_from_inside_a_plugin_names_the_line_outside():
    plugin = {"__name__": "corewise_fast.inner", "warn": errors.warn, "category": errors.ExecutorWarning}
    exec("def tell(): warn('slow', category)", plugin)  # noqa: S102 - a module of a plugin, and nothing else of it
    with pytest.warns(errors.ExecutorWarning, match="slow") as caught:
        plugin["tell"]()
    assert caught[0].filename == __file__
