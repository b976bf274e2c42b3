import importlib.util

import pytest

from corewise.testing import BackendConformance
from corewise_rayon.plugin import Tokenizers, corewise_rayon_pools
from corewise_rayon.pools import backend_of

MISSING = "{0} is not installed: see CONTRIBUTING.md"


@pytest.mark.skipif(importlib.util.find_spec("tokenizers") is None, reason=MISSING.format("tokenizers"))
class TestTokenizers(BackendConformance):
    backend = Tokenizers()


@pytest.mark.skipif(importlib.util.find_spec("lenskit") is None, reason=MISSING.format("lenskit"))
class TestLensKit(BackendConformance):
    backend = backend_of(corewise_rayon_pools()[0])
