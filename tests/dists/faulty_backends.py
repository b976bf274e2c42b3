"""Backends with one fault each, importable in other processes."""

import os
from importlib import import_module

import attrs
from pyarrow_backend import PyArrow

from corewise.settings.model import BackendSettings


class IgnoresLimit(PyArrow):
    def limit(self, threads):
        pass


class ForgetsVariables(PyArrow):
    def env(self, threads):
        return {}


class SetsZero(PyArrow):
    def env(self, threads):
        return {"OMP_NUM_THREADS": "0"}


class SetsNumbers(PyArrow):
    def env(self, threads):
        return {"OMP_NUM_THREADS": threads}


class ImportsToAnswer(PyArrow):
    def loaded(self):
        return import_module("pyarrow") is not None


class NeverLoaded(PyArrow):
    def loaded(self):
        return False


class WrongFacts(PyArrow):
    def info(self):
        return [os.name]


@attrs.frozen(kw_only=True)
class OffByDefault(BackendSettings):
    enabled: bool = False


@attrs.frozen(kw_only=True)
class WrongSettings(PyArrow):
    settings: type = OffByDefault
