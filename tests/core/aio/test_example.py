import asyncio
import runpy
from pathlib import Path

import numpy as np
import pytest

import corewise

EXAMPLE = Path(__file__).parents[3] / "examples/character_potential.py"


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture(scope="module")
def potential(example):
    return example["CharacterPotential"].learn(example["lines"]()[:200], steps=5)


def test_the_single_and_the_batch_methods_of_the_example_agree(example, potential):
    async def main():
        texts = ["the", "", "a list of", "x" * 20]
        for method in ("complete", "prefix", "score", "logw_next"):
            single = [await getattr(potential, method)(text) for text in texts]
            async with potential.to_autobatched() as fast:
                together = await asyncio.gather(*(getattr(fast, method)(text) for text in texts))
            np.testing.assert_allclose(together, single, rtol=1e-3, atol=1e-3)
            assert np.asarray(together).dtype == np.float32

    asyncio.run(main())


def test_the_weights_of_the_example_are_those_of_a_language(example, potential):
    async def main():
        weights = await potential.logw_next("th")
        assert np.exp(weights).sum() == pytest.approx(1, abs=1e-3)
        longer = await potential.batch_prefix(["th" + character for character in potential.alphabet])
        np.testing.assert_allclose(longer - await potential.prefix("th"), weights[:-1], rtol=1e-3, atol=1e-3)
        assert await potential.score("the\x03") == pytest.approx(await potential.complete("the"), rel=1e-3)

    asyncio.run(main())


def test_the_example_runs(example, capsys, monkeypatch):
    monkeypatch.setenv("COREWISE_NO_CONFIG", "1")
    asyncio.run(example["main"](50, steps=5))
    corewise.reset()
    assert "times as fast" in capsys.readouterr().out
