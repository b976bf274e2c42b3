import importlib
import importlib.util
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from corewise.backends.imports import ImportWatch

NAMES = ("watched_module", "watched_package", "watched_package.inner")


@pytest.fixture
def told(tmp_path, monkeypatch):
    (tmp_path / "watched_module.py").write_text("import sys\nvalue = 1\n")
    (tmp_path / "watched_package").mkdir()
    (tmp_path / "watched_package" / "__init__.py").write_text("")
    (tmp_path / "watched_package" / "inner.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    told = []
    watch = ImportWatch(NAMES, told.append)
    watch.install()
    yield told
    watch.remove()
    for name in NAMES:
        sys.modules.pop(name, None)


def test_an_import_is_told_once_and_after_the_module_was_executed(told):
    seen = []
    sys.meta_path[0]._called = lambda name: seen.append((name, sys.modules[name].value))
    importlib.import_module("watched_module")
    importlib.import_module("watched_module")
    assert seen == [("watched_module", 1)]


def test_packages_and_their_modules_are_told(told):
    importlib.import_module("watched_package.inner")
    assert told == ["watched_package", "watched_package.inner"]


def test_looking_for_a_module_tells_nothing_and_finds_an_ordinary_loader(told):
    spec = importlib.util.find_spec("watched_module")
    assert told == []
    assert type(spec.loader) is importlib.machinery.SourceFileLoader


def test_the_module_keeps_the_loader_that_it_would_have_had(told):
    module = importlib.import_module("watched_module")
    assert type(module.__loader__) is importlib.machinery.SourceFileLoader
    assert "exec_module" not in vars(module.__loader__)


def test_reloading_is_told_again(told):
    importlib.reload(importlib.import_module("watched_module"))
    assert told == ["watched_module", "watched_module"]


def test_a_lazy_loader_is_told_when_the_module_is_used(told):
    spec = importlib.util.find_spec("watched_module")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert told == []
    assert module.value == 1
    assert told == ["watched_module"]


def test_a_module_that_raises_is_not_told_and_may_be_imported_again(told, tmp_path):
    source = tmp_path / "watched_module.py"
    source.write_text("raise ValueError('broken')")
    with pytest.raises(ValueError, match="broken"):
        importlib.import_module("watched_module")
    assert told == []
    source.write_text("value = 2  # repaired")
    importlib.invalidate_caches()
    assert importlib.import_module("watched_module").value == 2
    assert told == ["watched_module"]


def test_a_module_that_is_not_there_is_an_ordinary_import_error(told, tmp_path):
    (tmp_path / "watched_module.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(ModuleNotFoundError, match="watched_module"):
        importlib.import_module("watched_module")
    assert told == []


def test_an_error_of_the_call_back_is_logged_and_the_import_succeeds(told, caplog):
    def fail(name):
        raise RuntimeError("no")

    sys.meta_path[0]._called = fail
    assert importlib.import_module("watched_module").value == 1
    assert "limiting the threads of watched_module right after its import failed" in caplog.text


def test_threads_that_import_at_once_all_get_the_module_and_it_is_told_once(told):
    barrier = threading.Barrier(8)

    def load(_):
        barrier.wait()
        return importlib.import_module("watched_module").value

    for _ in range(20):
        sys.modules.pop("watched_module", None)
        told.clear()
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(load, range(8))) == [1] * 8
        assert told == ["watched_module"]


def test_another_watch_of_the_same_kind_sees_the_import_too(told):
    others = []
    other = ImportWatch(NAMES, others.append)
    other.install()
    try:
        importlib.import_module("watched_module")
    finally:
        other.remove()
    assert set(told) == set(others) == {"watched_module"}


def test_a_module_in_a_zip_file_is_told(told, tmp_path, monkeypatch):
    (tmp_path / "watched_module.py").unlink()
    archive = tmp_path / "modules.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("watched_module.py", "value = 3")
    monkeypatch.syspath_prepend(archive)
    assert importlib.import_module("watched_module").value == 3
    assert told == ["watched_module"]
