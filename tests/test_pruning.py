"""What was forgotten stays forgotten: it is not added anew, whoever adds it, and looking for it stays cheap."""

import threading

import anyio
import pytest

import smm_async as smm
from smm_async._sqlite_store import _SQL
from smm_async.tracking import PostgresStore, SQLiteStore
from tests.databases import postgres_schema, postgres_url, wait_for_waiting  # noqa: F401  fixtures
from tests.trackers import DONE, Answering, scene

FORGOTTEN = 20_000


async def test_journal_brings_no_forgotten_order_back(tmp_path):
    """A journal tells of its orders again and again; one whose end was delivered, and forgotten, has no second one."""
    journal = smm.Journal(tmp_path / "journal.db")
    await journal.begin("ref", "add", {}, attempt="a", within=1.0)
    await journal.finish("ref", smm.EntryState.PLACED, attempt="a", order="77")
    async with scene(Answering(default=DONE)) as at:
        assert await at.tracker.add_placed("alpha", journal) == 1
        await at.tracker.tend("alpha", seconds=60)
        async with await anext(at.tracker.ended()) as events:
            assert [event.key for event in events] == ["alpha/77"]
        at.store.clock.ahead += 100
        assert await at.tracker.prune(50) == 1

        assert await at.tracker.add_placed("alpha", journal) == 0
        await at.tracker.tend("alpha", seconds=60)

        assert at.client.asked == [["77"]]
        assert await anyio.to_thread.run_sync(at.store.take, 10, 1.0) == []


@pytest.fixture
def postgres(postgres_url, postgres_schema):
    """Return an open store in a real server, and a connection beside it."""
    import psycopg  # noqa: PLC0415  an extra

    # Not the usual one, in which a transaction would not see what others have done while it waited for them.
    options = r"-c default_transaction_isolation=repeatable\ read"
    store = PostgresStore(psycopg.conninfo.make_conninfo(postgres_url, options=options), schema=postgres_schema)
    store.open()
    with psycopg.connect(postgres_url) as db:
        yield store, db
    store.close()


def test_order_that_is_pruned_meanwhile_is_not_added(postgres):
    """Who adds an order while another transaction forgets it waits for that, and does not add it then."""
    store, db = postgres
    store.add("alpha", ["1"])
    db.execute(
        f"update \"{store._schema.replace(chr(34), chr(34) * 2)}\".smm_order set ended_at = now() - interval '1 day'"
    )
    db.commit()
    added = []
    thread = threading.Thread(target=lambda: added.append(store.add("alpha", ["1", "2"])))

    assert db.execute(store._sql.keep_and_prune, {"seconds": 50}).rowcount == 1
    thread.start()
    wait_for_waiting(db, "wait_event_type = 'Lock' and query like '%%smm_order%%'", 1)
    db.commit()
    thread.join()

    assert added == [1]
    assert [tracked.order for tracked in store.find("alpha", ["1", "2"])] == ["2"]


def test_adding_looks_up_what_was_forgotten_on_sqlite():
    """Whether an order was forgotten is looked up by a key, however many were."""
    store = SQLiteStore()
    store.open()
    given = {"panel": "alpha", "orders": '["1"]', "now": 0.0}

    plan = [row[3] for row in store._db.execute(f"explain query plan {_SQL.add}", given)]

    assert [step for step in plan if step.startswith("SEARCH t USING PRIMARY KEY (panel=? AND number=?)")]
    store.close()


def test_adding_looks_up_what_was_forgotten_on_postgres(postgres):
    """Whether an order was forgotten is looked up by a key, where there are very many."""
    store, db = postgres
    store.add("alpha", ["1"])
    schema = f'"{store._schema.replace(chr(34), chr(34) * 2)}"'
    db.execute(
        f"insert into {schema}.smm_pruned (panel, number, version) "
        f"select (select id from {schema}.smm_panel), generate_series(2, {FORGOTTEN}), 1"
    )
    db.execute(f"analyze {schema}.smm_pruned")
    given = {"panel": "alpha", "orders": [str(number) for number in range(FORGOTTEN, FORGOTTEN + 1000)]}

    for statement in (store._sql.add, store._sql.take_back):
        plan = "\n".join(row[0] for row in db.execute(f"explain {statement}", given))
        assert "using smm_pruned_pkey" in plan
        assert "Seq Scan on smm_pruned" not in plan
