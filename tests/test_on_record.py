"""What handles ends in the store's own transaction: whatever it does, they are recorded with its work, or not at all."""

import sqlite3
from contextlib import suppress

import pytest

from smm_async.tracking import EndKind, News, OnRecordError, PostgresStore, SQLiteStore, StoreAwayError, StoreError
from tests.databases import postgres_schema, postgres_url  # noqa: F401  fixtures


def end_of(store):
    """Claim the only order of a store, and return the news that it has ended."""
    (row,) = store.claim("alpha", limit=10, batch=10, lease=0, ahead=0, horizon=60).rows
    return News(row.id, row.claim, row.version, 0.0, status="Completed", state="Completed", end=EndKind.ENDED)


def fail_with(error):
    """Return what raises an error when ends are handed over."""

    def handle(_, ended):
        raise error

    return handle


def commit_with(connection, ended):
    """Do what is usual with a connection of one's own."""
    with connection:
        connection.execute("create table bill (number)")


def swallow_a_conflict(connection, ended):
    """Take an error for nothing that has taken the transaction with it."""
    connection.execute("create table bill (number unique)")
    connection.execute("insert into bill values (1)")
    with suppress(sqlite3.IntegrityError):
        connection.execute("insert or rollback into bill values (1)")


@pytest.mark.parametrize(
    ("handle", "cause"),
    [
        (fail_with(sqlite3.OperationalError("database is locked")), sqlite3.OperationalError),
        (lambda db, ended: db.execute("select * from nowhere"), sqlite3.OperationalError),
        (commit_with, sqlite3.DatabaseError),
        (lambda db, ended: db.commit(), sqlite3.DatabaseError),
        (lambda db, ended: db.execute("rollback"), sqlite3.DatabaseError),
        (swallow_a_conflict, type(None)),
    ],
    ids=["locked elsewhere", "statement", "with", "commit", "rollback", "swallowed"],
)
def test_failure_takes_everything_back_on_sqlite(handle, cause):
    """Whatever what handles ends does wrong has its own error, and nothing was recorded; then it goes on."""
    store = SQLiteStore(on_record=handle)
    store.open()
    store.add("alpha", ["1"])
    end = end_of(store)

    with pytest.raises(OnRecordError) as caught:
        store.record([end])

    assert type(caught.value.__cause__) is cause
    assert (store.take(10, 1.0), store.find("alpha", ["1"])[0].ended_at) == ([], None)
    assert not store._db.execute("select 1 from sqlite_schema where name = 'bill'").fetchall()
    store._on_record = lambda db, ended: db.execute("savepoint one") and db.execute("release one")
    assert store.record([end]) == {end.id}
    store.close()


def test_connection_that_is_closed_is_said_on_sqlite():
    """Who closes the connection is told. What was in memory is gone, which is not taken for a store without orders."""
    store = SQLiteStore(on_record=lambda db, ended: db.close())
    store.open()
    store.add("alpha", ["1"])

    with pytest.raises(OnRecordError, match="must not commit, roll back or close"):
        store.record([end_of(store)])
    with pytest.raises(StoreError, match="is not open"):
        store.stats()
    store.close()


def test_file_whose_connection_was_closed_is_opened_again(tmp_path):
    """One mistake of who handles ends does not end the store: nothing was recorded, and it goes on."""
    store = SQLiteStore(tmp_path / "orders.db", on_record=lambda db, ended: db.close())
    store.open()
    store.add("alpha", ["1"])
    end = end_of(store)
    with pytest.raises(OnRecordError):
        store.record([end])

    store._on_record = None
    assert store.find("alpha", ["1"])[0].ended_at is None
    assert store.record([end]) == {end.id}
    store.close()


def rows_as_mappings(connection, ended):
    """Have rows made as mappings, as is usual for who has a connection of one's own."""
    if isinstance(connection, sqlite3.Connection):
        connection.row_factory = lambda cursor, row: {"row": row}
        connection.text_factory = bytes
    else:
        connection.row_factory = lambda cursor: lambda row: {"row": row}


def test_rows_made_otherwise_are_so_for_the_handler_alone_on_sqlite():
    """Whatever kind of rows a handler wants, the store's own stay as they are."""
    store = SQLiteStore(on_record=rows_as_mappings)
    store.open()
    check_two_ends(store)
    store.close()


def test_rows_made_otherwise_are_so_for_the_handler_alone_on_postgres(postgres):
    """The next end that goes over the same connection has its event."""
    postgres._on_record = rows_as_mappings
    check_two_ends(postgres)


def check_two_ends(store):
    """Record two ends, one after the other, and see that each is accepted and has its event."""
    store.add("alpha", ["1", "2"])
    rows = store.claim("alpha", limit=10, batch=10, lease=0, ahead=0, horizon=60).rows

    for row in rows:
        end = News(row.id, row.claim, row.version, 0.0, status="Completed", state="Completed", end=EndKind.ENDED)
        assert store.record([end]) == {row.id}

    assert sorted(event.key for event in store.take(10, 1.0)) == ["alpha/1", "alpha/2"]


@pytest.fixture
def postgres(postgres_url, postgres_schema):
    """Return an open store with an order in a real server."""
    store = PostgresStore(postgres_url, schema=postgres_schema)
    store.open()
    store.add("alpha", ["1"])
    yield store
    store.close()


def swallow(connection, ended):
    """Take an error of the database for nothing."""
    with suppress(Exception):
        connection.execute("select * from nowhere")


def fail_as_psycopg(kind):
    """Return what raises an error of psycopg when ends are handed over."""

    def handle(_, ended):
        import psycopg  # noqa: PLC0415  an extra

        raise getattr(psycopg, kind)

    return handle


@pytest.mark.parametrize(
    ("handle", "cause"),
    [
        (fail_as_psycopg("OperationalError"), "OperationalError"),
        (fail_as_psycopg("InterfaceError"), "InterfaceError"),
        (lambda db, ended: db.execute("select * from nowhere"), "UndefinedTable"),
        (lambda db, ended: db.commit(), "ProgrammingError"),
        (lambda db, ended: db.close(), "NoneType"),
        (swallow, "NoneType"),
    ],
    ids=["operational", "interface", "statement", "commit", "close", "swallowed"],
)
def test_failure_takes_everything_back_on_postgres(postgres, handle, cause):
    """What handles ends may raise what an outage raises: it is none, and nothing was recorded."""
    postgres._on_record = handle
    end = end_of(postgres)

    with pytest.raises(OnRecordError) as caught:
        postgres.record([end])

    assert type(caught.value.__cause__).__name__ == cause
    assert (postgres.take(10, 1.0), postgres.find("alpha", ["1"])[0].ended_at) == ([], None)
    postgres._on_record = None
    assert postgres.record([end]) == {end.id}


def test_commit_by_a_statement_is_said_on_postgres(postgres):
    """A transaction that was ended behind the driver's back is noticed."""
    postgres._on_record = lambda db, ended: db.execute("commit")

    with pytest.raises(OnRecordError, match="must not commit"):
        postgres.record([end_of(postgres)])


def test_outage_meanwhile_is_one(postgres, postgres_url):
    """Where the connection is lost while ends are handled, the store is away, whatever that raises."""
    import psycopg  # noqa: PLC0415  an extra

    def handle(db, ended):
        with psycopg.connect(postgres_url, autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s, 5000)", [db.info.backend_pid])
        try:
            db.execute("select 1")
        except psycopg.OperationalError as error:
            raise ArithmeticError from error

    postgres._on_record = handle
    end = end_of(postgres)

    with pytest.raises(StoreAwayError, match="cannot be used for now"):
        postgres.record([end])
    postgres._on_record = None
    assert postgres.record([end]) == {end.id}


def test_deadlock_meanwhile_is_repeated(postgres):
    """What the server undoes for another's sake is done again, though a queue has put an error of its own around it."""
    import psycopg  # noqa: PLC0415  an extra

    handed = []

    def handle(db, ended):
        handed.append([event.key for event in ended])
        if len(handed) == 1:
            try:
                raise psycopg.errors.DeadlockDetected
            except psycopg.Error as error:
                raise ArithmeticError from error

    postgres._on_record = handle

    assert len(postgres.record([end_of(postgres)])) == 1
    assert handed == [["alpha/1"]] * 2
