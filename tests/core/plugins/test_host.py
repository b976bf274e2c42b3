import pickle
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from corewise.errors import BrokenPluginError, PluginWarning, UnknownPluginError
from corewise.executors.worker import Worker
from corewise.plugins.host import load_plugins
from corewise.plugins.records import PluginState
from corewise.settings.model import PluginSettings

WORKER = Worker(1, 2, "spawn", None)

EXECUTOR = """
    import corewise
    from corewise.executors.contract import ExecutorFactory

    @corewise.hookimpl
    def corewise_executors():
        return [ExecutorFactory(name="{name}", create=lambda request: None)]
"""
ENV = """
    import corewise

    @corewise.hookimpl
    def corewise_worker_env(worker):
        {body}
"""


def executor(name):
    return EXECUTOR.format(name=name)


def load(site, *, disable=(), strict=False):
    return load_plugins(PluginSettings(disable=disable, strict=strict), entry_points=site.find(), warn=False)


def record(host, name):
    [found] = [one for one in host.records if one.name == name]
    return found


def test_a_good_plugin_is_active_and_its_record_says_what_it_offers(site):
    module = site.install("good-dist", entry_point="good", version="2.5", module=executor("fast"))
    host = load(site)
    found = record(host, "good")
    assert (found.state, found.module, found.source) == ("active", module, "good-dist 2.5")
    assert found.executors == ("fast",)
    assert found.hooks == ("corewise_executors",)
    assert host.executor("fast") is host.executors()["fast"]
    assert host.implements("corewise_executors")
    assert not host.implements("corewise_backends")
    assert host.problems == ()


HOSTILE = {
    "import error": ("import no_such_module_anywhere", "ModuleNotFoundError"),
    "SystemExit": ("raise SystemExit(3)", "SystemExit: 3"),
    "BaseException": ("raise BaseException('mine')", "BaseException: mine"),
    "syntax error": ("def (", "SyntaxError"),
    "unprintable": (
        "class Bad(Exception):\n    def __str__(self): raise RuntimeError\nraise Bad",
        "Bad",
    ),
}


@pytest.mark.parametrize(("source", "text"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_plugin_that_cannot_be_imported_is_broken_and_the_others_work(site, source, text):
    site.install("good", module=executor("fast"))
    site.install("bad", module="")
    (site.path / f"{record_module(site, 'bad')}.py").write_text(source)
    host = load(site)
    broken = record(host, "bad")
    assert broken.state is PluginState.BROKEN
    assert text in broken.detail
    assert "\n" not in broken.problem()
    assert "fast" in host.executors()
    with pytest.raises(BrokenPluginError, match=r"pip install --force-reinstall bad") as caught:
        host.executor("bad")
    assert caught.value.__cause__ is broken.error


def record_module(site, name):
    [found] = [plugin for plugin in site.find() if plugin.name == name]
    return found.module


def test_what_a_plugin_prints_on_import_does_not_reach_standard_output(site, capsys):
    site.install("loud", module="print('hello')" + executor("fast").replace("\n    ", "\n"))
    load(site)
    out, err = capsys.readouterr()
    assert out == ""
    assert "hello" in err


INVALID = {
    "signature": (ENV.format(body="pass").replace("worker)", "number)"), "'number'"),
    "misspelt": (executor("x").replace("corewise_executors", "corewise_executor"), "did you mean corewise_executors"),
    "unknown": (executor("x").replace("corewise_executors", "zzz"), "optionalhook=True"),
    "unmarked": (executor("x").replace("@corewise.hookimpl", ""), "corewise_executors is not marked"),
    "empty": ("", "implements no hook"),
    "wrapper": (
        ENV.format(body="return (yield)").replace("hookimpl", "hookimpl(wrapper=True)"),
        "corewise_worker_env is a wrapper",
    ),
    "not a list": (executor("x").replace("return [", "return (").replace("None)]", "None))"), "iterable of ExecutorF"),
    "wrong type": (executor("x").replace("return [", "return ['x', "), "'x' of type str"),
    "text": (executor("x").replace("return [", "return 'x' or ["), "iterable of ExecutorFactory, and has 'x'"),
    "twice": (executor("x").replace("None)]", "None)] * 2"), "offers 'x' 2 times"),
}


@pytest.mark.parametrize(("module", "text"), INVALID.values(), ids=INVALID.keys())
def test_a_plugin_that_breaks_the_contract_is_invalid_and_the_others_work(site, module, text):
    site.install("a-good", module=executor("fast"))
    site.install("bad", module=module)
    site.install("z-good", module=executor("faster"))
    host = load(site)
    assert record(host, "bad").state is PluginState.INVALID
    assert text in record(host, "bad").detail
    assert "\n" not in record(host, "bad").problem()
    assert sorted(host.executors()) == ["fast", "faster"]


@pytest.mark.parametrize("body", ["raise ValueError('no')", "raise SystemExit", "yield 1; raise TypeError('no')"])
def test_a_plugin_whose_registration_hook_raises_is_broken_and_the_others_work(site, body):
    site.install("good", module=executor("fast"))
    site.install("bad", module=ENV.format(body=body).replace("corewise_worker_env(worker)", "corewise_checks()"))
    host = load(site)
    assert record(host, "bad").state in {PluginState.BROKEN, PluginState.INVALID}
    assert record(host, "bad").error is not None
    assert list(host.executors()) == ["fast"]


def test_a_hook_that_raises_later_breaks_its_plugin_alone_and_is_not_called_again(site):
    site.install("good", module=ENV.format(body="return {'GOOD': str(worker.index)}"))
    site.install("bad", module=ENV.format(body="raise SystemExit(9)") + executor("mine"))
    host = load(site)
    assert host.executor("mine")
    with pytest.warns(PluginWarning, match=r"plugin 'bad' \(bad 1.0\) is broken: .*SystemExit: 9.*`corewise plugins`"):
        assert host.worker_env(WORKER) == {"GOOD": "1"}
    assert record(host, "bad").state is PluginState.BROKEN
    assert host.worker_env(WORKER) == {"GOOD": "1"}
    with pytest.raises(BrokenPluginError) as caught:
        host.executor("mine")
    assert isinstance(caught.value.__cause__, SystemExit)


def test_a_hook_that_raises_in_many_threads_at_once_breaks_its_plugin_once(site):
    site.install("good", module=ENV.format(body="return {'GOOD': str(worker.index)}"))
    site.install("bad", module=ENV.format(body="raise ValueError('no')"))
    host = load(site)
    barrier = threading.Barrier(8)

    def call():
        barrier.wait()
        return host.worker_env(WORKER)

    def call_in_threads():
        with ThreadPoolExecutor(8) as executor:
            return [future.result() for future in [executor.submit(call) for _ in range(8)]]

    with pytest.warns(PluginWarning) as caught:
        results = call_in_threads()
    assert results == [{"GOOD": "1"}] * 8
    assert len(caught) == 1
    assert record(host, "bad").state is PluginState.BROKEN


def test_with_strict_a_hook_that_raises_is_an_error_with_the_original_chained(site):
    site.install("bad", module=ENV.format(body="raise KeyError('lost')"))
    host = load(site, strict=True)
    with pytest.raises(BrokenPluginError, match="KeyError") as caught:
        host.worker_env(WORKER)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(("value", "text"), [("{'A': 1}", "'A': 1"), ("['A']", "list"), ("{1: 'A'}", "1: 'A'")])
def test_worker_variables_must_be_text(site, value, text):
    site.install("bad", module=ENV.format(body=f"return {value}"))
    host = load(site)
    with pytest.warns(PluginWarning, match="mapping of str to str") as caught:
        assert host.worker_env(WORKER) == {}
    assert text in str(caught[0].message)


def test_two_plugins_that_set_one_variable_differently_are_named_in_a_warning(site):
    site.install("one", module=ENV.format(body="return {'A': '1', 'B': 'same'}"))
    site.install("two", module=ENV.format(body="return {'A': '2', 'B': 'same'}"))
    with pytest.warns(PluginWarning, match="'one'.*A='1'.*'two'.*'2'"):
        assert load(site).worker_env(WORKER) == {"A": "1", "B": "same"}


def test_two_distributions_with_one_entry_point_name_are_both_in_conflict(site):
    site.install("first", entry_point="same", version="1.1", module=executor("fast"))
    site.install("second", entry_point="same", version="2.2", module=executor("faster"))
    host = load(site)
    assert [one.state for one in host.records] == [PluginState.CONFLICT] * 2
    for one in host.records:
        assert "first 1.1, second 2.2" in one.detail
        assert one.module not in sys.modules


def test_plugins_that_offer_one_name_are_in_conflict_and_the_error_lists_each(site):
    site.install("first", version="1.1", module=executor("same"))
    site.install("second", version="2.2", module=executor("same"))
    site.install("third", module=executor("other"))
    host = load(site)
    assert list(host.executors()) == ["other"]
    with pytest.raises(BrokenPluginError, match=r"executor 'same'.*\(first 1\.1\).*\(second 2\.2\)"):
        host.executor("same")


def test_disabling_one_of_two_rivals_settles_the_conflict(site):
    site.install("first", module=executor("same"))
    site.install("second", module=executor("same"))
    host = load(site, disable=("second",))
    assert list(host.executors()) == ["same"]


@pytest.mark.parametrize("disable", [("good",), ("*",)])
def test_a_disabled_plugin_is_never_imported_and_asking_for_it_names_the_setting(site, disable):
    module = site.install("good", module=executor("good"))
    host = load(site, disable=disable)
    assert record(host, "good").state is PluginState.DISABLED
    assert module not in sys.modules
    assert host.problems == ()
    with pytest.raises(UnknownPluginError, match=r"COREWISE_PLUGINS__DISABLE"):
        host.executor("good")


def test_a_star_leaves_the_built_in_plugins_and_their_own_name_disables_them(site):
    site.install("corewise", entry_point="serial", version="9.9", module=executor("serial"))
    assert "serial" in load(site, disable=("*",)).executors()
    assert load(site, disable=("serial",)).executors() == {}


def test_no_stranger_takes_a_built_in_plugin_or_its_names_out_of_use(site):
    site.install("corewise", entry_point="serial", version="9.9", module=executor("serial"))
    site.install("same-name", entry_point="serial", module=executor("other"))
    site.install("same-offer", module=executor("serial"))
    host = load(site)
    states = {one.distribution: one.state for one in host.records}
    assert states == {"corewise": "active", "same-name": "conflict", "same-offer": "conflict"}
    assert list(host.executors()) == ["serial"]


def test_names_are_compared_with_their_case_and_an_unknown_one_is_listed(site):
    site.install("good", module=executor("good"))
    host = load(site, disable=("Good",))
    assert record(host, "good").active
    assert host.problems == ("plugins.disable names 'Good', and no such plugin is installed; did you mean good?",)


def test_one_warning_lists_everything_that_is_not_right(site):
    site.install("bad", module="import no_such_module_anywhere")
    site.install("worse", module="")
    with pytest.warns(PluginWarning) as caught:
        load_plugins(PluginSettings(disable=("nobody",)), entry_points=site.find())
    assert len(caught) == 1
    text = str(caught[0].message)
    assert text.startswith("3 plugin problems; see `corewise plugins`:")
    assert all(name in text for name in ("'bad'", "'worse'", "'nobody'"))
    assert caught[0].filename == __file__


def test_with_strict_a_broken_plugin_is_an_error_with_the_original_chained(site):
    site.install("bad", module="import no_such_module_anywhere")
    with pytest.raises(BrokenPluginError, match="'bad'") as caught:
        load(site, strict=True)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_an_unknown_name_gives_close_matches_or_the_install_command(site):
    site.install("good", module=executor("threads"))
    host = load(site)
    with pytest.raises(UnknownPluginError, match="did you mean threads"):
        host.executor("thread")
    with pytest.raises(UnknownPluginError, match=r"pip install \"corewise-ray\[ray\]\""):
        host.executor("ray")
    with pytest.raises(UnknownPluginError, match="pip install corewise-torch"):
        host.backend("torch")
    with pytest.raises(UnknownPluginError, match="known ones: threads"):
        host.executor("zzz")


def test_one_module_under_two_names_is_registered_once(site):
    module = site.install("good", module=executor("fast"))
    site.describe("again", entry_points=f"[corewise]\nagain = {module}\n")
    host = load(site)
    assert sorted(one.state for one in host.records) == ["active", "invalid"]
    assert list(host.executors()) == ["fast"]


OWNER = """
    import corewise
    from corewise.plugins.checks import Check
    from corewise.plugins.marker import hookspec

    class Specs:
        @hookspec
        def corewise_owner_sizes(self, minimum):
            pass

    @corewise.hookimpl
    def corewise_hookspecs():
        return [Specs]

    @corewise.hookimpl
    def corewise_checks(hooks):
        return [Check(name="sizes", run=lambda context: hooks.call("corewise_owner_sizes", minimum=2))]
"""
IMPLEMENTER = """
    import corewise

    @corewise.hookimpl(optionalhook=True)
    def corewise_owner_sizes({arguments}):
        return {result}
"""


def test_a_plugin_declares_a_hook_that_others_implement_and_calls_it(site):
    site.install("owner", module=OWNER)
    site.install("a", module=IMPLEMENTER.format(arguments="minimum", result="[minimum]"))
    site.install("b", module=IMPLEMENTER.format(arguments="", result="[7]"))
    site.install("c", module=IMPLEMENTER.format(arguments="", result="1 / 0"))
    host = load(site)
    assert host.problems == ()
    assert host.implements("corewise_owner_sizes")
    [check] = host.checks()
    with pytest.warns(PluginWarning, match="'c'.*ZeroDivisionError"):
        assert check.run(None) == [[2], [7]]


def test_the_signature_of_a_hook_that_a_plugin_declares_is_checked(site):
    site.install("a", module=IMPLEMENTER.format(arguments="maximum", result="[]"))
    site.install("owner", module=OWNER)
    host = load(site)
    assert record(host, "a").state is PluginState.INVALID
    assert record(host, "owner").active


def test_an_optional_hook_of_an_absent_plugin_is_no_problem(site):
    site.install("a", module=IMPLEMENTER.format(arguments="minimum", result="[minimum]"))
    host = load(site)
    assert record(host, "a").active
    assert not host.implements("corewise_owner_sizes")


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("corewise_owner_sizes", "corewise_other_sizes", "name it corewise_owner_"),
        ("[Specs]", "[Specs, Specs]", "declared twice"),
        ("[Specs]", "[object]", "no function marked with hookspec"),
        ("[Specs]", "1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_wrong_declaration_harms_its_plugin_alone(site, old, new, text):
    site.install("good", module=executor("fast"))
    site.install("owner", module=OWNER.replace(old, new))
    host = load(site)
    assert text in record(host, "owner").detail
    assert list(host.executors()) == ["fast"]


def test_a_hook_that_nobody_declares_cannot_be_called(site):
    site.install("owner", module=OWNER.replace('corewise_owner_sizes", ', 'corewise_owner_sise", '))
    [check] = load(site).checks()
    with pytest.raises(LookupError, match="corewise_owner_sizes"):
        check.run(None)


def test_the_entry_points_of_a_host_can_be_pickled_for_a_worker(site):
    site.install("good", module=executor("fast"))
    found = pickle.loads(pickle.dumps(load(site).entry_points))
    with warnings.catch_warnings(record=True) as caught:
        assert "fast" in load_plugins(PluginSettings(), entry_points=found).executors()
    assert caught == []
