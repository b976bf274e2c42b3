"""From raw values to the settings as asked: all problems of all sources at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import attrs

from corewise.errors import SettingsError
from corewise.executors.choose import contradiction
from corewise.settings import typed
from corewise.settings.first_party import FIRST_PARTY_BACKENDS, FIRST_PARTY_EXECUTORS
from corewise.settings.judge import TABLES, Judge, default_of
from corewise.settings.messages import problem
from corewise.settings.model import Origin, ParallelSettings, PluginSettings
from corewise.settings.raw import KeyPath, RawSettings, RawValue, overlap
from corewise.spelling import close_matches

__all__ = ["plugin_settings", "structure", "unused_tables"]

DISABLE: KeyPath = ("plugins", "disable")
RAY_KEYS = ("executor", "use_ray")
STRICT: frozenset[KeyPath] = frozenset({("plugins", "strict")})


def plugin_settings(raw: RawSettings) -> PluginSettings:
    """Return the table ``plugins`` alone, which decides what is loaded before anything else can be judged.

    What is wrong with it is told by ``structure``, with all that is wrong elsewhere. Where nobody can know which
    plugins are disabled, only the built-in ones may be loaded: ``disable`` is ``*``.

    Args:
        raw: The values of all sources.
    """
    judged = Judge({}, {}, raw.app).judged(raw, TABLES)
    plugins = _core(judged.merged()).plugins
    if _is_known(DISABLE, raw, judged):
        return plugins
    return attrs.evolve(plugins, disable=("*",))


def _is_known(key: KeyPath, raw: RawSettings, judged: RawSettings) -> bool:
    """Whether the value of a key holds, which the strongest source decides that says something of it.

    A key of the same table that is wrong may be the same one, misspelt.
    """
    for layer, values in zip(raw.layers, judged.layers, strict=True):
        if any(overlap(key, path) for path in layer.doubtful):
            return False
        told = {path for path, value in layer.values.items() if path[0] == key[0] and value.value != {}}
        if not told - STRICT <= values.values.keys():
            return False
        if key in values.values:
            return True
    return True


def structure(
    raw: RawSettings,
    *,
    backends: Mapping[str, type],
    executors: Mapping[str, type],
    known_backends: Collection[str] = (),
    known_executors: Collection[str] = (),
) -> tuple[ParallelSettings, Mapping[str, Origin]]:
    """Return the settings as asked, and the origin of each value that was asked for.

    Args:
        raw: The values of all sources.
        backends: The settings class of each backend, by name.
        executors: The settings class of each executor, by name.
        known_backends: Names without a class whose tables are no mistake: a disabled or broken plugin's.
        known_executors: The same for executors; these may also be asked for by name.

    Returns:
        The settings, and origins by dotted key. A key of a plugin's table that nobody asked for has the origin
        ``plugin default``; a core key that nobody asked for has none yet.

    Raises:
        SettingsError: With every problem of every source.
    """
    disabled = plugin_settings(raw).disable
    judge = Judge(
        {"backends": backends, "executors": executors},
        {
            "backends": {*known_backends, *FIRST_PARTY_BACKENDS, *disabled},
            "executors": {*known_executors, *FIRST_PARTY_EXECUTORS, *disabled},
        },
        raw.app,
    )
    judged = judge.judged(raw)
    values = judged.merged()
    problems = [*raw.problems, *judge.problems]
    if _is_known(DISABLE, raw, judged):  # else any name may be that of a plugin which was not loaded
        problems += _unknown_executors(judged, {"auto", *executors, *judge.excused["executors"]} - {"*"}, disabled)
    problems += _agree_on_ray(judged, values)
    tables, incomplete = _tables(judge, values)
    if problems or incomplete:
        raise SettingsError([*problems, *incomplete])
    origins = {".".join(path): value.origin for path, value in values.items()}
    asked = attrs.evolve(_core(values), backends=tables["backends"], executors=tables["executors"])
    return asked, {**_default_origins(judge.classes, origins), **origins}


def unused_tables(raw: RawSettings, *, backends: Collection[str], executors: Collection[str]) -> tuple[str, ...]:
    """Return one line for each table that no registered backend or executor reads: ``source: key: why``.

    ``structure`` has complained about the mistakes; what is left belongs to a plugin that is disabled, broken or not
    installed.

    Args:
        raw: The values of all sources.
        backends: Names of the registered backends.
        executors: Names of the registered executors.
    """
    registered = {"backends": backends, "executors": executors}
    install = {**FIRST_PARTY_BACKENDS, **FIRST_PARTY_EXECUTORS}
    lines: dict[KeyPath, str] = {}
    for path, value in raw.values():
        if (
            path[0] in TABLES
            and len(path) > 1
            and not typed.match(path[1], dict.fromkeys(registered[path[0]]), lenient=value.text)
        ):
            mend = f"; pip install {install[path[1]]}" if path[1] in install else ""
            lines.setdefault(
                path[:2], problem(value.origin, ".".join(path[:2]), f"is not used: no active plugin reads it{mend}")
            )
    return tuple(lines.values())


def _core(values: Mapping[KeyPath, RawValue]) -> ParallelSettings:
    core = {path: value.value for path, value in values.items() if path[0] not in TABLES}
    settings: ParallelSettings = typed.build(ParallelSettings, core, ParallelSettings())
    return settings


def _unknown_executors(judged: RawSettings, names: Collection[str], disabled: Collection[str]) -> Iterator[str]:
    but = ", and plugins.disable leaves only the built-in plugins" if "*" in disabled else ""
    for path, value in judged.values():
        if path == ("executor",) and value.value not in names:
            yield problem(
                value.origin,
                "executor",
                f"no executor of this name is installed{but}",
                got=value.value,
                allowed=", ".join(sorted(names)),
                meant=close_matches(value.value, names),
            )


def _agree_on_ray(judged: RawSettings, values: dict[KeyPath, RawValue]) -> Iterator[str]:
    """Let ``executor`` and ``use_ray`` say the same in the values that hold: the stronger source decides.

    Yields:
        The contradiction, where one source says both.
    """
    executor, use_ray = values.get(("executor",)), values.get(("use_ray",))
    if executor is None or use_ray is None:
        return
    wrong = contradiction(executor.value, use_ray.value)
    places = [next(at for at, layer in enumerate(judged.layers) if (key,) in layer.values) for key in RAY_KEYS]
    if wrong and places[0] == places[1]:
        yield problem(use_ray.origin, "use_ray", f"{wrong} from {executor.origin}")
    elif wrong and places[0] < places[1]:
        values["use_ray",] = _overruling(executor, False, f"use_ray = true from {use_ray.origin}")
    elif wrong:
        values["executor",] = _overruling(use_ray, "ray", f"executor = {executor.value!r} from {executor.origin}")
    elif executor.value == "ray" and not use_ray.value and places[1] < places[0]:
        del values["executor",]


def _overruling(stronger: RawValue, value: Any, weaker: str) -> RawValue:
    return RawValue(value, attrs.evolve(stronger.origin, rule=f"stronger than {weaker}"))


def _tables(judge: Judge, values: Mapping[KeyPath, RawValue]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return an instance of each plugin's settings class, and what the classes as a whole complain of."""
    tables: dict[str, dict[str, Any]] = {}
    problems = []
    for key, classes in judge.classes.items():
        tables[key] = {}
        for name, cls in classes.items():
            given = {path[2:]: value for path, value in values.items() if path[:2] == (key, name)}
            default = default_of(cls)
            if not given:
                if default is not None:  # a required key is required only of those who use the table
                    tables[key][name] = default
                continue
            try:
                tables[key][name] = typed.build(cls, {path: value.value for path, value in given.items()}, default)
            except Exception as error:  # noqa: BLE001 - a plugin's own class may raise anything
                sources = ", ".join(dict.fromkeys(str(value.origin) for value in given.values()))
                problems.append(problem(sources or "defaults", f"{key}.{name}", str(error)))
    return tables, problems


def _default_origins(tables: Mapping[str, Mapping[str, type]], asked: Mapping[str, Origin]) -> dict[str, Origin]:
    keys = (
        f"{key}.{name}.{field}"
        for key, classes in tables.items()
        for name, cls in classes.items()
        for field in _fields(cls)
    )
    return {key: Origin("plugin default") for key in keys if not any(other.startswith(f"{key}.") for other in asked)}


def _fields(cls: type) -> Collection[str]:
    return [field.alias or field.name for field in attrs.fields(cls) if field.init]
