"""``corewise settings``, ``plugins``, ``doctor`` and ``schema``: what holds here, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from corewise.cli.tables import print_json, print_line, print_table
from corewise.cli.usage import ExitCode
from corewise.doctor.facts import plugin_facts, setting_facts
from corewise.doctor.report import Report, examine
from corewise.runtime import current_runtime, ensure_parallel_init

__all__ = ["doctor", "plugins", "schema", "settings"]

Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]


def settings(*, as_json: Json = False) -> ExitCode:
    """Show every setting that holds here, and where its value comes from.

    Args:
        as_json: Print JSON for programs.
    """
    rows = setting_facts(current_runtime().config)
    if as_json:
        print_json(rows)
    else:
        _print_rows("", ("key", "value", "origin"), rows)
    return ExitCode.OK


def plugins(*, as_json: Json = False) -> ExitCode:
    """Show every plugin that is installed: whether it is in use, what it offers, and what is wrong with it.

    Args:
        as_json: Print JSON for programs.
    """
    rows = plugin_facts(current_runtime().host)
    if as_json:
        print_json(rows)
    else:
        _print_plugins(rows)
    return ExitCode.OK


def doctor(*, as_json: Json = False) -> ExitCode:
    """Show how this machine, this Python and these settings run in parallel, and what is wrong with them.

    Exit code 1 where a warning or an error was found.

    Args:
        as_json: Print JSON for programs.
    """
    ensure_parallel_init()
    report = examine(current_runtime())
    findings = [
        {"check": one.check, "level": one.level, "message": one.message, "mend": one.mend} for one in report.findings
    ]
    if as_json:
        print_json({"facts": report.facts, "findings": findings})
    else:
        _print_report(report, findings)
    return ExitCode.OK if report.healthy else ExitCode.FAILED


def schema(*, as_json: Json = False) -> ExitCode:  # noqa: ARG001 - a schema is JSON; the option is there on every command
    """Print the JSON schema of the settings, the tables of the plugins that are installed included.

    Args:
        as_json: Nothing else is printed in any case.
    """
    from corewise.settings.schema import json_schema

    host = current_runtime().host
    print_json(
        json_schema(
            backends={name: backend.settings for name, backend in host.backends().items()},
            executors={name: factory.settings for name, factory in host.executors().items()},
        )
    )
    return ExitCode.OK


def _print_report(report: Report, findings: Iterable[Mapping[str, Any]]) -> None:
    facts = report.facts
    cpus, python = facts["cpus"], facts["python"]
    candidates = ", ".join(f"{source} {count}" for source, count in cpus["candidates"].items())
    print_line(f"CPUs: {cpus['effective']} by {cpus['source']} ({candidates})")
    for ignored in cpus["ignored"]:
        print_line(f"  left out: {ignored}")
    gil = f"GIL on: {python['gil_reason']}" if python["gil"] else "GIL off"
    print_line(f"Python: {python['implementation']} {python['version']} on {python['platform']}, {gil}\n")
    _print_rows("Settings", ("key", "value", "origin"), facts["settings"])
    _print_rows("\nExecutors", ("name", "available", "chosen", "reason"), facts["executors"])
    _print_rows("\nBackends", ("name", "state", "asked", "threads", "scope", "reason", "info"), facts["backends"])
    print_line("")
    _print_plugins(facts["plugins"])
    _print_rows("\nFindings", ("level", "check", "message", "mend"), findings)
    if not report.findings:
        print_line("none")


def _print_rows(title: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    print_table(title, columns, [[_cell(row[column]) for column in columns] for row in rows])


def _print_plugins(rows: Iterable[Mapping[str, Any]]) -> None:
    cells = [
        (row["name"], row["state"], f"{row['distribution']} {row['version']}".rstrip(), _offers(row), row["error"])
        for row in rows
    ]
    print_table("Plugins", ("name", "state", "distribution", "offers", "error"), cells)


def _offers(row: Mapping[str, Any]) -> str:
    kinds = ("backends", "executors", "checks", "hooks")
    return "; ".join(f"{kind}: {', '.join(row[kind])}" for kind in kinds if row[kind])


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {member}" for key, member in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
