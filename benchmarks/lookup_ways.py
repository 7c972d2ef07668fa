"""Ways to look up many orders over HTTP, each behind one small interface.

Each is called with an address, ids, how many requests may be on their way, and a `PanelMeter`, which it enters when it
is warm. All make a typed record for every id.
"""

import httpx

import smm_async as smm
from benchmarks.baseline import FIRST_ID, form_for, make_structure
from benchmarks.measuring import Meter, in_tasks, run_all, tuned_collector

try:
    from smm_async import fast
except ImportError:
    fast = None

BATCH = 100
POLLERS = 1_000


class PanelMeter(Meter):
    """Measures what happens inside its ``with``, and counts the requests that come of it."""

    def __init__(self, panel):
        super().__init__()
        self._panel = panel
        self.requests = 0

    def __enter__(self):
        self._panel.counts()
        return super().__enter__()

    def __exit__(self, *_):
        super().__exit__()
        self.requests = self._panel.counts()["requests"]


def make_ids(count):
    return [str(FIRST_ID + number) for number in range(count)]


async def by_hand(url, ids, slots, meter, batch=BATCH):
    """Make perfect batches, and send each from one of as many tasks as there may be requests."""
    structure, found = make_structure(), {}
    batches = [ids[start : start + batch] for start in range(0, len(ids), batch)]
    left = iter(batches)

    async def ask_for(some):
        reply = await http.post(url, data=form_for(some))
        rows = reply.json()
        found.update(structure(rows if len(some) > 1 else {some[0]: rows}))

    async def work(_):
        for some in left:
            await ask_for(some)

    # As many connections as slots: httpx would keep twenty, and open a new one for each request of the others.
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=slots)) as http:
        await ask_for(batches[0])
        with meter:
            await run_all(work, range(slots))
    assert len(found) == len(ids)


async def one_by_one(url, ids, slots, meter):
    await by_hand(url, ids, slots, meter, batch=1)


# What is done with a client.


async def in_a_list(client, ids):
    found = await client.statuses(ids)
    assert not any(isinstance(result, smm.SmmError) for result in found.values())


async def in_a_stream(client, ids):
    async with client.stream_statuses(ids) as results:
        async for _, result in results:
            assert not isinstance(result, smm.SmmError)


async def in_pollers(client, ids):
    await in_tasks(client.status, ids, min(POLLERS, len(ids)))


async def in_single_tasks(client, ids):
    await in_tasks(client.status, ids, len(ids))


def with_client(use, make_transport=None, *, is_tuned=False):
    """Return a way that opens a client and uses it."""

    async def look_up(url, ids, slots, meter, batch=BATCH):
        transport = make_transport and make_transport()
        panel = smm.Panel(url, batch_limit=batch)
        async with smm.Client(panel, key="not-a-key", max_in_flight=slots, transport=transport) as client:
            await client.statuses(ids[:batch])
            with meter:
                await use(client, ids)

    async def look_up_tuned(*args):
        with tuned_collector():
            await look_up(*args)

    return look_up_tuned if is_tuned else look_up


HAND, ONE_BY_ONE, LIST, STREAM = "by hand", "one by one", "statuses()", "stream_statuses()"
IN_POLLERS, IN_TASKS, IN_TASKS_TUNED = "pollers", "tasks", "tasks, gc"
LIST_RUST, POLLERS_RUST = "statuses(), fast", "pollers, fast"
ALL_WAYS = {
    HAND: by_hand,
    ONE_BY_ONE: one_by_one,
    LIST: with_client(in_a_list),
    STREAM: with_client(in_a_stream),
    IN_POLLERS: with_client(in_pollers),
    IN_TASKS: with_client(in_single_tasks),
    IN_TASKS_TUNED: with_client(in_single_tasks, is_tuned=True),
    LIST_RUST: with_client(in_a_list, fast and fast.make_transport),
    POLLERS_RUST: with_client(in_pollers, fast and fast.make_transport),
}
ON_ASYNCIO = {LIST_RUST, POLLERS_RUST}


def ways_on(loop):
    """Return the ways that there are on this loop, with what is installed."""
    missing = ON_ASYNCIO if loop == "trio" or fast is None else ()
    return {name: way for name, way in ALL_WAYS.items() if name not in missing}
