"""The coalescer's state: who waits for which key, what goes next, and who is answered."""

import math
from typing import Any

from smm_async._tickets import Queue, answer, answer_entry, is_open, tickets_of
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
    assert list(batch.tickets()) == [tickets[0], tickets[2], tickets[3], tickets[1]]


def test_queue_takes_many_of_one_caller_behind_others():
    """Many that come at once stand behind those who were there, in their order, each with its deadline."""
    queue, caller = queue_of(ticket_for("d", 1)), Bell()
    many = {key: (2, key, caller) for key in "acb"}

    queue.join_all(many)

    assert list(queue.take(100).tickets())[1:] == list(many.values())
    assert list(queue.pop_expired(2))[1:] == list(many.values())


def test_queue_gives_many_of_one_caller_the_places_of_others():
    """Of many that come at once, those that others ask for have one place with them, and nobody is displaced."""
    others = [ticket_for("c", 1), ticket_for("c", 1)]
    queue = queue_of(*others)
    many = {key: ticket_for(key, 2) for key in "ac"}

    queue.join_all(many)
    batch = queue.take(100)

    assert list(batch.entries) == ["c", "a"]
    assert list(batch.tickets()) == [*others, many["c"], many["a"]]
    assert list(queue.pop_expired(2)) == [*others, *many.values()]


def test_queue_without_deadlines():
    """Who waits without end has no deadline to be looked after."""
    queue = queue_of(ticket_for("a"))
    queue.join_all({"b": ticket_for("b")})

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

    left = [queue.leave(second), queue.leave(first)]
    assert len(queue) == 1
    left.append(queue.leave(third))

    assert left == [True, True, True]
    assert len(queue) == 0
    assert taken(queue, 100) is None


def test_leaving_twice_or_from_nowhere():
    """Whoever does not stand in line cannot leave it, even where others stand for the same key."""
    stranger, alone, *others = [ticket_for(key) for key in "abcc"]
    queue = queue_of(alone, *others)

    assert not queue.leave(stranger)
    assert not queue.leave(ticket_for("b"))
    assert not queue.leave(ticket_for("c"))
    assert queue.leave(alone)
    assert not queue.leave(alone)
    assert taken(queue, 100) == ["c"]


def test_taken_ticket_cannot_leave():
    """A ticket whose batch was taken stands in line no more, even if the key came again."""
    ticket = ticket_for("a")
    queue = queue_of(ticket)
    queue.take(100)
    queue.join(ticket_for("a"))

    assert not queue.leave(ticket)
    assert taken(queue, 100) == ["a"]


def test_key_that_left_and_came_again():
    """A key that left and came again is in line once."""
    first, second = ticket_for("a"), ticket_for("a")
    queue = queue_of(first)
    queue.leave(first)
    queue.join(second)

    assert list(queue.take(100).tickets()) == [second]
    assert taken(queue, 100) is None


def test_queue_keeps_nothing_of_those_who_left():
    """However many come and leave, the queue does not grow, and the order of the rest stays."""
    queue = queue_of(ticket_for("first"))

    for number in range(3000):
        ticket = ticket_for(number)
        queue.join(ticket)
        queue.leave(ticket)
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

    assert queue.clear() == tickets
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
    assert list(queue.pop_expired(3)) == [tickets[1]]
    assert queue.next_deadline() == 4
    assert list(queue.pop_expired(4)) == [tickets[3]]
    assert queue.next_deadline() is None


def test_deadlines_of_those_who_were_answered_are_forgotten():
    """One that waits long does not keep all that came and went behind it."""
    queue: Queue[Any] = Queue()
    old = ticket_for("old", 1)
    queue.join(old)

    for number in range(5000):
        ticket = ticket_for(number, 2)
        queue.join(ticket)
        answer(ticket, "value")
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
        answer(ticket, "value")
    queue.settle()

    assert list(queue.pop_expired(2500)) == tickets[2400:]


# Answers.


def test_answer_wakes_once():
    """A caller that has an answer, or has left, gets no other."""
    answered, gone = ticket_for("a"), ticket_for("b")
    cancel(gone)

    for result in ("first", "second"):
        answer(answered, result)
        answer(gone, result)

    assert answered[2].results == ["first"]
    assert gone[2].results == []
    assert not is_open(answered)
    assert not is_open(gone)


def test_answer_for_all_callers_of_a_key():
    """All who wait for a key get the same value."""
    tickets = [ticket_for("a") for _ in range(3)]

    answer_entry(queue_of(*tickets).take(1).entries["a"], "value")
    answer_entry(single := ticket_for("b"), None)

    assert [ticket[2].results for ticket in tickets] == [["value"]] * 3
    assert single[2].results == [None]
    assert tickets_of(single) == [single]


def test_error_for_all_callers_of_a_key():
    """All who wait for a key get an equal error, and each one its own object."""
    tickets = [ticket_for("a") for _ in range(3)]

    answer_entry(queue_of(*tickets).take(1).entries["a"], NoAnswerError("Nothing.", action="status"))
    errors = [ticket[2].results[0] for ticket in tickets]

    assert [str(error) for error in errors] == ["Nothing."] * 3
    assert [error.action for error in errors] == ["status"] * 3
    assert len({id(error) for error in errors}) == 3
