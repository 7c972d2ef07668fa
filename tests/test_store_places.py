"""Where stores are: what is no store is refused with a reason, and what is away is told from what is wrong."""

import re
import sqlite3
import sys
import threading

import pytest

import smm_async as smm
from smm_async._sqlite_store import _SQL, _make_durable
from smm_async._store_urls import store_at
from smm_async.tracking import PostgresStore, SQLiteStore, StoreAwayError, StoreError
from tests.databases import postgres_database, postgres_schema, postgres_url  # noqa: F401  fixtures


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


@pytest.mark.parametrize("name", ["look", "claim", "record", "put_events", "take"])
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


def test_repr_shows_no_address(postgres_url):
    """The address of a database may hold a password."""
    assert repr(store_at("postgresql://me:secret@host/db")) == "<smm_async.tracking.PostgresStore public>"


def test_address_that_is_none_is_refused_and_not_shown(postgres_url):
    """What libpq does not understand is said without the address, which may hold a password."""
    with pytest.raises(ValueError, match="does not understand the address") as caught:
        store_at("postgresql://me:secret@host:port:port/db?x")

    assert "secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_server_that_is_not_there_is_away(postgres_url):
    """A database that cannot be reached may be there later; the message says what is wrong."""
    with pytest.raises(StoreAwayError, match="cannot be used for now"):
        PostgresStore("postgresql://127.0.0.1:1/orders?connect_timeout=2").open()


@pytest.fixture
def postgres(postgres_url, postgres_schema):
    """Return an open store in a real server."""
    store = PostgresStore(postgres_url, schema=postgres_schema, prepare=False)
    store.open()
    yield store
    store.close()


def test_second_worker_finds_the_tables(postgres, postgres_url, postgres_schema):
    """Workers that start at the same time make the tables once."""
    stores = [PostgresStore(postgres_url, schema=postgres_schema) for _ in range(4)]
    threads = [threading.Thread(target=store.open) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [store.add("alpha", ["1"]) for store in stores] == [1, 0, 0, 0]
    for store in stores:
        store.close()


def test_tables_go_into_the_public_schema(postgres_database):
    """By default the tables stand where everything stands."""
    import psycopg  # noqa: PLC0415  an extra

    store = PostgresStore(postgres_database)
    store.open()
    store.close()
    with psycopg.connect(postgres_database) as db:
        assert db.execute("select version from public.smm_schema").fetchall() == [(1,)]


def test_place_without_rights_is_refused(postgres_database):
    """Who may not make tables is told so in a message, not by an exception of the driver."""
    import psycopg  # noqa: PLC0415  an extra

    with psycopg.connect(postgres_database, autocommit=True) as db:
        db.execute("drop role if exists smm_nobody")
        db.execute("create role smm_nobody")
    try:
        store = PostgresStore(psycopg.conninfo.make_conninfo(postgres_database, options="-c role=smm_nobody"))
        with pytest.raises(StoreError, match="permission denied for schema public"):
            store.open()
        store.close()
    finally:
        with psycopg.connect(postgres_database, autocommit=True) as db:
            db.execute("drop role smm_nobody")


def test_lost_connections_are_made_again(postgres, postgres_url):
    """A connection that the server has ended is an outage of one call; the others that were idle go with it."""
    import psycopg  # noqa: PLC0415  an extra

    barrier = threading.Barrier(2)

    def hold():
        with postgres._connection():
            barrier.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    hold()
    thread.join()
    assert len(postgres._idle) == 2
    pids = [db.info.backend_pid for db in postgres._idle]
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("select pg_terminate_backend(pid, 5000) from unnest(%s::int[]) as ended (pid)", [pids])

    with pytest.raises(StoreAwayError):
        postgres.add("alpha", ["1"])
    assert postgres.add("alpha", ["1"]) == 1


def test_server_that_became_a_standby_is_away(postgres):
    """A server that only reads is no primary any more: no connection to it is used again."""
    with postgres._connection() as one, postgres._connection() as two:
        one.execute("set default_transaction_read_only = on")
        two.execute("set default_transaction_read_only = on")

    with pytest.raises(StoreAwayError, match="read-only"):
        postgres.add("alpha", ["1"])

    assert (one.closed, two.closed, postgres._idle) == (True, True, [])
    assert postgres.add("alpha", ["1"]) == 1


def test_standby_without_tables_is_away(postgres_url, postgres_schema):
    """Where tables cannot be made because the server only reads, there may be a primary later."""
    import psycopg  # noqa: PLC0415  an extra

    options = "-c default_transaction_read_only=on"
    store = PostgresStore(psycopg.conninfo.make_conninfo(postgres_url, options=options), schema=postgres_schema)

    with pytest.raises(StoreAwayError, match="read-only"):
        store.open()


def test_server_with_another_version_leaves_nothing_open(postgres, postgres_url, postgres_schema):
    """A store that was refused is not open, and holds no connection; one that is open stays so, whatever comes later."""
    with postgres._connection() as db:
        db.execute(f"""update "{postgres_schema.replace('"', '""')}".smm_schema set version = 7""")
    other = PostgresStore(postgres_url, schema=postgres_schema)

    for store in (other, postgres):
        with pytest.raises(StoreError, match="version 7"):
            store.open()

    assert other._idle == []
    with pytest.raises(StoreError, match="is not open"):
        other.add("alpha", ["1"])
    assert postgres.add("alpha", ["1"]) == 1


def test_connection_lent_while_closing_is_closed(postgres):
    """What is given back to a closed store is disconnected."""
    with postgres._connection() as db:
        postgres.close()

    assert db.closed


@pytest.mark.parametrize(("times", "is_away"), [(2, False), (3, True)])
def test_undone_transaction_is_repeated(postgres, times, is_away):
    """What the server undoes for another's sake is done again, and given up as away when that goes on."""
    import psycopg  # noqa: PLC0415  an extra

    calls = []

    def call(db):
        calls.append(db)
        if len(calls) <= times:
            raise psycopg.errors.DeadlockDetected
        return "done"

    if is_away:
        with pytest.raises(StoreAwayError):
            postgres._run(call)
    else:
        assert postgres._run(call) == "done"
    assert len(calls) == 3


def test_other_errors_pass(postgres):
    """A bug is no outage."""

    def call(db):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        postgres._run(call)
