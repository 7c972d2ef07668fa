"""The coalescer's state: who waits for which key, what goes next, and who is answered."""

import math
from typing import Any, cast

import pytest

from smm_async._tickets import Crowd, Queue, answer, answer_entry, is_open, tickets_of
from smm_async.errors import NoAnswerError


class Bell:
    """A waiter without a loop."""

    def __init__(self):
        self.results = []
        self.is_cancelled = False

    def done(self):
        """Return whether nobody waits any more."""
        return bool(self.results) or self.is_cancelled

    def set_result(self, result):
        """Keep the result; a second one is an error, as it is for real waiters."""
        assert not self.done()
        self.results.append(result)


def ticket_for(key, deadline=math.inf):
    """Return a ticket of a new caller."""
    return (deadline, key, Bell())


def queue_of(*tickets):
    """Return a queue that these have joined."""
    queue: Queue[Any] = Queue()
    for ticket in tickets:
        queue.join(ticket)
    return queue


def taken(queue, size):
    """Return the keys of the next batch."""
    batch = queue.take(size)
    return None if batch is None else list(batch.entries)


def cancel(ticket):
    """Have the caller leave, its own task not having run yet."""
    ticket[2].is_cancelled = True


# The line.


def test_queue_takes_in_order_of_arrival():
    """Keys go in the order they came, at most as many as may go at once."""
    queue = queue_of(*map(ticket_for, "dacb"))

    assert len(queue) == 4
    assert taken(queue, 3) == ["d", "a", "c"]
    assert taken(queue, 3) == ["b"]
    assert taken(queue, 3) is None
    assert len(queue) == 0


def test_queue_gives_one_place_to_one_key():
    """All callers of one key have one place, at which the first of them joined."""
    tickets = [ticket_for(key) for key in "aba"] + [ticket_for("a")]
    queue = queue_of(*tickets)

    batch = queue.take(100)

    assert list(batch.entries) == ["a", "b"]
    assert [ticket for _, ticket in batch.places()] == [tickets[0], tickets[2], tickets[3], tickets[1]]


def join_all(queue, keys, deadline=math.inf):
    """Have the caller of a list join, and return its ticket."""
    crowd = Crowd(cast("Any", None), {})
    ticket = (deadline, None, crowd)
    crowd.open.update(dict.fromkeys(keys, ticket))
    queue.join_all(dict(crowd.open), ticket)
    return ticket


def test_queue_takes_many_of_one_caller_behind_others():
    """Many that come at once stand behind those who were there, in their order, with one deadline."""
    queue = queue_of(first := ticket_for("d", 1))

    ticket = join_all(queue, "acb", 2)
    batch = queue.take(100)

    assert batch.deadline == 2
    assert list(batch.places()) == [("d", first), ("a", ticket), ("c", ticket), ("b", ticket)]
    assert list(queue.pop_expired(2)) == [("d", first), ("a", ticket), ("c", ticket), ("b", ticket)]


def test_queue_gives_many_of_one_caller_the_places_of_others():
    """Of many that come at once, those that others ask for have one place with them, and nobody is displaced."""
    others = [ticket_for("c", 1), ticket_for("c", 1)]
    queue = queue_of(*others)

    ticket = join_all(queue, "ac", 2)
    batch = queue.take(100)

    assert list(batch.entries) == ["c", "a"]
    assert list(batch.places()) == [("c", others[0]), ("c", others[1]), ("c", ticket), ("a", ticket)]
    assert list(queue.pop_expired(2)) == [("c", others[0]), ("c", others[1]), ("a", ticket), ("c", ticket)]


def test_queue_forgets_the_deadline_of_a_list():
    """What has been answered of a list does not end with its budget, and the last answer ends that."""
    queue: Queue[Any] = Queue()
    ticket = join_all(queue, "abc", 2)
    queue.take(100)

    answer(ticket, "b", "value")
    queue.settle()
    assert queue.next_deadline() == 2
    assert list(queue.pop_expired(2)) == [("a", ticket), ("c", ticket)]

    ticket = join_all(queue, "ab", 3)
    assert queue.take(100).answer_plainly({"a": 1, "b": 2})
    assert queue.next_deadline() is None


@pytest.mark.parametrize("answers", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "b": ValueError()}], ids=repr)
def test_batch_of_a_list_that_is_not_answered_plainly(answers):
    """An answer that leaves something out, has more than was asked for, or an error, is looked at key by key."""
    queue: Queue[Any] = Queue()
    ticket = join_all(queue, "abc")

    assert not queue.take(2).answer_plainly(answers)
    assert list(ticket[2].open) == ["a", "b", "c"]


def test_batch_of_several_is_not_answered_plainly():
    """What more than one caller has asked for is looked at key by key, and so is what one asks for with others."""
    queue = queue_of(single := ticket_for("a"))
    shared = queue_of(ticket_for("a"), ticket_for("a"))
    list_with_others = queue_of(ticket_for("b"))
    join_all(list_with_others, "a")

    batches = [queue.take(100), shared.take(100), list_with_others.take(100)]

    assert [batch.answer_plainly(dict.fromkeys(batch.entries, 1)) for batch in batches] == [False] * 3
    assert single[2].results == []


def test_queue_without_deadlines():
    """Who waits without end has no deadline to be looked after."""
    queue = queue_of(ticket_for("a"))
    join_all(queue, "b")

    assert len(queue) == 2
    assert queue.next_deadline() is None


def test_queue_holds_batch():
    """A batch is full when there are keys enough, however many callers they have, or when one is to go alone."""
    queue = queue_of(ticket_for("a"), ticket_for("a"))

    assert not queue.holds_batch(2)
    queue.join(ticket_for("b"))
    assert queue.holds_batch(2)
    assert not queue.holds_batch(3)
    queue.ask_alone("c", ticket_for("c"))
    assert queue.holds_batch(3)


def test_batch_ends_with_its_youngest_caller():
    """A batch's deadline is the last of its callers', not counting those that have left."""
    tickets = [ticket_for("a", 10), ticket_for("b", 20), ticket_for("a", 30), ticket_for("b", 40)]
    queue = queue_of(*tickets)
    cancel(tickets[3])

    assert queue.take(100).deadline == 30


# Leaving it.


def test_key_leaves_with_its_last_caller():
    """A key stays in line until the last of its callers has left."""
    first, second, third = tickets = [ticket_for("a") for _ in range(3)]
    queue = queue_of(*tickets)

    left = [queue.leave(second, second[1]), queue.leave(first, first[1])]
    assert len(queue) == 1
    left.append(queue.leave(third, third[1]))

    assert left == [True, True, True]
    assert len(queue) == 0
    assert taken(queue, 100) is None


def test_leaving_twice_or_from_nowhere():
    """Whoever does not stand in line cannot leave it, even where others stand for the same key."""
    stranger, alone, *others = [ticket_for(key) for key in "abcc"]
    queue = queue_of(alone, *others)

    assert not queue.leave(stranger, stranger[1])
    assert not queue.leave(ticket_for("b"), "b")
    assert not queue.leave(ticket_for("c"), "c")
    assert queue.leave(alone, alone[1])
    assert not queue.leave(alone, alone[1])
    assert taken(queue, 100) == ["c"]


def test_taken_ticket_cannot_leave():
    """A ticket whose batch was taken stands in line no more, even if the key came again."""
    ticket = ticket_for("a")
    queue = queue_of(ticket)
    queue.take(100)
    queue.join(ticket_for("a"))

    assert not queue.leave(ticket, ticket[1])
    assert taken(queue, 100) == ["a"]


def test_key_that_left_and_came_again():
    """A key that left and came again is in line once."""
    first, second = ticket_for("a"), ticket_for("a")
    queue = queue_of(first)
    queue.leave(first, first[1])
    queue.join(second)

    assert list(queue.take(100).places()) == [("a", second)]
    assert taken(queue, 100) is None


def test_queue_keeps_nothing_of_those_who_left():
    """However many come and leave, the queue does not grow, and the order of the rest stays."""
    queue = queue_of(ticket_for("first"))

    for number in range(3000):
        ticket = ticket_for(number)
        queue.join(ticket)
        queue.leave(ticket, ticket[1])
    queue.join(ticket_for("last"))

    assert len(queue._order) < 1100
    assert taken(queue, 100) == ["first", "last"]


# Looking again.


def test_cancelled_callers_are_not_asked_for():
    """A key whose callers were all cancelled is passed over, and takes no place in the batch."""
    tickets = [ticket_for(key) for key in ("a", "b", "b", "c", "c", "d")]
    queue = queue_of(*tickets)
    for number in (0, 1, 2, 3):
        cancel(tickets[number])

    assert taken(queue, 2) == ["c", "d"]
    assert taken(queue, 2) is None


def test_key_to_ask_alone_goes_next_and_alone():
    """What a batch left out goes before all others, one at a time."""
    queue = queue_of(ticket_for("a"), ticket_for("b"))
    queue.ask_alone("x", ticket_for("x", 7))
    shared = queue_of(ticket_for("y", 8), ticket_for("y", 9)).take(1)
    queue.ask_alone("y", shared.entries["y"])

    first, second = queue.take(100), queue.take(100)

    assert (list(first.entries), first.deadline) == (["x"], 7)
    assert (list(second.entries), second.deadline) == (["y"], 9)
    assert taken(queue, 100) == ["a", "b"]


def test_key_to_ask_alone_that_nobody_waits_for():
    """What nobody waits for any more is not asked alone, whether its callers left before or after."""
    early, late, stays = (ticket_for(key) for key in "els")
    queue: Queue[Any] = Queue()
    cancel(early)
    for ticket in (early, late, stays):
        queue.ask_alone(ticket[1], ticket)
    cancel(late)

    assert len(queue) == 2
    assert taken(queue, 100) == ["s"]
    assert taken(queue, 100) is None


def test_clearing_returns_everybody():
    """An emptied line names all that stood in it."""
    tickets = [ticket_for(key) for key in "aabx"]
    queue = queue_of(*tickets[:3])
    queue.ask_alone("x", tickets[3])

    assert queue.clear() == list(zip("aabx", tickets, strict=True))
    assert len(queue) == 0
    assert not queue.holds_batch(1)
    assert taken(queue, 100) is None


# Deadlines.


def test_deadlines_come_in_order():
    """The next deadline is that of the first who still waits."""
    tickets = [ticket_for(key, deadline) for deadline, key in enumerate("abcd", 1)]
    queue: Queue[Any] = Queue()
    for ticket in tickets:
        queue.join(ticket)
    cancel(tickets[0])

    assert queue.next_deadline() == 2
    assert list(queue.pop_expired(1.5)) == []
    cancel(tickets[2])
    assert list(queue.pop_expired(3)) == [("b", tickets[1])]
    assert queue.next_deadline() == 4
    assert list(queue.pop_expired(4)) == [("d", tickets[3])]
    assert queue.next_deadline() is None


def test_deadlines_of_those_who_were_answered_are_forgotten():
    """One that waits long does not keep all that came and went behind it."""
    queue: Queue[Any] = Queue()
    old = ticket_for("old", 1)
    queue.join(old)

    for number in range(5000):
        ticket = ticket_for(number, 2)
        queue.join(ticket)
        answer(ticket, ticket[1], "value")
        queue.settle()

    assert len(queue._deadlines) <= 1001
    assert queue.next_deadline() == 1


def test_deadlines_of_those_who_wait_are_kept():
    """Pruning loses nobody who waits."""
    queue: Queue[Any] = Queue()
    tickets = [ticket_for(number, number) for number in range(2500)]
    for ticket in tickets:
        queue.join(ticket)
        queue.settle()
    for ticket in tickets[:2400]:
        answer(ticket, ticket[1], "value")
    queue.settle()

    assert list(queue.pop_expired(2500)) == list(enumerate(tickets))[2400:]


# Answers.


def test_answer_wakes_once():
    """A caller that has an answer, or has left, gets no other."""
    answered, gone = ticket_for("a"), ticket_for("b")
    cancel(gone)

    for result in ("first", "second"):
        answer(answered, "a", result)
        answer(gone, "b", result)

    assert answered[2].results == ["first"]
    assert gone[2].results == []
    assert not is_open(answered, "a")
    assert not is_open(gone, "b")


def test_answer_for_all_callers_of_a_key():
    """All who wait for a key get the same value."""
    tickets = [ticket_for("a") for _ in range(3)]

    answer_entry(queue_of(*tickets).take(1).entries["a"], "a", "value")
    answer_entry(single := ticket_for("b"), "b", None)

    assert [ticket[2].results for ticket in tickets] == [["value"]] * 3
    assert single[2].results == [None]
    assert tickets_of(single) == [single]


def test_error_for_all_callers_of_a_key():
    """All who wait for a key get an equal error, and each one its own object."""
    tickets = [ticket_for("a") for _ in range(3)]

    answer_entry(queue_of(*tickets).take(1).entries["a"], "a", NoAnswerError("Nothing.", action="status"))
    errors = [ticket[2].results[0] for ticket in tickets]

    assert [str(error) for error in errors] == ["Nothing."] * 3
    assert [error.action for error in errors] == ["status"] * 3
    assert len({id(error) for error in errors}) == 3
