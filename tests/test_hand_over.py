"""Ended orders are handed to somebody else's queue in the transaction that records them."""

import random

import anyio
import pytest

from smm_async.models import OrderState
from smm_async.tracking import Poll, PostgresStore, Tracker
from tests.databases import postgres_database, postgres_url  # noqa: F401  fixtures
from tests.trackers import DONE, GOING, Answering, status

ORDERS = [str(number) for number in range(300)]


@pytest.fixture
def app(postgres_database):
    """Return an app of procrastinate whose tables are in a database of its own."""
    procrastinate = pytest.importorskip("procrastinate", reason="procrastinate is not installed")
    app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=postgres_database))
    with app.open():
        app.schema_manager.apply_schema()
        yield app


def jobs_in(url):
    """Return the arguments of the jobs that wait."""
    import psycopg  # noqa: PLC0415  an extra

    with psycopg.connect(url) as db:
        return [args["key"] for (args,) in db.execute("select args from procrastinate_jobs").fetchall()]


async def test_every_end_is_one_job(app, postgres_database):
    """Each order that ends is one job of procrastinate, though handing over fails now and then, and leases are short."""
    rng = random.Random(0)
    failures = []

    @app.task(name="bill")
    def bill(key):
        pass

    def hand_over(connection, ended):
        bill.configure(connection=connection).batch_defer(*({"key": event.key} for event in ended))
        if len(failures) < 3:
            failures.append(ended)
            raise ArithmeticError

    store = PostgresStore(postgres_database, on_record=hand_over)
    client = Answering({order: rng.choice([DONE, GOING, status(OrderState.CANCELED)]) for order in ORDERS}, batch=10)
    client.budget = 0.05
    poll = Poll(shortest=0.01, longest=0.02)
    async with Tracker(store, {"alpha": client}, poll=poll, lease=0.1, idle=0.01) as tracker:
        await tracker.add("alpha", ORDERS)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(tracker.run)
            while sum(row.ended for row in await tracker.stats()) < len(ORDERS):
                client.answers |= dict.fromkeys(rng.sample(ORDERS, 100), DONE)
            tracker.stop()

    jobs = await anyio.to_thread.run_sync(jobs_in, postgres_database)
    assert sorted(jobs) == sorted(f"alpha/{order}" for order in ORDERS)
    assert len(failures) == 3
