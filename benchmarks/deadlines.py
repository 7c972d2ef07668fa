"""How exactly a call ends at the end of its budget, whatever the server does: in real time, over sockets.

``python -m benchmarks.deadlines [--quick]`` (needs ``pip install -e '.[benchmark]'``)

Each call has a budget of 0.3 seconds, and meets a server on the loopback interface that is too slow in a way of its own.
A cell of the first table says by how many milliseconds calls were late, the median / the maximum: when a call ended,
minus when it was made, minus its budget. Reads are `balance()` and `status()`. The write is `add()`, or, where the server
reads nothing, a `call()` with two megabytes of text, which take some 13 ms to encode before the budget begins. The last
column is what the reads and what the writes raised. The first row is a bare sleep of 0.3 seconds: as late as that, the
loop and the machine are by themselves. uvloop's clock counts whole milliseconds, so there a call may end too early.

The second table is about `aclose()` with two reads and a write in flight, and a grace time of 0: the milliseconds until
the last caller was told / until it returned, the longest of all runs.

The servers run in a process of their own. Calls that cost nothing while they wait run side by side, started one by one.
The program exits with 1 if a call has not ended a second after its budget, if the median of a row is above 50 ms, or if
closing took more than 5 seconds. With ``--quick``, which a busy machine may run, 50 ms are not asked for.
"""

import argparse
import json
import platform
import ssl
import statistics
import subprocess
import sys
import time

import anyio
import attrs
import httpx
import httpx2

import smm_async as smm
from benchmarks.merging_libraries import version_of

try:
    import uvloop
except ImportError:
    uvloop = None

BUDGET = 0.3
LONGER_BUDGET = 5.0
PATIENCE = 1.0
MOST_LATE = 0.05
MOST_EARLY = 0.005  # uvloop counts in milliseconds
MOST_TO_CLOSE = 5.0
RUNS = 3
QUICK_RUNS = 1
QUEUE = 5
NO_END = "NO END"
APART = 0.004
FAR_APART = 0.05
CLOSE_APART = 0.02
CLOSE_AFTER = 0.15
LONG = "x" * 2_000_000
"""More than the buffers of a connection take in."""
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)

CALLS = {
    "sleep": lambda _: anyio.sleep(BUDGET),
    "balance": lambda client: client.balance(),
    "status": lambda client: client.status(7),
    "add": lambda client: client.add(ORDER),
    "long call": lambda client: client.call("import", text=LONG),
}
READS = ("balance", "status", "sleep")
LOOPS = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}
TRANSPORTS = {"default": None, "httpx": httpx.AsyncHTTPTransport, "httpx2": httpx2.AsyncHTTPTransport}


@attrs.frozen
class Case:
    text: str
    server: str
    scheme: str = "http"
    queued_behind: str = ""
    """Which calls are in the way: ``longer`` ones, with a larger budget, or ``equal`` ones."""
    is_long: bool = False
    """Whether the requests are too long for the buffers of a connection."""
    is_bare: bool = False
    """Whether nothing is called, but slept: what the loop and the machine make of it by themselves."""
    is_busy: bool = False
    """Whether the loop has so much to do meanwhile that it must be the only case on it."""

    @property
    def calls(self):
        if self.is_bare:
            return ("sleep",)
        return ("balance", "status", "long call" if self.is_long else "add")


CASES = [
    Case("no call, a bare sleep", "never_answer", is_bare=True),
    Case("connection is not accepted", "never_accept"),
    Case("TLS: server says nothing", "never_answer", "https"),
    Case("TLS: server stops half way", "stop_in_handshake", "https"),
    Case("server never answers", "never_answer"),
    Case("head, a byte a second", "drip_head"),
    Case("body, a byte a second", "drip_body"),
    Case("endless body below the limit", "stay_below_limit"),
    Case("queued behind longer calls", "never_answer", queued_behind="longer"),
    Case("queued behind equal calls", "never_answer", queued_behind="equal"),
    Case("server never reads", "never_read", is_long=True),
    Case("flood of 1xx answers", "flood_with_hints", is_busy=True),
]
CLOSING_CASES = [
    *(case for case in CASES if not (case.queued_behind or case.is_bare)),
    Case("TLS: kept connection is dead", "die_after_one", "https"),
]


class Servers:
    """The bad servers, for the time of a ``with`` block."""

    def __enter__(self):
        command = [sys.executable, "-m", "benchmarks.bad_servers"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        told = json.loads(self._process.stdout.readline())
        self._ports = told["ports"]
        self._trusting = ssl.create_default_context(cadata=told["authority"])
        return self

    def __exit__(self, *_):
        self._process.communicate()

    def client(self, case, call, transport, **options):
        """Return a client for one kind of call, whose request is as long as the case wants it."""
        url = f"{case.scheme}://127.0.0.1:{self._ports[case.server]}/api/v2"
        headers = {"X-Long": LONG} if case.is_long and call in READS else {}
        make = TRANSPORTS[transport]
        given = make and make(verify=self._trusting, trust_env=False)
        return smm.Client(smm.Panel(url, headers=headers), key="simulated-key", transport=given, grace=0.0, **options)


@attrs.frozen
class Ended:
    """How late one call ended, and as what."""

    case: Case
    loop: str
    transport: str
    is_read: bool
    name: str
    late: float


@attrs.frozen
class Closed:
    """How long callers waited when a client was closed, and how long it took."""

    case: Case
    loop: str
    transport: str
    told: float
    closed: float


@attrs.frozen
class Session:
    """All that is done on one loop with one transport."""

    servers: Servers
    loop: str
    transport: str
    runs: int
    results: list

    async def run(self):
        quiet = [case for case in CASES if not (case.is_busy or case.is_long)]
        await self.meet_all(quiet, APART)
        await self.meet_all([case for case in CASES if case.is_long], FAR_APART)
        await self.meet_all([case for case in CASES if case.is_busy], BUDGET)
        for is_busy in (False, True):
            async with anyio.create_task_group() as tasks:
                for case in [case for case in CLOSING_CASES if case.is_busy is is_busy] * self.runs:
                    # The client's own transport trusts no certificate that is made here.
                    if case.server != "die_after_one" or self.transport != "default":
                        tasks.start_soon(self.close_one, case)
                        await anyio.sleep(CLOSE_APART)

    async def meet_all(self, cases, seconds_apart):
        # Making a client takes time, which others would lack at their end.
        prepared = [(case, call, self.client(case, call)) for case in cases * self.runs for call in case.calls]
        async with anyio.create_task_group() as tasks:
            for one in prepared:
                tasks.start_soon(self.meet, *one)
                await anyio.sleep(seconds_apart)

    def client(self, case, call):
        options = {"budget": BUDGET, "write_budget": BUDGET}
        if case.queued_behind:
            options["max_in_flight"] = 1
        if case.queued_behind == "longer":
            options["write_budget" if call in READS else "budget"] = LONGER_BUDGET
        return self.servers.client(case, call, self.transport, **options)

    async def meet(self, case, call, client):
        """Make one call to a case's server, or several that stand in each other's way."""
        async with client, anyio.create_task_group() as tasks:
            if case.queued_behind == "longer":
                # Reads and writes have budgets of their own: what has the longer one is of the other kind.
                tasks.start_soon(outcome_of, "add" if call in READS else "balance", client)
                await anyio.sleep(BUDGET / 3)
            async with anyio.create_task_group() as measured:
                for _ in range(QUEUE if case.queued_behind == "equal" else 1):
                    measured.start_soon(self.measure, case, call, client)
            await client.aclose()

    async def measure(self, case, call, client):
        name, late, called = NO_END, PATIENCE, time.perf_counter()
        with anyio.move_on_after(BUDGET + PATIENCE):
            outcome = await outcome_of(call, client)
            late = time.perf_counter() - called - BUDGET
            name = "" if case.is_bare else type(outcome).__name__.removesuffix("Error")
        self.results.append(Ended(case, self.loop, self.transport, call in READS, name, late))

    async def close_one(self, case):
        """Close a client in the middle of its calls, or when all its calls have been answered."""
        told = []

        async def call_and_note(call):
            await outcome_of(call, client)
            told.append(time.perf_counter())

        client = self.servers.client(case, "balance", self.transport, budget=LONGER_BUDGET, write_budget=LONGER_BUDGET)
        async with anyio.create_task_group() as tasks:
            if case.server == "die_after_one":
                await client.balance()
            else:
                for call in case.calls:
                    tasks.start_soon(call_and_note, call)
                await anyio.sleep(CLOSE_AFTER)
            started = time.perf_counter()
            await client.aclose()
            closed = time.perf_counter() - started
        waited = max(told, default=started) - started
        self.results.append(Closed(case, self.loop, self.transport, waited, closed))


async def outcome_of(call, client):
    try:
        return await CALLS[call](client)
    except smm.SmmError as error:
        return error


def print_deadlines(ended, most_late):
    """Print the first table, and return whether all calls ended in time."""
    columns = [(transport, is_read) for transport in TRANSPORTS for is_read in (True, False)]
    headings = [f"{transport} {'reads' if is_read else 'write'}" for transport, is_read in columns]
    print(f"\n{'ms late, median/max':30}{'':8}", *(f"{heading:>13}" for heading in headings), " ends as")
    is_right = True
    for case in CASES:
        for loop in LOOPS:
            row = [each for each in ended if (each.case, each.loop) == (case, loop)]
            cells = [[each.late for each in row if (each.transport, each.is_read) == column] for column in columns]
            names = [sorted({each.name for each in row if each.is_read is is_read}) for is_read in (True, False)]
            figures = [middle_of(cell) if cell else "-" for cell in cells]
            ends = " | ".join(" ".join(some) for some in names).strip(" |")
            print(f"{case.text:30}{loop:8}", *(f"{figure:>13}" for figure in figures), "", ends)
            medians = [statistics.median(cell) for cell in cells if cell]
            is_right &= case.is_bare or all(-MOST_EARLY <= median <= most_late for median in medians)
    return is_right and all(each.name != NO_END and each.late <= PATIENCE for each in ended)


def print_closing(closed):
    """Print the second table, and return whether no closing took too long."""
    print(f"\n{'aclose(): ms, told/closed':30}{'':8}", *(f"{transport:>13}" for transport in TRANSPORTS))
    for case in CLOSING_CASES:
        for loop in LOOPS:
            row = [each for each in closed if (each.case, each.loop) == (case, loop)]
            cells = [[each for each in row if each.transport == transport] for transport in TRANSPORTS]
            figures = [longest_of(cell) if cell else "-" for cell in cells]
            print(f"{case.text:30}{loop:8}", *(f"{figure:>13}" for figure in figures))
    return all(each.closed <= MOST_TO_CLOSE for each in closed)


def middle_of(seconds):
    return f"{statistics.median(seconds) * 1e3:.1f}/{max(seconds) * 1e3:.1f}"


def longest_of(closed):
    return f"{max(each.told for each in closed) * 1e3:.1f}/{max(each.closed for each in closed) * 1e3:.1f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run, and not every transport on every loop")
    is_quick = parser.parse_args().quick
    packages = ["smm_async", "anyio", "trio", "uvloop", "httpx", "httpx2", "h11"]
    if uvloop is None:
        print("uvloop is not installed, and left out")
        packages.remove(LOOPS.pop("uvloop") and "uvloop")
    print(f"Python {platform.python_version()}, {', '.join(map(version_of, packages))}")
    results = []
    with Servers() as servers:
        for loop, options in LOOPS.items():
            for transport in TRANSPORTS:
                if not is_quick or (loop == "asyncio" or transport == "default"):
                    session = Session(servers, loop, transport, QUICK_RUNS if is_quick else RUNS, results)
                    anyio.run(session.run, **options)
    is_right = [
        print_deadlines([each for each in results if isinstance(each, Ended)], PATIENCE if is_quick else MOST_LATE),
        print_closing([each for each in results if isinstance(each, Closed)]),
    ]
    sys.exit(not all(is_right))


if __name__ == "__main__":
    main()
