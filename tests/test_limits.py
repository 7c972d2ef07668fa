"""Limits of requests: who waits for whom and how long, what counts, and what a panel's 429 teaches."""

import json
from functools import partial
from urllib.parse import parse_qs

import anyio
import httpx
import pytest

import smm_async as smm
from tests.coalescing import Callers, run_on
from tests.placing import threadless  # noqa: F401  a fixture
from tests.scripted_transport import ScriptedTransport, after, answer, never
from tests.virtual_time import VIRTUAL_BACKENDS, anyio_backend, let_others_run, virtual_backend  # noqa: F401  a fixture

KEY = "simulated-key"
URL = "https://panel.example/api/v2"
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
BALANCE = {"balance": "1.50", "currency": "USD"}
ROW = {"charge": "1", "status": "Pending"}
TOO_MANY = partial(answer, {"error": "Too many requests"}, 429)
BROKEN = answer(b"", 500)


class Panel(ScriptedTransport):
    """Answers what is asked after the acts that it is given, and keeps when each request came."""

    def __init__(self, *acts):
        super().__init__(self._answer)
        self._acts.extendleft(reversed(acts))
        self.times = []

    async def handle_async_request(self, request):
        self.times.append(anyio.current_time())
        return await super().handle_async_request(request)

    async def _answer(self):
        return httpx.Response(200, content=json.dumps(self._value(self.fields[-1])))

    def _value(self, fields):
        if fields["action"] == "status":
            ids = fields.get("orders", fields.get("order")).split(",")
            return dict.fromkeys(ids, ROW) if len(ids) > 1 else ROW
        return {"balance": BALANCE, "add": {"order": 7}}.get(fields["action"], {})

    @property
    def fields(self):
        """What each request asked for."""
        return [{name: value for name, [value] in parse_qs(sent.body.decode()).items()} for sent in self.requests]

    @property
    def actions(self):
        """Which action each request asked for."""
        return [fields["action"] for fields in self.fields]

    def client(self, rate_limit, **options):
        """Return a client that asks this panel."""
        return smm.Client(URL, key=KEY, transport=self, rate_limit=rate_limit, **options)


async def ask_all(*calls):
    """Make calls at once, and wait for all."""
    async with anyio.create_task_group() as tasks:
        for call in calls:
            tasks.start_soon(call)


async def one_after(call):
    """Make a call when others have gone as far as they can."""
    await let_others_run()
    return await call()


def about(*times):
    return pytest.approx(list(times), abs=1e-3)


async def test_requests_beyond_the_limit_wait_for_the_window_to_end():
    """As many as allowed leave at once, and the next when the first of them is so old."""
    panel = Panel()
    async with panel.client(smm.RateLimit(3, per=10)) as client:
        await anyio.sleep(4.0)
        await client.balance()
        await anyio.sleep(2.0)
        await ask_all(*[client.balance] * 6)

    assert panel.times == about(4, 6, 6, 14, 16, 16, 24)


async def test_waiting_lookups_are_merged_until_their_turn_comes():
    """What waits for its turn takes in who comes later, and forgets who leaves."""
    panel = Panel()
    async with panel.client({"status": smm.RateLimit(1, per=10)}) as client, Callers(30.0) as callers:
        for id_ in range(1, 5):
            callers.start(id_, client.status, id_)
            await anyio.sleep(1.0)
        callers.cancel(3)

    assert panel.times == about(0, 10)
    assert [fields.get("order", fields.get("orders")) for fields in panel.fields] == ["1", "2,4"]
    assert callers.got[3] == "cancelled"


async def test_limit_of_one_action_holds_back_no_other():
    """Those who wait for one action's turn take no place that others could have."""
    panel = Panel()
    limits = {"status": smm.RateLimit(1, per=10), "add": smm.RateLimit(1, per=10)}
    async with panel.client(limits, max_in_flight=1) as client:
        await ask_all(*[partial(client.statuses, range(250))], *[partial(client.add, ORDER)] * 2, client.balance)

    assert sorted(zip(panel.actions, [round(at) for at in panel.times], strict=True)) == [
        ("add", 0),
        ("add", 10),
        ("balance", 0),
        *[("status", at) for at in (0, 10, 20)],
    ]


async def test_star_counts_all_actions_together():
    """A limit for all counts actions that have one of their own, and those that nobody has named."""
    panel = Panel()
    async with panel.client({"*": smm.RateLimit(3, per=10), "status": smm.RateLimit(1, per=5)}) as client:
        await ask_all(client.balance, partial(client.call, "mass"), partial(client.status, 1))
        await ask_all(partial(client.status, 2), partial(client.call, "mass"))
        await client.status(3)

    assert panel.times == about(0, 0, 0, 10, 10, 15)
    assert sorted(panel.actions[3:5]) == ["mass", "status"]


async def test_without_limit_nobody_waits():
    """No limit is the default, and one that nobody reaches is none."""
    panel = Panel()
    for options in ({}, {"rate_limit": smm.RateLimit(10**30)}):
        async with smm.Client(URL, key=KEY, transport=panel, **options) as client:
            await ask_all(*[client.balance] * 20)

    assert panel.times == about(*[0] * 40)


@pytest.mark.parametrize("action", ["status", "balance", "add"])
async def test_turn_beyond_the_budget_is_not_sent(action):
    """Who would have to wait for longer than the budget is told at its end that nothing was sent."""
    panel = Panel()
    async with panel.client(smm.RateLimit(1, per=40), budget=20.0, write_budget=30.0) as client:
        calls = {"status": partial(client.status, 1), "balance": client.balance, "add": partial(client.add, ORDER)}
        await client.balance()
        with pytest.raises(smm.NotSentError):
            await calls[action]()
        ended_at = anyio.current_time()
        await anyio.sleep_until(39.0)
        await calls[action]()

    assert ended_at == pytest.approx(30.0 if action == "add" else 20.0)
    assert panel.times == about(0, 40)


async def test_cancelled_caller_uses_up_no_turn():
    """The turn of a write whose caller has left is the next one's, and the write is never sent."""
    panel = Panel()
    async with panel.client(smm.RateLimit(1, per=10)) as client, Callers(60.0) as callers:
        await client.balance()
        for number in range(3):
            callers.start(
                number, client.add, smm.orders.Default(service=1, link=f"https://x.example/{number}", quantity=1)
            )
            await let_others_run()
        callers.cancel(0, 1)

    assert panel.times == about(0, 10)
    assert panel.fields[1]["link"] == "https://x.example/2"
    assert client.unsettled() == []


async def test_request_counts_from_when_it_leaves():
    """Time that passes at the gate does not let the next request leave too early."""
    panel = Panel(after(5.0, answer(ROW)))
    async with panel.client({"balance": smm.RateLimit(1, per=10)}, max_in_flight=1) as client:
        await ask_all(partial(client.status, 1), partial(one_after, client.balance), partial(one_after, client.balance))

    assert panel.times == about(0, 5, 15)


async def test_repetition_counts():
    """A request that is repeated waits for its turn, too, in its place, and never for those who wait for that place."""
    panel = Panel(BROKEN)
    async with panel.client(smm.RateLimit(1, per=10), max_in_flight=1, budget=60.0) as client:
        await ask_all(*[client.balance] * 3)

    assert panel.times == about(0, 10, 20, 30)


@pytest.mark.usefixtures("threadless")
@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_evidence_before_an_order_counts(tmp_path, is_cancelled):
    """The look at the balance takes a turn, and the order waits for the next; nobody's, if its caller leaves meanwhile."""
    panel, journal = Panel(), smm.Journal(tmp_path / "journal.db", evidence=True)
    async with panel.client(smm.RateLimit(1, per=10), journal=journal) as client, Callers(60.0) as callers:
        callers.start("order", client.add, ORDER)
        await anyio.sleep(5.0)
        if is_cancelled:
            callers.cancel("order")
        await anyio.sleep_until(11.0)
        await client.balance()

    assert panel.actions == ["balance", *["add"] * (not is_cancelled), "balance"]
    assert panel.times[-1] == pytest.approx(11.0 if is_cancelled else 20.0, abs=1e-3)


async def test_repetition_beyond_the_budget_frees_its_place_at_once():
    """A repetition whose turn comes too late does not wait for it in a place that others could have."""
    panel = Panel(BROKEN)
    async with panel.client({"balance": smm.RateLimit(1, per=40)}) as client:
        with pytest.raises(smm.NotSentError):
            await client.balance()

    assert anyio.current_time() < 1.0
    assert len(panel.times) == 1


@pytest.mark.parametrize(
    ("limits", "resumes"),
    [
        (smm.RateLimit(100), {"status": 7, "balance": 7}),
        ({}, {"status": 7, "balance": 7}),
        ({"status": smm.RateLimit(100)}, {"status": 7, "balance": 1}),
        ({"balance": smm.RateLimit(100)}, {"status": 7, "balance": 7}),
    ],
    ids=["all", "none", "own", "other"],
)
async def test_too_many_requests_has_all_wait_that_are_counted_together(limits, resumes):
    """Until the time that the panel named, nothing leaves of what it may have counted."""
    panel = Panel(TOO_MANY(retry_after="7"))
    async with panel.client(limits) as client, Callers(30.0) as callers:
        callers.start("first", client.status, 1)
        await anyio.sleep(1.0)
        callers.start("second", client.status, 2)
        callers.start("third", client.balance)

    assert panel.times[0] == 0
    assert {name: round(callers.ended_at[who]) for name, who in (("status", "second"), ("balance", "third"))} == resumes
    assert all(at >= 7 for at, action in zip(panel.times[1:], panel.actions[1:], strict=True) if action == "status")


@pytest.mark.parametrize(("pause", "ends"), [(7, 7), (70, 0)], ids=["in_time", "too_late"])
async def test_without_a_limit_only_who_was_told_to_waits(pause, ends):
    """Nobody is made to wait unasked: others are asked for, and what cannot be repeated in time fails at once."""
    panel = Panel(TOO_MANY(retry_after=str(pause)))
    async with panel.client(None) as client, Callers(30.0) as callers:
        callers.start("told", client.status, 1)
        await anyio.sleep(1.0)
        callers.start("status", client.status, 2)
        callers.start("balance", client.balance)

    assert {name: round(at) for name, at in callers.ended_at.items()} == {"told": ends, "status": 1, "balance": 1}


async def test_too_many_requests_said_to_a_write():
    """A write that the panel refused so is not sent again; others wait."""
    panel = Panel(TOO_MANY(retry_after="7"))
    async with panel.client({}) as client:
        with pytest.raises(smm.RateLimitedError):
            await client.add(ORDER)
        await client.balance()

    assert panel.times == about(0, 7)
    assert panel.actions == ["add", "balance"]


@pytest.mark.parametrize(("headers", "resumes"), [({"retry_after": "86400"}, 30), ({}, 5)], ids=["a_day", "nothing"])
async def test_pause_is_bounded_by_the_budget(headers, resumes):
    """A panel that names a day is asked again after a budget, and one that names nothing when somebody wants to."""
    panel = Panel(TOO_MANY(**headers))
    async with panel.client({}) as client:
        with pytest.raises(smm.RateLimitedError):
            await client.balance()
        assert anyio.current_time() == 0
        await anyio.sleep(5.0)
        await client.status(1)

    assert panel.times == about(0, resumes)


async def test_pause_that_begins_while_somebody_waits():
    """Who waits for a turn, or for a place, waits for the end of a pause as well."""
    panel = Panel(after(1.0, TOO_MANY(retry_after="20")))
    async with panel.client(smm.RateLimit(2, per=10), max_in_flight=1) as client, Callers(60.0) as callers:
        callers.start("refused", client.call, "mass")
        await let_others_run()
        for number in range(2):
            callers.start(number, client.balance)

    assert panel.times == about(0, 21, 21)


class FakeLimiter:
    """Gives a turn every so many seconds, and keeps who came."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.given = 0
        self.error = None

    async def acquire(self):
        await anyio.sleep(self.seconds)
        if self.error:
            raise self.error
        self.given += 1


async def test_limiter_is_asked_once_per_request():
    """Anything with an `acquire()` can say when a request leaves."""
    limiter, panel = FakeLimiter(2.0), Panel(BROKEN)
    async with panel.client({"balance": limiter}) as client:
        await ask_all(*[client.balance] * 3)
        await client.status(1)

    assert [round(at) for at in panel.times] == [2, 4, 4, 6, 6]
    assert limiter.given == panel.actions.count("balance") == 4


async def test_turn_that_was_given_is_kept():
    """The turn of one that has left while it waited for a place is the next one's."""
    limiter, panel = FakeLimiter(), Panel(after(5.0, answer(ROW)))
    async with panel.client({"balance": limiter}, max_in_flight=1) as client, Callers(30.0) as callers:
        callers.start("slow", client.status, 1)
        await let_others_run()
        callers.start("gone", client.balance)
        await let_others_run()
        callers.cancel("gone")
        await anyio.sleep(6.0)
        await client.balance()

    assert limiter.given == 1
    assert panel.actions == ["status", "balance"]


async def test_limiter_that_fails():
    """What a limiter raises goes to those who wait, and nothing is sent."""
    limiter, panel = FakeLimiter(), Panel()
    limiter.error = OSError("the store is away")
    async with panel.client(limiter) as client:
        for call in (client.balance, partial(client.status, 1), partial(client.add, ORDER)):
            with pytest.raises(OSError, match="away"):
                await call()
        limiter.error = None
        await client.balance()

    assert len(panel.times) == 1


async def test_limiter_that_never_lets_go():
    """A limiter is not waited for beyond the budget, and closing is not held up by it."""
    limiter, panel = FakeLimiter(1e6), Panel()
    async with Callers(60.0) as callers, panel.client(limiter) as client:
        with pytest.raises(smm.NotSentError):
            await client.status(1)
        assert anyio.current_time() == pytest.approx(30.0)
        callers.start("closed", client.balance)
        await let_others_run()

    assert type(callers.got["closed"]) is smm.ClosedError
    assert panel.times == []


async def test_closing_while_all_wait():
    """Who waits for a turn when the client is closed hears of it at that instant, and nothing is sent."""
    panel = Panel(never)
    async with Callers(60.0) as callers:
        async with panel.client(smm.RateLimit(1, per=10), grace=0.0) as client:
            for name, call in {"sent": client.balance, "one": partial(client.status, 1), "two": client.balance}.items():
                callers.start(name, call)
                await let_others_run()

    assert {type(got) for got in callers.got.values()} == {smm.ClosedError}
    assert set(callers.ended_at.values()) == {0.0}
    assert len(panel.times) == 1


@pytest.mark.parametrize("name", VIRTUAL_BACKENDS)
def test_new_loop_counts_anew(name):
    """The times of a loop that has ended mean nothing to the next, and nobody stands in the way of its requests."""
    panel = Panel(BROKEN)
    limiter = FakeLimiter()
    client = panel.client({"*": smm.RateLimit(1, per=40), "status": limiter}, max_in_flight=1, budget=60.0)

    async def ask():
        with anyio.move_on_after(10.0):
            await client.balance()
        await anyio.sleep(30.0)
        await client.status(1)

    async def ask_and_be_gone():
        async with anyio.create_task_group() as tasks:
            for call in (client.balance, client.balance, partial(client.status, 1)):
                tasks.start_soon(call)
            await anyio.sleep(1.0)
            tasks.cancel_scope.cancel()

    with pytest.warns(ResourceWarning, match="not closed"):
        run_on(virtual_backend(name), ask_and_be_gone)
    with pytest.warns(ResourceWarning, match="not closed"):
        run_on(virtual_backend(name), ask)

    assert panel.actions == ["balance", "balance", "status"]


@pytest.mark.parametrize("requests", [0, -1, 1.5, True, "3"])
def test_number_of_requests_that_is_none(requests):
    """A limit allows at least one request."""
    with pytest.raises(ValueError, match="requests must be a whole number"):
        smm.RateLimit(requests)


@pytest.mark.parametrize("per", [0, -1, float("inf"), float("nan"), True, "60"])
def test_seconds_that_are_none(per):
    """A limit is for a number of seconds."""
    with pytest.raises(ValueError, match="per must be a number of seconds"):
        smm.RateLimit(3, per=per)


@pytest.mark.parametrize(
    ("rate_limit", "complaint"),
    [
        ({"statuses": smm.RateLimit(3)}, "'statuses', which is neither an action"),
        ({"status": 3}, "must be of RateLimit or have an acquire"),
        (3, "must be of RateLimit or have an acquire"),
        (smm.RateLimit, "must be of RateLimit or have an acquire"),
    ],
)
def test_limits_that_are_none(rate_limit, complaint):
    """What would limit nothing is refused when the client is made."""
    with pytest.raises(ValueError, match=complaint):
        Panel().client(rate_limit)
