import os
import subprocess
import sys
from pathlib import Path

import pytest

from corewise.cpus import CpuCount, cpu_count_report, effective_cpu_count

V2_MOUNT = "41 31 0:30 {base} /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw"
V1_MOUNT = "32 31 0:29 {base} {point} rw,relatime shared:4 - cgroup cgroup rw,{controllers}"


class Machine:
    """A fake root with control groups; files are written below it by the path they have on a real machine."""

    def __init__(self, root):
        self.root = root
        (root / "proc/self").mkdir(parents=True)

    def write(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def member(self, *groups):
        self.write("/proc/self/cgroup", "".join(f"{line}\n" for line in groups))

    def mounts(self, *lines):
        self.write(
            "/proc/self/mountinfo", "".join(f"{line}\n" for line in ("22 1 0:1 / / rw - ext4 /dev/a rw", *lines))
        )

    def v2(self, path="/", base="/"):
        self.member(f"0::{path}")
        self.mounts(V2_MOUNT.format(base=base))

    def report(self, **environ):
        return cpu_count_report(root=self.root, environ=environ)

    def quotas(self):
        report = self.report()
        assert report.ignored == ()
        return {source: count for source, count in report.candidates.items() if source.startswith("cgroup")}


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_without_control_groups_affinity_and_the_machine_are_asked(machine):
    report = machine.report()
    assert report.candidates["affinity"] == len(os.sched_getaffinity(0))
    assert report.candidates["os.cpu_count()"] == os.cpu_count()
    assert report.value == min(report.candidates.values())
    assert report.candidates[report.source] == report.value
    assert report.ignored == ()


def test_the_real_machine_is_read_without_complaint():
    report = cpu_count_report()
    assert report.ignored == ()
    assert 1 <= effective_cpu_count() == report.value <= os.cpu_count()


@pytest.mark.parametrize(
    ("text", "count"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("1000 100000\n", 1), ("100001 100000", 2), ("300000", 3)],
)
def test_a_v2_quota_is_rounded_up(machine, text, count):
    machine.v2("/app")
    machine.write("/sys/fs/cgroup/app/cpu.max", text)
    assert machine.quotas() == {"cgroup v2 /sys/fs/cgroup/app/cpu.max": count}


def test_a_v2_quota_of_max_limits_nothing(machine):
    machine.v2("/app")
    machine.write("/sys/fs/cgroup/app/cpu.max", "max 100000\n")
    assert machine.quotas() == {}


def test_a_quota_below_the_machine_wins_and_is_named(machine):
    machine.v2("/app")
    machine.write("/sys/fs/cgroup/app/cpu.max", "50000 100000\n")
    report = machine.report()
    assert report.value == 1
    if os.cpu_count() > 1:
        assert report.source == "cgroup v2 /sys/fs/cgroup/app/cpu.max"


def test_every_parent_is_asked_and_the_narrowest_counts(machine):
    machine.v2("/a/b/c")
    machine.write("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000")
    machine.write("/sys/fs/cgroup/a/b/cpu.max", "400000 100000")
    machine.write("/sys/fs/cgroup/a/cpu.max", "100000 100000")
    assert machine.quotas() == {
        "cgroup v2 /sys/fs/cgroup/a/b/cpu.max": 4,
        "cgroup v2 /sys/fs/cgroup/a/cpu.max": 1,
    }
    assert machine.report().value == 1


@pytest.mark.parametrize("text", ["", "\n", "many 100000", "100000 0", "-1 100000", "0 100000", "1 2x", "9" * 5000])
def test_a_malformed_quota_is_ignored_and_mentioned(machine, text):
    machine.v2("/app")
    machine.write("/sys/fs/cgroup/app/cpu.max", text)
    report = machine.report()
    assert not any(source.startswith("cgroup") for source in report.candidates)
    assert len(report.ignored) == 1
    assert report.ignored[0].startswith("cgroup v2 /sys/fs/cgroup/app/cpu.max: ")


def test_a_quota_that_cannot_be_read_is_ignored_and_mentioned(machine):
    machine.v2("/app")
    (machine.root / "sys/fs/cgroup/app/cpu.max").mkdir(parents=True)  # root may read any file, and no directory
    report = machine.report()
    assert report.value >= 1
    assert [line.partition(": ")[0] for line in report.ignored] == ["cgroup v2 /sys/fs/cgroup/app/cpu.max"]


def test_a_list_of_groups_that_cannot_be_read_is_ignored_and_mentioned(machine):
    (machine.root / "proc/self/cgroup").mkdir()
    report = machine.report()
    assert report.value >= 1
    assert report.ignored[0].startswith("control groups: ")


@pytest.mark.parametrize("lines", [("",), ("nonsense",), ("0:",), ("::",), ("x:cpu",), ("\x00\xff",)])
def test_malformed_lists_of_groups_and_mounts_never_raise(machine, lines):
    machine.member(*lines)
    machine.mounts(*lines, "1 2 3 - cgroup2", "a b c d e f -", V2_MOUNT.format(base="/"))
    assert machine.report().value >= 1


@pytest.mark.parametrize("controllers", ["cpu,cpuacct", "cpuacct,cpu", "cpu"])
def test_a_v1_quota_is_found_under_any_spelling_of_its_controllers(machine, controllers):
    point = f"/sys/fs/cgroup/{controllers}"
    machine.member("5:memory:/app", f"4:{controllers}:/app", "1:name=systemd:/init")
    machine.mounts(
        V1_MOUNT.format(base="/", point="/sys/fs/cgroup/memory", controllers="memory"),
        V1_MOUNT.format(base="/", point=point, controllers=controllers),
    )
    machine.write(f"{point}/app/cpu.cfs_quota_us", "250000\n")
    machine.write(f"{point}/app/cpu.cfs_period_us", "100000\n")
    machine.write(f"{point}/cpu.cfs_quota_us", "-1\n")
    machine.write(f"{point}/cpu.cfs_period_us", "100000\n")
    assert machine.quotas() == {f"cgroup v1 {point}/app/cpu.cfs_quota_us": 3}


def test_a_v1_quota_of_minus_one_limits_nothing(machine):
    machine.member("4:cpu:/")
    machine.mounts(V1_MOUNT.format(base="/", point="/cg", controllers="cpu"))
    machine.write("/cg/cpu.cfs_quota_us", "-1\n")
    assert machine.quotas() == {}


def test_cpuacct_and_cpuset_alone_are_not_the_cpu_controller(machine):
    machine.member("3:cpuset:/app", "2:cpuacct:/app")
    machine.mounts(V1_MOUNT.format(base="/", point="/cg", controllers="cpuacct"))
    machine.write("/cg/app/cpu.cfs_quota_us", "100000")
    machine.write("/cg/app/cpu.cfs_period_us", "100000")
    assert machine.quotas() == {}


def test_on_a_hybrid_machine_both_versions_are_asked(machine):
    machine.member("4:cpu,cpuacct:/app", "0::/unified")
    machine.mounts(
        V1_MOUNT.format(base="/", point="/cg/cpu", controllers="cpu,cpuacct"),
        "41 31 0:30 / /cg/unified rw - cgroup2 cgroup2 rw",
    )
    machine.write("/cg/cpu/app/cpu.cfs_quota_us", "300000")
    machine.write("/cg/cpu/app/cpu.cfs_period_us", "100000")
    machine.write("/cg/unified/unified/cpu.max", "200000 100000")
    assert machine.quotas() == {
        "cgroup v1 /cg/cpu/app/cpu.cfs_quota_us": 3,
        "cgroup v2 /cg/unified/unified/cpu.max": 2,
    }


def test_a_container_whose_mount_begins_at_its_own_group_reads_the_top_of_the_mount(machine):
    machine.v2("/docker/abc", base="/docker/abc")
    machine.write("/sys/fs/cgroup/cpu.max", "100000 100000")
    assert machine.quotas() == {"cgroup v2 /sys/fs/cgroup/cpu.max": 1}


def test_a_group_below_the_mount_of_a_container_is_found(machine):
    machine.v2("/docker/abc/job", base="/docker/abc")
    machine.write("/sys/fs/cgroup/cpu.max", "400000 100000")
    machine.write("/sys/fs/cgroup/job/cpu.max", "200000 100000")
    assert set(machine.quotas().values()) == {4, 2}


@pytest.mark.parametrize(
    ("path", "base"), [("/../other", "/"), ("/other", "/docker/abc"), ("/docker/abcd", "/docker/abc")]
)
def test_for_a_group_outside_of_the_mount_the_top_of_the_mount_is_read(machine, path, base):
    machine.v2(path, base=base)
    machine.write("/sys/fs/cgroup/cpu.max", "100000 100000")
    machine.write("/other/cpu.max", "1 100000")
    assert machine.quotas() == {"cgroup v2 /sys/fs/cgroup/cpu.max": 1}


def test_a_mount_point_with_a_space_is_found(machine):
    machine.member("0::/app")
    machine.mounts(r"41 31 0:30 / /my\040groups rw - cgroup2 cgroup2 rw")
    machine.write("/my groups/app/cpu.max", "100000 100000")
    assert machine.quotas() == {"cgroup v2 /my groups/app/cpu.max": 1}


def test_a_group_name_with_colons_is_read_whole(machine):
    machine.v2("/a:b::c")
    machine.write("/sys/fs/cgroup/a:b::c/cpu.max", "100000 100000")
    assert list(machine.quotas().values()) == [1]


def test_python_cpu_count_is_honoured_on_every_python(machine):
    report = machine.report(PYTHON_CPU_COUNT="1")
    assert (report.value, report.source) == (1, "PYTHON_CPU_COUNT")


def test_python_cpu_count_cannot_widen_what_the_machine_has(machine):
    assert machine.report(PYTHON_CPU_COUNT="100000").value == machine.report().value


@pytest.mark.parametrize("text", ["", "default"])
def test_python_cpu_count_may_say_nothing(machine, text):
    report = machine.report(PYTHON_CPU_COUNT=text)
    assert "PYTHON_CPU_COUNT" not in report.candidates
    assert report.ignored == ()


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", "9" * 5000])
def test_a_malformed_python_cpu_count_is_ignored_and_mentioned(machine, text):
    report = machine.report(PYTHON_CPU_COUNT=text)
    assert "PYTHON_CPU_COUNT" not in report.candidates
    assert report.ignored[0].startswith("PYTHON_CPU_COUNT: must be a positive number")


def run_python(*options, **environ):
    program = "from corewise.cpus import cpu_count_report as r; print(r().value, r().source)"
    variables = {**os.environ, **environ}
    done = subprocess.run([sys.executable, *options, "-c", program], env=variables, check=True, capture_output=True)
    return done.stdout.decode().strip()


def test_the_option_cpu_count_comes_before_the_variable():
    assert run_python("-X", "cpu_count=1", PYTHON_CPU_COUNT="2") == "1 -X cpu_count"


def test_the_variable_of_this_process_is_read_by_default():
    assert run_python(PYTHON_CPU_COUNT="1") == "1 PYTHON_CPU_COUNT"


def test_a_python_that_ignores_its_variables_ignores_this_one():
    assert "PYTHON_CPU_COUNT" not in run_python("-E", PYTHON_CPU_COUNT="1")


def test_the_affinity_of_this_process_counts():
    cpu = min(os.sched_getaffinity(0))
    program = (
        f"import os; os.sched_setaffinity(0, {{{cpu}}})\n"
        "from corewise.cpus import cpu_count_report\n"
        "print(cpu_count_report().candidates['affinity'], cpu_count_report().value)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout.split() == [b"1", b"1"]


def test_where_nothing_can_be_asked_one_cpu_is_assumed(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError("refused")

    for name in ("cpu_count", "sched_getaffinity", "process_cpu_count"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    report = cpu_count_report(root=Path(tmp_path), environ={})
    assert report.value == 1
    assert len(report.ignored) == 3


def test_a_report_compares_by_value():
    assert CpuCount(value=1, source="a") == CpuCount(value=1, source="a")
