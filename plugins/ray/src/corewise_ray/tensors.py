"""Torch tensors through the object store as arrays go: written once, and read in place on one machine."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

__all__ = ["register"]

Parts = tuple[Any, Any, Any, bool]
"""The bytes as an array, the type of the numbers, the shape, and whether gradients are asked for."""


def register() -> None:
    """Let Ray, in this process, send tensors of the CPU without a copy of its own.

    It holds for everything that the process sends by Ray, and does nothing the second time.
    """
    import torch
    from ray.util import register_serializer

    register_serializer(torch.Tensor, serializer=_parts, deserializer=_tensor)


def _parts(tensor: Any) -> Parts | bytes:
    import torch

    if tensor.device.type != "cpu" or tensor.layout is not torch.strided or tensor.is_quantized or not tensor.is_leaf:
        return pickle.dumps(tensor, 5)
    plain = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy(), tensor.dtype, tuple(tensor.shape), tensor.requires_grad


def _tensor(parts: Parts | bytes) -> Any:
    import torch

    if isinstance(parts, bytes):
        return pickle.loads(parts)
    array, dtype, shape, requires_grad = parts
    if array.size == 0:
        return torch.empty(shape, dtype=dtype, requires_grad=requires_grad)
    with warnings.catch_warnings():
        # That it must not be written to is what this was asked for.
        warnings.filterwarnings("ignore", "The given buffer is not writable")
        plain = torch.frombuffer(array, dtype=dtype)
    return plain.reshape(shape).requires_grad_(requires_grad)
