"""When a read is asked again, how often, and after what pause."""

import random

import anyio
import pytest

import smm_async as smm
from smm_async import errors
from smm_async._retry import Retries
from tests.scripted_transport import ScriptedTransport, answer
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

LATER = [
    smm.NotSentError("Not sent."),
    smm.NoAnswerError("No answer."),
    smm.BadReplyError("Broken.", status_code=500),
    smm.BadReplyError("Broken.", status_code=503),
]
NOT_LATER = [
    smm.BadReplyError("No status."),
    smm.BadReplyError("HTML.", status_code=200),
    smm.BadReplyError("Moved.", status_code=307),
    smm.BadReplyError("No such page.", status_code=404),
    smm.UnresolvedError("Nothing about it."),
    smm.OutcomeUnknownError("Who knows."),
    smm.ClosedError("Closed."),
    errors.PanelError("No."),
    *(cls("No.") for cls in errors.PanelError.__subclasses__()),
]
THROTTLED = [smm.RateLimitedError, smm.MaintenanceError]


def name_of(error):
    return f"{type(error).__name__}-{error.status_code}" if isinstance(error, smm.SmmError) else error.__name__


class FixedJitter(random.Random):
    """Draws the same number every time."""

    def __init__(self, number):
        super().__init__()
        self._number = number

    def random(self):
        """Return the number."""
        return self._number


class Attempts:
    """Returns one outcome after the other, at the end the last one again and again, and keeps the times."""

    def __init__(self, *outcomes):
        self._outcomes = list(outcomes)
        self.times = []

    async def __call__(self):
        """Make one attempt."""
        self.times.append(anyio.current_time())
        return self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]

    @property
    def pauses(self):
        """The seconds between the attempts."""
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


def throttled(cls, retry_after):
    error = cls("Slow down.")
    error.retry_after = retry_after
    return error


@pytest.fixture
def retries():
    return Retries(FixedJitter(0.0))


async def test_read_that_succeeds_is_one_attempt(retries):
    """What succeeds is returned and not asked again."""
    attempts = Attempts("value", "other")

    assert await retries.read(attempts) == "value"
    assert len(attempts.times) == 1


@pytest.mark.parametrize("error", LATER, ids=name_of)
async def test_read_that_fails_for_now_is_three_attempts(retries, error):
    """An error that may pass is met with two more tries, and then returned."""
    attempts = Attempts(error)

    assert await retries.read(attempts) is error
    assert len(attempts.times) == 3


@pytest.mark.parametrize("failures", [1, 2])
async def test_read_that_fails_first_returns_the_later_value(retries, failures):
    """The first attempt that succeeds ends the repetition."""
    attempts = Attempts(*LATER[:failures], "value", "other")

    assert await retries.read(attempts) == "value"
    assert len(attempts.times) == failures + 1


@pytest.mark.parametrize("error", NOT_LATER, ids=name_of)
async def test_read_that_fails_for_good_is_one_attempt(retries, error):
    """An error that says nothing of "later" is returned at once, what the panel said in its own words first of all."""
    attempts = Attempts(error)

    assert await retries.read(attempts) is error
    assert len(attempts.times) == 1


@pytest.mark.parametrize(("drawn", "pauses"), [(0.0, [0.0, 0.0]), (0.5, [0.025, 0.05]), (1.0, [0.05, 0.1])])
async def test_pauses_have_full_jitter(drawn, pauses):
    """Pauses are drawn between nothing and a bound that doubles from 50 ms."""
    attempts = Attempts(LATER[0])

    await Retries(FixedJitter(drawn)).read(attempts)

    assert attempts.pauses == pytest.approx(pauses)


async def test_pauses_of_two_clients_differ():
    """Each client draws its own pauses, inside the bounds."""
    first, second = Attempts(LATER[0]), Attempts(LATER[0])

    await Retries().read(first)
    await Retries().read(second)

    assert first.pauses != pytest.approx(second.pauses, abs=1e-9)
    for pauses in (first.pauses, second.pauses):
        assert 0.0 <= pauses[0] <= 0.05
        assert 0.0 <= pauses[1] <= 0.1


@pytest.mark.parametrize("cls", THROTTLED)
@pytest.mark.parametrize("seconds", [0.0, 3.0, 100_000_000.0])
async def test_throttled_read_waits_as_long_as_the_panel_says(retries, cls, seconds):
    """A panel that says when is asked again then, not before."""
    attempts = Attempts(throttled(cls, seconds), "value")

    assert await retries.read(attempts) == "value"
    assert attempts.pauses == [seconds]


@pytest.mark.parametrize("error", [*(throttled(cls, 1.0) for cls in THROTTLED), LATER[0]], ids=name_of)
@pytest.mark.parametrize(("seconds_left", "count"), [(1.0, 1), (1.001, 2)])
async def test_pause_beyond_the_deadline_is_not_begun(error, seconds_left, count):
    """If a pause would outlast the deadline, the error is returned at once, and never after the deadline."""
    retries = Retries(FixedJitter(20.0))  # times 50 ms
    attempts = Attempts(error, "value")
    started = anyio.current_time()

    with anyio.fail_after(seconds_left):
        outcome = await retries.read(attempts)

    assert len(attempts.times) == count
    assert outcome == ("value" if count == 2 else error)
    assert anyio.current_time() - started == pytest.approx(1.0 if count == 2 else 0.0)


async def repetitions(retries, error, reads):
    attempts = Attempts(error)
    for _ in range(reads):
        await retries.read(attempts)
    return len(attempts.times) - reads


async def test_outage_is_met_with_35_repetitions_and_then_none(retries):
    """In an outage a client makes 35 repetitions, and from then on asks each thing once."""
    assert await repetitions(retries, LATER[1], 18) == 35
    assert await repetitions(retries, LATER[1], 1000) == 0


async def test_throttling_is_met_with_100_repetitions_and_then_none(retries):
    """Repetitions that the panel invited are cheaper, and not free."""
    assert await repetitions(retries, throttled(smm.RateLimitedError, 1.0), 1000) == 100


async def test_success_refills_the_quota(retries):
    """Fourteen successes pay for one more repetition."""
    await repetitions(retries, LATER[1], 1000)  # ten are left of 500

    await repetitions(retries, "value", 3)
    assert await repetitions(retries, LATER[1], 10) == 0
    await repetitions(retries, "value", 1)
    assert await repetitions(retries, LATER[1], 10) == 1
    await repetitions(retries, "value", 28)
    assert await repetitions(retries, LATER[1], 10) == 2


async def test_success_does_not_fill_the_quota_above_its_bound(retries):
    """However long all went well, an outage is met with 35 repetitions."""
    await repetitions(retries, "value", 2000)

    assert await repetitions(retries, LATER[1], 1000) == 35


async def test_pause_that_is_not_begun_costs_nothing(retries):
    """Errors that are not asked again leave the quota as it is."""
    with anyio.fail_after(1.0):
        await repetitions(retries, throttled(smm.RateLimitedError, 5.0), 1000)
    for error in NOT_LATER:
        await repetitions(retries, error, 1000)

    assert await repetitions(retries, LATER[1], 1000) == 35


async def test_exception_of_another_kind_goes_through(retries):
    """What is no error of the panel's or the connection's is not repeated."""
    calls = []

    async def attempt():
        calls.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await retries.read(attempt)
    assert calls == [1]


async def test_cancelled_in_a_pause_makes_no_further_attempt(retries):
    """Cancelling ends a pause."""
    attempts = Attempts(throttled(smm.RateLimitedError, 5.0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(retries.read, attempts)
        await anyio.sleep(1.0)
        tasks.cancel_scope.cancel()

    assert len(attempts.times) == 1
    assert anyio.current_time() - attempts.times[0] == pytest.approx(1.0)


async def test_cancelled_in_an_attempt_makes_no_further_attempt(retries):
    """Cancelling ends an attempt, and is not taken for its failure."""
    attempts = Attempts(LATER[0])

    async def attempt():
        await attempts()
        await anyio.sleep_forever()

    with anyio.move_on_after(1.0) as scope:
        await retries.read(attempt)

    assert scope.cancelled_caught
    assert len(attempts.times) == 1


BALANCE = answer({"balance": "1.50", "currency": "USD"})
ROW = answer({"charge": "1", "status": "Pending"})


async def ask_balance(client):
    return await client.balance()


async def ask_status(client):
    return await client.status(7)


READS = pytest.mark.parametrize(("ask", "good"), [(ask_balance, BALANCE), (ask_status, ROW)], ids=["direct", "merged"])


@READS
@pytest.mark.parametrize(
    "bad",
    [answer(b"<html>Bad gateway", 502), answer(b"", 500), answer({}, 500)],
    ids=["html", "empty", "no_row"],
)
async def test_client_repeats_a_read_after_a_server_error(ask, good, bad):
    """A read that meets a server error is sent again, and its answer is what counts."""
    transport = ScriptedTransport(bad, bad, good)

    async with smm.Client("https://panel.example/api/v2", key="simulated-key", transport=transport) as client:
        await ask(client)

    assert len(transport.requests) == 3
    assert len(set(map(repr, transport.requests))) == 1


@READS
@pytest.mark.parametrize("throttle", [(429, smm.RateLimitedError), (503, smm.MaintenanceError)], ids=["429", "503"])
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:03 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 3.0),
        ({"retry_after": "31"}, None),
        ({"retry_after": "9" * 40}, None),
        ({"retry_after": "-1"}, None),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
    ids=["seconds", "date", "beyond_budget", "huge", "negative", "garbage", "nothing"],
)
async def test_client_repeats_a_throttled_read_only_when_told(ask, good, throttle, headers, seconds):
    """A throttled read is sent again when the panel says, if it says so and the budget lasts as long."""
    status, error_type = throttle
    transport = ScriptedTransport(answer({"error": "Come back later."}, status, **headers), good)
    started = anyio.current_time()

    async with smm.Client("https://panel.example/api/v2", key="simulated-key", transport=transport) as client:
        if seconds is None:
            with pytest.raises(error_type):
                await ask(client)
        else:
            await ask(client)
        waited = anyio.current_time() - started

    assert len(transport.requests) == (1 if seconds is None else 2)
    assert waited == pytest.approx(seconds or 0.0, abs=0.01)
