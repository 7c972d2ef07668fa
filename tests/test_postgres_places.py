"""Stores in PostgreSQL: what is away is told from what is wrong, and nothing is done by halves."""

import threading

import attrs
import pytest

from smm_async import _store
from smm_async._postgres_connections import Connections
from smm_async._postgres_store import _LOCK
from smm_async._store_urls import store_at
from smm_async.tracking import EndKind, News, PostgresStore, StoreAwayError, StoreError
from tests.databases import postgres_database, postgres_schema, postgres_url, wait_for_waiting  # noqa: F401  fixtures


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


class LateLock:
    """In the place of a lock: whoever comes for it finds that another has just had it, and closed the connections."""

    def __init__(self, connections):
        self._connections = connections
        self._lock = connections._lock

    def __enter__(self):
        self._connections._lock = self._lock
        self._connections.close()
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()


def test_connection_given_back_while_they_are_closed_is_closed(postgres_url):
    """What is given back between the end of lending and the closing of what is idle does not stay connected."""
    connections = Connections(postgres_url, prepare=True)
    connections.is_open = True
    with connections.lend() as db:
        connections._lock = LateLock(connections)

    assert (db.closed, connections.idle) == (True, [])


@pytest.fixture
def postgres(postgres_url, postgres_schema):
    """Return an open store in a real server."""
    store = PostgresStore(postgres_url, schema=postgres_schema, prepare=False)
    store.open()
    yield store
    store.close()


def test_workers_that_start_together_make_the_tables_once(postgres_url, postgres_schema):
    """Workers that find no tables at the same time wait for each other, and the first makes them."""
    import psycopg  # noqa: PLC0415  an extra

    stores = [PostgresStore(postgres_url, schema=postgres_schema) for _ in range(4)]
    threads = [threading.Thread(target=store.open) for store in stores]
    with psycopg.connect(postgres_url) as db:
        # As a worker does that is at it; all the others are there before it is done.
        db.execute(_LOCK)
        for thread in threads:
            thread.start()
        wait_for_waiting(db, "wait_event = 'advisory'", len(stores))
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
        with postgres._connections.lend():
            barrier.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    hold()
    thread.join()
    assert len(postgres._connections.idle) == 2
    pids = [db.info.backend_pid for db in postgres._connections.idle]
    with psycopg.connect(postgres_url, autocommit=True) as db:
        db.execute("select pg_terminate_backend(pid, 5000) from unnest(%s::int[]) as ended (pid)", [pids])

    with pytest.raises(StoreAwayError):
        postgres.add("alpha", ["1"])
    assert postgres.add("alpha", ["1"]) == 1


def test_server_that_became_a_standby_is_away(postgres):
    """A server that only reads is no primary any more: no connection to it is used again."""
    with postgres._connections.lend() as one, postgres._connections.lend() as two:
        one.execute("set default_transaction_read_only = on")
        two.execute("set default_transaction_read_only = on")

    with pytest.raises(StoreAwayError, match="read-only"):
        postgres.add("alpha", ["1"])

    assert (one.closed, two.closed, postgres._connections.idle) == (True, True, [])
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
    with postgres._connections.lend() as db:
        db.execute(f"""update "{postgres_schema.replace('"', '""')}".smm_schema set version = 7""")
    other = PostgresStore(postgres_url, schema=postgres_schema)

    for store in (other, postgres):
        with pytest.raises(StoreError, match="version 7"):
            store.open()

    assert other._connections.idle == []
    with pytest.raises(StoreError, match="is not open"):
        other.add("alpha", ["1"])
    assert postgres.add("alpha", ["1"]) == 1


def test_connection_lent_while_closing_is_closed(postgres):
    """What is given back to a closed store is disconnected."""
    with postgres._connections.lend() as db:
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
            postgres._connections.run(call)
    else:
        assert postgres._connections.run(call) == "done"
    assert len(calls) == 3


def test_other_errors_pass(postgres):
    """A bug is no outage."""

    def call(db):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        postgres._connections.run(call)


def test_orders_are_added_all_or_none(postgres, monkeypatch):
    """Where some orders cannot be added, none is, though they go into the server part by part."""
    monkeypatch.setattr(_store, "_CHUNK", 2)

    with pytest.raises(UnicodeEncodeError):
        postgres.add("alpha", ["1", "2", "3", "\ud800"])
    assert (postgres.page(None, after=0, limit=9, is_open=None), postgres.stats()) == ([], [])
    assert postgres.add("alpha", ["1", "2", "3"]) == 3


def test_events_are_taken_and_forgotten_all_or_none(postgres):
    """Where taking or forgetting fails in the middle, the events are there as before."""
    import psycopg  # noqa: PLC0415  an extra

    postgres.add("alpha", ["1"])
    (row,) = postgres.claim("alpha", limit=10, batch=10, lease=0, ahead=0, horizon=60).rows
    end = News(row.id, row.claim, row.version, 0.0, status="Completed", state="Completed", end=EndKind.ENDED)
    postgres.record([end])
    whole = postgres._sql
    postgres._sql = attrs.evolve(whole, events="select 1 / 0", keep_and_prune="select 1 / 0")

    for fail in (lambda: postgres.take(10, 60.0), lambda: postgres.prune(0.0, events=True)):
        with pytest.raises(psycopg.errors.DivisionByZero):
            fail()

    postgres._sql = whole
    assert [event.key for event in postgres.take(10, 60.0)] == ["alpha/1"]
