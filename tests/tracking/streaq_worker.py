"""A worker of streaq that tends two panels: ``python -m tests.tracking.streaq_worker REDIS QUEUE STORE PANEL BACKEND``."""

import sys
from contextlib import AsyncExitStack

import anyio
import streaq

import smm_async as smm
from smm_async._store_urls import store_at
from smm_async.streaq import add_tending
from smm_async.tracking import Poll, Tracker

PANELS = ["alpha", "beta"]


async def main(redis, queue, store, panel):
    """Work until it is killed."""
    worker = streaq.Worker(redis, queue_name=queue, idle_timeout=1.5)
    poll = Poll(shortest=0.1, longest=0.2)
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(smm.Client(panel, key="made-up-key", budget=0.9)) for name in PANELS
        }
        tracker = await stack.enter_async_context(Tracker(store_at(store), clients, poll=poll, lease=1.0, idle=0.05))
        add_tending(worker, lambda: tracker, PANELS, seconds=0.3, idle=0.1, revive="* * * * * * *")
        await worker.run_async()


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:5], backend=sys.argv[5])
