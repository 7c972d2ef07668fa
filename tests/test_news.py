"""What the answer to a lookup means for a tracked order: decisions without a store or a loop."""

import pytest

import smm_async as smm
from smm_async._news import Health, news_of, returned
from smm_async._poll import Poll
from smm_async._store import Due, EndKind
from smm_async.models import OrderState, OrderStatus
from tests.trackers import DONE, GOING, status

POLL = Poll(shortest=10.0, factor=0.1, longest=1000.0)


def due(**fields):
    """Return an order that was claimed."""
    whole = {"id": 1, "order": "7", "claim": 3, "version": 2, "status": "In progress", "silence": 2000.0, "misses": 4}
    return Due(**whole | fields)


def news(answer, *, lot=0.5, max_misses=10, **fields):
    """Return what is written down about an order after an answer."""
    return news_of(due(**fields), answer, poll=POLL, max_misses=max_misses, lot=lot)


@pytest.mark.parametrize("options", [{"shortest": 0.0}, {"factor": True}, {"shortest": 20.0, "longest": 10.0}], ids=str)
def test_poll_out_of_bounds_is_refused(options):
    """How often to ask has bounds, in their order."""
    with pytest.raises(ValueError, match="must be"):
        Poll(**options)


def test_same_word_is_asked_for_in_proportion_to_silence():
    """An order that has not changed is asked for after a tenth of its silence, more or less."""
    assert [news(GOING, lot=lot).due_in for lot in (0.0, 0.5, 1.0)] == pytest.approx([180, 200, 220])


def test_new_word_is_asked_for_soon():
    """An order that has just changed is asked for after the shortest time, and its misses are forgotten."""
    heard = news(GOING, status="Pending")

    assert (heard.due_in, heard.misses, heard.status, heard.state) == (10.0, 0, "In progress", "In progress")


def test_word_that_is_too_long_to_keep_is_no_change_each_time():
    """What is kept of a word is what the next one is compared with: nobody asks faster for its sake."""
    word = "\0" + "x" * 500
    first = news(OrderStatus(status=word, state=OrderState.UNKNOWN), status=None)
    again = news(OrderStatus(status=word, state=OrderState.UNKNOWN), status=first.status)

    assert len(first.status) == 200
    assert (first.due_in, again.due_in) == (pytest.approx(10), pytest.approx(200))


def test_terminal_word_ends_it():
    """What has ended for the panel has ended."""
    assert news(DONE).end is EndKind.ENDED


def test_word_that_nobody_knows_ends_nothing():
    """An unknown word is no end, and is kept."""
    heard = news(status(OrderState.UNKNOWN))

    assert (heard.end, heard.state) == (None, "Unknown")


@pytest.mark.parametrize("error", [smm.UnknownOrderError("no"), smm.UnresolvedError("nothing")], ids=repr)
def test_missing_order_is_asked_for_less_and_less(error):
    """Each miss doubles the time to the next question, and nothing else that is known changes."""
    first, fifth = news(error, misses=0, silence=0.0), news(error, misses=4, silence=0.0)

    assert [(part.misses, part.due_in, part.status, part.end) for part in (first, fifth)] == [
        (1, 20.0, None, None),
        (5, 320.0, None, None),
    ]
    assert news(error, misses=9).end is EndKind.UNKNOWN
    assert news(error, misses=9, max_misses=None).end is None


def test_panel_s_trouble_is_no_miss():
    """What the panel did not get to is asked for again, a little later."""
    error = news(smm.NoAnswerError("down"), silence=0.0)

    assert (error.misses, error.due_in, error.status, error.end) == (4, 20.0, None, None)


def test_what_goes_back_goes_as_it_came():
    """An order that was not asked for is due at once, with all that is known."""
    back = returned(due())

    assert (back.id, back.claim, back.version, back.due_in, back.misses, back.status) == (1, 3, 2, 0.0, 4, None)


def missing(count, error=smm.UnresolvedError, *, first=0):
    """Return answers that do not name their orders."""
    return {str(id_): error("nothing") for id_ in range(first, first + count)}


def kinds(answers):
    """Return of what classes the answers are."""
    return {type(answer) for answer in answers.values()}


@pytest.mark.parametrize("error", [smm.UnresolvedError, smm.UnknownOrderError])
def test_panel_that_names_nothing_has_not_answered(error):
    """Ten ids and more without one of them in the answer are the panel's trouble at first; fewer may all be missing."""
    health = Health()
    few, many = missing(9, error), missing(10, error)

    assert (health.read(few), health.failures, health.doubts) == (few, 0, 0)
    assert kinds(health.read(many)) == {smm.NoAnswerError}
    assert (health.failures, health.doubts) == (1, 1)
    assert health.read({**many, "10": GOING})["9"] is many["9"]
    assert health.failures == 0


def test_misses_that_others_did_not_get_to_are_doubted():
    """Where no order was named, what some requests did not get an answer to does not make the others' word good."""
    answers = {**missing(10), "x": smm.NoAnswerError("timeout")}

    assert kinds(Health().read(answers)) == {smm.NoAnswerError}
    assert kinds(Health().read({**missing(9), "x": smm.NoAnswerError("timeout")})) != {smm.NoAnswerError}


def test_doubt_ends_after_three_claims():
    """From the fourth claim in a row on misses count, and the panel is up."""
    health = Health()

    assert [kinds(health.read(missing(25))) for _ in range(3)] == [{smm.NoAnswerError}] * 3
    assert kinds(health.read(missing(25))) == {smm.UnresolvedError}
    assert health.failures == 0


def test_doubt_is_not_renewed_by_other_orders():
    """That a panel names others, in claims in between, does not mean that those it leaves out will come back."""
    health = Health()
    for _ in range(3):
        health.read(missing(25))
        health.read({"a": GOING})

    assert kinds(health.read(missing(25))) == {smm.UnresolvedError}


def test_doubt_is_renewed_when_it_was_right():
    """A panel that names a doubted order is back: when it names nothing the next time, that is doubted again."""
    health = Health()
    for _ in range(3):
        health.read(missing(25))
    health.read({"7": GOING})

    assert health.doubts == 0
    assert kinds(health.read(missing(25, first=100))) == {smm.NoAnswerError}


def test_no_order_is_doubted_more_than_three_times():
    """However often doubt was right about others, an order that is never named is lost in the end."""
    health = Health()
    for place in range(3):
        health.read({**missing(25), f"back{place}": smm.UnknownOrderError("not yet")})
        health.read({f"back{place}": GOING})
    health.read(missing(25, first=100))

    read = health.read({**missing(25), "new": smm.UnresolvedError("nothing")})

    assert type(read["new"]) is smm.NoAnswerError
    assert {type(read[id_]) for id_ in missing(25)} == {smm.UnresolvedError}


def test_what_is_known_of_doubt_is_bounded():
    """Orders that were doubted long ago are forgotten: the ends of lost ones are not told here."""
    health = Health()
    for first in range(3):
        health.read(missing(9000, first=9000 * first))

    assert len(health._doubted) == 10_000


def test_claims_are_no_larger_than_what_is_sent():
    """Where lookups wait for a slot in vain, half as much is claimed the next time; then a request more each time."""
    health, sizes = Health(), []
    for answer in [smm.NotSentError("late")] * 4 + [GOING] * 11:
        health.read({"1": answer, "2": GOING})
        sizes.append(health.requests)

    assert sizes == [5, 2, 1, 1, *range(2, 11), 10, 10]


def test_pauses_grow_with_failures():
    """From the third claim in a row without any answer on all workers pause, ever longer, up to five minutes."""
    health, pauses = Health(), []
    for _ in range(100):
        answers = health.read({"1": smm.NoAnswerError("down")})
        pauses.append(health.pause(list(answers.values())))

    assert pauses[:6] == [0.0, 0.0, 5.0, 10.0, 20.0, 40.0]
    assert pauses[-1] == 300.0
    health.read({"1": GOING})
    assert health.pause([GOING]) == 0.0


def test_wish_of_the_panel_is_followed_within_reason():
    """A panel that asks for a pause gets it, an hour at most; of several wishes the longest counts."""
    limited, closed = smm.RateLimitedError("slow"), smm.MaintenanceError("closed")
    limited.retry_after, closed.retry_after = 20.0, 10.0
    forever = smm.RateLimitedError("slow")
    forever.retry_after = 1e9

    assert Health().pause([limited, GOING, closed, smm.RateLimitedError("slow")]) == 20.0
    assert Health().pause([forever]) == 3600.0


def test_refused_key_pauses_for_long():
    """A refused key is not tried again for five minutes, and then with little."""
    health = Health()

    assert health.refused() == 300.0
    assert health.failures == 1
