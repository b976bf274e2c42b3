"""Judging raw values one by one: is there such a key, does the value fit its type, what should it have been."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import attrs

from corewise.settings import typed
from corewise.settings.app import COREWISE, App
from corewise.settings.convert import SCALARS, WrongValueError, complaints, either, make_converter, scalar_hook
from corewise.settings.messages import MISSING, dotted, problem
from corewise.settings.model import ParallelSettings
from corewise.settings.raw import KeyPath, Layer, RawSettings, RawValue
from corewise.spelling import close_matches

__all__ = ["TABLES", "Judge", "default_of"]

TABLES = ("backends", "executors")
"""The keys whose tables belong to plugins."""

SWITCHES = ("config_file", "no_config")
"""What variables say beside settings."""


class UnknownKeyError(Exception):
    """No such key; the arguments of ``problem`` are in ``details``."""

    def __init__(self, path: KeyPath, **details: Any) -> None:
        super().__init__(path)
        self.path = path
        self.details = details


@attrs.define
class Judge:
    """Judges the values of all sources. Owned by one call, so it needs no lock.

    Attributes:
        classes: The settings class of each plugin's table, by the key of the tables and by name.
        excused: Names of tables that nothing registered and that are no mistake, by the key of the tables; ``*``
            excuses all.
        app: Whose names the settings go by.
        problems: What was found wrong, one line each.
    """

    classes: Mapping[str, Mapping[str, type]]
    excused: Mapping[str, Collection[str]]
    app: App = COREWISE
    problems: list[str] = attrs.field(factory=list)
    _converters: dict[bool, Any] = attrs.field(factory=dict)

    def judged(self, raw: RawSettings, others: Collection[str] = ()) -> RawSettings:
        """Return the values, converted; what is wrong is collected in ``problems``.

        Args:
            raw: The values of all sources.
            others: Top-level keys to leave out.
        """
        layers = []
        for layer in raw.layers:
            complained: set[KeyPath] = set()
            values: dict[KeyPath, RawValue] = {}
            for path, value in layer.values.items():
                if path[0] not in others:
                    values.update(self._judge(path, value, complained))
            layers.append(Layer(values))
        return RawSettings(tuple(layers), raw.app)

    def _judge(self, path: KeyPath, value: RawValue, complained: set[KeyPath]) -> Iterator[tuple[KeyPath, RawValue]]:
        try:
            place = self._locate(path, value)
        except UnknownKeyError as unknown:
            if unknown.path not in complained:  # one complaint for all the keys of a table
                complained.add(unknown.path)
                self._complain(value, unknown.path, **unknown.details)
            return
        except TypeError as error:
            self._complain(value, path, wrong=str(error))
            return
        if place is None:
            return
        canonical, kind, owner = place
        converted = self._converted(canonical, kind, value)
        if converted is not MISSING and self._accepted(canonical, owner, value, converted):
            yield canonical, attrs.evolve(value, value=converted)

    def _complain(
        self, value: RawValue, path: KeyPath, *, wrong: str, meant: Iterable[KeyPath] = (), **details: Any
    ) -> None:
        spelled = [self.app.variable(*other) if value.text else dotted(other) for other in meant]
        self.problems.append(problem(value.origin, dotted(path), wrong, meant=spelled, **details))

    def _locate(self, path: KeyPath, value: RawValue) -> tuple[KeyPath, Any, type] | None:
        """Return the key as its class spells it, its type and the class; None for a table that is not judged."""
        if path[0] not in TABLES:
            return self._walk((), ParallelSettings, path, value)
        if len(path) == 1:
            if value.value == {}:
                return None
            raise UnknownKeyError(path, wrong="must be a table", got=value.value)
        known = self.classes[path[0]]
        name = typed.match(path[1], known, lenient=value.text)
        if name is not None:
            return self._walk((path[0], name), known[name], path[2:], value)
        excused = dict.fromkeys(self.excused[path[0]])
        if "*" in excused or typed.match(path[1], excused, lenient=value.text):
            return None
        raise UnknownKeyError(
            path[:2],
            wrong=f"no {path[0].removesuffix('s')} of this name is installed",
            allowed=", ".join(sorted(known)),
            meant=[(path[0], name) for name in close_matches(path[1], {*known, *excused})],
        )

    def _walk(self, begun: KeyPath, kind: Any, path: KeyPath, value: RawValue) -> tuple[KeyPath, Any, type] | None:
        owner: type = kind
        for position, part in enumerate(path):
            kind = typed.unwrapped(kind)
            if typed.is_settings_class(kind):
                owner, kinds = kind, typed.field_types(kind)
                name = typed.match(part, kinds, lenient=value.text)
                if name is None:
                    raise _unknown((*begun, part), {*kinds, *(SWITCHES if value.text and not begun else ())})
                begun, kind = (*begun, name), kinds[name]
            elif typed.is_mapping(kind):
                begun, kind = (*begun, part), typed.value_type(kind)
            elif kind is Any:
                return (*begun, *path[position:]), Any, owner
            else:
                raise UnknownKeyError(begun, wrong=f"{self._expected(kind)}, not a table with the key {part!r}")
        return self._end(begun, kind, owner, value)

    def _end(self, path: KeyPath, kind: Any, owner: type, value: RawValue) -> tuple[KeyPath, Any, type] | None:
        inner = typed.unwrapped(kind)
        if not (typed.is_settings_class(inner) or typed.is_mapping(inner)) or (value.value is None and inner != kind):
            return path, kind, owner
        if value.value == {}:
            return None
        raise UnknownKeyError(path, wrong="must be a table", got=value.value)

    def _expected(self, kind: Any) -> str:
        try:
            self._converter(lenient=False).structure({}, kind)
        except Exception as error:  # noqa: BLE001 - the error is the answer
            return either(wrong.wrong for _, wrong in complaints(error, {}))
        return "must be a value"

    def _converter(self, *, lenient: bool) -> Any:
        if lenient not in self._converters:
            self._converters[lenient] = make_converter(lenient=lenient)
        return self._converters[lenient]

    def _converted(self, path: KeyPath, kind: Any, value: RawValue) -> Any:
        try:
            if kind in SCALARS:
                return scalar_hook(kind, value.text)(value.value, kind)
            return self._converter(lenient=value.text).structure(value.value, kind)
        except Exception as error:  # noqa: BLE001 - a plugin's own class may raise anything
            for place, wrong in complaints(error, value.value):
                self._complain_inside(path, place, value, wrong)
            return MISSING

    def _complain_inside(
        self, path: KeyPath, place: tuple[str | int, ...], value: RawValue, wrong: WrongValueError
    ) -> None:
        origin = value.origin
        if place and isinstance(place[0], int) and place[0] < len(value.elements):
            origin = value.elements[place[0]]
        line = problem(origin, dotted((*path, *place)), wrong.wrong, got=wrong.got, allowed=wrong.allowed)
        self.problems.append(line)

    def _accepted(self, path: KeyPath, owner: type, value: RawValue, converted: Any) -> bool:
        """Let the validators of the class that has the field judge the value."""
        default = default_of(owner)
        if default is None or not isinstance(path[-1], str) or path[-1] not in typed.field_types(owner):
            return True
        try:
            attrs.evolve(default, **{path[-1]: converted})
        except Exception as error:  # noqa: BLE001 - a plugin's validator may raise anything
            text = str(error.args[0]) if error.args else type(error).__name__  # attrs' validators append their parts
            for name in (dotted(path), path[-1]):  # a class that is used by itself has to say what it means
                text = text.removeprefix(f"{name}: ")
            self._complain(value, path, wrong=text, got=MISSING if repr(converted) in text else value.value)
            return False
        return True


def default_of(cls: type) -> Any:
    """Return an instance with nothing but defaults; None where a key is required."""
    with contextlib.suppress(TypeError):
        return cls()
    return None


def _unknown(path: KeyPath, known: Collection[str]) -> UnknownKeyError:
    meant = [(*path[:-1], name) for name in close_matches(path[-1], known)]
    return UnknownKeyError(path, wrong="is no setting", allowed="" if meant else ", ".join(sorted(known)), meant=meant)
