"""Special methods of a wrapped object: Python looks them up in the class, past ``__getattr__``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["forwarding_class"]

W = TypeVar("W", bound=type)

# What makes and describes the wrapper itself, or would take it apart.
_OWN_NAMES = (
    "new init init_subclass class class_getitem subclasshook getattribute getattr setattr delattr dir repr "
    "reduce reduce_ex getstate setstate getnewargs getnewargs_ex copy deepcopy del sizeof set_name "
    "get set delete aenter aexit prepare instancecheck subclasscheck attrs_init attrs_post_init post_init"
)
_OWN = frozenset(f"__{name}__" for name in _OWN_NAMES.split())


def forwarding_class(wrapper: W, wrapped: type) -> W:
    """Return a subclass of `wrapper` whose special methods are those that `wrapped` defines.

    Args:
        wrapper: A class whose instances keep the object as ``__wrapped__``.
        wrapped: The object's class.
    """
    names = {name for cls in wrapped.__mro__[:-1] for name in vars(cls) if _is_special(wrapped, name)}
    namespace: dict[str, Any] = {name: _forward(name) for name in sorted(names)}
    if "__eq__" in namespace and "__hash__" not in namespace:
        namespace["__hash__"] = None  # how Python marks what cannot be hashed
    namespace |= {"__module__": wrapper.__module__, "__doc__": wrapper.__doc__}
    return type(wrapper)(f"{wrapper.__name__}[{wrapped.__qualname__}]", (wrapper,), namespace)


def _is_special(wrapped: type, name: str) -> bool:
    special = name.startswith("__") and name.endswith("__") and name not in _OWN
    return special and callable(getattr(wrapped, name, None))


def _forward(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        wrapped = self.__wrapped__
        result = getattr(type(wrapped), name)(wrapped, *args, **kwargs)
        return self if result is wrapped else result  # as __enter__ and __iadd__ answer, whose result takes its place

    method.__name__ = name
    return method
