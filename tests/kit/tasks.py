"""Functions for workers to run: a worker process imports them from here by name."""

import socket


def double(x):
    return 2 * x


def add(x, y):
    return x + y


def fail_on_multiples_of_three(x):
    if x % 3 == 0:
        raise ValueError(f"bad {x}")
    return x


class Stop(StopIteration):
    """One that has a name."""


def stop_on_two(x):
    if x == 2:
        raise Stop("two", x)
    return x


def leave(x):
    raise SystemExit(x)


class Result:
    """Something that a weak reference can watch."""

    def __init__(self, item):
        self.item = item


def spin(turns):
    for _ in range(turns):
        pass


def spin_each(many):
    for turns in many:
        spin(turns)


def sum_of_part(array, index):
    return float(array[index * 100 : (index + 1) * 100].sum())


def wait_for_the_others(address):
    """Return once whoever listens there lets go."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.recv(1)
