"""How many CPUs this process may use, and who says so.

The least of what the machine has, what affinity allows, what Python was told and what the control groups of this
process and all their parents grant. Nothing here raises: a source that cannot be read is left out and mentioned.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import attrs

__all__ = ["CpuCount", "cpu_count_report", "effective_cpu_count"]


@attrs.frozen(kw_only=True)
class CpuCount:
    """How many CPUs this process may use.

    Attributes:
        value: The least of the candidates, at least 1.
        source: The candidate that won; where several agree, the first of them.
        candidates: What each source says, by source, each at least 1.
        ignored: Sources that could not be read, each with the reason.
    """

    value: int
    source: str
    candidates: Mapping[str, int] = attrs.field(factory=dict)
    ignored: tuple[str, ...] = ()


def effective_cpu_count() -> int:
    """Return how many CPUs this process may use, at least 1.

    Example:
        >>> effective_cpu_count() >= 1
        True
    """
    return cpu_count_report().value


def cpu_count_report(*, root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> CpuCount:
    """Return how many CPUs this process may use, with what every source says.

    Args:
        root: Where ``/proc`` and the mount points of control groups are looked up; another one serves tests.
        environ: Variables to read ``PYTHON_CPU_COUNT`` from; default ``os.environ``.

    Returns:
        The count with its source. The order of the candidates decides ties: what Python was told, what the machine
        has, then what narrows it.
    """
    candidates: dict[str, int] = {}
    ignored: list[str] = []
    for source, ask in (
        ("", lambda: _told_to_python(os.environ if environ is None else environ)),
        ("os.cpu_count()", os.cpu_count),
        ("affinity", _affinity),
        ("os.process_cpu_count()", getattr(os, "process_cpu_count", lambda: None)),
    ):
        _consult(source, ask, candidates, ignored)
    _consult_control_groups(root, candidates, ignored)
    if not candidates:
        return CpuCount(value=1, source="nothing could be read", ignored=tuple(ignored))
    source = min(candidates, key=candidates.__getitem__)
    return CpuCount(value=candidates[source], source=source, candidates=candidates, ignored=tuple(ignored))


def _consult(
    source: str, ask: Callable[[], int | tuple[str, int] | None], candidates: dict[str, int], ignored: list[str]
) -> None:
    try:
        answer = ask()
    except (OSError, ValueError, NotImplementedError) as error:
        ignored.append(f"{source}: {error}" if source else str(error))
        return
    if isinstance(answer, tuple):
        source, answer = answer
    if answer is not None:
        candidates[source] = max(answer, 1)


def _affinity() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _told_to_python(environ: Mapping[str, str]) -> tuple[str, int] | None:
    """Return what ``-X cpu_count`` or ``PYTHON_CPU_COUNT`` says; Python before 3.13 ignores both, this does not."""
    option = sys._xoptions.get("cpu_count")  # noqa: SLF001 - documented name of the -X options
    if option is not None:
        source, text = "-X cpu_count", str(option)
    elif sys.flags.ignore_environment:
        return None
    else:
        source, text = "PYTHON_CPU_COUNT", environ.get("PYTHON_CPU_COUNT", "")
    if text in ("", "default"):
        return None
    if not re.fullmatch(r"\s*\+?0*[1-9][0-9]{0,8}\s*", text, re.ASCII):
        raise ValueError(f"{source}: must be a positive number or 'default', got {text[:60]!r}")
    return source, int(text)


@attrs.frozen
class _Group:
    """One control group as found: the directory of its files and those of its parents that can be seen here."""

    version: int
    mount: PurePosixPath
    path: PurePosixPath

    def directories(self) -> Iterator[PurePosixPath]:
        yield self.mount / self.path
        for parent in self.path.parents:
            if self.path != parent:
                yield self.mount / parent


def _consult_control_groups(root: Path, candidates: dict[str, int], ignored: list[str]) -> None:
    try:
        groups = _control_groups(_read(root, "/proc/self/cgroup"), _read(root, "/proc/self/mountinfo"))
    except FileNotFoundError:
        return  # no control groups on this system
    except (OSError, ValueError) as error:
        ignored.append(f"control groups: {error}")
        return
    for group in groups:
        for directory in group.directories():
            _consult_directory(root, group.version, directory, candidates, ignored)


def _consult_directory(
    root: Path, version: int, directory: PurePosixPath, candidates: dict[str, int], ignored: list[str]
) -> None:
    file = directory / ("cpu.max" if version == 2 else "cpu.cfs_quota_us")
    try:
        quota = _quota_v2(_read(root, file)) if version == 2 else _quota_v1(root, directory)
    except FileNotFoundError:
        return  # the root group has no such file, and neither has a group without the cpu controller
    except (OSError, ValueError) as error:
        ignored.append(f"cgroup v{version} {file}: {error}")
        return
    if quota is not None:
        candidates[f"cgroup v{version} {file}"] = quota


def _quota_v2(text: str) -> int | None:
    fields = text.split()
    if fields[:1] == ["max"]:
        return None
    if not fields:
        raise ValueError("is empty")
    # The kernel's default period, see Documentation/admin-guide/cgroup-v2.rst of Linux, "cpu.max".
    return _cpus(fields[0], fields[1] if len(fields) > 1 else "100000")


def _quota_v1(root: Path, directory: PurePosixPath) -> int | None:
    quota = _read(root, directory / "cpu.cfs_quota_us").strip()
    if quota == "-1":
        return None
    return _cpus(quota, _read(root, directory / "cpu.cfs_period_us").strip())


def _cpus(quota: str, period: str) -> int:
    if not (quota.isdecimal() and period.isdecimal() and len(quota) < 20 and len(period) < 20):
        raise ValueError(f"must hold a quota and a period in microseconds, got {quota[:40]!r} and {period[:40]!r}")
    if int(quota) == 0 or int(period) == 0:
        raise ValueError(f"must not be zero, got quota {quota} and period {period}")
    return -(-int(quota) // int(period))


def _read(root: Path, path: str | PurePosixPath) -> str:
    return (root / str(path).lstrip("/")).read_text(encoding="utf-8", errors="replace")


def _control_groups(membership: str, mountinfo: str) -> list[_Group]:
    """Match each group that this process is in with every mount point that shows it.

    The lines are described in cgroups(7) and proc_pid_mountinfo(5).
    """
    mounts = [mount for line in mountinfo.splitlines() if (mount := _mount(line)) is not None]
    groups = []
    for line in membership.splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version = 2 if (number, controllers) == ("0", "") else 1
        if version == 2 or "cpu" in controllers.split(","):
            groups += [_Group(version, point, _below(path, base)) for found, base, point in mounts if found == version]
    return list(dict.fromkeys(groups))


def _mount(line: str) -> tuple[int, str, PurePosixPath] | None:
    """Return version, the group at the top of the mount, and the mount point of a control group file system."""
    before, _, after = line.partition(" - ")
    here, there = before.split(), after.split()
    if len(here) < 5 or not there:
        return None
    base, point = _unescaped(here[3]), PurePosixPath(_unescaped(here[4]))
    if there[0] == "cgroup2":
        return 2, base, point
    if there[0] == "cgroup" and "cpu" in there[-1].split(","):
        return 1, base, point
    return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _below(path: str, base: str) -> PurePosixPath:
    """Return the group's path below the mount point.

    Seen from a namespace of control groups, a group may lie outside the mount (its path begins with ``/..``, or with
    another base): then the top of the mount is the nearest group that can be read.
    """
    inside = PurePosixPath(path)
    if ".." in inside.parts or not inside.is_relative_to(base):
        return PurePosixPath()
    return inside.relative_to(base)
