"""What this project's own plugins offer, and the distribution to install where one of them is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["FIRST_PARTY_BACKENDS", "FIRST_PARTY_EXECUTORS"]

FIRST_PARTY_EXECUTORS: Mapping[str, str] = MappingProxyType({"ray": '"corewise-ray[ray]"'})
"""Distributions by the executor that they bring, as a shell wants them; with the extra that installs its library."""

FIRST_PARTY_BACKENDS: Mapping[str, str] = MappingProxyType({"torch": "corewise-torch", "rayon": "corewise-rayon"})
"""Distributions by the backend that they bring."""
