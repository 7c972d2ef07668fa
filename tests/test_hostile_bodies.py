"""Whatever a server answers: a value that the answer holds or one error of the library's own, soon and in little memory.

``python -m tests.hostile_bodies`` gives all of the answers to both loops; here each loop gets its share of them.
"""

import json
import logging
import subprocess
import sys
import threading
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest

import smm_async as smm
from smm_async import _wire
from tests.hostile_corpus import GZIP, MANY, Hostile, body_at, packed
from tests.hostile_heavy import CAP, HEAVY
from tests.hostile_judge import KEY, Truth, complaints
from tests.hostile_trial import ORDER, PANEL, Trial, give_all, threads_in_step
from tests.scripted_transport import ScriptedTransport, answer
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

pytestmark = pytest.mark.thorough
SEED = 1
SHARE = 47
CHUNKS = 4
MEBIBYTE = 2**20
TESTS = Path(__file__).parent
CAPS = {"balance": 16 * 1024, "statuses": CAP, "add": CAP, "services": 16 * MEBIBYTE}
BOMBS = {
    "packed": ("gzip", "gzip of two gibibytes", "gzip at once", "gzip in gzip", "gzip of many members"),
    "packed without content": ("gzip of many short members", "gzip of empty blocks", "gzip with an endless name"),
    "in another packing": ("gzip in gzip, named twice", "brotli", "zstd", "called gzip"),
    "plain": ("plain", "plain in large pieces", "plain numbers"),
}
every_loop = pytest.mark.parametrize("backend", ["asyncio", "trio"])
needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="only a fork shows what one body alone takes")


@pytest.fixture
def in_step():
    """Have the loop stand still while threads work for it."""
    with threads_in_step():
        yield


async def outcome_of(call, content, status_code=200, *headers):
    """Return what a call makes of a body."""
    async with Trial() as trial:
        return await trial.ask(Hostile("a body", content, status_code, headers), call)


def errors_in(caplog):
    """Return what was logged as an error."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


# --- Any answer


@pytest.mark.usefixtures("in_step")
@pytest.mark.parametrize("chunk", range(CHUNKS))
async def test_any_answer_is_a_value_or_one_error(caplog, anyio_backend_name, chunk):
    """No answer makes anything else of any call, is read for too long, or leaves an error in the log."""
    first = 0 if anyio_backend_name == "asyncio" else SHARE // 2
    numbers = range(first, MANY, SHARE)[chunk::CHUNKS]

    findings = await give_all(SEED, numbers)

    assert findings.failures == []
    assert errors_in(caplog) == []
    assert findings.given == len(numbers)
    assert (
        min(findings.outcomes[name] for name in ("a value", "BadReplyError", "OutcomeUnknownError")) > len(numbers) // 8
    )


def test_answers_are_many_and_always_the_same():
    """There are more than 20,000 different bodies, and a number always stands for the same one."""
    answers = [body_at(SEED, number) for number in range(MANY)]

    assert len({one.content for one in answers}) > 20_000
    assert [body_at(SEED, number) for number in range(0, MANY, 100)] == answers[::100]
    assert body_at(SEED + 1, MANY - 1) != answers[-1]


def test_command_gives_answers_to_both_loops():
    """The command shows what came of as many answers as it was told to give."""
    command = [sys.executable, "-m", "tests.hostile_bodies", "--count", "30"]

    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "30 answers on each loop" in done.stdout
    assert "memory at its peak" in done.stdout


# --- Time and memory


@pytest.mark.usefixtures("in_step")
@pytest.mark.parametrize("name", HEAVY)
async def test_answer_at_its_cap_takes_little_time(name):
    """The most tedious answers that the cap lets through keep the event loop for less than a tenth of a second."""
    async with Trial(once=True) as trial:
        await trial.give(HEAVY[name], ["hundred", "add"])

    assert trial.findings.failures == []


@pytest.mark.usefixtures("in_step")
@pytest.mark.parametrize(
    "name", ["lists", "objects with a key", "numbers", "keys that collide", "rows with many fields"]
)
async def test_answer_at_its_cap_takes_little_memory(name):
    """What becomes of an answer of 256 KiB is at most 16 MiB larger."""
    async with Trial(once=True) as trial:
        await trial.ask(HEAVY[name], "status")
        tracemalloc.start()
        await trial.ask(HEAVY[name], "hundred")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert peak < CAP + 16 * MEBIBYTE


@needs_fork
@every_loop
@pytest.mark.parametrize("kind", BOMBS)
def test_bomb_is_one_error_and_takes_little_memory(kind, backend):
    """A body that would fill the memory is refused at the cap; the process grows by the cap and 16 MiB at most."""
    jobs = [{"backend": backend, "call": call, "bomb": bomb} for call in CAPS for bomb in BOMBS[kind]]
    lines = "".join(f"{json.dumps(job)}\n" for job in jobs)

    program = [sys.executable, str(TESTS / "bomb_program.py")]
    done = subprocess.run(program, input=lines, capture_output=True, text=True, timeout=120, check=True)

    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert len(reports) == len(jobs)
    for job, report in zip(jobs, reports, strict=True):
        error = "OutcomeUnknownError" if job["call"] == "add" else "BadReplyError"
        assert (job, report["outcome"], report["requests"]) == (job, [error], 1)
        assert (job, report["grown"]) < (job, CAPS[job["call"]] / MEBIBYTE + 16)
        assert report["taken"] == 0 or job["bomb"] not in {"gzip in gzip, named twice", "brotli", "zstd"}


async def test_catalogue_that_takes_long_to_read_does_not_outlast_its_budget(monkeypatch):
    """A thread that still reads at the end of the budget is left to itself, for its answer would come too late."""
    is_given_up, has_begun, has_ended = threading.Event(), threading.Event(), threading.Event()

    def read_slowly(body):
        has_begun.set()
        is_given_up.wait(5.0)
        has_ended.set()
        return json.loads(body)

    monkeypatch.setattr(_wire, "read_json", read_slowly)
    transport = ScriptedTransport(answer(b"[%s]" % (b" " * 100_000)))

    async with smm.Client(PANEL, key=KEY, transport=transport, budget=5.0) as client:
        with pytest.raises(smm.NoAnswerError):
            await client.services()
        was_left = not has_ended.is_set()

    is_given_up.set()
    assert was_left
    assert not has_begun.is_set() or has_ended.wait(5.0)


# --- Answers that have been taken for something else, or could be


@pytest.mark.parametrize(
    "content",
    [
        packed(b"100") + packed(b".84"),
        packed(b"100") + b"x",
        packed(b"100") + packed(b".84")[:-1],
        packed(b"100") + b"\0" * 600 + b"x",
        packed(b"") + packed(b"100"),
    ],
    ids=["second_member", "text", "cut_member", "text_behind_zeros", "first_member_empty"],
)
@pytest.mark.parametrize("piece", [1, 22, 10_000])
async def test_what_follows_a_gzip_is_not_dropped(content, piece):
    """A packed body that goes on behind its end is refused, or read as a whole, but never cut."""
    hostile = Hostile("a body", content, headers=(GZIP,), piece=piece)

    async with Trial() as trial:
        outcome = await trial.ask(hostile, "balance")

    assert isinstance(outcome, smm.BadReplyError) or outcome.balance == Decimal(gzip_whole(content))


def gzip_whole(content):
    """Return what all members of a gzip hold together, or a number that no test expects."""
    return (Truth(Hostile("a body", content, headers=(GZIP,))).text) or "-1"


async def test_gzip_with_zeros_behind_it_is_read():
    """What some servers pad a packed body with is no part of it."""
    assert (await outcome_of("balance", packed(b"100.84") + b"\0" * 600, 200, GZIP)).balance == Decimal("100.84")


@pytest.mark.parametrize("status_code", [400, 403, 404, 500, 502])
@pytest.mark.parametrize("content", [b"404", b'"500"', b"-1"])
async def test_number_on_an_error_page_is_no_balance(content, status_code):
    """A bare number is the balance only where the HTTP status says that it is an answer."""
    assert isinstance(await outcome_of("balance", content, status_code), smm.BadReplyError | smm.PanelError)


@pytest.mark.parametrize(
    ("content", "status_code"),
    [
        (b"[]", 404),
        (b"[]", 500),
        (b'["Invalid request"]', 200),
        (b'[{"error": "Invalid API key"}]', 200),
        (b"[1, 2, 3]", 200),
        (b"[[], []]", 200),
        (b'{"data": [{"name": "x"}]}', 200),
        (b'{"status": "success", "orders": ["1", "2"]}', 200),
    ],
)
@pytest.mark.parametrize("call", ["services", "products"])
async def test_catalogue_of_nothing_usable_is_an_error(call, content, status_code):
    """What holds no usable row never passes for an empty catalogue, which would say that everything was taken out."""
    assert isinstance(await outcome_of(call, content, status_code), smm.BadReplyError | smm.PanelError)


@pytest.mark.parametrize("status_code", [400, 404, 500, 503])
async def test_text_with_an_http_failure_is_no_answer_to_a_call(status_code):
    """What may have been a write is not known to be done when the HTTP status says that something failed."""
    assert isinstance(await outcome_of("call", b'"Something"', status_code), smm.OutcomeUnknownError)


@pytest.mark.parametrize(
    "id_",
    [
        *(
            "-1",
            "-23501",
            "-0",
            "00",
            "0.0",
            "000",
            "Infinity",
            "-Infinity",
            "inf",
            "NaN",
            "-NaN",
            "Array",
            "yes",
            "no",
        ),
        *("denied", "invalid_key", "not-found", "limit.exceeded", "accepted", "Completed"),
    ],
)
@pytest.mark.parametrize("name", ["order", "order_id", "id"])
async def test_what_stands_for_no_order_is_no_order(name, id_):
    """Programs that have no id write something else in its place, and whether there is an order is not known."""
    body = json.dumps({"status": "success", name: id_}).encode()

    assert isinstance(await outcome_of("add", body), smm.OutcomeUnknownError)


@pytest.mark.parametrize("word", ["no", "NO", "NaN", "null", "none", "undefined", "error", "failed", "fail"])
async def test_success_that_is_none_is_no_cancellation(word):
    """A success field may say that there was none."""
    for fields in ({}, {"start_count": 1}):
        body = json.dumps({"success": word} | fields).encode()

        assert isinstance(await outcome_of("cancel", body), smm.OutcomeUnknownError | smm.PanelError)


@pytest.mark.parametrize("name", ["cancel", "status", "success"])
@pytest.mark.parametrize("number", [-1, "-1", -100, "-200"], ids=repr)
async def test_number_below_zero_is_no_success(name, number):
    """Programs answer -1 when something failed."""
    outcome = await outcome_of("cancel", json.dumps({name: number}).encode())

    assert isinstance(outcome, smm.OutcomeUnknownError | smm.PanelError)


# --- Half a surrogate pair, which JSON can hold and nothing else

HALF = rb'{"error": "Not enough funds \ud800"}'


@pytest.mark.parametrize("call", ["status", "balance", "services", "add", "refill", "cancel", "call"])
async def test_error_with_half_a_surrogate_pair_can_be_printed(call):
    """What the panel said can be printed, whatever it said."""
    error = await outcome_of(call, HALF)

    assert type(error) is smm.NotEnoughFundsError
    assert f"{error} {error.text}".encode().startswith(b"The panel refused")


@pytest.mark.usefixtures("in_step")
async def test_refusal_with_half_a_surrogate_pair_is_written_down(caplog, tmp_path):
    """What the panel said goes into the journal, whatever it said."""
    journal = smm.Journal(tmp_path / "orders.db")
    transport = ScriptedTransport(answer(HALF), answer({"order": 7}))

    async with smm.Client(PANEL, key=KEY, transport=transport, journal=journal) as client:
        with pytest.raises(smm.NotEnoughFundsError):
            await client.add(ORDER, ref="one")
        entry = await journal.get("one")
        again = await client.add(ORDER, ref="one")

    assert entry.state is smm.EntryState.REFUSED
    assert again == "7"
    assert errors_in(caplog) == []


# --- The judge


REFUSED = smm.BadReplyError("x", action="x")
UNKNOWN = smm.OutcomeUnknownError("x", action="x")
WRONG = {
    "another_order": ("add", b'{"order": 6}', "5"),
    "order_of_a_failure": ("add", b'{"order": 5}', "5", 500),
    "order_in_no_json": ("add", b'{"order": 5', "5"),
    "order_among_two": ("add", b'{"order": 5, "order": 6}', "5"),
    "order_under_another_name": ("add", b'{"status": 5}', "5"),
    "order_that_is_none": ("add", b'{"order": "-1"}', "-1"),
    "no_without_proof": ("add", b"<html>", smm.BadLinkError("x", action="x")),
    "no_beside_an_order": ("add", b'{"order": 5, "error": "Bad link"}', smm.BadLinkError("x", action="x")),
    "no_of_a_broken_server": ("refill", b'{"error": "Bad link"}', smm.BadLinkError("x", action="x"), 502),
    "read_error_for_a_write": ("add", b"<html>", REFUSED),
    "write_error_for_a_read": ("status", b"<html>", UNKNOWN),
    "foreign_error": ("status", b"<html>", KeyError("x")),
    "group": ("statuses", b"<html>", ExceptionGroup("x", [REFUSED])),
    "lost_connection": ("balance", b"5", smm.NoAnswerError("x", action="x")),
    "key": ("balance", b"<html>", smm.BadReplyError(KEY, action="x")),
    "long_text": ("balance", b"<html>", smm.BadReplyError("x", action="x", text="x" * 201)),
    "another_balance": ("balance", b'{"balance": "100"}', smm.models.Balance(balance=Decimal(10))),
    "odd_balance": ("balance", b'{"balance": "NaN"}', smm.models.Balance(balance=Decimal("NaN"))),
    "missing_id": ("statuses", b"<html>", {1: REFUSED, "2": REFUSED}),
    "empty_catalogue": ("services", b'["x"]', []),
    "another_service": ("services", b'[{"service": 1}]', [smm.models.Service(service="2")]),
    "another_value": ("call", b'{"a": 1}', {"a": 2}),
    "value_of_a_failure": ("call", b'{"a": 1}', {"a": 1}, 404),
    "no_cancellation": ("cancel", b'{"success": "no"}', "no"),
    "another_refill": ("refill", b'{"refill": 1}', "2"),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_judge_complains_of_a_wrong_outcome(case):
    """The judge would notice what must not happen."""
    call, content, outcome, *status_code = case
    truth = Truth(Hostile("a body", content, *status_code))

    assert [*complaints(truth, call, outcome, 1)] != []


@pytest.mark.parametrize(
    ("call", "content", "outcome"),
    [
        ("add", b'\xef\xbb\xbf{"order": 5}', "5"),
        ("add", b'Notice: x\n{"order": "5"}', "5"),
        ("add", b"<html>", UNKNOWN),
        ("add", b'{"error": "Bad link"}', smm.BadLinkError("x", action="x")),
        ("balance", b'{"balance": "1,234.50"}', smm.models.Balance(balance=Decimal("1234.50"))),
        ("services", b"[]", []),
        ("services", b'[{"service": 1}]', [smm.models.Service(service="1")]),
        ("cancel", b'{"canceled": [1]}', "1"),
        ("refill", b'{"refill": "x-1"}', "x-1"),
        ("call", b'{"a": 1.5}', {"a": Decimal("1.5")}),
        ("statuses", b"<html>", {1: REFUSED, "2": REFUSED, 3: REFUSED}),
    ],
)
def test_judge_does_not_complain_of_a_right_outcome(call, content, outcome):
    """The judge leaves alone what is as it should be."""
    assert [*complaints(Truth(Hostile("a body", content)), call, outcome, 1)] == []


def test_judge_counts_the_requests():
    """A write that is sent twice is noticed, whatever came of it."""
    truth = Truth(Hostile("a body", b'{"order": 5}'))

    assert [*complaints(truth, "add", "5", 2)] == ["2 requests were sent"]
