import json
import os
import subprocess
import sys

import pytest


def test_settings_tells_every_value_and_its_origin(project, monkeypatch):
    monkeypatch.setenv("COREWISE_NUM_THREADS", "3")
    rows = {row["key"]: row for row in json.loads(project.run("settings", "--json").out)}
    assert rows["num_threads"] == {"key": "num_threads", "value": 3, "origin": "env COREWISE_NUM_THREADS"}
    assert {"executor", "num_cpus", "num_backend_threads", "num_batch_jobs", "plugins.disable"} <= rows.keys()
    shown = project.run("settings")
    assert shown.code == 0
    assert any(line.split()[:2] == ["num_threads", "3"] for line in shown.out.splitlines())


def test_wrong_settings_are_all_told_and_give_exit_code_2(project, monkeypatch):
    monkeypatch.setenv("COREWISE_NUM_THREADS", "many")
    monkeypatch.setenv("COREWISE_NUM_CPUS", "few")
    done = project.run("settings")
    assert done.code == 2
    assert "COREWISE_NUM_THREADS" in done.err
    assert "COREWISE_NUM_CPUS" in done.err
    assert "Traceback" not in done.err


def test_plugins_tells_the_state_and_the_offers_of_each(project):
    rows = {row["name"]: row for row in json.loads(project.run("plugins", "--json").out)}
    assert rows["serial"]["state"] == "active"
    assert rows["serial"]["distribution"] == "corewise"
    assert rows["threads"]["executors"] == ["threads"]
    assert "executors: threads" in project.run("plugins").out


def test_doctor_tells_the_facts(project):
    done = project.run("doctor", "--json")
    report = json.loads(done.out)
    assert report["facts"]["cpus"]["effective"] >= 1
    assert report["facts"]["cpus"]["source"] in report["facts"]["cpus"]["candidates"]
    assert report["facts"]["python"]["version"].startswith("3.")
    assert {"serial", "threads"} <= {each["name"] for each in report["facts"]["executors"]}
    assert sum(each["chosen"] for each in report["facts"]["executors"]) == 1
    assert done.code == int(any(each["level"] != "note" for each in report["findings"]))
    shown = project.run("doctor")
    assert all(title in shown.out for title in ("CPUs", "Python", "Settings", "Executors", "Plugins", "Findings"))


@pytest.fixture
def broken_plugin(tmp_path, monkeypatch):
    directory = tmp_path / "site"
    info = directory / "hollow-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hollow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[corewise]\nhollow = hollow_plugin\nsure = sure_plugin\n")
    (directory / "hollow_plugin.py").write_text("raise ImportError('no libhollow')\n")
    (directory / "sure_plugin.py").write_text(
        "import corewise\n"
        "from corewise.plugins.checks import Check, Finding\n"
        "def fine(context):\n"
        "    yield Finding('fine', 'note', f'{context.config.num_cpus} CPUs')\n"
        "def bad(context):\n"
        "    raise KeyError('x')\n"
        "@corewise.hookimpl\n"
        "def corewise_checks():\n"
        "    return [Check(name='fine', run=fine), Check(name='bad', run=bad)]\n"
    )
    monkeypatch.syspath_prepend(directory)


@pytest.mark.usefixtures("broken_plugin")
def test_doctor_runs_the_checks_of_plugins_and_tells_of_those_that_are_broken(project):
    done = project.run("doctor", "--json")
    findings = {(each["check"], each["level"]): each["message"] for each in json.loads(done.out)["findings"]}
    assert done.code == 1
    assert "CPUs" in findings["fine", "note"]
    assert "KeyError" in findings["bad", "error"]
    assert "no libhollow" in findings["plugins", "warning"]


def test_schema_is_the_json_schema_of_the_settings(project):
    assert json.loads(project.run("schema").out)["properties"]["parallel"]["properties"]["num_cpus"]
    assert project.run("schema", "--json").out == project.run("schema").out


def run_into(output, command):
    """Run a command with this standard output; return its exit code and what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from corewise.cli import main; sys.exit(main())", *command.split()],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", ["doctor", "plugins", "settings", "schema", "settings --json", "--help"])
def test_a_reader_that_goes_away_ends_a_report_quietly(command):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody_reads:
        assert run_into(nobody_reads, command) == (141, "")


@pytest.mark.parametrize(
    "command", ["doctor", "plugins", "settings", "schema", "settings --json", "--help", "map --help", "--version"]
)
def test_a_full_disk_is_one_line(command):
    line = "corewise: standard output: cannot be written (No space left on device): send it elsewhere\n"
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        assert run_into(full, command) == (2, line)
