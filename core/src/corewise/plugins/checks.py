"""What a check of ``corewise doctor`` is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from corewise.settings.model import ParallelConfig

__all__ = ["Check", "CheckContext", "Finding"]


@attrs.frozen
class Finding:
    """One line of ``corewise doctor``.

    Attributes:
        check: Name of the check that found it.
        level: ``note`` (worth knowing), ``warning`` (costs speed) or ``error`` (does not work).
        message: What was found, with its source and value.
        mend: What to do about it.
    """

    check: str
    level: Literal["note", "warning", "error"] = attrs.field(
        validator=attrs.validators.in_(("note", "warning", "error"))
    )
    message: str
    mend: str = ""


@attrs.frozen(kw_only=True)
class CheckContext:
    """What a check may look at.

    Attributes:
        config: The resolved settings.
        facts: The facts that doctor has gathered, by section.
    """

    config: ParallelConfig
    facts: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Check:
    """A check, by name.

    Attributes:
        name: What the report calls it.
        run: Gives the findings; changes nothing and prints nothing.
    """

    name: str
    run: Callable[[CheckContext], Iterable[Finding]] = attrs.field(validator=attrs.validators.is_callable())
