import asyncio
import copy
import inspect
import pickle
import threading
import types
from unittest import mock

import pytest

import corewise


class Potential:
    """Scores texts; counts the calls of its batch methods."""

    def __init__(self, scale=1):
        self.scale = scale
        self.calls = []
        self.closed = False

    async def complete(self, text):
        return self.scale * len(text)

    async def batch_complete(self, texts):
        self.calls.append(("complete", list(texts)))
        return [self.scale * len(text) for text in texts]

    def score(self, text):
        return -len(text)

    def batch_score(self, texts):
        self.calls.append(("score", list(texts)))
        return [-len(text) for text in texts]

    def vocabulary(self):
        return "abc"

    def batch_lonely(self, texts):
        return texts

    def spawn(self):
        return Potential(self.scale)

    def __len__(self):
        return 3

    def __getitem__(self, place):
        return "abc"[place]

    def __eq__(self, other):
        return isinstance(other, Potential) and other.scale == self.scale

    def __hash__(self):
        return hash(self.scale)

    async def aclose(self):
        self.closed = True


def gather(fast, method, texts):
    async def main():
        return await asyncio.gather(*(getattr(fast, method)(text) for text in texts))

    return asyncio.run(main())


def test_every_method_with_a_batch_sibling_is_batched_also_where_both_are_blocking():
    potential = Potential()
    fast = corewise.autobatch(potential)
    assert gather(fast, "complete", ["a", "bb"]) == [1, 2]
    assert gather(fast, "score", ["a", "bb"]) == [-1, -2]
    assert potential.calls == [("complete", ["a", "bb"]), ("score", ["a", "bb"])]
    asyncio.run(fast.aclose())


def test_the_methods_of_the_wrapper_are_coroutine_functions_like_those_of_the_object():
    fast = corewise.autobatch(Potential())
    assert inspect.iscoroutinefunction(fast.complete)
    assert fast.complete.__name__ == "complete"

    async def main():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fast.complete(text)) for text in ("a", "bb")]
        return [task.result() for task in tasks]

    assert asyncio.run(main()) == [1, 2]
    assert asyncio.run(fast.complete("abc")) == 3
    assert fast.__wrapped__.calls == [("complete", ["a", "bb"]), ("complete", ["abc"])]


def test_all_other_attributes_are_the_objects():
    potential = Potential(scale=5)
    fast = corewise.autobatch(potential)
    assert (fast.scale, fast.vocabulary(), len(fast), fast[1], list(fast)) == (5, "abc", 3, "b", ["a", "b", "c"])
    assert fast.batch_lonely == potential.batch_lonely
    assert isinstance(fast, Potential)
    assert (fast == Potential(5), fast == Potential(4), hash(fast)) == (True, False, hash(potential))
    assert set(dir(potential)) <= set(dir(fast))
    fast.scale = 7
    assert potential.scale == 7
    del fast.scale
    assert not hasattr(potential, "scale")
    assert not hasattr(fast, "scale")
    assert repr(fast).startswith("autobatch(<")


def test_methods_are_chosen_by_name_or_by_mapping():
    potential = Potential()
    fast = corewise.autobatch(potential, methods=["score"])
    assert fast.complete == potential.complete
    assert gather(fast, "score", ["a"]) == [-1]
    other = corewise.autobatch(potential, methods={"grade": "batch_score"})
    assert gather(other, "grade", ["abc"]) == [-3]
    asyncio.run(fast.aclose())
    asyncio.run(other.aclose())


def test_what_cannot_be_batched_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="nothing to batch: object has no method m with a sibling batch_m"):
        corewise.autobatch(object())
    with pytest.raises(AttributeError, match="Potential has no method batch_vocabulary to batch vocabulary with"):
        corewise.autobatch(Potential(), methods=["vocabulary"])
    with pytest.raises(TypeError, match="methods must be names in a list or mapping, got the string 'score'"):
        corewise.autobatch(Potential(), methods="score")
    with pytest.raises(ValueError, match="max_concurrency"):
        corewise.autobatch(Potential(), max_concurrency=0)


def test_an_error_names_the_class_and_the_batch_method():
    class Short:
        def one(self, item):
            return item

        def batch_one(self, items):
            return []

    async def main():
        async with corewise.autobatch(Short()) as fast:
            with pytest.raises(corewise.BatchResultError, match=r"Short.batch_one must return .* 1 item in, 0 results"):
                await fast.one(1)

    asyncio.run(main())


def test_a_slow_method_holds_up_no_other():
    go = threading.Event()

    class Slow:
        def slow(self, item):
            return item

        def batch_slow(self, items):
            assert go.wait(60)
            return items

        def quick(self, item):
            return item

        def batch_quick(self, items):
            return items

    async def main():
        async with corewise.autobatch(Slow()) as fast:
            slow = asyncio.create_task(fast.slow(1))
            for i in range(20):
                assert await asyncio.wait_for(fast.quick(i), 30) == i
            assert not slow.done()
            go.set()
            assert await slow == 1

    asyncio.run(main())


def test_closing_drains_the_batches_and_then_closes_the_object():
    potential = Potential()

    async def main():
        async with corewise.autobatch(potential) as fast:
            task = asyncio.create_task(fast.complete("ab"))
            await asyncio.sleep(0)
        assert await task == 2
        assert potential.closed
        with pytest.raises(corewise.ClosedError):
            await fast.complete("a")

    asyncio.run(main())


def test_an_object_that_is_a_context_manager_is_entered_and_left():
    class Managed(Potential):
        steps = ()

        async def __aenter__(self):
            self.steps += ("in",)
            return self

        async def __aexit__(self, kind, error, traceback):
            self.steps += (kind,)
            return True

    potential = Managed()

    async def main():
        async with corewise.autobatch(potential) as fast:
            assert await fast.complete("ab") == 2
            raise KeyError

    asyncio.run(main())
    assert potential.steps == ("in", KeyError)


def test_threads_call_a_method_by_its_submit():
    fast = corewise.autobatch(Potential())
    assert fast.complete.submit("abc").result(60) == 3
    assert fast.stats()["complete"].items == fast.complete.stats().items == 1
    asyncio.run(fast.aclose())


def test_spawn_of_an_autobatched_object_gives_an_autobatched_spawn():
    class Async(Potential):
        async def spawn(self):
            return Async(self.scale)

    fast = corewise.autobatch(Potential(3), max_batch_size=2)
    spawned = fast.spawn()
    assert gather(spawned, "complete", ["a", "b", "c"]) == [3, 3, 3]
    assert spawned.__wrapped__.calls == [("complete", ["a", "b"]), ("complete", ["c"])]
    assert fast.__wrapped__.calls == []
    later = asyncio.run(corewise.autobatch(Async(2)).spawn())
    assert gather(later, "complete", ["a", "b"]) == [2, 2]
    assert len(later.__wrapped__.calls) == 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda fast: pickle.loads(pickle.dumps(fast))])
def test_copies_and_pickles_of_the_wrapper_batch_as_it_does(duplicate):
    fast = corewise.autobatch(Potential(3), max_batch_size=2)
    twin = duplicate(fast)
    twin.calls.clear()
    assert gather(twin, "complete", ["a", "b", "c"]) == [3, 3, 3]
    assert twin.calls == [("complete", ["a", "b"]), ("complete", ["c"])]


def test_autobatching_twice_says_so_and_changes_nothing():
    fast = corewise.autobatch(Potential())
    with pytest.warns(corewise.CorewiseWarning, match="Potential batches its calls already"):
        assert corewise.autobatch(fast) is fast


class Answering(Potential):
    """Answers with itself, and with another."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __iadd__(self, other):
        return self

    def __neg__(self):
        return Answering(-self.scale)


def test_special_methods_that_answer_with_the_object_answer_with_the_wrapper():
    fast = corewise.autobatch(Answering())
    with fast as entered:
        assert entered is fast
    summed = fast
    summed += 1
    assert summed is fast
    assert type(-fast) is Answering


def test_a_batched_method_can_be_replaced_on_the_wrapper_and_put_back():
    fast = corewise.autobatch(Potential(2))
    batched = fast.complete
    fast.complete = lambda text: "replaced"
    assert fast.complete("a") == "replaced"
    assert fast.__wrapped__.complete.__func__ is Potential.complete
    del fast.complete
    assert fast.complete is batched
    with pytest.raises(AttributeError):
        del fast.complete
    with mock.patch.object(fast, "complete", "patched"):
        assert fast.complete == "patched"
    assert gather(fast, "complete", ["a", "b"]) == [2, 2]


class Model(corewise.ParallelOps):
    def __init__(self):
        self.calls = []

    async def double(self, number):
        self.calls.append(number)
        return 2 * number

    async def batch_double(self, numbers):
        self.calls.append(list(numbers))
        return [2 * number for number in numbers]


class Declared(Model, autobatch=True):
    pass


class Small(Model, autobatch={"max_batch_size": 2}):
    pass


class ByItself(corewise.ParallelOps, autobatch=True):
    async def square(self, number):
        return number * number

    async def batch_square(self, numbers):
        return await asyncio.gather(*(self.square(number) for number in numbers))


def test_to_autobatched_wraps_with_the_options():
    model = Model()
    assert gather(model.to_autobatched(max_batch_size=2), "double", [1, 2, 3]) == [2, 4, 6]
    assert model.calls == [[1, 2], [3]]


def test_instances_of_a_class_declared_so_batch_by_themselves_and_each_on_its_own():
    first, second = Declared(), Declared()

    async def main():
        return await asyncio.gather(first.double(1), second.double(2), first.double(3))

    assert asyncio.run(main()) == [2, 4, 6]
    assert (first.calls, second.calls) == ([[1, 3]], [[2]])
    assert inspect.iscoroutinefunction(first.double)


def test_a_class_is_declared_with_options_and_a_subclass_inherits_or_leaves_it():
    class Sub(Small):
        async def double(self, number):
            return -1

    class Plain(Small, autobatch=False):
        pass

    for model in (Small(), Sub()):
        assert gather(model, "double", [1, 2, 3]) == [2, 4, 6]
        assert model.calls == [[1, 2], [3]]
    plain = Plain()
    assert gather(plain, "double", [1, 2]) == [2, 4]
    assert plain.calls == [1, 2]


def test_a_batch_method_written_with_the_single_one_does_not_go_round_in_circles():
    assert gather(ByItself(), "square", [1, 2, 3]) == [1, 4, 9]


class Blocking(corewise.ParallelOps, autobatch=True):
    def square(self, number):
        return number * number

    def batch_square(self, numbers):
        return [self.square(number) for number in numbers]


def test_a_blocking_batch_method_written_with_the_single_one_gets_its_values():
    class Child(Blocking):
        def square(self, number):
            return 1 + super().square(number)

    async def main():
        for model, expected in ((Blocking(), [1, 4]), (Child(), [2, 5])):
            assert await asyncio.gather(model.square(1), model.square(2)) == expected
            await model.square.function.aclose()

    asyncio.run(main())


def test_super_within_such_a_method_reaches_the_parents_own():
    class Child(ByItself):
        async def square(self, number):
            return 1 + await super().square(number)

    assert gather(Child(), "square", [1, 2]) == [2, 5]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_a_declared_instance_batch_on_their_own(duplicate):
    model = Declared()
    assert gather(model, "double", [1, 2]) == [2, 4]
    twin = duplicate(model)
    twin.calls = []
    assert gather(twin, "double", [3, 4]) == [6, 8]
    assert (model.calls, twin.calls) == ([[1, 2]], [[3, 4]])


def test_asking_a_declared_class_again_says_so():
    model = Declared()
    with pytest.warns(corewise.CorewiseWarning, match="Declared batches its calls already"):
        assert model.to_autobatched() is model


def test_a_class_without_dict_is_told_why_it_cannot_batch():
    class Slotted:
        __slots__ = ()

        @corewise.batched
        def double(self, numbers):
            return numbers

    with pytest.raises(TypeError, match="Slotted has __slots__ and no __dict__"):
        Slotted().double(1)


class Decorated:
    def __init__(self):
        self.calls = []

    @corewise.batched(max_batch_size=2)
    async def double(self, numbers):
        """Double them."""
        self.calls.append(list(numbers))
        return [2 * number for number in numbers]


@corewise.batched
async def halve(numbers):
    """Halve them."""
    return [number / 2 for number in numbers]


def test_a_decorated_method_batches_per_instance():
    first, second = Decorated(), Decorated()

    async def main():
        return await asyncio.gather(first.double(1), second.double(2), first.double(3), first.double(4))

    assert asyncio.run(main()) == [2, 4, 6, 8]
    assert (first.calls, second.calls) == ([[1, 3], [4]], [[2]])
    assert first.double is first.double
    assert Decorated.double.__doc__ == first.double.__doc__ == "Double them."


calls_of_kinds = []


class Kinds:
    @corewise.batched
    @classmethod
    async def of_class(cls, items):
        calls_of_kinds.append((cls.__name__, items))
        return items

    @classmethod
    @corewise.batched(max_batch_size=2)
    async def of_class_inside_out(cls, items):
        calls_of_kinds.append((cls.__name__, items))
        return items

    @corewise.batched(max_batch_size=2)
    @staticmethod
    async def static(items):
        calls_of_kinds.append(("static", items))
        return items

    @staticmethod
    @corewise.batched
    async def static_inside_out(items):
        calls_of_kinds.append(("static", items))
        return items


class Kin(Kinds):
    pass


@pytest.mark.parametrize("name", ["of_class", "of_class_inside_out", "static", "static_inside_out"])
def test_methods_of_a_class_and_static_ones_are_batched_in_either_order(name):
    async def main():
        for owner in (Kinds, Kinds(), Kin, Kin()):
            call = getattr(owner, name)
            assert await asyncio.gather(call(1), call(2)) == [1, 2]
        kin = "Kin" if name.startswith("of") else "static"
        kinds = "Kinds" if name.startswith("of") else "static"
        assert calls_of_kinds == [(kinds, [1, 2])] * 2 + [(kin, [1, 2])] * 2

    calls_of_kinds.clear()
    asyncio.run(main())


def test_an_unbound_batched_method_takes_an_instance_as_every_function_in_a_class():
    async def main():
        decorated = Decorated()
        calls = Decorated.double(decorated, 1), Decorated.double.call(decorated, 2)
        assert await asyncio.gather(*calls) == [2, 4]
        assert decorated.calls == [[1], [2]]

    asyncio.run(main())


def test_a_bound_method_of_a_decorated_one_works_as_classmethod_makes_it_from_python_3_13_on():
    function = vars(Kinds)["of_class_inside_out"].__func__
    bound = types.MethodType(function, Kinds)

    async def main():
        return await bound(1)

    assert asyncio.run(main()) == 1
    with pytest.raises(TypeError, match=r"write @corewise\.batched above @classmethod"):
        bound.submit(1)


def test_batchers_and_objects_that_have_them_can_be_pickled():
    assert pickle.loads(pickle.dumps(halve)) is halve
    decorated = Decorated()
    assert gather(decorated, "double", [1]) == [2]
    twin = pickle.loads(pickle.dumps(decorated))
    twin.calls.clear()
    assert gather(twin, "double", [3]) == [6]
    assert (decorated.calls, twin.calls) == ([[1]], [[3]])
    bound = pickle.loads(pickle.dumps(decorated.double))
    assert asyncio.run(bound.call(4)) == 8
    made = pickle.loads(pickle.dumps(corewise.BatchedFunction(sorted, name="order", max_batch_size=3)))
    assert asyncio.run(made.call(4)) == 4
    assert made.options.max_batch_size == 3
    asyncio.run(made.aclose())
