import pytest

from corewise.executors.choose import choose
from corewise.settings.model import ExecutorFacts

ALL = {name: ExecutorFacts() for name in ("serial", "threads", "spawn", "theirs")}


@pytest.mark.parametrize("name", ["serial", "threads", "spawn", "theirs", "ray"])
def test_a_name_is_taken_as_it_is(name):
    choice = choose(name, executors=ALL, free_threaded=True, num_batch_jobs=8)
    assert (choice.name, choice.reason, choice.passed_over) == (name, "it was asked for by name", {})


def test_auto_takes_ray_where_it_is_asked_for_even_without_the_gil():
    choice = choose(use_ray=True, free_threaded=True, num_batch_jobs=4, executors=ALL)
    assert (choice.name, choice.reason) == ("ray", "use_ray is set")


def test_auto_takes_threads_without_the_gil_whatever_workers_were_asked_for():
    assert choose(free_threaded=True, num_batch_jobs=4, executors=ALL).name == "threads"
    assert choose(free_threaded=True, executors=ALL).name == "threads"


@pytest.mark.parametrize(
    ("jobs", "cpus", "name"), [(2, 1, "spawn"), (-1, 2, "spawn"), (-1, 1, "serial"), (1, 8, "serial")]
)
def test_auto_takes_spawn_where_more_than_one_worker_was_asked_for(jobs, cpus, name):
    assert choose(num_batch_jobs=jobs, num_cpus=cpus, executors=ALL).name == name


def test_auto_takes_serial_where_nothing_was_asked_for_however_many_cpus_there_are():
    choice = choose(num_cpus=64, executors=ALL)
    assert (choice.name, choice.reason) == ("serial", "nothing asks for more than one worker")


def test_each_other_executor_is_passed_over_with_its_reason():
    assert choose(executors=ALL).passed_over == {
        "ray": "use_ray is not set",
        "threads": "the GIL is on, so threads would take turns",
        "spawn": "num_batch_jobs does not ask for more than one worker",
        "theirs": "auto never chooses it; executor = 'theirs' does",
    }
    passed_over = choose(num_batch_jobs=4, executors=ALL).passed_over
    assert passed_over.keys() == {"ray", "threads", "serial", "theirs"}
    assert passed_over["serial"] == "spawn comes first"


def test_without_spawn_its_workers_are_done_serially_and_the_reason_says_so():
    choice = choose(num_batch_jobs=4, executors={"serial": ExecutorFacts()})
    assert choice.name == "serial"
    assert choice.reason == "num_batch_jobs asks for 4 workers, and spawn cannot be used: no active plugin offers spawn"


def test_threads_that_cannot_run_here_are_passed_over_with_their_own_reason():
    broken = ALL | {"threads": ExecutorFacts(unavailable="it is broken")}
    choice = choose(free_threaded=True, num_batch_jobs=4, executors=broken)
    assert choice.name == "spawn"
    assert choice.reason == "threads cannot be used: it is broken; num_batch_jobs asks for 4 workers"
    assert choice.passed_over["threads"] == "it is broken"


@pytest.mark.parametrize("name", ["spawn", "serial", "threads"])
def test_use_ray_beside_another_name_is_an_error(name):
    with pytest.raises(ValueError, match=f"use_ray contradicts executor = '{name}'"):
        choose(name, use_ray=True, executors=ALL)


def test_use_ray_beside_its_own_name_is_none():
    assert choose("ray", use_ray=True, executors=ALL).name == "ray"
