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


def stretch(rounds):
    """Keep the CPU busy in C: a loop of bytecode takes a tenth more or less with the addresses it happens to get."""
    import hashlib  # half a mebibyte that the other tasks do without

    hashlib.pbkdf2_hmac("sha256", b"corewise", b"salt", rounds)


def stretch_each(many):
    for rounds in many:
        stretch(rounds)


def sum_of_part(array, index):
    return float(array[index * 100 : (index + 1) * 100].sum())


def wait_for_the_others(address):
    """Return once whoever listens there lets go."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        connection.recv(1)
