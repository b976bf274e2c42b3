import enum
import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

import attrs
import pytest

from corewise.settings.model import BackendSettings, ParallelSettings
from corewise.settings.reference import reference_page
from corewise.settings.schema import field_texts, json_schema

REFERENCE = Path(__file__).parents[3] / "docs/reference"
COMMAND = "uv run python -m corewise.settings.schema --write docs/reference"


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@attrs.frozen(kw_only=True)
class Pool:
    """A pool.

    Attributes:
        size: How many,
            at least 1.
    """

    size: int
    name: str | None = None


@attrs.frozen(kw_only=True)
class Rich(BackendSettings):
    """Settings of every kind.

    Attributes:
        level: How loud.
    """

    level: Level = Level.HIGH
    layer: Literal["omp", "tbb"] = "omp"
    ratio: float = 0.5
    pair: tuple[int, str] = (1, "a")
    sizes: list[int] = attrs.field(factory=list)
    limits: dict[str, int] = attrs.field(factory=dict)
    pool: Pool | None = None
    either: int | str = 0
    path: Path = Path("x")


@pytest.mark.parametrize(
    ("name", "text"),
    [("settings.schema.json", json.dumps(json_schema(), indent=2) + "\n"), ("settings.md", reference_page())],
)
def test_the_committed_reference_is_fresh(name, text):
    assert (REFERENCE / name).read_text() == text, f"docs/reference/{name} is stale; run: {COMMAND}"


def test_the_command_writes_both_files(tmp_path):
    subprocess.run([sys.executable, "-m", "corewise.settings.schema", "--write", str(tmp_path)], check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["settings.md", "settings.schema.json"]
    assert (tmp_path / "settings.md").read_text() == reference_page()


def test_the_command_prints_the_schema_without_a_directory():
    done = subprocess.run([sys.executable, "-m", "corewise.settings.schema"], check=True, capture_output=True)
    assert json.loads(done.stdout) == json_schema()


def test_every_key_of_the_model_is_described_in_the_schema_and_on_the_page():
    properties = json_schema()["properties"]["parallel"]["properties"]
    for field in attrs.fields(ParallelSettings):
        assert properties[field.name]["description"]
        assert f"| `{field.name}" in reference_page()


def test_a_plugins_class_is_described_with_what_it_inherits():
    table = json_schema(backends={"rich": Rich})["properties"]["parallel"]["properties"]["backends"]
    rich = table["properties"]["rich"]
    assert rich["additionalProperties"] is False
    found = {name: {k: v for k, v in one.items() if k != "description"} for name, one in rich["properties"].items()}
    assert found == {
        "enabled": {"type": "boolean", "default": True},
        "threads": {"type": "integer", "default": 0},
        "level": {"enum": ["low", "high"], "default": "high"},
        "layer": {"enum": ["omp", "tbb"], "default": "omp"},
        "ratio": {"type": "number", "default": 0.5},
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "integer"}, {"type": "string"}],
            "items": False,
            "default": [1, "a"],
        },
        "sizes": {"type": "array", "items": {"type": "integer"}},
        "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
        "pool": {
            "type": "object",
            "properties": {
                "size": {"type": "integer", "description": "How many, at least 1."},
                "name": {"type": "string"},
            },
            "additionalProperties": False,
            "required": ["size"],
        },
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]} | {"default": 0},
        "path": {"type": "string"},
    }
    assert rich["properties"]["level"]["description"] == "How loud."
    assert rich["properties"]["enabled"]["description"] == field_texts(BackendSettings)["enabled"]
