"""What must hold in every life: the invariants I1 to I15, each with its own message.

I1 one outcome for each waiter - I2 a value is for the id that was asked, after it was asked - I3 1 to the limit of unique,
valid ids in a request - I4 nothing is asked that nobody waits for - I5 no write is sent twice - I6 after closing nothing is
left, waiters hear of it at that instant, and the body's exception is intact - I7 after a storm all works again - I8 only
who is cancelled sees a cancellation, and does - I9 nothing goes wrong unseen - I10 what is said of a write agrees with the
ledger - I11 no more requests at once than allowed, and nothing is kept for ever - I12 no call exceeds its budget - I13
every error has a cause - I14 the source of a stream is read for nobody who has left, and closed when it is left
- I15 no more requests in any window than a limit allows, and none while the panel wants to be left alone.
"""

import contextlib
import logging
import sys
import warnings
from typing import Any

import smm_async as smm
from tests.simulation import limits, streams
from tests.simulation.world import KEY

_WRITES = {"add", "refill", "refills", "cancel", "cancels"}
_MANY = {"statuses", "refills", "cancels"}
_TYPES: dict[str, Any] = {
    "status": smm.models.OrderStatus,
    "refill_status": smm.models.RefillStatus,
    "balance": smm.models.Balance,
}
_SLACK = 1e-6
_CLOSING = 5.0
_NETWORK = {"refused", "connecting", "lost while writing", "lost before", "lost after", "hang", "cut", "short", "drip"}
_DELAYS = {"connecting", "lost after", "hang", "drip", "slow", "busy", "maintenance"}
_ODD = {"html", "500", "null", "nothing", "cut", "short", "left out", "list", "foreign", "whole", "flat"}
# What must have happened during a call for it to end like this. A retry after one fault may end as another's error.
_CAUSES = {
    smm.NotSentError: {"refused", *_DELAYS},
    smm.NoAnswerError: {*_NETWORK, *_DELAYS},
    smm.UnresolvedError: {*_ODD, *_NETWORK},
    smm.BadReplyError: _ODD,
    smm.RateLimitedError: {"busy"},
    smm.MaintenanceError: {"maintenance"},
    smm.InvalidKeyError: {"wrong key"},
    smm.NotEnoughFundsError: {"refusal"},
    smm.OutcomeUnknownError: {*_NETWORK, *_DELAYS, *_ODD, "unclear"} - {"refused", "connecting", "busy"},
    smm.PanelError: {"unclear", "nothing"},
}


def check_fetch(life, action, ids):
    """Check that a request may be sent: its ids, and that somebody waits for each of them at this instant."""
    limit = life.client._exchange._coalescers[action].max_batch
    if not 1 <= len(ids) <= limit:
        life.wrong(f"I3 {len(ids)} ids in a request, where {limit} are allowed")
    if life.closed_at is not None:
        life.wrong(f"I6 {action} was asked after the closing")
    for id_ in ids:
        if not life.wanted(action, id_):
            life.wrong(f"I4 nobody waits for {action} {id_}")


def check_idle(life):
    """Check that nothing is left once all budgets are over."""
    world, exchange = life.world, life.client._exchange
    # Connections of the network may be kept for the next request; bodies of answers may not.
    streams = world.open_streams if life.knobs.wire == "transport" else 0
    if world.open or streams:
        life.wrong(f"I11 {world.open} requests and {streams} streams are open after all budgets")
    for action, coalescer in exchange._coalescers.items():
        queue = coalescer._queue
        if queue or coalescer._in_flight or coalescer._streams:
            life.wrong(f"I11 {action} keeps what nobody waits for")
    if exchange._calls._open:
        life.wrong("I11 calls are kept that have ended")


def check_end(life, tasks_left):
    """Check a whole life."""
    world = life.world
    if tasks_left > 0:
        life.wrong(f"I6 {tasks_left} tasks are left after the closing")
    if not life.is_transport_closed():
        life.wrong("I6 the transport is open after the closing")
    if world.open or world.open_streams:
        life.wrong(f"I6 {world.open} requests and {world.open_streams} streams are left after the closing")
    check_most_open(life)
    limits.check(life)
    _check_requests(life)
    for caller in life.callers:
        for call in caller.calls:
            if call.has_begun:
                _check_call(life, caller, call)
    _check_own_errors(life)


def check_most_open(life):
    """Check how many requests there were at once since that was looked at."""
    if life.world.most_open > life.knobs.max_in_flight:
        life.wrong(f"I11 {life.world.most_open} requests at once, where {life.knobs.max_in_flight} are allowed")


def _check_own_errors(life):
    """Check that no two callers share one exception object, which would mix their tracebacks."""
    calls = [call for caller in life.callers for call in caller.calls if call.has_begun]
    errors = [{id(outcome) for _, outcome in _outcomes(call) if isinstance(outcome, Exception)} for call in calls]
    if len(set().union(*errors)) < sum(map(len, errors)):
        life.wrong("I1 two callers share one exception object")


def _check_requests(life):
    asked = {(call.action, id_) for caller in life.callers for call in caller.calls for id_ in call.ids}
    for received in life.world.received:
        ids = received.ids
        if received.form["key"] != KEY:
            life.wrong(f"I3 request {received.number} has another key")
        if received.duplicated or len(set(ids)) != len(ids):
            life.wrong(f"I3 a field or an id stands twice in request {received.number}")
        if any((received.action, id_) not in asked for id_ in ids):
            life.wrong(f"I3 request {received.number} asks for what nobody ever asked")
        if len(ids) > life.knobs.limit:
            life.wrong(f"I3 {len(ids)} ids in request {received.number}, where {life.knobs.limit} are allowed")
    _check_sent_once(life)


def _check_sent_once(life):
    seen = set()
    for received in life.world.received:
        for sent in [received.form.get("link"), *((received.action, id_) for id_ in received.ids)]:
            is_write = received.action in {"add", "refill", "cancel"}
            if is_write and sent is not None and sent in seen:
                life.wrong(f"I5 {received.action} {sent} was sent twice")
            seen.add(sent)


def _check_call(life, caller, call):
    if call.ended_at is None:
        life.wrong(f"I1 {call.kind} {call.ids} has no outcome")
        return
    if call.reading is None:
        _check_time(life, call)
    else:
        streams.check(life, call)
    if call.saw_cancel:
        if not caller.was_cancelled and caller.scope.deadline > call.ended_at:
            life.wrong(f"I8 {call.kind} {call.ids} was cancelled by nobody")
    elif call.is_gone:
        life.wrong(f"I8 {call.kind} {call.ids} was cancelled and got {call.outcome!r}")
    for id_, outcome in _outcomes(call):
        _check_outcome(life, call, id_, outcome)
    if call.kind in _MANY and isinstance(call.outcome, dict) and tuple(call.outcome) != tuple(dict.fromkeys(call.ids)):
        life.wrong(f"I1 {call.kind} {call.ids} has outcomes for {tuple(call.outcome)}")
    if call.kind in _WRITES:
        _check_money(life, call)


def _outcomes(call):
    if call.reading is not None:
        return call.reading.pairs + [("", call.outcome)] * isinstance(call.outcome, smm.SmmError)
    if call.saw_cancel or call.ended_at is None:
        return []
    if call.kind in _MANY and isinstance(call.outcome, dict):
        return list(call.outcome.items())
    return (
        [(id_, call.outcome) for id_ in call.ids]
        if isinstance(call.outcome, Exception)
        else [(call.ids[0], call.outcome)]
    )


def _check_time(life, call):
    knobs, took = life.knobs, call.ended_at - call.called_at
    is_write = call.kind in _WRITES
    if took > (knobs.write_budget if is_write else knobs.budget * _turns(life, call)) + _SLACK:
        life.wrong(f"I12 {call.kind} took {took:g} seconds")
    closed_at = life.closed_at
    if closed_at is None or call.ended_at <= closed_at + _SLACK:
        return
    late = call.ended_at - max(closed_at, call.called_at)
    if late > (knobs.grace + _CLOSING if is_write else 0.0) + _SLACK:
        life.wrong(f"I6 {call.kind} waited {late:g} seconds after the closing")


def _turns(life, call):
    """Return how many budgets a lookup may take: a long list is not queued all at once."""
    at_once = 2 * life.client._exchange._coalescers["status"].max_batch * life.knobs.max_in_flight
    return 1 + max(0, -(-(len(set(call.ids)) - at_once) // (at_once // 2)))


def _check_outcome(life, call, id_, outcome):
    if isinstance(outcome, Exception):
        _check_cause(life, call, id_, outcome)
    elif not isinstance(outcome, _TYPES.get(call.action, str)):
        life.wrong(f"I1 {call.kind} {id_} ended as {type(outcome).__name__}")
    elif call.action == "status":
        _check_row(life, call, id_, outcome.remains, outcome.start_count)
    elif call.action == "refill_status":
        _check_row(life, call, id_, outcome.extra["about"], outcome.extra["number"])
    elif call.action == "balance":
        _check_row(life, call, id_, id_, outcome.balance)


def _check_row(life, call, id_, about, number):
    if str(about) != id_:
        life.wrong(f"I2 {call.action} {id_} got the answer about {about}")
    arrivals = call.arrivals if call.reading is None else call.reading.asked_after[id_]
    if int(number) <= arrivals:
        life.wrong(f"I2 {call.action} {id_} got an answer that is older than its question")


def _check_cause(life, call, id_, error):
    """Check that something happened during the call that may end like this."""
    if not isinstance(error, smm.SmmError):
        life.wrong(f"I13 {call.kind} {id_} ended as {error!r}")
    elif type(error) is smm.ClosedError:
        if life.closed_at is None or call.ended_at < life.closed_at:
            life.wrong(f"I13 {call.kind} {id_} was told of a closing that was not")
    elif isinstance(error, (smm.UnknownOrderError, smm.UnknownRefillError)):
        if not _was_during(call, life.world.told[call.action, id_]):
            life.wrong(f"I13 {call.kind} {id_} is unknown, which the panel never said")
    elif not _happened(life, call, _causes(life, error)):
        # At the closing, a write on its way has only so much grace.
        is_end = life.closed_at is not None and call.ended_at >= life.closed_at + life.knobs.grace - _SLACK
        if not (is_end and type(error) is smm.OutcomeUnknownError):
            life.wrong(f"I13 {call.kind} {id_} ended as {error!r} without a cause")


def _causes(life, error):
    causes = _CAUSES.get(type(error), set())
    # Whatever has to be repeated may find no turn in its budget.
    is_crowded = life.knobs.rate_limit is not None and type(error) is smm.NotSentError
    return causes | life.world.met.keys() if is_crowded else causes


def _happened(life, call, names):
    """Return whether one of these faults was met by the call, or its whole budget was needed."""
    if call.kind in _WRITES:
        is_met = any(one.fault.name in names for one in life.world.received if _is_about(one, call))
    else:
        is_met = any(_was_during(call, life.world.met.get(name, ())) for name in names)
    if is_met or (not _DELAYS.isdisjoint(names) and _needed_its_budget(life, call)):
        return True
    # Before a connection there is no telling whose it would have been.
    return "refused" in names and any(_was_during(call, life.world.met[name]) for name in ("refused", "connecting"))


def _was_during(call, times):
    return any(call.called_at - _SLACK <= time <= call.ended_at + _SLACK for time in times)


def _needed_its_budget(life, call):
    """Return whether the budget ended, and something took time: a short one may end although nothing goes wrong.

    Waiting for a turn does so even in a calm life.
    """
    knobs, met = life.knobs, life.world.met
    budget = knobs.write_budget if call.kind in _WRITES else knobs.budget
    earliest = call.called_at - knobs.write_budget - knobs.budget
    is_held_up = knobs.slowest > 0 or any(earliest <= time for name in _DELAYS for time in met.get(name, ()))
    is_limited = knobs.rate_limit is not None
    may_be_late = is_limited or (is_held_up and not knobs.is_calm)
    return may_be_late and call.ended_at - call.called_at >= budget - _SLACK


def _check_money(life, call):
    """Check that what is known of a write, by its caller or by the client, agrees with what was carried out."""
    for id_ in call.ids:
        is_done = _is_done(life, call, id_)
        outcome = None if call.saw_cancel else dict(_outcomes(call)).get(id_)
        _check_certainty(life, call, id_, outcome, is_done)
    if call.saw_cancel and any(one.at > call.ended_at + _SLACK for one in life.world.received if _is_about(one, call)):
        life.wrong(f"I4 {call.kind} {call.ids} was sent after its caller had left")
    left = [one for one in life.unsettled if _is_about(one, call)]
    kept = {sent for one in left for sent in _sent(one)}
    if call.saw_cancel and any(not kept.issuperset(_sent(one)) for one in life.world.received if _is_about(one, call)):
        life.wrong(f"I10 {call.kind} {call.ids} is lost: its caller left, and it is not unsettled")
    if not call.saw_cancel and left:
        life.wrong(f"I10 {call.kind} {call.ids} is unsettled, though its caller got its outcome")
    for one in left:
        outcomes = one.outcome if isinstance(one.outcome, dict) else dict.fromkeys(_asked(call, one), one.outcome)
        for id_, outcome in outcomes.items():
            _check_certainty(life, call, id_, outcome, _is_done(life, call, id_))


def _check_certainty(life, call, id_, outcome, is_done):
    if isinstance(outcome, (smm.PanelError, smm.NotSentError, smm.ClosedError)) and is_done:
        life.wrong(f"I10 {call.kind} {id_} was carried out, and ended as {outcome!r}")
    if isinstance(outcome, str) and not is_done:
        life.wrong(f"I10 {call.kind} {id_} was not carried out, and ended as {outcome!r}")
    if isinstance(outcome, str) and call.kind == "add" and outcome not in life.world.placed[call.link]:
        life.wrong(f"I10 the order of {call.link} is not {outcome}")
    if isinstance(outcome, str) and call.action == "refill" and outcome != life.world.refill_of(id_):
        life.wrong(f"I2 refill {id_} got the answer about another one: {outcome}")


def _is_done(life, call, id_):
    return bool(life.world.placed[call.link]) if call.kind == "add" else life.world.done[call.action, id_] > 0


def _is_about(written, call):
    """Return whether a received request, or an unsettled one, is this call's."""
    mine = {call.link} if call.kind == "add" else set(call.ids)
    return written.action == call.action and not mine.isdisjoint(_sent(written))


def _sent(written):
    """Return the link, or the ids, that a received request or an unsettled one names."""
    fields = written.form if hasattr(written, "form") else written.fields
    return [text for name in ("link", "order", "orders") if name in fields for text in fields[name].split(",")]


def _asked(call, written):
    return call.ids if call.kind == "add" else _sent(written)


class _Errors(logging.Handler):
    def __init__(self, life):
        super().__init__(logging.ERROR)
        self._life = life

    def emit(self, record):
        self._life.wrong(f"I9 logged: {record.getMessage()}")


@contextlib.contextmanager
def watch_the_process(life):
    """Take note of what goes wrong where nobody looks: warnings, finalizers, the loop's own log."""
    handler, loggers = _Errors(life), [logging.getLogger(name) for name in ("smm_async", "asyncio", "trio")]
    previous, sys.unraisablehook = sys.unraisablehook, lambda hook: life.wrong(f"I9 unraisable: {hook.exc_value!r}")
    for logger in loggers:
        logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except Exception as error:  # noqa: BLE001  a life must not end the hunt
        life.wrong(f"I9 the life broke: {error!r}")
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        sys.unraisablehook = previous
