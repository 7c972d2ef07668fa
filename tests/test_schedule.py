"""Whose turn it is: the decisions of a watch, without a loop and without a clock."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import smm_async as smm
from smm_async._schedule import Outcome, Schedule

BATCH = 100
POLL = smm.Poll(shortest=10, factor=0.1, longest=1000)


class NoJitter(random.Random):
    """Draws what moves no delay."""

    def random(self):
        return 0.5


def schedule_of(count, poll=POLL, jitter=None):
    """Return a schedule of orders with the numbers from 0, whose delays are exact."""
    return Schedule(range(count), poll, jitter=jitter or NoJitter())


def look(schedule, now, outcome=Outcome.STILL, batch=BATCH, **options):
    """Take whose turn it is, settle all with one outcome, and return the orders."""
    turns = schedule.take(now, batch)
    schedule.settle(turns, [outcome] * len(turns), now, **options)
    return [turn.order for turn in turns]


def look_at_all(schedule, now, outcome=Outcome.STILL, batch=BATCH):
    """Look as long as somebody is due, and return the sizes of the looks."""
    sizes = []
    while len(schedule) and schedule.next_at <= now:
        sizes.append(len(look(schedule, now, outcome, batch)))
    return sizes


def settle_by(schedule, now, outcome_of, batch=BATCH):
    """Take whose turn it is, settle each with its own outcome, and return the orders."""
    turns = schedule.take(now, batch)
    schedule.settle(turns, [outcome_of(turn.order) for turn in turns], now)
    return [turn.order for turn in turns]


def test_all_are_due_at_first_in_their_order():
    """The first look is at everything, eight full requests at a time."""
    schedule = schedule_of(1000)

    assert look(schedule, 0.0) == list(range(800))
    assert look(schedule, 0.0) == list(range(800, 1000))
    assert schedule.next_at == 10.0


def test_nobody_is_due_early():
    """Before the time of the first there is nothing to take."""
    schedule = schedule_of(200)
    look_at_all(schedule, 0.0)

    assert schedule.take(9.9, BATCH) == []


def test_full_request_leaves_without_riders():
    """Where those that are due fill their requests exactly, nobody is asked early."""
    schedule = schedule_of(300, jitter=random.Random(1))
    look_at_all(schedule, 0.0)
    due = sorted(place[0] for place in schedule._heap)

    assert len(look(schedule, due[99])) == 100
    assert len(look(schedule, due[150])) == 100


def test_room_in_a_request_is_filled_with_those_that_are_nearly_due():
    """One that is due takes along the next ones, as many as the request holds, and no more."""
    schedule = schedule_of(300, jitter=random.Random(1))
    look_at_all(schedule, 0.0)
    due = sorted((place[0], place[1]) for place in schedule._heap)

    taken = look(schedule, due[0][0])

    assert taken == [order for _, order in due[:100]]


def test_only_the_last_quarter_of_a_pause_may_be_cut():
    """One that was asked for just now does not ride along, and lets those behind it do so."""
    schedule = schedule_of(300, poll=smm.Poll(shortest=10, factor=0.1, longest=100))
    for now in (0.0, 1e5):
        look_at_all(schedule, now)
    moved = [100.0, 10.0, 100.0]
    turns = schedule.take(1e5 + 110, BATCH)[:3]
    for turn, pause, due_at in zip(turns, moved, (0.0, 8.0, 20.0), strict=True):
        schedule._push(turn, 2e5 + due_at, pause)

    assert [turn.order for turn in schedule.take(2e5, BATCH)][:2] == [turns[0].order, turns[2].order]


def test_crowd_of_the_just_asked_is_not_searched_for_ever():
    """When a whole request's worth may not ride along, nobody looks further."""
    schedule = schedule_of(300)
    look_at_all(schedule, 0.0)
    schedule.put_back(schedule.take(10.0, BATCH))
    for place in list(schedule._heap):
        place[2].pause = 0.1
    schedule._heap[:] = [(10.0, 0, schedule._heap[0][2]), *((15.0 + n, n, t) for _, n, t in schedule._heap[1:])]

    assert len(schedule.take(10.0, BATCH)) == 1
    assert len(schedule._heap) == 299


def test_order_that_does_not_move_is_asked_less_often():
    """Pauses grow with the silence, between the bounds; a move makes them short again."""
    schedule, moments = schedule_of(200), []
    while not moments or moments[-1] < 50_000:
        moments.append(schedule.next_at if moments else 0.0)
        look_at_all(schedule, moments[-1])
    pauses = [round(after - before, 6) for before, after in pairwise(moments)]

    assert pauses[:9] == [10.0] * 9
    assert pauses == sorted(pauses)
    assert max(pauses) == 1000.0

    turns = schedule.take(schedule.next_at, BATCH)
    now = turns[0].due_at
    schedule.settle(turns, [Outcome.MOVED] * len(turns), now)
    assert schedule.next_at == min(turn.due_at for turn in turns) <= now + 12.5


def test_ended_orders_leave():
    """What has ended is not asked for again, and counts no more."""
    schedule = schedule_of(150)

    settle_by(schedule, 0.0, lambda order: Outcome.ENDED if order % 2 else Outcome.STILL)

    assert len(schedule) == 75
    assert sorted(look(schedule, 100.0)) == list(range(0, 150, 2))
    assert look_at_all(schedule, 1000.0, Outcome.ENDED) == [75]
    assert len(schedule) == 0


@given(st.integers(1, 400), st.integers(0, 2**32), st.floats(10.0, 1e6))
def test_clock_jump_is_one_look_at_each(count, seed, jump):
    """However far the clock jumps, each order is asked for once, and then they are spread again."""
    schedule = schedule_of(count, jitter=random.Random(seed))
    look_at_all(schedule, 0.0)

    asked = look_at_all(schedule, 10.0 + jump)

    assert sum(asked) == count
    assert schedule.next_at >= 10.0 + jump + 0.9 * 10.0


def test_orders_do_not_stay_in_step():
    """Orders that are asked for together are not asked for together for ever."""
    schedule = schedule_of(1000, jitter=random.Random(7))
    look_at_all(schedule, 0.0)

    due = {place[0] for place in schedule._heap}
    assert len(due) > 990
    assert 9.0 <= min(due) < 9.1
    assert 10.9 < max(due) <= 11.0


def test_few_orders_meet_with_those_of_other_watches():
    """Orders that fill no request by themselves are due on a grid, a bit later than they would be."""
    single = [schedule_of(1, jitter=random.Random(seed)) for seed in range(100)]
    for schedule in single:
        look(schedule, random.Random(id(schedule)).random())

    due = {schedule.next_at for schedule in single}
    assert due <= {10.0, 12.0}


def test_refusal_of_one_order_backs_off_alone():
    """An order that the panel says nothing about is asked less and less; the others are not."""
    schedule, asked, now = schedule_of(200), [], 0.0
    while now < 3000:
        turns = settle_by(schedule, now, lambda order: Outcome.MOVED if order else Outcome.UNSETTLED)
        asked += [(now, order) for order in turns if order < 2]
        now = schedule.next_at
    failing, healthy = ([at for at, order in asked if order == number] for number in (0, 1))

    assert len(failing) < 12
    assert failing[-1] - failing[-2] >= 750.0
    assert len(healthy) > 250
    assert max(after - before for before, after in pairwise(healthy)) <= 10.0


def outcomes_with(bad, turns, spoiled, now):
    """Return what becomes of orders that are asked for in full requests, where the bad ones spoil theirs."""
    outcomes = []
    for start in range(0, len(turns), BATCH):
        part = [turn.order for turn in turns[start : start + BATCH]]
        outcomes += [Outcome.UNANSWERED if bad & set(part) else Outcome.MOVED] * len(part)
        spoiled += [(now, part)] if bad & set(part) else []
    return outcomes


@pytest.mark.parametrize(
    ("count", "bad"), [(2, {0}), (99, {5}), (100, {99}), (300, {0}), (300, {3, 4}), (300, {7, 155, 201})]
)
def test_order_that_spoils_its_request_is_found(count, bad):
    """One that leaves its whole request unanswered is soon asked alone, and less and less; the others are answered."""
    schedule, now, spoiled = schedule_of(count), 0.0, []
    answered, longest = dict.fromkeys(range(count), 0.0), dict.fromkeys(range(count), 0.0)
    while now < 5000:
        turns = schedule.take(now, BATCH)
        outcomes = outcomes_with(bad, turns, spoiled, now)
        schedule.settle(turns, outcomes, now)
        for turn, outcome in zip(turns, outcomes, strict=True):
            if outcome is Outcome.MOVED:
                longest[turn.order] = max(longest[turn.order], now - answered[turn.order])
                answered[turn.order] = now
        now = max(now, schedule.next_at)

    for order in bad:
        last, then = [(at, part) for at, part in spoiled if order in part][-2:]
        assert last[1] == then[1] == [order]
        assert then[0] - last[0] > 400
    assert len(spoiled) < 40 * len(bad)
    assert max(longest[order] for order in range(count) if order not in bad) < 200


def test_silent_panel_is_probed_by_single_orders_and_left_alone():
    """While the panel answers nothing, one order after the other is asked for, less and less often."""
    schedule, now, looks = schedule_of(1000), 0.0, []
    while now < 3600:
        looks.append((now, look(schedule, now, Outcome.UNANSWERED)))
        now = schedule.next_at

    assert [len(orders) for _, orders in looks] == [800] + [1] * (len(looks) - 1)
    assert len({orders[0] for _, orders in looks}) == len(looks)
    assert [at for at, _ in looks] == [0.0, 0.0, 10.0, 30.0, 70.0, 150.0, 310.0, 630.0, 1270.0, 2270.0, 3270.0]

    look(schedule, now)
    assert schedule.setbacks == 0
    assert look_at_all(schedule, now) == [800, 199]


def test_few_orders_take_turns_as_probes():
    """Where all orders were asked for in vain, they are probes one after the other, and nobody is blamed."""
    schedule, now, looks = schedule_of(3), 0.0, []
    for _ in range(8):
        looks.append(look(schedule, now, Outcome.UNANSWERED))
        now = schedule.next_at

    assert looks == [[0, 1, 2], [0], [1], [2], [0], [1], [2], [0]]
    assert look(schedule, now) == [1]
    assert look(schedule, now) == [0, 2]
    assert all(turn.failures == turn.suspicions == 0 for _, _, turn in schedule._heap)


def test_panel_that_asks_for_a_pause_gets_it():
    """Where the panel wants to be left alone, nobody is asked for, nobody is blamed, and one probes afterwards."""
    schedule = schedule_of(250)

    look(schedule, 0.0, Outcome.NOT_NOW, leave_alone=300.0)

    assert schedule.next_at == 300.0
    assert len(look(schedule, 300.0)) == 1
    assert look_at_all(schedule, 300.0) == [249]
    assert not schedule._suspects


def test_pause_that_the_panel_asks_for_is_bounded():
    """Ten years are not waited for; and without a wish, the pauses grow."""
    schedule = schedule_of(250)

    look(schedule, 0.0, Outcome.NOT_NOW, leave_alone=3e8)
    assert schedule.next_at == 1000.0

    look(schedule, 1000.0, Outcome.NOT_NOW)
    assert schedule.next_at == 1020.0


def test_those_answered_before_the_panel_had_enough_are_settled():
    """What was answered counts, even if the panel then wants a pause; those that failed beside it stand apart."""
    schedule = schedule_of(3)

    settle_by(schedule, 0.0, [Outcome.STILL, Outcome.NOT_NOW, Outcome.UNANSWERED].__getitem__)

    assert schedule.setbacks == 2
    assert [place[2].order for place in schedule._heap] == [0]
    assert [place[2].order for place in schedule._suspects] == [2]
    assert look(schedule, 10.0) == [0]


def test_what_was_not_looked_up_is_still_due():
    """Orders that are put back are taken again at once, in their order."""
    schedule = schedule_of(5)

    schedule.put_back(schedule.take(0.0, BATCH))

    assert look(schedule, 0.0) == [0, 1, 2, 3, 4]


def test_missing_order_is_asked_for_as_if_it_were_new():
    """An order that the panel does not know yet is asked for often at first, and it is no failure."""
    schedule, now, moments = schedule_of(1), 0.0, []
    while now < 600:
        moments.append(now)
        look(schedule, now, Outcome.MISSING)
        now = schedule.next_at

    assert moments[:4] == [0.0, 10.0, 20.0, 30.0]
    assert 20 < len(moments) < 40


@given(
    st.integers(1, 250),
    st.lists(
        st.tuples(st.sampled_from(Outcome), st.sampled_from(Outcome), st.floats(0, 500), st.booleans()), max_size=40
    ),
    st.integers(1, 100),
)
def test_no_order_is_ever_lost(count, steps, batch):
    """Whatever the lookups come to, each open order is in the schedule once, and its turn comes."""
    schedule, ended, now = schedule_of(count, jitter=random.Random(0)), set(), 0.0
    for even, odd, late, is_put_back in steps:
        if not len(schedule):
            break
        now = max(now, schedule.next_at) + late
        turns = schedule.take(now, batch)
        assert turns
        if is_put_back:
            schedule.put_back(turns)
            continue
        outcomes = [odd if turn.order % 2 else even for turn in turns]
        schedule.settle(turns, outcomes, now)
        ended |= {turn.order for turn, outcome in zip(turns, outcomes, strict=True) if outcome is Outcome.ENDED}
        held = [place[2].order for place in [*schedule._heap, *schedule._suspects]]
        held += [turn.order for turn in schedule._limbo]
        assert sorted(held) == sorted(set(range(count)) - ended)
        assert len(schedule) == len(held)

    for _ in range(20 * count):
        if not len(schedule):
            break
        now = max(now, schedule.next_at)
        look(schedule, now, Outcome.ENDED, batch)
    assert len(schedule) == 0
