import pytest
from fake_distributions import Site

from corewise.plugins.discovery import find_plugins


@pytest.fixture
def site(tmp_path):
    installed = set(find_plugins())
    with Site(tmp_path / "site") as site:
        site.find = lambda: tuple(plugin for plugin in find_plugins() if plugin not in installed)
        yield site
