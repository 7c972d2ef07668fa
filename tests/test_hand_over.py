"""Ended orders are handed to somebody else's queue in the transaction that records them."""

import random

import anyio
import pytest

from smm_async.models import OrderState
from smm_async.tracking import Poll, PostgresStore, Tracker
from tests.databases import own_database, postgres_url  # noqa: F401  fixtures
from tests.trackers import DONE, GOING, Answering, status

ORDERS = [str(number) for number in range(300)]


def bill(key):
    """Do what an end causes; nobody runs it here."""
    raise NotImplementedError


@pytest.fixture(scope="module")
def billing(postgres_url):
    """Return a task of procrastinate whose tables are in a database of its own, and where: making them takes long."""
    procrastinate = pytest.importorskip("procrastinate", reason="procrastinate is not installed")
    with own_database(postgres_url) as url:
        app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector(conninfo=url))
        with app.open():
            app.schema_manager.apply_schema()
            yield app.task(name="bill")(bill), url


@pytest.fixture
def place(billing):
    """Return the task, of which no jobs are left, and the address of its database."""
    import psycopg  # noqa: PLC0415  an extra

    with psycopg.connect(billing[1]) as db:
        db.execute("truncate procrastinate_jobs cascade")
        db.execute("drop schema if exists tracked cascade")
    return billing


def jobs_in(url):
    """Return the arguments of the jobs that wait."""
    import psycopg  # noqa: PLC0415  an extra

    with psycopg.connect(url) as db:
        return [args["key"] for (args,) in db.execute("select args from procrastinate_jobs").fetchall()]


async def test_every_end_is_one_job(place):
    """Each order that ends is one job of procrastinate, though handing over fails now and then, and leases are short."""
    job, url = place
    rng = random.Random(0)
    failures = []

    def hand_over(connection, ended):
        job.configure(connection=connection).batch_defer(*({"key": event.key} for event in ended))
        if len(failures) < 3:
            failures.append(ended)
            raise ArithmeticError

    store = PostgresStore(url, schema="tracked", on_record=hand_over)
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

    jobs = await anyio.to_thread.run_sync(jobs_in, url)
    assert sorted(jobs) == sorted(f"alpha/{order}" for order in ORDERS)
    assert len(failures) == 3
