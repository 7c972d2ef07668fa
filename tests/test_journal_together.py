"""A journal in the hands of several tasks, threads and processes, and of callers that are cancelled."""

import contextlib
import functools
import sqlite3
import subprocess
import sys
import threading

import anyio
import anyio.lowlevel
import pytest

import smm_async as smm
from smm_async import _journal_file

PLACED = smm.EntryState.PLACED
PROCESSES = 4

PROGRAM = """
import sys
import anyio
import smm_async as smm

async def main(path, attempt):
    print(await smm.Journal(path).begin("a", "add", {}, attempt=attempt, within=60.0) is None)

print("ready", flush=True)
sys.stdin.readline()
anyio.run(main, *sys.argv[1:])
"""


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "orders.db")


@pytest.fixture
def journal(path):
    return smm.Journal(path)


async def begin(journal, ref="a", *, attempt="1"):
    return await journal.begin(ref, "add", {}, attempt=attempt, within=0.0)


@contextlib.contextmanager
def other_connection(path, *statements):
    """Use the file as another program does, until the end of the block."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement).fetchall()
        yield db


@pytest.fixture
def slow_disk(monkeypatch):
    """Have every transaction tell when it is about to begin, and wait for a word."""
    entered, go_on = threading.Event(), threading.Event()
    transact = _journal_file.transact

    def wait_and_transact(*args):
        entered.set()
        assert go_on.wait(10)
        return transact(*args)

    monkeypatch.setattr(_journal_file, "transact", wait_and_transact)
    return entered, go_on


async def test_one_of_many_tasks_is_let_through(path):
    """However many threads begin one order at once, in a file that is not there yet, exactly one may send it."""
    allowed = []

    async def one(number):
        allowed.append(await begin(smm.Journal(path), attempt=str(number)) is None)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(one, number)

    assert sorted(allowed) == [False] * 11 + [True]


def test_one_of_several_processes_is_let_through(path):
    """However many processes begin one order at once, exactly one may send it."""
    command = [sys.executable, "-c", PROGRAM, path]
    processes = [
        subprocess.Popen([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()

    answers = sorted(process.communicate(timeout=60)[0] for process in processes)

    assert answers == ["False\n"] * (PROCESSES - 1) + ["True\n"]


async def test_journal_waits_for_whoever_writes(journal, path):
    """While another program writes, an order waits; then it is written down."""
    await begin(journal, "first")

    with other_connection(path, "begin immediate") as db:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(begin, journal)
            await anyio.sleep(0.02)
            db.execute("rollback")

    assert [entry.ref for entry in await journal.entries()] == ["first", "a"]


@pytest.fixture
def short_moments(monkeypatch):
    """Have SQLite itself wait for nobody, so that it is the journal that waits."""
    monkeypatch.setattr(_journal_file, "_MOMENT", 0.0)


@pytest.mark.usefixtures("short_moments")
async def test_journal_waits_where_sqlite_does_not(journal, path):
    """Where SQLite refuses at once, the journal tries again until the file is free."""
    with other_connection(path, "begin immediate") as db:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(begin, journal)
            await anyio.sleep(0.03)
            db.execute("commit")

    assert [entry.ref for entry in await journal.entries()] == ["a"]


@pytest.mark.usefixtures("short_moments")
async def test_journal_waits_no_longer_than_its_caller(journal, path):
    """A file that stays locked keeps nobody beyond its time, and nothing is written later."""
    with other_connection(path, "begin immediate"):
        with contextlib.suppress(sqlite3.OperationalError), anyio.move_on_after(0.03):
            await begin(journal)
            pytest.fail("It was written all the same.")

    assert await journal.entries() == []


@pytest.mark.usefixtures("short_moments")
async def test_journal_that_stays_locked_is_an_error(journal, path, monkeypatch):
    """Nobody waits for ever for a file that stays locked."""
    monkeypatch.setattr(smm.journal, "_BUSY_SECONDS", 0.03)

    with other_connection(path, "begin immediate"), pytest.raises(sqlite3.OperationalError, match="locked"):
        await begin(journal)


async def test_journal_needs_no_thread_of_the_programs(journal):
    """A program whose threads are all busy can still place orders."""
    busy, limiter = threading.Event(), anyio.to_thread.current_default_thread_limiter()

    async with anyio.create_task_group() as tasks:
        for _ in range(int(limiter.total_tokens)):
            tasks.start_soon(anyio.to_thread.run_sync, busy.wait, 10)
        while limiter.available_tokens:
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(5):
            await begin(journal)
        busy.set()


# --- Cancelled callers

CALLS = {
    "unknown": lambda journal: journal.unknown(),
    "entries": lambda journal: journal.entries(),
    "get": lambda journal: journal.get("a"),
    "settle": lambda journal: journal.settle("a", order=77),
    "check": lambda journal: journal.check("a", "add", {}),
    "last_change": lambda journal: journal.last_change(),
    "begin": lambda journal: begin(journal, "b"),
    "finish": lambda journal: journal.finish("a", PLACED, attempt="1", order="77"),
    "age": lambda journal: journal.age("a"),
    "moved_since": lambda journal: journal.moved_since("a"),
    "placed_before": lambda journal: journal.placed_before("a"),
}
DONE = {"settle": [("a", "77")], "begin": [("a", None), ("b", None)], "finish": [("a", "77")]}
every_call = pytest.mark.parametrize("name", CALLS)


async def written(journal):
    return [(entry.ref, entry.order) for entry in await journal.entries()]


@every_call
async def test_call_that_is_cancelled_before_it_begins_does_nothing(journal, name):
    """Whoever is cancelled already neither reads nor writes."""
    await begin(journal)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await CALLS[name](journal)

    assert scope.cancelled_caught
    assert await written(journal) == [("a", None)]


@every_call
async def test_call_that_is_cancelled_half_way_is_done(journal, slow_disk, name):
    """Whoever is cancelled while the file is written leaves it as if nothing had happened: with everything in it."""
    entered, go_on = slow_disk
    go_on.set()
    await begin(journal)
    entered.clear()
    go_on.clear()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(functools.partial(CALLS[name], journal))
        while not entered.is_set():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
        threading.Timer(0.01, go_on.set).start()

    assert await written(journal) == DONE.get(name, [("a", None)])


@pytest.mark.usefixtures("short_moments")
async def test_call_that_is_cancelled_while_it_waits_for_others_is_not_begun(journal, path):
    """Whoever is cancelled between two tries writes nothing when the file is free."""
    with other_connection(path, "begin immediate"):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(begin, journal)
            await anyio.sleep(0.03)
            tasks.cancel_scope.cancel()

    assert await journal.entries() == []
