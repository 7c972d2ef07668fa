"""What comes back: keys that were left out, errors of one key, of a batch and of everybody."""

import anyio
import pytest

import smm_async as smm
from tests.coalescing import Callers, FakeFetch, sizes, value_of, values_of

SHARED = (smm.InvalidKeyError, smm.MaintenanceError)


@pytest.fixture
def fetch():
    """Give a fetch that answers at once."""
    return FakeFetch()


def depth(error):
    """Return how many frames an error's traceback names."""
    count, traceback = 0, error.__traceback__
    while traceback is not None:
        count, traceback = count + 1, traceback.tb_next
    return count


# Left out.


async def test_key_left_out_of_a_batch_is_asked_alone(fetch):
    """A key that a batch's answer leaves out is asked for once more, alone; the others have their answers already."""
    answered = []

    def answer(keys):
        if len(keys) > 1:
            return values_of(set(keys) - {"b", "c"})
        answered.append("a" in callers.got)
        return values_of(keys)

    fetch.answer = answer
    async with smm.Coalescer(fetch, max_in_flight=1) as coalescer, Callers() as callers:
        for key in "abcd":
            callers.start(key, coalescer.get, key)

    assert sizes(fetch) == [4, 1, 1]
    assert sorted(keys[0] for keys in fetch.asked[1:]) == ["b", "c"]
    assert callers.got == values_of("abcd")
    assert answered[-1]


async def test_key_left_out_twice(fetch):
    """A key that is left out when asked for alone has no answer, and its callers hear which one it was."""
    fetch.answer = lambda keys: values_of(set(keys) - {"b"})
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        callers.start("a", coalescer.get, "a")
        for name in (1, 2):
            callers.start(name, coalescer.get, "b")

    assert fetch.asked[1:] == [["b"]]
    assert callers.got["a"] == value_of("a")
    for name in (1, 2):
        assert type(callers.got[name]) is smm.UnresolvedError
        assert str(callers.got[name]) == "The answer says nothing about 'b'."
    assert callers.got[1] is not callers.got[2]


async def test_lone_key_left_out(fetch):
    """A key that was asked for alone in the first place is not asked for again."""
    fetch.answer = lambda keys: {}
    async with smm.Coalescer(fetch) as coalescer:
        with pytest.raises(smm.UnresolvedError):
            await coalescer.get("a")

    assert fetch.asked == [["a"]]


async def test_key_left_out_is_not_asked_when_nobody_waits(fetch):
    """A key that was left out is not asked for again when its callers have left in the meantime."""
    fetch.answer = lambda keys: values_of(set(keys) - {"b"})
    fetch.hold()
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        callers.start("a", coalescer.get, "a")
        callers.start("b", coalescer.get, "b")
        await anyio.wait_all_tasks_blocked()
        callers.cancel("b")
        fetch.release()

    assert sizes(fetch) == [2]
    assert callers.got == {"a": value_of("a"), "b": "cancelled"}


async def test_keys_left_out_share_the_slots(fetch):
    """Asking singly goes through the same slots, no more of them at once."""
    fetch.answer = lambda keys: values_of(keys) if len(keys) == 1 else {}
    fetch.seconds = 0.001
    async with smm.Coalescer(fetch, max_in_flight=3) as coalescer:
        found = await coalescer.get_many(range(20))

    assert found == values_of(range(20))
    assert sizes(fetch) == [20] + [1] * 20
    assert fetch.most_running == 3


async def test_answer_about_others(fetch):
    """What an answer says about keys that nobody asked for is passed over."""
    fetch.answer = lambda keys: values_of([*keys, "x"])
    async with smm.Coalescer(fetch) as coalescer:
        assert await coalescer.get_many(["a", "b"]) == values_of("ab")


# Errors of one key, and of a batch.


async def test_error_of_one_key(fetch):
    """An error among the answers goes to the callers of its key, and to nobody else."""
    error = smm.UnknownOrderError("Never heard of it.", text="no such order")
    fetch.answer = lambda keys: values_of(keys) | {"b": error}
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        for name, key in (("a", "a"), ("b", "b"), ("b again", "b")):
            callers.start(name, coalescer.get, key)

    assert callers.got["a"] == value_of("a")
    for name in ("b", "b again"):
        assert type(callers.got[name]) is smm.UnknownOrderError
        assert callers.got[name].text == "no such order"
    assert len({id(error), id(callers.got["b"]), id(callers.got["b again"])}) == 3


@pytest.mark.parametrize("error", [OSError(5, "broken"), smm.NoAnswerError("Lost."), smm.InvalidKeyError("No.")])
async def test_error_of_a_batch(fetch, error):
    """What fetch raises goes to all callers of that batch; others are not concerned, and later ones are served."""

    def answer(keys):
        if "bad" in keys:
            raise error
        return values_of(keys)

    fetch.answer = answer
    async with smm.Coalescer(fetch, max_batch=2) as coalescer, Callers() as callers:
        for key in ("bad", "a", "b", "c"):
            callers.start(key, coalescer.get, key)
        await anyio.wait_all_tasks_blocked()
        callers.start("later", coalescer.get, "later")

    failed = {key for key, got in callers.got.items() if got != value_of(key)}
    assert "bad" in failed
    assert len(failed) == 2
    for key in failed:
        assert type(callers.got[key]) is type(error)
        assert callers.got[key].args == error.args
        assert callers.got[key] is not error


async def test_tracebacks_do_not_grow(fetch):
    """The traceback of a failure is as long for the last of many callers as for the first."""

    def fail(keys):
        raise KeyError("foreign")

    fetch.answer = fail
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        for key in range(50):
            callers.start(key, coalescer.get, key)

    assert sizes(fetch) == [50]
    assert len({id(got) for got in callers.got.values()}) == 50
    assert len({depth(got) for got in callers.got.values()}) == 1


async def test_traceback_of_a_foreign_error(fetch):
    """The traceback of a foreign error leads from the caller into fetch, and its cause stays known."""

    def fail(keys):
        raise KeyError("foreign") from OSError("the cable")

    fetch.answer = fail
    async with smm.Coalescer(fetch) as coalescer:
        with pytest.raises(KeyError) as caught:
            await coalescer.get("a")

    names = [entry.name for entry in caught.traceback]
    assert names[0] == "test_traceback_of_a_foreign_error"
    assert names[-1] == "fail"
    assert str(caught.value.__cause__) == "the cable"


async def test_error_that_cannot_be_copied(fetch):
    """An error that cannot be copied still reaches everybody."""

    class PickyError(Exception):
        def __init__(self, *, code):
            super().__init__(code)

    fetch.answer = lambda keys: dict.fromkeys(keys, PickyError(code=5))
    async with smm.Coalescer(fetch) as coalescer, Callers() as callers:
        for name in range(3):
            callers.start(name, coalescer.get, "a")

    assert {type(got) for got in callers.got.values()} == {PickyError}
    assert [got.args for got in callers.got.values()] == [(5,)] * 3


# Errors of everybody.


@pytest.mark.parametrize("kind", SHARED)
async def test_shared_error_answers_all_who_are_queued(fetch, kind):
    """An error that concerns everybody answers all who are queued, at once, and nothing more is sent."""
    fetch.hold()

    def fail(keys):
        raise kind("No.", text="no")

    fetch.answer = fail
    async with smm.Coalescer(fetch, max_batch=2, max_in_flight=1, shared_errors=SHARED) as coalescer:
        async with Callers() as callers:
            for key in range(20):
                callers.start(key, coalescer.get, key)
            callers.start("many", coalescer.get_many, range(30))
            await anyio.wait_all_tasks_blocked()
            fetch.release()
        fetch.answer = values_of

        assert await coalescer.get("later") == value_of("later")

    assert sizes(fetch) == [2, 1]
    errors = [callers.got[key] for key in range(20)] + list(callers.got["many"].values())
    assert len(errors) == 50
    assert {type(error) for error in errors} == {kind}
    assert len({id(error) for error in errors}) == 50


async def test_shared_error_leaves_other_requests_alone(fetch):
    """Those whose own request is on its way get what that one brings."""
    release = {key: anyio.Event() for key in "ab"}

    async def look(keys):
        await release[keys[0]].wait()
        if keys == ["a"]:
            raise smm.InvalidKeyError("No.")
        return values_of(keys)

    async with (
        smm.Coalescer(look, max_batch=1, max_in_flight=2, shared_errors=SHARED) as coalescer,
        Callers() as callers,
    ):
        for key in "ab":
            callers.start(key, coalescer.get, key)
        await anyio.wait_all_tasks_blocked()
        callers.start("queued", coalescer.get, "queued")
        callers.start("many", coalescer.get_many, ["c", "d"])
        await anyio.wait_all_tasks_blocked()
        release["a"].set()
        await anyio.wait_all_tasks_blocked()
        early = dict(callers.got)
        release["b"].set()

    assert sorted(early) == ["a", "many", "queued"]
    assert {type(early[name]) for name in ("a", "queued")} == {smm.InvalidKeyError}
    assert {type(error) for error in early["many"].values()} == {smm.InvalidKeyError}
    assert callers.got["b"] == value_of("b")


async def test_shared_error_of_one_key_is_that_keys_own(fetch):
    """An error of such a class for one key, among the answers, concerns that key."""
    fetch.answer = lambda keys: values_of(keys) | {"a": smm.InvalidKeyError("No.")}
    async with smm.Coalescer(fetch, shared_errors=SHARED) as coalescer:
        found = await coalescer.get_many("ab")

    assert type(found["a"]) is smm.InvalidKeyError
    assert found["b"] == value_of("b")


async def test_shared_error_answers_what_is_to_be_asked_alone(fetch):
    """Keys that wait to be asked alone are answered, too, and not split any further."""

    def answer(keys):
        if len(keys) > 1:
            return {}
        raise smm.InvalidKeyError("No.")

    fetch.answer = answer
    async with smm.Coalescer(fetch, max_in_flight=1, shared_errors=SHARED) as coalescer:
        found = await coalescer.get_many(range(50))

    assert sizes(fetch) == [50, 1]
    assert {type(error) for error in found.values()} == {smm.InvalidKeyError}
