"""Takes events and prints their keys until there are none: ``python -m tests.tracking.consumer URL BACKEND``."""

import sys

import anyio

from smm_async._store_urls import store_at
from smm_async.tracking import Tracker

LEASE = 1.0


async def main(url):
    """Print the key of each event before it is acknowledged."""
    async with Tracker(store_at(url), {}) as tracker:
        while sum(row.events for row in await tracker.stats()):
            with anyio.move_on_after(2 * LEASE):
                async for events in tracker.ended(500, lease=LEASE):
                    async with events:
                        print(*(event.key for event in events), sep="\n", flush=True)
    print("done", flush=True)


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], backend=sys.argv[2])
