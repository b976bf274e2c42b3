import pytest

from corewise.executors.contract import ExecutorFactory


@pytest.mark.parametrize("settings", [dict, int, "text", None])
def test_settings_that_are_no_attrs_class_are_refused_when_the_factory_is_made(settings):
    with pytest.raises(TypeError, match="settings of an executor must be an attrs class, got "):
        ExecutorFactory(name="mine", create=lambda request: request, settings=settings)


@pytest.mark.parametrize("name", ["auto", "two words", "", 3])
def test_names_that_settings_could_not_spell_are_refused(name):
    with pytest.raises(ValueError, match="name of an executor must be an identifier other than 'auto'"):
        ExecutorFactory(name=name, create=lambda request: request)
