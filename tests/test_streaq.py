"""Tracking as tasks of streaq, with a real Redis, on every loop."""

import gc
import os
import subprocess
import sys
import time
import warnings
from contextlib import ExitStack, closing

import anyio
import pytest

import smm_async as smm
from smm_async.testing import SimulatedPanel
from smm_async.tracking import Poll, SQLiteStore, Tracker
from tests.databases import running_redis
from tests.tracking.processes import ROOT, PanelProcess

streaq = pytest.importorskip("streaq", reason="streaq is not installed")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    """Return the address of a Redis of this module's own."""
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(autouse=True)
def _collected():
    """Collect what a cancelled worker of streaq leaves behind: streams that it has not closed."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
def make_worker(redis_url, request):
    """Return what makes a worker on a queue of the test's own."""

    def make(**options):
        return streaq.Worker(redis_url, queue_name=request.node.name, handle_signals=False, **options)

    return make


async def run(worker, over):
    """Run a worker of streaq until it is cancelled, which it may be in the middle of what it tells Redis."""
    try:
        await worker.run_async()
    except* Exception:
        if not over.is_set():
            raise


@pytest.mark.filterwarnings("ignore:Unclosed <Memory:ResourceWarning")
async def test_tasks_see_every_order_to_its_end(make_worker):
    """Started by nobody, the tasks look up all panels again and again, until their orders have ended."""
    from smm_async.streaq import add_tending  # noqa: PLC0415  an extra

    panel = SimulatedPanel(durations=(0.0, 0.5))
    orders = panel.seed_orders(150)
    worker = make_worker()
    keys, over = [], anyio.Event()
    async with smm.Client(panel.url, key=panel.key, transport=panel.transport()) as client:
        names = {"alpha": client, "beta": client}
        poll = Poll(shortest=0.1, longest=0.2)
        async with Tracker(SQLiteStore(), names, poll=poll, idle=0.05) as tracker, anyio.create_task_group() as group:
            add_tending(worker, lambda: tracker, names, seconds=0.2, idle=0.1, revive="* * * * * * *")
            await tracker.add("alpha", orders[:75])
            await tracker.add("beta", orders[75:])
            group.start_soon(run, worker, over)
            with anyio.fail_after(30):
                async for events in tracker.ended():
                    async with events:
                        keys += [event.key for event in events]
                    if len(keys) == len(orders):
                        break
            over.set()
            group.cancel_scope.cancel()

    assert len(set(keys)) == len(orders)
    assert worker.counters["retried"] > 0


def test_worker_that_is_killed_is_replaced_by_the_other(redis_url, tmp_path):
    """What a killed worker was at is taken over by the other, whatever its loop: every order ends, once."""
    store, place = SQLiteStore(tmp_path / "orders.db"), f"sqlite:///{tmp_path}/orders.db"
    store.open()
    for name in ("alpha", "beta"):
        store.add(name, [str(order) for order in range(100)])
    with ExitStack() as stack:
        panel = stack.enter_context(closing(PanelProcess(0.02, 9)))
        workers = [
            stack.enter_context(start("streaq_worker", redis_url, "killed", place, panel.url, backend))
            for backend in ("asyncio", "trio")
        ]
        wait_for(lambda: panel.counters()["ids"] > 200)
        workers[0].kill()
        wait_for(lambda: sum(row.open for row in store.stats()) == 0)
        workers[1].kill()

    assert len({event.key for event in store.take(1000, 60.0)}) == sum(row.events for row in store.stats()) == 200
    store.close()


def start(program, *arguments):
    """Start one of the programs of the proofs."""
    command = [sys.executable, "-m", f"tests.tracking.{program}", *arguments]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def wait_for(is_done):
    """Wait until something is true."""
    give_up_at = time.monotonic() + 60
    while not is_done():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
