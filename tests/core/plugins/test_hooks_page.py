import runpy
from pathlib import Path

import pytest

from corewise.plugins.host import load_plugins
from corewise.settings.model import PluginSettings

TOOL = runpy.run_path(str(Path(__file__).parents[3] / "tools" / "hooks_page.py"))
HOOKS = TOOL["hooks"]()


def test_the_page_of_hooks_is_fresh():
    fresh = TOOL["PAGE"].read_text(encoding="utf-8") == TOOL["page"]()
    assert fresh, "docs/reference/hooks.md is out of date; run `uv run python tools/hooks_page.py`"


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_by_a_complete_plugin(site, name):
    source = TOOL["example"](HOOKS[name])
    assert source, f"the docstring of {name} holds no example"
    site.install("pools", module=source)
    host = load_plugins(PluginSettings(), entry_points=site.find(), warn=False)
    assert host.problems == ()
    assert host.implements(name)
