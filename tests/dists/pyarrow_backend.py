"""pyarrow's pool of compute threads as a backend plugin."""

import sys
from importlib import import_module

import attrs

import corewise
from corewise.backends.contract import Backend


@attrs.frozen(kw_only=True)
class PyArrow(Backend):
    name: str = "pyarrow"
    imports: tuple[str, ...] = ("pyarrow",)
    variables: tuple[str, ...] = ("OMP_NUM_THREADS",)
    summary: str = "the compute threads of Apache Arrow"

    def loaded(self):
        return "pyarrow" in sys.modules

    def env(self, threads):
        return {"OMP_NUM_THREADS": str(threads)}

    def limit(self, threads):
        import_module("pyarrow").set_cpu_count(threads)

    def threads(self):
        return import_module("pyarrow").cpu_count()


@corewise.hookimpl
def corewise_backends():
    return [PyArrow()]
