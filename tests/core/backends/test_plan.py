import attrs
import pytest
from counting_backend import Counting

from corewise.backends.contract import Scope
from corewise.backends.exports import Exports
from corewise.backends.limits import BackendLimits
from corewise.backends.plan import demand, pools, variables, withheld
from corewise.builtin.mkl import Mkl
from corewise.builtin.openblas import OpenBlas
from corewise.builtin.openmp import OpenMp
from corewise.settings.model import BackendSettings, ParallelConfig

BLAS = (OpenBlas(), Mkl(), OpenMp())


def config(**settings):
    counts = {"num_cpus": 8, "num_threads": 4, "num_backend_threads": 2, "num_batch_jobs": 1, **settings}
    return ParallelConfig(executor="serial", executor_reason="", use_ray=False, **counts)


def test_a_backend_gets_num_backend_threads():
    assert demand(OpenBlas(), config(), {}).threads == 2


def test_a_backend_that_follows_num_threads_gets_them():
    assert demand(Counting(follows="num_threads"), config(), {}).threads == 4


def test_a_backends_own_table_goes_before_the_common_number():
    own = config(backends={"openblas": BackendSettings(threads=3)}, num_backend_threads=-1)
    assert demand(OpenBlas(), own, {}).threads == 3


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (BackendSettings(enabled=False), "backends.openblas.enabled is false"),
        (BackendSettings(threads=-1), "backends.openblas.threads is -1"),
    ],
)
def test_a_backends_own_table_leaves_it_alone(settings, reason):
    left = demand(OpenBlas(), config(backends={"openblas": settings}), {})
    assert (left.threads, left.reason) == (None, reason)


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"])
def test_either_blas_variable_of_the_user_leaves_every_blas_alone(name):
    environ = {name: "3"}
    for backend in (OpenBlas(), Mkl()):
        assert demand(backend, config(), environ).reason == f"{name}=3 is set by the user"
    assert demand(OpenMp(), config(), environ).threads == 2
    assert variables(BLAS, config(), environ) == {"OMP_NUM_THREADS": "2"}


def test_a_variable_that_a_backend_left_alone_would_follow_is_withheld_while_its_library_may_come():
    left_alone = Counting(name="left", reads=("OMP_NUM_THREADS",), imports=("os", "no_such_module"))
    left_alone.state["loaded"] = False
    table = config(backends={"left": BackendSettings(enabled=False)})
    assert withheld([left_alone, OpenMp()], table, {}) == {"OMP_NUM_THREADS": "left"}
    assert withheld([left_alone, OpenMp()], config(), {}) == {}
    assert withheld([left_alone], table, {"COUNTING_NUM_THREADS": "2"}) == {}
    left_alone.state["loaded"] = True
    assert withheld([left_alone], table, {}) == {"OMP_NUM_THREADS": "left"}  # another copy, with the other import
    assert withheld([attrs.evolve(left_alone, imports=("os",))], table, {}) == {}


def test_a_library_that_is_not_installed_withholds_nothing():
    absent = Counting(name="left", reads=("OMP_NUM_THREADS",), imports=("no_such_module",))
    absent.state["loaded"] = False
    assert withheld([absent], config(backends={"left": BackendSettings(enabled=False)}), {}) == {}


def test_omp_num_threads_of_the_user_leaves_openmp_alone_and_nothing_else():
    environ = {"OMP_NUM_THREADS": "3"}
    assert demand(OpenMp(), config(), environ).threads is None
    assert demand(OpenBlas(), config(), environ).threads == 2


def test_a_variable_that_corewise_set_is_not_taken_for_the_users():
    environ = {}
    Exports(environ).set(variables(BLAS, config(), environ))
    assert demand(OpenBlas(), config(), environ).threads == 2


def test_a_negative_number_leaves_backends_alone_and_exports_nothing():
    negative = config(num_backend_threads=-1)
    assert demand(OpenBlas(), negative, {}).reason == "num_backend_threads is -1"
    assert variables((*BLAS, Counting(follows="num_threads")), negative, {}) == {}


def test_a_pool_that_is_sized_by_a_call_gets_num_threads_also_where_backends_are_left_alone():
    class ByCall(Counting):
        def env(self, threads):
            return {}

    assert demand(ByCall(follows="num_threads"), config(num_backend_threads=-1), {}).threads == 4


def test_a_variable_that_is_not_positive_is_never_exported():
    class Wrong(Counting):
        def env(self, threads):
            return {"A": "0", "B": "-1", "C": str(threads), "D": "text"}

    assert variables([Wrong()], config(), {}) == {"C": "2", "D": "text"}


def test_where_two_backends_name_one_variable_the_first_wins():
    tables = {"first": BackendSettings(threads=3), "second": BackendSettings(threads=5)}
    pair = (Counting(name="first"), Counting(name="second"))
    assert variables(pair, config(backends=tables), {}) == {"COUNTING_NUM_THREADS": "3"}


def limits(environ, **settings):
    return BackendLimits({each.name: each for each in BLAS}, config(**settings), environ)


def test_a_childs_environment_passes_on_what_the_user_set_and_nothing_of_this_process():
    environ = {"HOME": "/home", "MKL_NUM_THREADS": "3"}
    parent = limits(environ, num_backend_threads=6)
    Exports(environ).set(variables(BLAS, parent.config, environ))
    child = parent.child_env(config(num_backend_threads=1))
    assert child["MKL_NUM_THREADS"] == "3"
    assert child["OMP_NUM_THREADS"] == "1"
    assert child["HOME"] == "/home"
    assert "OPENBLAS_NUM_THREADS" not in child
    assert parent.child_env(config(num_backend_threads=-1)) == {"HOME": "/home", "MKL_NUM_THREADS": "3"}


def test_a_plugins_variable_goes_before_the_limit_and_the_users_before_it():
    child = limits({"MKL_NUM_THREADS": "3"}).child_env(config(), {"OMP_NUM_THREADS": "7", "MKL_NUM_THREADS": "9"})
    assert child["OMP_NUM_THREADS"] == "7"
    assert child["MKL_NUM_THREADS"] == "3"


def test_golden_numbers_reach_the_child():
    assert limits({}).child_env(attrs.evolve(config(), num_backend_threads=9))["OMP_NUM_THREADS"] == "9"


def test_a_process_needs_no_start_where_its_variables_say_everything():
    assert limits({}).needs_start(config()) == (False, ())


def test_a_process_needs_a_start_where_a_variable_of_the_user_hides_a_limit():
    backend = Counting(name="first")
    one = BackendLimits({"first": backend}, config(), {"COUNTING_NUM_THREADS": "9"})
    assert one.needs_start(config()) == (True, ())
    assert one.needs_start(config(num_backend_threads=-1)) == (False, ())


def test_a_process_needs_a_start_before_the_import_of_a_backend_without_variables_that_is_installed():
    class ByCall(Counting):
        def env(self, threads):
            return {}

    def needed(module):
        return BackendLimits({"one": ByCall(imports=(module,))}, config(), {}).needs_start(config())

    assert needed("json.decoder") == (False, ("json.decoder",))
    assert needed("no_such_package.inner") == (False, ())


def test_pools_are_named_by_the_imports_of_what_is_built_once_and_limited():
    once = Counting(name="once", scope=Scope.ONCE, imports=("one", "other"))
    asked = {"config": config(), "environ": {}}
    assert pools([once, Counting(imports=("third",))], **asked) == ("one", "other")
    own = config(backends={"once": BackendSettings(enabled=False)})
    assert pools([once], own, {}) == ()
