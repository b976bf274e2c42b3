import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest


def problems(tmp_path, **environment):
    """Return doctor's findings but for the notes: what is not installed is no problem."""
    found = findings(tmp_path, **environment)
    return {check: one for check, one in found.items() if one["level"] != "note"}


def findings(tmp_path, code="", **environment):
    """Return doctor's findings, by check, in a fresh process that runs `code` first."""
    doctor = "import sys\nfrom corewise.cli import main\nsys.argv = ['corewise', 'doctor', '--json']\nsys.exit(main())"
    program = f"{code}\n{doctor}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
        env={**os.environ, "COREWISE_NO_CONFIG": "1", "COREWISE_NUM_CPUS": "2", **environment},
        check=False,
    )
    found = json.loads(done.stdout)["findings"]
    assert done.returncode == int(any(one["level"] != "note" for one in found)), done.stderr
    return {one["check"]: one for one in found}


def test_default_settings_have_no_findings(tmp_path):
    assert problems(tmp_path) == {}


def test_explicit_settings_that_oversubscribe_are_told_with_their_origins(tmp_path):
    found = findings(tmp_path, COREWISE_EXECUTOR="spawn", COREWISE_NUM_BATCH_JOBS="4", COREWISE_NUM_BACKEND_THREADS="3")
    message = found["budget"]["message"]
    assert message.startswith("4 workers x 1 threads x 3 backend threads = 12, and there are 2 CPUs: ")
    assert "num_batch_jobs = 4 by env COREWISE_NUM_BATCH_JOBS" in message
    assert "num_backend_threads = 3 by env COREWISE_NUM_BACKEND_THREADS" in message


def test_a_backend_with_more_threads_by_name_than_cpus_is_told_with_its_origin(tmp_path):
    message = problems(tmp_path, COREWISE_BACKENDS__OPENBLAS__THREADS="16")["budget"]["message"]
    assert message == "backends.openblas.threads = 16 by env COREWISE_BACKENDS__OPENBLAS__THREADS, and there are 2 CPUs"


def test_a_variable_of_the_user_with_more_threads_than_cpus_is_told_with_the_libraries_that_follow_it(tmp_path):
    message = problems(tmp_path, OPENBLAS_NUM_THREADS="64")["budget"]["message"]
    assert message == (
        "OPENBLAS_NUM_THREADS=64 is set by the user, there are 2 CPUs, and corewise leaves blis, mkl, openblas alone"
    )
    assert problems(tmp_path, OPENBLAS_NUM_THREADS="2") == {}


@pytest.mark.parametrize("jobs", ["1", "2", "-1"])
def test_workers_that_fit_the_machine_are_no_finding(tmp_path, jobs):
    assert problems(tmp_path, COREWISE_EXECUTOR="spawn", COREWISE_NUM_BATCH_JOBS=jobs) == {}


def test_a_table_that_no_plugin_reads_is_a_note(tmp_path):
    found = findings(tmp_path, COREWISE_BACKENDS__TORCH__THREADS="2", COREWISE_PLUGINS__DISABLE="torch")
    assert found["settings"]["level"] == "note"
    assert "env COREWISE_BACKENDS__TORCH__THREADS: backends.torch: is not used" in found["settings"]["message"]


@pytest.mark.skipif(find_spec("polars") is None, reason="polars is not installed: see CONTRIBUTING.md")
def test_a_pool_that_was_built_before_is_told_as_too_late(tmp_path):
    found = findings(tmp_path, "import polars\npolars.thread_pool_size()", COREWISE_NUM_CPUS="5")
    assert "polars: the limit of 5 threads is too late" in found["limits"]["message"]
