from corewise.backends.exports import MARK, Exports, additions, foreign, set_by_user


def test_what_corewise_sets_is_not_the_users_and_is_removed():
    environ = {"HOME": "/home"}
    exports = Exports(environ)
    exports.set({"OMP_NUM_THREADS": "2"})
    assert environ["OMP_NUM_THREADS"] == "2"
    assert set_by_user(environ, ["OMP_NUM_THREADS"]) is None
    exports.remove()
    assert environ == {"HOME": "/home"}


def test_what_the_user_set_is_never_overwritten():
    environ = {"OMP_NUM_THREADS": "5"}
    Exports(environ).set({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"})
    assert environ["OMP_NUM_THREADS"] == "5"
    assert environ["MKL_NUM_THREADS"] == "2"


def test_a_variable_that_the_user_changes_afterwards_is_his():
    environ = {}
    exports = Exports(environ)
    exports.set({"OMP_NUM_THREADS": "2"})
    environ["OMP_NUM_THREADS"] = "3"
    assert set_by_user(environ, ["OMP_NUM_THREADS"]) == "OMP_NUM_THREADS"
    exports.remove()
    assert environ == {"OMP_NUM_THREADS": "3"}


def test_some_variables_may_be_removed_before_the_others():
    environ = {}
    exports = Exports(environ)
    exports.set({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"})
    exports.remove(keep=["OMP_NUM_THREADS"])
    assert set(environ) == {"OMP_NUM_THREADS", MARK}
    assert set_by_user(environ, ["OMP_NUM_THREADS"]) is None
    exports.remove()
    assert environ == {}


def test_a_process_further_down_knows_what_was_set_above_it():
    above = {}
    Exports(above).set({"OMP_NUM_THREADS": "4"})
    below = dict(above)
    assert set_by_user(below, ["OMP_NUM_THREADS"]) is None
    exports = Exports(below)
    exports.set({"OMP_NUM_THREADS": "1"})
    assert below["OMP_NUM_THREADS"] == "1"
    exports.remove()
    assert below == above
    exports.set({"MKL_NUM_THREADS": "1"})
    assert set_by_user(below, ["OMP_NUM_THREADS"]) is None
    exports.remove()
    assert below == above


def test_a_child_gets_nothing_that_was_set_here_for_this_process():
    environ = {"HOME": "/home"}
    Exports(environ).set({"OMP_NUM_THREADS": "4"})
    assert foreign(environ) == {"HOME": "/home"}


def test_nothing_to_set_leaves_no_list_behind():
    assert additions({"OMP_NUM_THREADS": "5"}, {"OMP_NUM_THREADS": "1"}) == {}
    assert MARK in additions({}, {"OMP_NUM_THREADS": "1"})


def test_a_value_with_spaces_is_still_known_to_be_ours():
    ours = additions({}, {"EXAMPLE_OPTIONS": "threads 1", "OMP_NUM_THREADS": "1"})
    assert foreign({**ours, "HOME": "/home"}) == {"HOME": "/home"}


def test_an_empty_variable_of_the_user_is_his():
    assert set_by_user({"OMP_NUM_THREADS": ""}, ["OMP_NUM_THREADS"]) == "OMP_NUM_THREADS"
