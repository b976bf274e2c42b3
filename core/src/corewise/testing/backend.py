"""The conformance suite of backends: a few lines for each backend."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import ClassVar

from corewise.backends.contract import Backend, Scope
from corewise.testing.expectations import equal, expect

__all__ = ["BackendConformance"]

CHILD = """
import pickle, sys
from collections.abc import Mapping
sys.path[:] = pickle.load(sys.stdin.buffer)
backend, imports, limit = pickle.load(sys.stdin.buffer)
for name in imports:
    __import__(name)
before = set(sys.modules)
loaded = backend.loaded()
new = ",".join(sorted(set(sys.modules) - before))
facts = backend.info() if loaded else {}
if not isinstance(facts, Mapping) or not all(isinstance(name, str) for name in facts):
    raise TypeError(f"info() returns a mapping from text, not {facts!r}")
if limit:
    backend.limit(limit)
print(loaded, backend.threads() if loaded else None, "imported:" + new)
"""
"""What a fresh process does: imports, limits if told to, and says what it sees."""


class BackendConformance:
    """Everything that a backend promises, as tests that pytest or any other runner collects.

    The library must be installed; the tests import it.

    Attributes:
        backend: What is tested.
        imports: What to import to make the library live; by default the backend's first import name.

    Example, a whole test file::

        from corewise.testing import BackendConformance
        from corewise_example.plugin import corewise_backends


        class TestExample(BackendConformance):
            backend = corewise_backends()[0]
    """

    backend: ClassVar[Backend]
    imports: ClassVar[tuple[str, ...]] = ()

    def load(self) -> None:
        """Make the library live in this process."""
        for name in self._imports():
            importlib.import_module(name)
        expect(self.backend.loaded(), f"loaded() is true after importing {', '.join(self._imports())}")

    def test_its_settings_have_the_defaults_of_every_backend(self) -> None:
        """Each field has a default, so that a table may be absent; a backend is limited unless the user says no."""
        cls = self.backend.settings
        equal((cls().enabled, cls().threads), (True, 0), "defaults of enabled and threads")

    def test_its_variables_are_positive_numbers_as_text(self) -> None:
        """Whatever the number of threads."""
        for threads in (1, 2, 7):
            variables = self.backend.env(threads)
            expect(isinstance(variables, Mapping), f"env() returns a mapping, not {variables!r}")
            for name, value in variables.items():
                expect(isinstance(name, str) and isinstance(value, str), f"env({threads}) holds text: {name}={value!r}")
                expect(not value.lstrip().startswith("-") and value != "0", f"env({threads}) sets {name}={value}")

    def test_asking_whether_it_is_loaded_imports_nothing(self) -> None:
        """In a fresh interpreter it is not loaded, and asking changes nothing."""
        answer, _, imported = self._in_child({}, imports=())
        equal(answer, "False", "loaded() in a fresh interpreter")
        equal(imported, "imported:", "modules that loaded() imported in a fresh interpreter")

    def test_its_variables_limit_a_process_that_has_not_started_yet(self) -> None:
        """A fresh process with ``env(1)`` uses one thread as soon as the library is live."""
        loaded, threads, _ = self._in_child(self.backend.env(1), imports=self._imports())
        equal(loaded, "True", f"loaded() after importing {', '.join(self._imports())}")
        expect(threads in {"1", "None"}, f"a process with env(1) uses {threads} threads")

    def test_a_limit_is_read_back_and_can_be_restored(self) -> None:
        """``limit(n)`` holds at once; limiting to what was found restores it."""
        if self.backend.scope is Scope.ONCE:
            self._check_in_fresh_process()
        elif self.backend.scope is Scope.THREAD:
            self._check_in_thread()
        else:
            self._check_here()

    def test_its_facts_have_names(self) -> None:
        """``info()`` is a mapping from text, for tables and JSON."""
        self._in_child({}, imports=self._imports())

    def _imports(self) -> tuple[str, ...]:
        return self.imports or self.backend.imports[:1]

    def _check_here(self) -> None:
        self.load()
        found = self.backend.threads()
        expect(found is None or found > 0, f"threads() is a positive number or None, not {found!r}")
        try:
            for threads in (1, min(2, os.cpu_count() or 1), 1):
                self.backend.limit(threads)
                expect(self.backend.threads() in {threads, None}, f"threads() after limit({threads})")
        finally:
            if found is not None:
                self.backend.limit(found)
        equal(self.backend.threads(), found, f"threads() after limit({found}), which was found")

    def _check_in_thread(self) -> None:
        errors: list[BaseException] = []

        def check() -> None:
            try:
                self._check_here()
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
                errors.append(error)

        thread = threading.Thread(target=check)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]

    def _check_in_fresh_process(self) -> None:
        _, threads, _ = self._in_child({}, imports=self._imports(), limit=1)
        expect(threads in {"1", "None"}, f"threads() of a fresh process after limit(1) is {threads}")

    def _in_child(self, variables: Mapping[str, str], *, imports: tuple[str, ...], limit: int = 0) -> list[str]:
        """Return what ``loaded()`` and ``threads()`` say in a process of its own, and what ``loaded()`` imported."""
        own = {*self.backend.variables, *self.backend.env(1)}
        environment = {name: value for name, value in os.environ.items() if name not in own}
        child = subprocess.run(
            [sys.executable, "-c", CHILD],
            input=pickle.dumps(sys.path) + pickle.dumps((self.backend, imports, limit)),
            capture_output=True,
            check=False,
            env={**environment, **variables},
        )
        if child.returncode != 0:
            raise AssertionError(f"a fresh process with this backend failed:\n{child.stderr.decode(errors='replace')}")
        return child.stdout.decode().split()[-3:]
