"""SQLite stores and their addresses: what is no store is refused with a reason, what is away is told from what is wrong."""

import re
import sqlite3
import sys
import threading

import pytest

import smm_async as smm
from smm_async._sqlite_store import _SQL, _make_durable
from smm_async._store_urls import store_at
from smm_async.tracking import EndKind, News, SQLiteStore, StoreAwayError, StoreError


def claim(store):
    """Claim everything."""
    return store.claim("alpha", limit=10, batch=10, lease=60, ahead=0, horizon=60).rows


def test_file_outlives_its_process(tmp_path):
    """What was added and recorded is there when the file is opened again."""
    for expected in (1, 0):
        store = SQLiteStore(tmp_path / "orders.db")
        store.open()
        assert store.add("alpha", ["1"]) == expected
        store.close()


def test_two_stores_share_a_file(tmp_path):
    """Two processes of a machine share the orders of a file."""
    stores = [SQLiteStore(tmp_path / "orders.db") for _ in range(2)]
    for store in stores:
        store.open()
    stores[0].add("alpha", ["1", "2"])

    assert sorted(len(claim(store)) for store in stores) == [0, 2]
    for store in stores:
        store.close()


def test_repr_names_the_file(tmp_path, monkeypatch):
    """A store says where it is, whoever changes the folder later."""
    monkeypatch.chdir(tmp_path)

    assert repr(SQLiteStore("orders.db")) == f"SQLiteStore({str(tmp_path / 'orders.db')!r})"
    assert repr(SQLiteStore()) == "SQLiteStore(':memory:')"


def test_store_of_another_version_is_refused(tmp_path):
    """A newer file is left alone, and the message names both versions."""
    path = tmp_path / "orders.db"
    store = SQLiteStore(path)
    store.open()
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("update smm_schema set version = 7")
    db.close()

    with pytest.raises(StoreError, match="version 7; this smm_async knows version 1"):
        store.open()
    with sqlite3.connect(path) as db:
        db.execute("delete from smm_schema")
    db.close()
    with pytest.raises(StoreError, match="version nothing"):
        store.open()


async def test_journal_is_no_store(tmp_path):
    """The file of a journal is recognised, and left alone."""
    path = tmp_path / "journal.db"
    journal = smm.Journal(path)
    await journal.begin("ref", "add", {}, attempt="a", within=1.0)

    with pytest.raises(StoreError, match="a journal: take a file of its own"):
        SQLiteStore(path).open()
    assert len(await journal.entries()) == 1


def test_other_file_is_no_store(tmp_path):
    """What is no database is refused."""
    path = tmp_path / "notes.txt"
    path.write_text("Not a database at all, but long enough to be looked into." * 20)

    with pytest.raises(StoreError, match=r"notes\.txt' is no store"):
        SQLiteStore(path).open()


def test_folder_that_is_not_there_is_away(tmp_path):
    """A file that cannot be opened may be there later."""
    with pytest.raises(StoreAwayError, match="cannot be used for now"):
        SQLiteStore(tmp_path / "nowhere" / "orders.db").open()


def test_file_that_somebody_locks_is_away(tmp_path, monkeypatch):
    """A lock that lasts is no bug: it is tried again."""
    monkeypatch.setattr("smm_async._sqlite_store._BUSY_SECONDS", 0.01)
    store = SQLiteStore(tmp_path / "orders.db")
    store.open()
    other = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
    other.execute("begin immediate")

    with pytest.raises(StoreAwayError, match="locked"):
        store.add("alpha", ["1"])
    other.execute("rollback")
    assert store.add("alpha", ["1"]) == 1
    other.close()
    store.close()


def test_new_file_may_be_made_by_many_at_once(tmp_path):
    """Processes that start at the same time make one file, and none of them finds it locked."""
    stores = [SQLiteStore(tmp_path / "orders.db") for _ in range(8)]
    barrier = threading.Barrier(len(stores))

    def start(store):
        barrier.wait()
        store.open()

    threads = [threading.Thread(target=start, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [store.add("alpha", ["1"]) for store in stores] == [1, *[0] * 7]
    for store in stores:
        store.close()


@pytest.mark.parametrize("is_released", [True, False])
def test_file_that_is_being_made_is_waited_for(tmp_path, monkeypatch, is_released):
    """Who finds a new file locked tries again for a while; one that stays locked is away."""
    other = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
    other.execute("begin exclusive")
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if is_released and len(pauses) == 2:
            other.execute("rollback")

    monkeypatch.setattr("smm_async._sqlite_store._sleep", sleep)
    store = SQLiteStore(tmp_path / "orders.db")

    if is_released:
        store.open()
        assert (store.add("alpha", ["1"]), len(pauses)) == (1, 2)
    else:
        with pytest.raises(StoreAwayError, match="locked"):
            store.open()
        assert sum(pauses) == pytest.approx(5.0)
    store.close()
    other.close()


def test_disk_that_fails_is_not_waited_for(monkeypatch):
    """What no waiting mends is said at once."""

    class Failing:
        def execute(self, statement):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

    monkeypatch.setattr("smm_async._sqlite_store._sleep", None)

    with pytest.raises(sqlite3.OperationalError, match="disk"):
        _make_durable(Failing())


def test_reading_waits_for_nobody_who_writes(tmp_path, monkeypatch):
    """Figures and lists are read while another process writes, and nobody who writes waits for them."""
    monkeypatch.setattr("smm_async._sqlite_store._BUSY_SECONDS", 0.01)
    store = SQLiteStore(tmp_path / "orders.db")
    store.open()
    store.add("alpha", ["1"])
    other = sqlite3.connect(tmp_path / "orders.db", isolation_level=None)
    other.execute("begin immediate")

    assert store.stats()[0].open == 1
    assert len(store.page(None, after=0, limit=10, is_open=True)) == len(store.find("alpha", ["1"])) == 1
    other.close()
    store.close()


def test_old_sqlite_is_refused(monkeypatch):
    """An SQLite that cannot do what is needed is named."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")

    with pytest.raises(StoreError, match=r"3\.35 or newer; Python has 3\.34\.1"):
        SQLiteStore().open()


@pytest.mark.parametrize("name", ["look", "claim", "record", "put_events"])
def test_work_looks_at_no_more_than_it_takes(name):
    """What a worker does again and again goes by an index, and never over all orders."""
    store = SQLiteStore()
    store.open()
    statement = getattr(_SQL, name)
    parameters = dict.fromkeys(re.findall(r":([a-z_]+)", statement), 1) | {"ids": "[]"}

    plan = [row[3] for row in store._db.execute(f"explain query plan {statement}", parameters)]

    assert plan
    assert [step for step in plan if step.startswith(("SCAN o", "SCAN smm_order", "SCAN p"))] == []
    store.close()


@pytest.mark.parametrize(
    "work",
    [
        lambda store, ends: store.add("alpha", ["1", "new"]),
        lambda store, ends: claim(store),
        lambda store, ends: store.record(ends[-3:]),
        lambda store, ends: store.take(10, 60.0),
    ],
    ids=["add", "claim", "record", "take"],
)
def test_work_is_the_same_however_much_there_is(work):
    """The engine takes as many steps for some orders of very many as for some of a few."""
    efforts = []
    for count in (40, 2000):
        store = SQLiteStore()
        store.open()
        store.add("alpha", [str(number) for number in range(count)])
        rows = store.claim("alpha", limit=count, batch=count, lease=0, ahead=0, horizon=60).rows
        ends = [News(row.id, row.claim, row.version, 0.0, status="Completed", end=EndKind.ENDED) for row in rows]
        # A third is forgotten, and a third has ended.
        store.record(ends[: count // 3])
        store.prune(0.0, events=True)
        store.record(ends[count // 3 : count // 3 * 2])
        efforts.append(steps_of(store, work, ends))
        store.close()

    assert efforts[0] == efforts[1] > 10


def steps_of(store, work, ends):
    """Return how many steps SQLite takes for some work."""
    steps = []
    store._db.set_progress_handler(lambda: steps.append(1), 1)
    work(store, ends)
    store._db.set_progress_handler(None, 0)
    return len(steps)


def test_addresses_name_stores(tmp_path):
    """The addresses of the command line are those that other tools have."""
    assert repr(store_at(f"sqlite:///{tmp_path}/orders.db")) == f"SQLiteStore({str(tmp_path / 'orders.db')!r})"
    for url in ("sqlite:///", "mysql://host/db", "orders.db", "sqlite://orders.db"):
        with pytest.raises(ValueError, match="A store is sqlite:///"):
            store_at(url)


def test_missing_driver_names_the_remedy(monkeypatch):
    """Without psycopg there is one sentence that says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(ImportError, match=r"pip install 'smm_async\[postgres\]'"):
        store_at("postgresql://somewhere/orders")
