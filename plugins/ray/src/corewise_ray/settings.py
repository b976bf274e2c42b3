"""The table ``executors.ray``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["RaySettings"]


@attrs.frozen(kw_only=True)
class RaySettings:
    """Which cluster is used, and what each task asks of it.

    Attributes:
        address: Address of a running cluster, ``auto`` for one that Ray finds on this machine, ``local`` for a new one
            here. Empty: the Ray that the program has initialised, else ``RAY_ADDRESS``, else a new one here.
        namespace: Namespace of the job; empty for one of its own.
        num_cpus: CPUs that a task reserves; 0 for its worker's share of ``num_cpus``.
        num_gpus: GPUs that a task reserves, fractions included.
        resources: Other resources that a task reserves, by name.
        scheduling_strategy: ``DEFAULT``, ``SPREAD``, or, given in code, one of Ray's strategy objects.
        runtime_env: Ray's runtime environment for the workers. Any makes Ray start processes of their own for it.
        init: Further options of ``ray.init`` for a cluster that is started or joined here.
        max_crashes: How many deaths of its worker or node an item survives.
        zero_copy_tensors: Whether torch tensors on the CPU are read in place from the object store, as arrays are.
            Writing to such a tensor would change it for every reader of the machine.
    """

    address: str = ""
    namespace: str = ""
    num_cpus: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    num_gpus: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    resources: Mapping[str, float] = attrs.field(factory=dict)
    scheduling_strategy: Any = "DEFAULT"
    runtime_env: Mapping[str, Any] = attrs.field(factory=dict)
    init: Mapping[str, Any] = attrs.field(factory=dict)
    max_crashes: int = attrs.field(default=2, validator=attrs.validators.ge(0))
    zero_copy_tensors: bool = False
