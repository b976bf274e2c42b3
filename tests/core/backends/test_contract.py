import attrs
import pytest
from counting_backend import Counting

from corewise.settings.model import BackendSettings


class NoAttrs:
    enabled = True
    threads = 0


@pytest.mark.parametrize("wrong", [NoAttrs, dict, BackendSettings(), None])
def test_settings_of_a_backend_are_an_attrs_class_that_extends_the_common_one(wrong):
    with pytest.raises(TypeError, match="settings of backend 'counting' must be an attrs class that extends"):
        Counting(settings=wrong)


def test_a_default_in_a_subclass_is_checked_too():
    @attrs.frozen(kw_only=True, eq=False)
    class Wrong(Counting):
        settings: type = dict

    with pytest.raises(TypeError, match="must be an attrs class that extends BackendSettings, got <class 'dict'>"):
        Wrong()


@pytest.mark.parametrize("name", ["", "two words", "dotted.name", "1st", 3])
def test_a_backends_name_is_an_identifier(name):
    with pytest.raises(ValueError, match="name of a backend must be an identifier, got "):
        Counting(name=name)


def test_a_backends_own_settings_class_is_taken():
    @attrs.frozen(kw_only=True)
    class Own(BackendSettings):
        fast: bool = False

    assert Counting(settings=Own).settings is Own
