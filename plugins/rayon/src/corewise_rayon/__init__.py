"""corewise sizes the Rayon pools of Rust extensions; none of them is ever imported here."""

from corewise_rayon.pools import RayonPool

__all__ = ["RayonPool"]
