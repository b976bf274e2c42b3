"""Rayon's global pool, and the pools of known packages, as backends of corewise."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Literal

import attrs

from corewise import hookimpl
from corewise.backends.contract import Backend, Scope
from corewise.plugins.calling import Hooks
from corewise.plugins.marker import hookspec
from corewise_rayon.pools import RayonPool, backend_of
from corewise_rayon.rust_threads import unnamed_rust_threads


class RayonHooks:
    """The hook that other plugins may implement."""

    @hookspec
    def corewise_rayon_pools(self) -> Iterable[RayonPool]:
        """Return the pools of Rust extensions that have functions to build and to count them.

        Example::

            import corewise
            from corewise_rayon import RayonPool


            @corewise.hookimpl(optionalhook=True)
            def corewise_rayon_pools():
                return [RayonPool(name="mine", module="mine._native", init="init_pool", count="pool_threads")]
        """
        raise NotImplementedError


@attrs.frozen(kw_only=True)
class Rayon(Backend):
    """Rayon's global pool in any extension: it reads a variable when it is built. Nothing shows which extensions."""

    name: str = "rayon"
    scope: Scope = Scope.ONCE
    variables: tuple[str, ...] = ("RAYON_NUM_THREADS",)
    follows: Literal["num_backend_threads", "num_threads"] = "num_threads"
    summary: str = "Rayon's global pool in any Rust extension"

    def loaded(self) -> bool:
        """Never: what is known to use it has a backend of its own."""
        return False

    def env(self, threads: int) -> Mapping[str, str]:
        """``RAYON_NUM_THREADS``."""
        return {"RAYON_NUM_THREADS": str(threads)}

    def limit(self, threads: int) -> None:
        """Do nothing: the variable does it."""

    def threads(self) -> int | None:
        """None: nothing to ask."""
        return None


@attrs.frozen(kw_only=True)
class Polars(Rayon):
    """The pool of polars, which its import builds."""

    name: str = "polars"
    imports: tuple[str, ...] = ("polars",)
    variables: tuple[str, ...] = ("POLARS_MAX_THREADS",)
    summary: str = "polars"

    def loaded(self) -> bool:
        """Whether polars has been imported, to its end."""
        return hasattr(sys.modules.get("polars"), "thread_pool_size")

    def env(self, threads: int) -> Mapping[str, str]:
        """``POLARS_MAX_THREADS``."""
        return {"POLARS_MAX_THREADS": str(threads)}

    def threads(self) -> int | None:
        """The size of the pool."""
        found: int = sys.modules["polars"].thread_pool_size()
        return found


@attrs.frozen(kw_only=True)
class Tokenizers(Rayon):
    """Rayon's global pool inside tokenizers, which its first batch builds."""

    name: str = "tokenizers"
    imports: tuple[str, ...] = ("tokenizers",)
    summary: str = "tokenizers"

    def loaded(self) -> bool:
        """Whether tokenizers has been imported."""
        return "tokenizers" in sys.modules

    def threads(self) -> int | None:
        """The threads of the pool, counted from outside; with those of other extensions that use Rayon's global pool.

        None as long as there are none.
        """
        return unnamed_rust_threads() or None


@hookimpl
def corewise_hookspecs() -> list[type]:
    """Declare ``corewise_rayon_pools``."""
    return [RayonHooks]


@hookimpl
def corewise_backends(hooks: Hooks) -> list[Backend]:
    """Offer Rayon itself, the packages known here, and the pools that other plugins name."""
    pools = [pool for found in hooks.call("corewise_rayon_pools") for pool in found]
    return [Rayon(), Polars(), Tokenizers(), *map(backend_of, pools)]


@hookimpl
def corewise_rayon_pools() -> list[RayonPool]:
    """Name the pool of LensKit."""
    return [
        RayonPool(
            name="lenskit",
            module="lenskit._accel",
            init="init_accel_pool",
            count="thread_count",
            summary="LensKit's accelerated parts",
        )
    ]
