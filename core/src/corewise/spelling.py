"""What a misspelt name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["close_matches", "did_you_mean"]


def close_matches(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that look like this one, whatever their case: at most two, best first.

    Example:
        >>> close_matches("Torhc", ["openblas", "torch"])
        ['torch']
    """
    import difflib  # takes several milliseconds, and is needed only where something is wrong

    folded = {candidate.casefold(): candidate for candidate in sorted(known)}
    return [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=2, cutoff=0.7)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names what was probably meant; empty where nothing is near.

    Example:
        >>> did_you_mean("analize", ["analyse", "main"])
        '; did you mean analyse?'
        >>> did_you_mean("zzz", ["analyse", "main"])
        ''
    """
    near = close_matches(name, known)
    return f"; did you mean {' or '.join(near)}?" if near else ""
