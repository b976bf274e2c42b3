"""corewise on Ray beside what Ray itself offers, in one run:  python tests/benchmarks/ray_side_by_side.py [PART ...]

Parts: noop, arrays, model, first. Each starts a local cluster of two CPUs and prints one line per contender.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import psutil

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=os.urandom(16).hex())
# Else Ray starts each worker by `uv run` in a copy of this folder, where nothing is installed.
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"

import ray

import corewise

WORKERS = 2
MIB = 1 << 20


@contextmanager
def cluster(store):
    with tempfile.TemporaryDirectory() as folder:
        options = {"object_store_memory": store, "_temp_dir": folder, "log_to_driver": False, "logging_level": "ERROR"}
        ray.init(num_cpus=WORKERS, include_dashboard=False, **options)
        try:
            yield
        finally:
            ray.shutdown()


def seconds(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def side_by_side(title, contenders, rounds):
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            times[name].append(seconds(run))
    print(title)
    for name, taken in times.items():
        print(f"  {name:<34} {median(taken) * 1e3:10.1f} ms   {[round(t * 1e3, 1) for t in taken]}", flush=True)


def same(item):
    return item


def more(array):
    return array + 1


def noop():
    from ray.util.actor_pool import ActorPool
    from ray.util.multiprocessing import Pool

    items = range(20_000)

    @ray.remote
    class Actor:
        def same(self, item):
            return item

    task = ray.remote(same)
    with cluster(200 * MIB), corewise.executor("ray", workers=WORKERS) as executor:

        def plain():
            assert ray.get([task.remote(item) for item in items]) == list(items)

        def map_():
            assert list(executor.map(same, items)) == list(items)

        def warm():
            list(executor.map(same, range(4), chunksize=1))
            ray.get([task.remote(item) for item in range(4)])

        warm()
        side_by_side("20,000 no-op items, warm workers", {"plain tasks": plain, "corewise map": map_}, 3)
        pool = Pool(WORKERS, ray_remote_args={"num_cpus": 0})
        actors = ActorPool([Actor.options(num_cpus=0).remote() for _ in range(WORKERS)])

        def pool_map():
            assert pool.map(same, items) == list(items)

        def actor_pool():
            assert list(actors.map(lambda actor, item: actor.same.remote(item), items)) == list(items)

        pool_map()
        contenders = {"ray.util.multiprocessing.Pool.map": pool_map, "corewise map": map_}
        side_by_side("20,000 no-op items, warm workers", contenders, 15)
        side_by_side("20,000 no-op items, warm workers", {"ray.util.ActorPool.map": actor_pool}, 1)
        pool.terminate()


def arrays():
    array = np.ones(32 * MIB // 8)
    task = ray.remote(more)
    with cluster(1500 * MIB), corewise.executor("ray", workers=WORKERS) as executor:

        def by_hand():
            under_way = deque()
            for _ in range(64):
                under_way.append(task.remote(ray.put(array)))
                if len(under_way) == 2 * WORKERS:
                    ray.get(under_way.popleft())
            for reference in under_way:
                ray.get(reference)

        def map_():
            for _ in executor.map(more, (array for _ in range(64))):
                pass

        map_()
        by_hand()
        side_by_side("64 arrays of 32 MiB in and out", {"ray.put, ray.get by hand": by_hand, "corewise map": map_}, 5)


def memory():
    """Return the memory of the program, its workers and Ray's own services; what they share counts once."""
    found = {"program": 0, "workers": 0, "services": 0}
    me = psutil.Process()
    for process in [me, *me.children(recursive=True)]:
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            size = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
            title = process.cmdline()[0]
        except (OSError, StopIteration, IndexError, psutil.Error):
            continue
        works = title.startswith("ray::") and not title.strip().endswith("Agent")
        found["program" if process == me else "workers" if works else "services"] += size
    return found


def in_mebibytes(found):
    parts = ", ".join(f"{name} {size / MIB:.0f}" for name, size in found.items())
    return f"{sum(found.values()) / MIB:.0f} MiB ({parts})"


def inner(model, item):
    return float(model[item])


def model():
    with cluster(700 * MIB), corewise.executor("ray", workers=WORKERS) as executor:
        list(executor.map(same, range(4), chunksize=1))
        idle = memory()
        peak = [idle]
        ended = threading.Event()

        def watch():
            while not ended.wait(0.05):
                peak.append(memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        weights = np.ones(512 * MIB // 8)
        taken = seconds(lambda: list(executor.map(partial(inner, weights), range(500), chunksize=5)))
        ended.set()
        watcher.join()
        print("A model of 512 MiB, bound by functools.partial, over 500 items in 100 chunks")
        print(f"  {taken * 1e3:.0f} ms; all processes before  {in_mebibytes(idle)}")
        print(f"  at the peak  {in_mebibytes(max(peak, key=lambda found: sum(found.values())))}", flush=True)


QUIET = "{'log_to_driver': False, 'logging_level': 'ERROR'}"
FIRST = {
    "plain Ray task": """
import time, ray
begin = time.perf_counter()
ray.init(address=ADDRESS, log_to_driver=False, logging_level="ERROR")
ray.get(ray.remote(lambda x: -x).remote(1))
print(time.perf_counter() - begin)
""",
    "corewise": """
import time, ray, corewise
begin = time.perf_counter()
with corewise.executor("ray", workers=2, address=ADDRESS, init=OPTIONS) as ex:
    next(ex.map(lambda x: -x, [1]))
    print(time.perf_counter() - begin)
""",
}


def first():
    with cluster(200 * MIB):
        address = ray.get_runtime_context().gcs_address
        times = {name: [] for name in FIRST}
        for number in range(10):
            # Each in turn is the first: Ray still ends the workers of one while the next one starts.
            for name, code in sorted(FIRST.items(), reverse=number % 2 == 0):
                command = [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-c",
                    code.replace("ADDRESS", repr(address)).replace("OPTIONS", QUIET),
                ]
                told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
                times[name].append(float(told.stdout.split()[-1]))
        print("From a fresh program to its first result on a cluster that runs (Ray and corewise imported)")
        for name, taken in times.items():
            print(f"  {name:<34} {median(taken) * 1e3:10.1f} ms   {[round(t * 1e3) for t in taken]}", flush=True)


if __name__ == "__main__":
    for part in sys.argv[1:] or ["noop", "arrays", "model", "first"]:
        {"noop": noop, "arrays": arrays, "model": model, "first": first}[part]()
