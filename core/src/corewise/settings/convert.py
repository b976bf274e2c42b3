"""Conversion of raw values to the types of a settings class: strict for files and arguments, lenient for text.

cattrs does the structuring. The hooks here replace its rules for scalars and arrays, which accept ``"4"`` for 4 and
take a string apart into letters.
"""

from __future__ import annotations

import datetime as dt
import enum
import operator
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from corewise.settings import typed
from corewise.settings.environment import truth
from corewise.settings.messages import MISSING

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["SCALARS", "WrongValueError", "complaints", "either", "make_converter", "scalar_hook"]


class WrongValueError(ValueError):
    """A value that its type does not allow.

    Attributes:
        wrong: What is wrong, like ``must be a whole number``.
        got: The value.
        allowed: The allowed values where they can be listed.
    """

    def __init__(self, wrong: str, got: Any, allowed: str = "") -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.got = got
        self.allowed = allowed


def make_converter(*, lenient: bool) -> Converter:
    """Return a converter that raises ``WrongValueError`` for each value that does not fit.

    Args:
        lenient: Whether text converts to what its type asks for: ``yes``, ``4``, ``a,b``.
    """
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True)
    for kind in SCALARS:
        converter.register_structure_hook(kind, scalar_hook(kind, lenient))
    converter.register_structure_hook_func(_is_enum, _enum_hook(lenient))
    converter.register_structure_hook(enum.Enum, _enum_hook(lenient))
    converter.register_structure_hook_func(_is_literal, _literal_hook(lenient))
    converter.register_structure_hook_func(typed.is_union, _union_hook(converter, lenient))
    converter.register_structure_hook_func(_is_sequence, _sequence_hook(converter, lenient))
    converter.register_structure_hook_func(_is_anything, lambda value, _: value)
    return converter


def complaints(error: Exception, got: Any) -> Iterator[tuple[tuple[str | int, ...], WrongValueError]]:
    """Yield what an error of a converter means: where inside the value, and what is wrong there.

    Args:
        error: The error; a group of errors is taken apart.
        got: The value that was converted.
    """
    if isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            here = _noted_place(inner)
            for place, wrong in complaints(inner, _inside(got, here)):
                yield (*here, *place), wrong
    elif isinstance(error, WrongValueError):
        yield (), error
    elif extra := getattr(error, "extra_fields", None):
        for key in sorted(extra):
            yield (key,), WrongValueError("is no key of this table", _inside(got, (key,)))
    elif isinstance(error, KeyError):
        yield (), WrongValueError("is required", MISSING)
    else:
        yield (), WrongValueError(str(error) or type(error).__name__, got)


def either(wrongs: Iterable[str]) -> str:
    """Return one sentence for several that hold together: ``must be a number or text``."""
    first, *others = dict.fromkeys(wrongs)
    return " or ".join([first, *(other.removeprefix("must be ") for other in others)])


def _inside(value: Any, place: tuple[str | int, ...]) -> Any:
    for part in place:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return MISSING
    return value


def _noted_place(error: Exception) -> tuple[str | int, ...]:
    for note in getattr(error, "__notes__", ()):
        for name in ("index", "name"):  # cattrs' notes: of an element, of an attribute
            if isinstance(place := getattr(note, name, None), (str, int)):
                return (place,)
    return ()


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise WrongValueError("must be a whole number", value)
    return operator.index(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not (hasattr(value, "__index__") or isinstance(value, float)):
        raise WrongValueError("must be a number", value)
    return float(value)


def _instance(kind: type, wrong: str) -> Callable[[Any], Any]:
    def strict(value: Any) -> Any:
        if not isinstance(value, kind):
            raise WrongValueError(wrong, value)
        return value

    return strict


def _path(value: Any) -> Path:
    if not isinstance(value, (str, Path)):
        raise WrongValueError("must be a path", value)
    return Path(value)


SCALARS: dict[type, Callable[[Any], Any]] = {
    int: _whole,
    float: _number,
    bool: _instance(bool, "must be true or false"),
    str: _instance(str, "must be text"),
    Path: _path,
    dt.datetime: _instance(dt.datetime, "must be a date with a time"),
    dt.date: _instance(dt.date, "must be a date"),
    dt.time: _instance(dt.time, "must be a time"),
}
_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    int: lambda text: int(text, 0) if text.strip().lower().startswith(("0x", "0o", "0b")) else int(text),
    float: float,
    bool: truth,
    dt.datetime: lambda text: dt.datetime.fromisoformat(text.strip()),
    dt.date: lambda text: dt.date.fromisoformat(text.strip()),
    dt.time: lambda text: dt.time.fromisoformat(text.strip()),
}


def scalar_hook(scalar: type, lenient: bool) -> Callable[[Any, Any], Any]:
    """Return what converts a value to one of ``SCALARS``; it needs no converter, and so no import of cattrs."""
    strict, from_text, to_member = SCALARS[scalar], _FROM_TEXT.get(scalar) if lenient else None, _enum_hook(lenient)

    def hook(value: Any, kind: Any) -> Any:
        if _is_enum(kind):  # an enum of numbers or words arrives here by the class that it extends
            return to_member(value, kind)
        if from_text is not None and isinstance(value, str):
            try:
                return from_text(value)
            except ValueError:
                pass  # the strict rule says what it must be
        return strict(value)

    return hook


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _enum_hook(lenient: bool) -> Callable[[Any, Any], Any]:
    def hook(value: Any, kind: Any) -> Any:
        for member in kind:
            if value is member or _same(value, member.value, lenient) or (lenient and _same(value, member.name, True)):
                return member
        raise _not_among(value, [member.value for member in kind])

    return hook


def _is_literal(kind: Any) -> bool:
    origin: Any = get_origin(kind)
    return origin is Literal


def _literal_hook(lenient: bool) -> Callable[[Any, Any], Any]:
    def hook(value: Any, kind: Any) -> Any:
        for choice in get_args(kind):
            if _same(value, choice, lenient):
                return choice
        raise _not_among(value, get_args(kind))

    return hook


def _same(value: Any, choice: Any, lenient: bool) -> bool:
    if lenient and isinstance(value, str):
        return value.strip().lower() == str(choice).lower()
    return type(value) is type(choice) and bool(value == choice)  # True is not 1


def _not_among(value: Any, choices: Iterable[Any]) -> WrongValueError:
    return WrongValueError("is not among the allowed values", value, ", ".join(map(repr, choices)))


def _is_anything(kind: Any) -> bool:
    return bool(kind in (Any, object))


def _union_hook(converter: Converter, lenient: bool) -> Callable[[Any, Any], Any]:
    def hook(value: Any, kind: Any) -> Any:
        members = get_args(kind)
        if types.NoneType in members and (value is None or (lenient and _means_none(value))):
            return None
        wrongs: list[str] = []
        for member in (member for member in members if member is not types.NoneType):
            try:
                return converter.structure(value, member)
            except Exception as error:  # noqa: BLE001 - any failure means: not this member
                wrongs += [wrong.wrong for _, wrong in complaints(error, value)]
        raise WrongValueError(either(wrongs), value)

    return hook


def _means_none(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in ("", "none")


_SEQUENCES: dict[Any, Callable[[Iterable[Any]], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    Sequence: tuple,
}


def _is_sequence(kind: Any) -> bool:
    return (get_origin(kind) or kind) in _SEQUENCES


def _sequence_hook(converter: Converter, lenient: bool) -> Callable[[Any, Any], Any]:
    def hook(value: Any, kind: Any) -> Any:
        elements = _split(value) if lenient and isinstance(value, str) else value
        if isinstance(elements, (str, bytes, Mapping)) or not isinstance(elements, Iterable):
            raise WrongValueError("must be an array", value)
        elements = list(elements)
        build = _SEQUENCES[get_origin(kind) or kind]
        return build(_each(converter, elements, _element_kinds(kind, elements)))

    return hook


def _split(text: str) -> Any:
    """Return the elements of ``a,b`` or of a TOML array; without elements, the empty list."""
    if text.strip().startswith("["):
        import tomli

        try:
            return tomli.loads(f"array = {text}")["array"]
        except tomli.TOMLDecodeError as error:
            raise WrongValueError(f"must be an array of TOML ({error.msg}) or words between commas", text) from None
    return [word.strip() for word in text.split(",") if word.strip()]


def _element_kinds(kind: Any, elements: list[Any]) -> list[Any]:
    arguments = get_args(kind)
    if not arguments:
        return [Any] * len(elements)
    if get_origin(kind) is tuple and arguments[-1] is not Ellipsis:
        if len(arguments) != len(elements):
            raise WrongValueError(f"must have {len(arguments)} elements", elements)
        return list(arguments)
    return [arguments[0]] * len(elements)


def _each(converter: Converter, elements: list[Any], kinds: list[Any]) -> list[Any]:
    from cattrs.errors import IterableValidationError, IterableValidationNote

    done, errors = [], []
    for index, (element, kind) in enumerate(zip(elements, kinds, strict=True)):
        try:
            done.append(converter.structure(element, kind))
        except Exception as error:  # noqa: BLE001 - collected, so that all elements are judged
            error.add_note(IterableValidationNote(f"element {index}", index, kind))
            errors.append(error)
    if errors:
        raise IterableValidationError("elements", errors, list)
    return done
