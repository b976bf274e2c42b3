"""Functions for Ray workers to run; they import them from here by name."""

import logging
import os
import threading
import time
from pathlib import Path

import ray

from corewise.errors import ItemTimeoutError


@ray.remote(num_cpus=0)
class Gauge:
    """Counts who is inside, and lets nobody out before so many have been in at once."""

    def __init__(self):
        self.inside = self.most = self.entered = 0

    def enter(self):
        self.inside += 1
        self.entered += 1
        self.most = max(self.most, self.inside)

    def leave(self):
        self.inside -= 1

    def counts(self):
        return self.entered, self.most


def through(gauge, item):
    ray.get(gauge.enter.remote())
    time.sleep(0.02)
    ray.get(gauge.leave.remote())
    return item


def meet(folder, item):
    """Wait until item 0 and item 1 run at the same time."""
    Path(folder, str(item)).touch()
    while not Path(folder, str(1 - item)).exists():
        time.sleep(0.01)
    return item


def die_on(bad, item):
    if item == bad:
        os._exit(7)
    return item


def die_once(folder, item):
    mark = Path(folder, f"died-{item}")
    if item == 3 and not mark.exists():
        mark.touch()
        os._exit(7)
    return item


def sleep_on_two(item):
    if item == 2:
        time.sleep(600)
    return item


def cling(item):
    """Do not give up, whatever exception comes."""
    while item == 2:
        try:
            time.sleep(600)
        except ItemTimeoutError:
            logging.getLogger("ray_tasks").info("go on")
    return item


def wait_for(path):
    Path(f"{path}.begun").touch()
    while not Path(path).exists():
        time.sleep(0.01)
    return path


def log(item):
    logging.getLogger("ray_tasks.inner").info("item %d", item)
    logging.getLogger("ray_tasks.inner").debug("too fine")
    return item


def note_run(folder, item):
    """Return something that cannot be pickled for item 3, and leave a note of each run."""
    with Path(folder, str(item)).open("a") as notes:
        notes.write("x")
    return threading.Lock() if item == 3 else item


class Counted:
    """Says in a file when it is pickled and unpickled."""

    def __init__(self, path):
        self.path = path

    def note(self, what):
        with Path(self.path).open("a") as notes:
            notes.write(f"{what} {os.getpid()}\n")

    def __getstate__(self):
        self.note("pickled")
        return {"path": self.path}

    def __setstate__(self, state):
        self.path = state["path"]
        self.note("unpickled")

    def __call__(self, item):
        return item


def on_node(folder, item):
    Path(folder, ray.get_runtime_context().get_node_id()).touch()
    time.sleep(0.001)
    return item


def more(folder, array):
    """Add one, and do not end before tasks of both nodes have begun."""
    Path(folder, ray.get_runtime_context().get_node_id()).touch()
    while len(list(Path(folder).iterdir())) < 2:
        time.sleep(0.01)
    return array + 1


class Named:
    """An item of a class that a worker can only import from the parent's import path."""

    def __init__(self, name):
        self.name = name

    def __call__(self):
        return Named(self.name + "!")
