"""A small language-model constraint over characters, scored over real text.

A potential gives texts log weights: ``complete`` to a whole text, ``prefix`` to the beginning of one, ``logw_next`` to
each character that may come next, ``score`` to a text that may or may not have ended. Each method has a ``batch_`` form
that does for many texts in a few numpy calls what the single form does for one. The weights come from a network with
one hidden layer over the last eight characters; it learns from the help that comes with Python, in a few seconds.

Run it with ``python examples/character_potential.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pydoc_data.topics import topics
from typing import Self

import numpy as np

import corewise

END = "\x03"  # ends a complete text
WINDOW = 8  # characters that the next one depends on
HIDDEN = 512


class CharacterPotential(corewise.ParallelOps):
    """Log weights of texts under a small network.

    Args:
        alphabet: The characters that may occur, without the end; n below is len(alphabet) + 1, the end is the last.
        features: What each character at each place of the window adds to the hidden layer: float32 of shape
            (WINDOW * n, HIDDEN).
        output: From the hidden layer to the next character: float32 of shape (HIDDEN, n).
    """

    def __init__(self, alphabet: str, features: np.ndarray, output: np.ndarray) -> None:
        self.alphabet = alphabet
        self.features = features
        self.output = output
        self._codes = {character: code for code, character in enumerate(alphabet + END)}

    @classmethod
    def learn(cls, texts: Sequence[str], *, steps: int = 300, seed: int = 0) -> Self:
        """Make a potential from complete texts: the features are random, the output is learned from them."""
        random = np.random.default_rng(seed)
        alphabet = "".join(sorted(set().union(*texts)))
        size = len(alphabet) + 1
        features = (random.standard_normal((WINDOW * size, HIDDEN)) / WINDOW**0.5).astype(np.float32)
        potential = cls(alphabet, features, np.zeros((HIDDEN, size), np.float32))
        for _ in range(steps):
            potential._step([texts[place] for place in random.integers(len(texts), size=8)])
        return potential

    def _step(self, texts: Sequence[str]) -> None:
        windows, following = self._windows([text + END for text in texts])
        hidden = self._hidden(windows)
        error = np.exp(_log_softmax(hidden @ self.output))
        error[np.arange(len(following)), following] -= 1
        self.output -= 0.02 / len(following) ** 0.5 * (hidden.T @ error)

    def spawn(self) -> CharacterPotential:
        """Return another potential with the same weights."""
        return CharacterPotential(self.alphabet, self.features, self.output)

    async def complete(self, text: str) -> np.float32:
        """Return the log weight of a whole text."""
        return (await self.batch_complete([text]))[0]

    async def prefix(self, text: str) -> np.float32:
        """Return the log weight of all texts that begin so."""
        return (await self.batch_prefix([text]))[0]

    async def score(self, text: str) -> np.float32:
        """Return the log weight of a whole text if it has the end, else of a prefix."""
        return await self.prefix(text)

    async def logw_next(self, text: str) -> np.ndarray:
        """Return the log weight of each character after `text`, the end last: float32 of shape (n,)."""
        return (await self.batch_logw_next([text]))[0]

    async def batch_complete(self, texts: Sequence[str]) -> np.ndarray:
        """Return ``complete`` of each text: float32 of shape (len(texts),)."""
        return await self.batch_prefix([text + END for text in texts])

    async def batch_prefix(self, texts: Sequence[str]) -> np.ndarray:
        """Return ``prefix`` of each text: float32 of shape (len(texts),)."""
        windows, following = self._windows(texts)
        weights = _log_softmax(self._hidden(windows) @ self.output)[np.arange(len(following)), following]
        ends = np.cumsum([0] + [len(text) for text in texts])
        sums = np.concatenate(([0.0], np.cumsum(weights, dtype=np.float64)))
        return np.diff(sums[ends]).astype(np.float32)

    async def batch_score(self, texts: Sequence[str]) -> np.ndarray:
        """Return ``score`` of each text: float32 of shape (len(texts),)."""
        return await self.batch_prefix(texts)

    async def batch_logw_next(self, texts: Sequence[str]) -> np.ndarray:
        """Return ``logw_next`` of each text: float32 of shape (len(texts), n)."""
        windows = np.array([self._encode(text)[-WINDOW:] for text in texts])
        return _log_softmax(self._hidden(windows) @ self.output)

    def _encode(self, text: str) -> list[int]:
        return [self._codes[character] for character in END * WINDOW + text]

    def _windows(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return what stands before each character, of shape (characters, WINDOW), and the character's own code."""
        codes = [np.array(self._encode(text)) for text in texts]
        windows = [np.lib.stride_tricks.sliding_window_view(code, WINDOW)[:-1] for code in codes]
        return np.concatenate(windows), np.concatenate([code[WINDOW:] for code in codes])

    def _hidden(self, windows: np.ndarray) -> np.ndarray:
        hidden = np.zeros((len(windows), HIDDEN), np.float32)
        for place in range(WINDOW):
            hidden += self.features[windows[:, place] + place * len(self._codes)]
        return np.tanh(hidden, out=hidden)


def _log_softmax(values: np.ndarray) -> np.ndarray:
    values = values - values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


def lines() -> list[str]:
    """Return the lines of Python's own help that have any text."""
    return [line.strip() for text in topics.values() for line in text.splitlines() if line.strip()]


async def measure(potential: CharacterPotential, method: str, texts: Sequence[str]) -> tuple[float, np.ndarray]:
    """Return the microseconds per call of `method` for all texts at once, the best of three, and the results."""
    call = getattr(potential, method)
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        results = await asyncio.gather(*(call(text) for text in texts))
        seconds.append(time.perf_counter() - begun)
    return min(seconds) / len(texts) * 1e6, np.array(results)


async def main(most: int = 2000, steps: int = 300) -> None:
    """Print what a call costs alone, autobatched, over processes and both, and check that all give the same weights."""
    potential = CharacterPotential.learn(lines(), steps=steps)
    texts = lines()[:most]
    bits = -(await potential.batch_complete(texts)).sum() / np.log(2) / sum(len(text) + 1 for text in texts)
    print(f"{len(texts)} lines, {len(potential.alphabet)} characters, {bits:.2f} bits each; microseconds per call")
    async with potential.to_autobatched(weight=len, max_weight=1000) as fast, potential.to_multiprocess(2) as many:
        both = corewise.autobatch(many, weight=len, max_weight=10_000, max_concurrency=2)
        ways = {"autobatched": fast, "processes": many, "both": both}
        for method in ("logw_next", "prefix", "complete", "score"):
            alone, expected = await measure(potential, method, texts)
            row = f"{method:10} alone {alone:5.0f}"
            for way, wrapper in ways.items():
                cost, results = await measure(wrapper, method, texts)
                np.testing.assert_allclose(results, expected, rtol=1e-3, atol=1e-3)
                row += f"   {way} {cost:5.0f}, {alone / cost:.1f} times as fast"
            print(row)


if __name__ == "__main__":
    corewise.ensure_parallel_init()
    asyncio.run(main())
