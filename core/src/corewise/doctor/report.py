"""Facts, and the findings of every check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from corewise.doctor.checks import CHECKS
from corewise.doctor.facts import gather
from corewise.errors import text_of
from corewise.plugins.checks import Check, CheckContext, Finding
from corewise.plugins.host import PluginHost
from corewise.runtime import Runtime

__all__ = ["Report", "examine"]


@attrs.frozen
class Report:
    """What doctor found.

    Attributes:
        facts: By section.
        findings: In the order of the checks.
    """

    facts: dict[str, Any]
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing but notes was found."""
        return all(finding.level == "note" for finding in self.findings)


def examine(runtime: Runtime) -> Report:
    """Gather the facts and run every check on them.

    Args:
        runtime: What holds in this process; the checks of its plugins run too.
    """
    facts = gather(runtime)
    context = CheckContext(config=runtime.config, facts=facts)
    checked = [finding for check in (*CHECKS, *runtime.host.checks()) for finding in _run(check, context)]
    # Asked for last: a plugin whose check is no good is one of the problems.
    return Report(facts, (*_plugin_problems(runtime.host), *checked))


def _plugin_problems(host: PluginHost) -> Iterator[Finding]:
    for problem in host.problems:
        yield Finding("plugins", "warning", problem, "update or uninstall it, or name it in plugins.disable")


def _finding(value: object) -> Finding:
    if not isinstance(value, Finding):
        raise TypeError(f"a check gives Finding objects, got {value!r:.80}")
    return value


def _run(check: Check, context: CheckContext) -> Iterator[Finding]:
    try:
        for finding in check.run(context):
            yield _finding(finding)
    except Exception as error:  # noqa: BLE001 - a check is a plugin's code: it harms no other check
        text = " ".join(f"{type(error).__name__}: {text_of(error)}".split())
        yield Finding(check.name, "error", f"the check failed: {text}", "tell the author of the plugin")
