"""The command `smm-async worker`: it works until it is stopped, leaves in order, and shows how it goes."""

import contextlib
import io
import logging
import math
import os
import signal
import sys
import threading
import time

import anyio
import pytest
from rich.console import Console

import smm_async as smm
from smm_async import _worker
from smm_async._cli_panel import find_panel
from smm_async._figures import Figures, make_lines, make_table
from smm_async.cli import main
from smm_async.tracking import (
    Claimed,
    LookedUp,
    PanelStats,
    Paused,
    SQLiteStore,
    StoreAway,
    StoreAwayError,
    Tracker,
)
from tests.tracking.processes import PanelProcess

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
STATS = [PanelStats("alpha", 12_000, 34, 5.0, 6, 7, 0.0), PanelStats("beta", 1, 0, 0.0, 0, 0, 0.0)]


@pytest.fixture(scope="module")
def panel():
    """A panel in a process of its own, whose orders end after one to three lookups."""
    panel = PanelProcess(0.0, 3)
    yield panel
    panel.close()


@pytest.fixture
def store(tmp_path):
    """A file with some orders."""
    store = SQLiteStore(tmp_path / "orders.db")
    store.open()
    store.add("alpha", [str(order) for order in range(1, 31)])
    yield store
    store.close()


@pytest.fixture
def arguments(panel, tmp_path, monkeypatch):
    """Return what starts a worker."""
    monkeypatch.setenv("SMM_KEY_ALPHA", "made-up-key")
    place = f"sqlite:///{tmp_path}/orders.db"
    return ["worker", "--store", place, "--panel", f"alpha={panel.url}", "--shortest", "0.05", "--longest", "0.1"]


@contextlib.contextmanager
def stopped_when(is_done, *signals):
    """Send signals to this process once something is true."""

    def send():
        while not is_done():
            time.sleep(0.01)
        for signum in signals:
            os.kill(os.getpid(), signum)
            time.sleep(0.1)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join()


def has_ended(store):
    """Return what says whether all orders have ended."""
    return lambda: sum(row.ended for row in store.stats()) == 30


@BACKENDS
def test_worker_works_until_it_is_stopped(backend, arguments, store, monkeypatch, caplog):
    """Every order ends; lines say how it goes; asked to end, the worker leaves with exit code 0."""
    monkeypatch.setattr(_worker, "_LINE_SECONDS", 0.05)
    caplog.set_level(logging.INFO, "smm_async.worker")

    with stopped_when(lambda: has_ended(store)() and "ids per request" in caplog.text, signal.SIGTERM):
        code = main([*arguments, "--backend", backend])

    assert code == 0
    assert "Working for alpha." in caplog.text


@BACKENDS
def test_worker_shows_itself_on_a_terminal(backend, arguments, store, monkeypatch, capsys):
    """On a terminal a table is drawn again and again, and Ctrl-C ends it with its own exit code."""
    screen = io.StringIO()
    monkeypatch.setattr(_worker, "Console", lambda **_: Console(file=screen, force_terminal=True, width=200))
    monkeypatch.setattr(_worker, "_REDRAW_SECONDS", 0.01)

    with stopped_when(lambda: has_ended(store)() and "30" in screen.getvalue(), signal.SIGINT):
        code = main([*arguments, "--backend", backend])

    assert code == 130
    assert capsys.readouterr().err == "Stopped.\n"
    assert [word for word in ("alpha", "in flight", "ids per request", "lag") if word not in screen.getvalue()] == []


@BACKENDS
def test_second_signal_ends_it_at_once(backend, arguments, store, monkeypatch, capsys):
    """Who does not want to wait for what is on its way asks twice."""
    running = threading.Event()

    async def run(self):
        running.set()
        await anyio.sleep_forever()

    monkeypatch.setattr(Tracker, "run", run)

    with stopped_when(running.is_set, signal.SIGINT, signal.SIGINT):
        assert main([*arguments, "--backend", backend]) == 130


def test_worker_leaves_after_its_time(arguments, store):
    """Started by a schedule, a worker leaves by itself, in order."""
    assert main([*arguments, "--seconds", "0.05"]) == 0


def test_worker_hands_ends_over(arguments, store, tmp_path, monkeypatch):
    """A function of the current folder does its work in the transaction that records ends."""
    (tmp_path / "billing.py").write_text(
        "def bill(connection, ended):\n"
        "    connection.execute('create table if not exists bill (number text unique)')\n"
        "    connection.executemany('insert into bill values (?)', [[event.key] for event in ended])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    runs = 0
    # More than once: the folder may be among those of modules already.
    while runs < 2 or not has_ended(store)():
        assert main([*arguments, "--seconds", "0.05", "--on-record", "billing:bill"]) == 0
        runs += 1

    assert store._db.execute("select count(*) from bill").fetchone() == (30,)


def test_worker_without_signals_works(arguments, store, monkeypatch):
    """Where a loop cannot wait for signals, the worker runs without."""

    def refuse(*signals):
        raise NotImplementedError

    async def run(self):
        pass

    monkeypatch.setattr(anyio, "open_signal_receiver", refuse)
    monkeypatch.setattr(Tracker, "run", run)

    assert main(arguments) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["--panel", "beta=http://127.0.0.1/"], "SMM_KEY_BETA"),
        (["--panel", "beta="], "NAME=ADDRESS"),
        (["--panel", "beta"], "There is no panel 'beta'"),
        (["--store", "mysql://host"], "sqlite:///orders.db"),
        (["--shortest", "5"], "longest must be at least shortest"),
        (["--lease", "10"], "longer than 30 s"),
        (["--panel", "alpha=http://panel.example/"], "https"),
        (["--on-record", "os.path.join"], "--on-record is MODULE:FUNCTION"),
        (["--on-record", "nowhere:bill"], "'nowhere:bill' cannot be imported: ModuleNotFoundError"),
        (["--on-record", "os:bill"], "cannot be imported: AttributeError"),
        (["--on-record", "os:sep"], "is no function"),
        (["--on-record", "anyio:sleep"], "is no function"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_what_cannot_work_is_said_in_one_line(changes, words, arguments, capsys):
    """A wrong setting ends with exit code 2 and a sentence, before anything is sent; no key is in it."""
    if changes[0] in arguments and changes[0] != "--panel":
        arguments[arguments.index(changes[0]) + 1] = changes[1]
        changes = ()

    assert main([*arguments, *changes]) == 2

    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert "made-up-key" not in err


@pytest.mark.parametrize(("text", "names"), [("my-1dg=1dg", ("my-1dg", "1dg")), ("1dg", ("1dg", "1dg"))], ids=str)
def test_seed_panels_are_known_by_name(text, names, monkeypatch):
    """The panels that the package describes need no address; one key may be for all."""
    monkeypatch.setenv("SMM_KEY", "made-up-key")

    name, address = _worker._split(text)

    assert (name, address) == names
    assert find_panel(name, address, budget=30.0, max_in_flight=8).panel == smm.panels.ONE_DG


def test_driver_that_is_missing_is_said(arguments, monkeypatch, capsys):
    """Without psycopg there is one sentence that says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)

    at = arguments.index("--store") + 1
    assert main([*arguments[:at], "postgresql://somewhere/orders", *arguments[at + 1 :]]) == 1
    assert "pip install 'smm_async[postgres]'" in capsys.readouterr().err


def test_store_that_is_no_store_is_said(arguments, tmp_path, capsys):
    """A file that is something else ends with exit code 1."""
    (tmp_path / "orders.db").write_text("Not a database at all." * 100)

    assert main(arguments) == 1
    assert "is no store" in capsys.readouterr().err


class Away(SQLiteStore):
    """A store that cannot be reached the first times."""

    def __init__(self, *args, times=math.inf, **options):
        super().__init__(*args, **options)
        self.times = times
        self.tried = 0

    def open(self):
        """Fail, or open."""
        self.tried += 1
        if self.tried <= self.times:
            raise StoreAwayError("The database cannot be used for now: it sleeps.")
        super().open()


@pytest.fixture
def away(monkeypatch):
    """Return what puts a store that is away into the place of all."""

    def put(**options):
        store = Away(**options)
        monkeypatch.setattr(_worker, "store_at", lambda url, on_record: store)
        return store

    monkeypatch.setattr(_worker, "_FIRST_BACKOFF", 0.001)
    monkeypatch.setattr(_worker, "_LONGEST_BACKOFF", 0.01)
    return put


@BACKENDS
def test_worker_waits_for_a_store_that_is_away(backend, arguments, away, monkeypatch, caplog):
    """A worker that is started before its database says so, tries again, and works."""
    ran = []

    async def run(self):
        ran.append(await self.stats())

    monkeypatch.setattr(Tracker, "run", run)
    store = away(times=3)

    assert main([*arguments, "--backend", backend]) == 0

    assert (store.tried, ran) == (4, [[]])
    assert caplog.text.count("it sleeps") == 3


@BACKENDS
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_worker_that_waits_for_its_store_can_be_stopped(backend, signum, code, arguments, away):
    """A signal ends the waiting."""
    store = away()

    with stopped_when(lambda: store.tried > 3, signum):
        assert main([*arguments, "--backend", backend]) == code


@BACKENDS
def test_worker_has_no_time_to_wait(backend, arguments, away, capsys):
    """Who is started again by a schedule waits for the store no longer than it would work."""
    away()

    assert main([*arguments, "--backend", backend, "--seconds", "0.02"]) == 1
    assert "it sleeps" in capsys.readouterr().err


async def test_figures_add_up():
    """What a tracker reports becomes a line and a row for each panel; what is not known shows as such."""
    figures = Figures()
    done = {"panel": "alpha", "claimed": 300, "requests": 3, "seconds": 1.0, "changed": 5, "ended": 2}
    for report in (
        Claimed("alpha", 300, 1.5),
        LookedUp(**done, orders=297, errors={"NoAnswerError": 7, "UnresolvedError": 9}),
        Claimed("alpha", 50, 0.25),
        Paused("alpha", 5.0, smm.NoAnswerError("down")),
        StoreAway("alpha", StoreAwayError("away")),
    ):
        figures.note(report)

    now = anyio.current_time()
    lines = make_lines(figures.panels, STATS, now)
    assert lines[0] == (
        "alpha: 12,000 open, 34 due, 50 in flight, 297 lookups, 297 lookups/s, 99.0 ids per request, lag 0.2 s, "
        "2 ended, errors: UnresolvedError 9, NoAnswerError 7, pauses 1, store away 1"
    )
    assert lines[1].startswith("beta: 1 open, 0 due, 0 in flight, 0 lookups")
    assert lines[1].endswith("errors: none")
    assert make_lines(figures.panels, (), now + 60)[0].startswith("alpha: ? open, ? due, 50 in flight, 297 lookups, 0 ")
    assert len(make_table(figures.panels, STATS, now).rows) == 2


async def test_figures_do_without_a_store_that_is_away(monkeypatch):
    """While the store is away, the view goes on without what it would tell."""

    async def stats(self):
        raise StoreAwayError

    monkeypatch.setattr(Tracker, "stats", stats)

    assert await _worker._Stats(Tracker(SQLiteStore(), {})).read() == ()


async def test_figures_that_are_refused_end_no_worker(monkeypatch, caplog):
    """Whoever may not read the figures does without them, and is told so once; the claims live on."""

    async def stats(self):
        message = "permission denied"
        raise RuntimeError(message)

    monkeypatch.setattr(Tracker, "stats", stats)
    source = _worker._Stats(Tracker(SQLiteStore(), {}), rows=STATS)
    shown = []
    for _ in range(2):
        source.next_at = -math.inf
        shown.append(await source.read())

    assert shown == [(), ()]
    assert [record.getMessage() for record in caplog.records] == [
        "The store's figures cannot be read, and are not shown."
    ]


async def test_figures_are_read_for_a_small_share_of_the_time(monkeypatch):
    """What reads every order is not asked for again before it has paid, whatever asks."""
    asked = []

    async def stats(self):
        asked.append(self)
        return STATS

    monkeypatch.setattr(Tracker, "stats", stats)
    source = _worker._Stats(Tracker(SQLiteStore(), {}))

    assert [await source.read() for _ in range(3)] == [STATS] * 3
    assert len(asked) == 1
    assert source.next_at >= anyio.current_time() + 10
