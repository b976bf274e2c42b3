"""What plugins offer by name: backends, executors and checks, collected once and validated."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import pluggy

from corewise.backends.contract import Backend
from corewise.executors.contract import ExecutorFactory
from corewise.plugins.calling import Hooks
from corewise.plugins.checks import Check
from corewise.plugins.records import Key, PluginLedger, PluginRecord, PluginState, describe, one_line

__all__ = ["KINDS", "Offer", "collect"]

KINDS: Mapping[str, type] = {"backends": Backend, "executors": ExecutorFactory, "checks": Check}
"""What hook ``corewise_KIND`` returns."""


@attrs.frozen
class Offer:
    """One thing that one plugin offers.

    Attributes:
        key: Whose it is.
        kind: ``backends``, ``executors`` or ``checks``.
        value: The backend, executor factory or check.
    """

    key: Key
    kind: str
    value: Any

    @property
    def name(self) -> str:
        """What the settings call it."""
        return str(self.value.name)


def collect(hooks: Hooks, ledger: PluginLedger) -> tuple[Offer, ...]:
    """Call the registration hooks and return what the plugins offer; records what is wrong with any of it.

    What a plugin offers stays in the tuple when the plugin is out of use: whoever asks for it is told why.
    """
    offers = [offer for kind in KINDS for offer in _offered(kind, hooks, ledger)]
    for kind in KINDS:
        for key in {offer.key for offer in offers}:
            names = tuple(offer.name for offer in offers if (offer.key, offer.kind) == (key, kind))
            ledger.change(key, **{kind: names})
    _settle(offers, ledger)
    return tuple(offers)


def _offered(kind: str, hooks: Hooks, ledger: PluginLedger) -> Iterator[Offer]:
    hook = f"corewise_{kind}"
    for key, results, error in hooks.attempts(hook, {"hooks": hooks}):
        if error is not None:
            ledger.fail(key, PluginState.BROKEN, f"its {hook} raised {describe(error)}", error)
            continue
        try:
            values = _validated(hook, KINDS[kind], results)
        except KeyboardInterrupt:
            raise
        except pluggy.PluginValidationError as problem:
            ledger.fail(key, PluginState.INVALID, str(problem), problem)
        except BaseException as raised:  # noqa: BLE001 - SystemExit too; a generator raises while it is consumed
            ledger.fail(key, PluginState.BROKEN, f"its {hook} raised {describe(raised)}", raised)
        else:
            yield from (Offer(key, kind, value) for value in values)


def _validated(hook: str, wanted: type, results: list[Any]) -> list[Any]:
    values: list[Any] = []
    for result in results:
        if not isinstance(result, Iterable) or isinstance(result, (str, bytes)):
            raise _invalid(hook, wanted, result)
        for value in result:
            if not isinstance(value, wanted):
                raise _invalid(hook, wanted, value)
            values.append(value)
    for name, count in Counter(value.name for value in values).items():
        if count > 1:
            raise pluggy.PluginValidationError(hook, f"its {hook} offers {name!r} {count} times")
    return values


def _invalid(hook: str, wanted: type, value: Any) -> pluggy.PluginValidationError:
    got = one_line(reprlib.repr(value))
    return pluggy.PluginValidationError(
        hook, f"its {hook} must return an iterable of {wanted.__name__}, and has {got} of type {type(value).__name__}"
    )


def _settle(offers: Iterable[Offer], ledger: PluginLedger) -> None:
    """Take plugins out of use that offer a backend or an executor of one name; a built-in one keeps its name."""
    rivals: dict[tuple[str, str], list[PluginRecord]] = {}
    for offer in offers:
        if offer.kind != "checks" and ledger[offer.key].active:
            rivals.setdefault((offer.kind.removesuffix("s"), offer.name), []).append(ledger[offer.key])
    for (kind, name), records in rivals.items():
        if len(records) == 1:
            continue
        detail = f"{len(records)} plugins offer {kind} {name!r}: {', '.join(map(str, records))}; "
        detail += "uninstall or disable all but one"
        for record in records:
            if not record.builtin:
                ledger.fail((record.name, record.distribution), PluginState.CONFLICT, detail)
