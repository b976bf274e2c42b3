import os
import subprocess
import sys
import zipfile
from importlib.metadata import DistributionFinder, MetadataPathFinder, entry_points

import pytest
from fake_distributions import Site

from corewise.plugins.discovery import find_plugins
from corewise.plugins.host import load_plugins
from corewise.settings.model import PluginSettings


def test_discovery_imports_no_plugin(site):
    module = site.install("good", module="raise RuntimeError")
    assert [plugin.module for plugin in site.find()] == [module]
    assert module not in sys.modules


def test_names_of_distributions_are_normalized(site):
    site.install("My.Good_Dist", entry_point="good")
    assert [plugin.distribution for plugin in site.find()] == ["my-good-dist"]


def test_a_distribution_that_is_on_the_path_twice_counts_once_and_the_first_one_wins(site, tmp_path):
    site.install("good", version="1.0")
    with Site(tmp_path / "editable") as editable:
        editable.install("Good", version="2.0", entry_point="good")
        assert [plugin.version for plugin in site.find()] == ["2.0"]


def test_a_shadowed_distribution_brings_no_plugin(site, tmp_path):
    site.install("good", version="1.0")
    with Site(tmp_path / "first") as first:
        first.describe("good", version="2.0", entry_points="[console_scripts]\ngood = good:main\n")
        assert site.find() == ()


def test_entry_points_of_other_groups_are_not_looked_at(site):
    site.describe("other", entry_points="[corewise.other]\nx = y\n\n[pytest11]\n[corewise]\n")
    assert site.find() == ()


MALFORMED = {
    "no module": ("[corewise]\nbad = not a module!\n", "'not a module!' names no module"),
    "no value": ("[corewise]\nbad\n", "entry_points.txt cannot be read"),
}


@pytest.mark.parametrize(("text", "problem"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_entry_point_is_an_invalid_plugin_and_harms_no_other(site, text, problem):
    site.install("good", module="import corewise\n\n@corewise.hookimpl\ndef corewise_backends():\n    return []\n")
    site.describe("bad", entry_points=text)
    host = load_plugins(PluginSettings(), entry_points=site.find(), warn=False)
    states = {record.name: (record.state, record.detail) for record in host.records}
    assert states["good"] == ("active", "")
    assert states["bad"][0] == "invalid"
    assert problem in states["bad"][1]


def test_a_distribution_without_metadata_harms_no_other(site):
    site.install("good")
    (site.describe("bad", entry_points="[corewise]\nbad = bad_module\n") / "METADATA").unlink()
    (site.describe("latin", entry_points="[corewise]\n") / "entry_points.txt").write_bytes(b"[corewise]\n\xe9 = x\n")
    assert {plugin.name for plugin in site.find()} >= {"good", "bad"}


def test_discovery_reads_the_metadata_of_no_distribution_without_a_plugin(site, monkeypatch):
    for number in range(20):
        site.describe(f"bystander-{number}", entry_points="[console_scripts]\nx = y:z\n")
    site.install("good")
    opened = []
    original = open

    def spy(file, *arguments, **options):
        opened.append(os.path.basename(file))  # noqa: PTH119 - a str or a number
        return original(file, *arguments, **options)

    monkeypatch.setattr("builtins.open", spy)
    find_plugins()
    assert opened.count("entry_points.txt") > 20
    assert 0 < opened.count("METADATA") < 20


ENTRY = "[corewise]\n{name} = {name}_module\n"
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 3.0\n\nName: of no importance\n"


@pytest.mark.leaves("file descriptors")  # importlib.metadata keeps archives open that it has looked into
def test_a_distribution_in_a_zip_archive_is_found_beside_those_in_directories(site, tmp_path, monkeypatch):
    site.install("good")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("zipped-3.0.dist-info/METADATA", METADATA.format(name="zipped"))
        archive.writestr("zipped-3.0.dist-info/entry_points.txt", ENTRY.format(name="zipped"))
    monkeypatch.syspath_prepend(tmp_path / "archive.zip")
    found = {plugin.name: (plugin.distribution, plugin.version) for plugin in site.find()}
    assert found["zipped"] == ("zipped", "3.0")
    assert "good" in found


def test_an_egg_is_found(site, tmp_path, monkeypatch):
    info = tmp_path / "Old_one-3.0-py3.11.egg" / "EGG-INFO"
    info.mkdir(parents=True)
    (info / "PKG-INFO").write_text(METADATA.format(name="Old.one"))
    (info / "entry_points.txt").write_text(ENTRY.format(name="old"))
    monkeypatch.syspath_prepend(info.parent)
    (plugin,) = site.find()
    assert (plugin.name, plugin.distribution, plugin.version) == ("old", "old-one", "3.0")


def test_a_distribution_that_only_a_finder_of_its_own_knows_is_found(site, tmp_path, monkeypatch):
    site.install("good")
    with Site(tmp_path / "elsewhere") as elsewhere:
        elsewhere.describe("hidden", version="3.0", entry_points=ENTRY.format(name="hidden"))

    class Finder(DistributionFinder):
        def find_distributions(self, context=DistributionFinder.Context()):  # noqa: B008 - the signature of the base
            path = [str(elsewhere.path)]
            return MetadataPathFinder.find_distributions(DistributionFinder.Context(name=context.name, path=path))

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    assert {"good", "hidden"} <= {plugin.name for plugin in site.find()}


def test_no_plugin_is_lost_beside_a_directory_that_cannot_be_read(site, tmp_path, monkeypatch):
    site.install("good")
    monkeypatch.syspath_prepend(tmp_path / "missing")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert [plugin.name for plugin in site.find()] == ["good"]


def test_what_is_found_is_what_importlib_finds():
    expected = {(entry.name, entry.value, entry.dist.version) for entry in entry_points(group="corewise")}
    assert {(plugin.name, plugin.module, plugin.version) for plugin in find_plugins()} == expected


def test_importing_corewise_looks_for_no_plugin():
    code = "import sys, corewise; print(sorted({'pluggy', 'importlib.metadata', 'attrs'} & set(sys.modules)))"
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False, env=paths)
    assert shown.stdout.strip() == "[]", shown.stderr
