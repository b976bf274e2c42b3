import itertools
import os
import pickle
import subprocess
import sys
import threading
import warnings

import pytest
from fake_distributions import Site

import corewise
from corewise import runtime


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setenv("COREWISE_NO_CONFIG", "1")
    corewise.reset()
    yield
    corewise.reset()


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "COREWISE_NO_CONFIG": "1", **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


HEAVY = {"numpy", "torch", "ray", "rich", "cyclopts", "cattrs", "threadpoolctl", "attrs", "pluggy", "typing"}


def test_importing_corewise_imports_nothing_heavy():
    out = run("import sys; before = set(sys.modules); import corewise; print(*set(sys.modules) - before)")
    assert "corewise" in out.split()
    assert not HEAVY & set(out.split())


def test_every_public_name_can_be_had_and_is_listed():
    for name in corewise.__all__:
        assert getattr(corewise, name) is not None
        assert name in dir(corewise)
    with pytest.raises(AttributeError, match="no attribute 'mapp'"):
        _ = corewise.mapp


def test_settings_are_resolved_on_first_use_and_stay(monkeypatch):
    monkeypatch.setenv("COREWISE_NUM_CPUS", "6")
    config = corewise.get_parallel_config()
    monkeypatch.setenv("COREWISE_NUM_CPUS", "3")
    assert corewise.get_parallel_config() is config
    corewise.reset()
    assert corewise.get_parallel_config().num_cpus == 3


def test_arguments_win_over_the_environment(monkeypatch):
    monkeypatch.setenv("COREWISE_NUM_CPUS", "6")
    corewise.configure(num_cpus=5)
    config = corewise.get_parallel_config()
    assert config.num_cpus == 5
    assert str(config.origins["num_cpus"]).startswith("argument num_cpus at ")


def test_a_second_configuration_that_differs_warns_and_names_both_callers():
    corewise.configure(num_cpus=5)
    with pytest.warns(corewise.SettingsWarning) as caught:
        corewise.configure(num_cpus=4)
    assert str(caught[0].message).count("test_runtime.py line") == 2
    assert corewise.get_parallel_config().num_cpus == 5


def test_configuring_the_same_again_says_nothing():
    corewise.configure(num_cpus=5)
    corewise.configure(num_cpus=5)
    corewise.ensure_parallel_init(num_cpus=5)


def test_configuring_after_the_first_use_warns():
    corewise.ensure_parallel_init()
    with pytest.warns(corewise.SettingsWarning, match="are ignored"):
        corewise.ensure_parallel_init(num_cpus=77)


def test_an_application_makes_its_own_names_the_source(monkeypatch):
    monkeypatch.setenv("LK_NUM_CPUS", "9")
    monkeypatch.setenv("COREWISE_NUM_CPUS", "6")
    corewise.configure(app=corewise.App("lenskit", env_prefix="LK_"))
    assert corewise.get_parallel_config().num_cpus == 9


def test_threads_that_initialise_at_once_all_see_it_done():
    barrier = threading.Barrier(16, timeout=60)
    seen = []

    def initialise():
        barrier.wait()
        corewise.ensure_parallel_init()
        seen.append(corewise.get_parallel_config())

    users = [threading.Thread(target=initialise) for _ in range(16)]
    for user in users:
        user.start()
    for user in users:
        user.join(60)
    assert len(seen) == 16
    assert len(set(map(id, seen))) == 1


def test_wrong_settings_are_told_on_every_use_until_they_are_mended(monkeypatch):
    monkeypatch.setenv("COREWISE_NUM_CPUS", "six")
    for _ in range(2):
        with pytest.raises(corewise.SettingsError, match=r"env COREWISE_NUM_CPUS: num_cpus: .*got 'six'"):
            corewise.ensure_parallel_init()
    monkeypatch.setenv("COREWISE_NUM_CPUS", "6")
    corewise.ensure_parallel_init()
    assert corewise.get_parallel_config().num_cpus == 6


def test_an_executor_takes_the_workers_that_the_settings_give():
    corewise.configure(num_cpus=4, num_threads=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", corewise.ExecutorWarning)
        with corewise.executor("threads") as named, corewise.executor("threads", workers=7) as asked:
            assert (named.workers, asked.workers) == (3, 7)
    with corewise.executor("serial", workers=7) as serial:
        assert serial.workers == 1


def test_num_batch_jobs_holds_for_every_parallel_executor():
    corewise.configure(num_cpus=4, num_batch_jobs=2, executor="threads")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", corewise.ExecutorWarning)
        with corewise.executor() as chosen:
            assert (chosen.name, chosen.workers) == ("threads", 2)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_workers_is_told(workers):
    with pytest.raises((ValueError, TypeError), match=r"executor: workers: must be .*got"):
        corewise.executor("threads", workers=workers)


@pytest.mark.filterwarnings("ignore::corewise.ExecutorWarning")
def test_a_worker_thread_is_a_smaller_machine_at_any_depth():
    corewise.configure(num_cpus=9)

    def inside(_):
        config = corewise.get_parallel_config()
        with corewise.executor("threads", workers=2) as inner:
            [deeper] = inner.map(lambda _: corewise.get_parallel_config(), [0])
        return config.num_cpus, deeper.num_cpus

    with corewise.executor("threads", workers=2) as outer:
        shares = set(outer.map(inside, range(8), chunksize=1))
    assert shares <= {(5, 3), (4, 2)}
    assert corewise.get_parallel_config().num_cpus == 9


@pytest.mark.filterwarnings("ignore::corewise.ExecutorWarning")
def test_map_inside_a_worker_of_map_does_not_wait_for_itself():
    corewise.configure(num_cpus=8, executor="threads", num_batch_jobs=2)

    def outer(x):
        return sum(corewise.map(abs, range(x), executor="threads"))

    assert list(corewise.map(outer, range(20), timeout=60)) == [sum(range(x)) for x in range(20)]


def test_map_keeps_its_processes_until_reset():
    def process_of(_):
        return os.getpid()

    corewise.configure(num_cpus=2)
    first = set(corewise.map(process_of, range(2), executor="spawn", workers=1))
    assert set(corewise.map(process_of, range(2), executor="spawn", workers=1)) == first
    corewise.reset()
    with pytest.raises(ProcessLookupError):
        os.kill(first.pop(), 0)


def threads_of_map():
    return [thread for thread in threading.enumerate() if thread.name.startswith("corewise-threads")]


@pytest.mark.filterwarnings("ignore::corewise.ExecutorWarning")
def test_threads_of_map_have_ended_when_its_results_are_all_taken():
    assert list(corewise.map(abs, [-1, 2], executor="threads", workers=2)) == [1, 2]
    assert threads_of_map() == []


@pytest.mark.filterwarnings("ignore::corewise.ExecutorWarning")
@pytest.mark.parametrize("leave", ["close", "drop", "fail", "interrupt"])
def test_threads_of_map_end_with_it_however_it_is_left(leave):
    def work(number):
        if number == 3 and leave in ("fail", "interrupt"):
            raise KeyError if leave == "fail" else KeyboardInterrupt
        return threading.current_thread()

    results = corewise.map(work, itertools.count(), executor="threads", workers=2, chunksize=1)
    seen = {next(results)}
    if leave == "close":
        results.close()
    elif leave == "drop":
        del results
    else:
        with pytest.raises(KeyError if leave == "fail" else KeyboardInterrupt):
            seen.update(results)
    for thread in seen:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.filterwarnings("ignore::corewise.ExecutorWarning")
def test_an_item_that_map_gave_up_is_not_waited_for():
    never = threading.Event()
    found = corewise.map(
        lambda number: never.wait() if number == 0 else number,
        range(3),
        executor="threads",
        workers=2,
        item_timeout=0.2,
        on_error="skip",
    )
    assert list(found) == [1, 2]
    never.set()
    for thread in threads_of_map():
        thread.join(60)


@pytest.mark.filterwarnings("ignore::corewise.ExecutorWarning")
def test_a_wrong_option_of_map_leaves_no_thread_behind():
    with pytest.raises(TypeError, match="chunksize"):
        corewise.map(abs, [1], executor="threads", chunksize="many")
    assert threads_of_map() == []


@pytest.mark.filterwarnings("ignore::corewise.ExecutorWarning")
def test_sharing_an_object_with_threads_opens_no_executor():
    corewise.configure(num_cpus=2, executor="threads")
    assert corewise.share([1]).get() == [1]
    assert not runtime.current_runtime().kept.executors


def test_shared_objects_are_the_object_itself_here_and_a_copy_elsewhere():
    table = {"a": 1}
    shared = corewise.share(table)
    assert shared.get() is table
    copy = pickle.loads(pickle.dumps(shared))
    assert copy.get() == table
    assert pickle.loads(pickle.dumps(shared)) is copy


def test_a_shared_object_may_hold_references_to_others():
    out = run(
        """
import pickle, corewise
inner = corewise.share([1, 2])
print(pickle.loads(pickle.dumps(corewise.share({"inner": inner}))).get()["inner"].get())
""",
        COREWISE_EXECUTOR="serial",
    )
    assert out == "[1, 2]\n"


def test_a_forked_child_can_use_corewise_afresh():
    out = run(
        """
import os, threading, corewise
list(corewise.map(abs, range(10), executor="threads"))
held = threading.Thread(target=lambda: corewise.runtime._lock.acquire())
held.start(); held.join()
pid = os.fork()
if pid == 0:
    print(list(corewise.map(abs, [-3], executor="threads")), corewise.get_parallel_config().num_cpus, flush=True)
    corewise.reset()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
""",
        COREWISE_NUM_CPUS="3",
    )
    assert out == "[3] 3\n"


def test_an_unavailable_executor_says_why(monkeypatch):
    import attrs

    state = runtime.current_runtime()
    factory = attrs.evolve(state.host.executor("threads"), unavailable=lambda: "no threads today; set tomorrow")
    monkeypatch.setattr(type(state.host), "executor", lambda self, name: factory)
    with pytest.raises(corewise.ExecutorUnavailableError, match="executor 'threads' cannot run here: no threads today"):
        corewise.executor("threads")


def test_an_option_that_an_executor_does_not_have_is_told():
    with pytest.raises(TypeError, match="executor 'serial': unknown option 'colour'; allowed: none"):
        corewise.executor("serial", colour="red")


MISTAKES = {
    "COREWISE_PLUGINS__STRICT": "maybe",
    "COREWISE_EXECUTOR": "spwn",
    "COREWISE_BACKENDS__OPENBLAS__THREADS": "x",
}


def test_every_mistake_is_told_at_once_whichever_comes_first(monkeypatch):
    for name, value in MISTAKES.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(corewise.SettingsError) as caught:
        corewise.get_parallel_config()
    assert {line.split(": ")[0] for line in caught.value.problems} == {f"env {name}" for name in MISTAKES}


def test_where_nobody_knows_which_plugins_are_disabled_none_of_them_is_imported(tmp_path, monkeypatch):
    with Site(tmp_path / "site") as site:
        module = site.install("hostile", module="raise SystemExit('I am not to be imported')")
        file = tmp_path / "corewise.toml"
        file.write_text("[parallel]\nplugins.disable = ['hostile'")
        monkeypatch.setenv("COREWISE_NO_CONFIG", "0")
        monkeypatch.setenv("COREWISE_CONFIG_FILE", str(file))
        monkeypatch.setenv("COREWISE_EXECUTOR", "theirs")
        monkeypatch.setenv("COREWISE_BACKENDS__OPENBLAS__THREADS", "x")
        with pytest.raises(corewise.SettingsError) as caught:
            corewise.get_parallel_config()
        assert module not in sys.modules
    invalid, backend = sorted(caught.value.problems)
    assert "corewise.toml line 2: is not valid TOML" in invalid
    assert "backends.openblas.threads: must be a whole number" in backend


@pytest.mark.parametrize("name", [None, "auto"])
def test_auto_is_the_executor_that_the_settings_choose(name):
    corewise.configure(executor="serial")
    with corewise.executor(name) as chosen:
        assert chosen.name == "serial"
    assert list(corewise.map(abs, [-1], executor=name)) == [1]
    with corewise.actors(dict, a=1, num_workers=1, executor=name) as pool:
        assert pool.call("get", "a").result() == 1


def test_workers_beyond_every_machine_are_told():
    with pytest.raises(ValueError, match=f"executor: workers: must be at most 65,536, got {10**22}"):
        corewise.executor("threads", workers=10**22)
