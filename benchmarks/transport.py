"""What HTTP costs: CPU per request for 100 ids, from the ids to the bytes of the answer, of each transport that plugs in.

``python -m benchmarks.transport [--quick]`` (needs ``pip install -e '.[benchmark]'``)

The baseline is what people write first, ``httpx.AsyncClient.post(data=)``. The other rows are the client's own way of
sending, with its default of one connection per slot, or with a transport that was given, which all slots share. As many
tasks as stand above the columns send one request after the other to a panel in another process, on another CPU if there
are two. Competitors run in turn, in one process and on one loop, and the order turns around every round. Figures are
medians of microseconds of CPU, all threads together, with the least and the greatest of them; "times less" is how often
that goes into what the baseline took in the same round, the median of all rounds; "32 : 1" is what a request costs at 32
at once, against one at a time.
"""

import statistics

import anyio
import httpx
import httpx2

import smm_async as smm
from benchmarks.baseline import FIRST_ID, form_for
from benchmarks.lean_panel import LeanPanel
from benchmarks.measuring import LOOPS, Meter, Report, choose_cpus, ratio, run_all, run_on, spread
from smm_async._secret import Secret
from smm_async._transport import Gate, Transport
from smm_async._wire import ask_for

try:
    from smm_async import fast
except ImportError:
    fast = None

CONCURRENCY = (1, 8, 32)
REQUESTS = 320
ROUNDS = 7
QUICK_REQUESTS = 32
QUICK_ROUNDS = 1
IDS = [str(FIRST_ID + number) for number in range(100)]
LIMIT = 256 * 1024
BASELINE = "httpx post(data=)"
DEFAULT = "default"


class Post:
    """What people write first."""

    def __init__(self, url, concurrency):
        self._url = url
        self._client = httpx.AsyncClient(limits=httpx.Limits(max_connections=concurrency))
        self.aclose = self._client.aclose

    async def send(self):
        return (await self._client.post(self._url, data=form_for(IDS))).content


class Ours:
    """The client's way, with a transport of the user's or its own."""

    def __init__(self, url, concurrency, given=None):
        self._panel = smm.Panel(url)
        self._transport = Transport(self._panel, Secret("not-a-key"), given)
        self._gate = Gate(concurrency)
        self.aclose = self._transport.aclose

    async def send(self):
        async with self._gate:
            return (await self._transport.send(ask_for(self._panel, "status", IDS), limit=LIMIT)).body


def with_pool_of(library):
    return lambda url, concurrency: Ours(
        url, concurrency, library.AsyncHTTPTransport(limits=library.Limits(max_connections=concurrency))
    )


COMPETITORS = {
    BASELINE: Post,
    DEFAULT: Ours,
    "httpx pool": with_pool_of(httpx),
    "httpx2 pool": with_pool_of(httpx2),
    "pyreqwest": lambda url, concurrency: Ours(url, concurrency, fast.make_transport()),
}


def competitors_on(loop):
    """Return those that are installed, and that know the loop."""
    left_out = {"pyreqwest"} if fast is None or loop == "trio" else set()
    return {name: make for name, make in COMPETITORS.items() if name not in left_out}


async def measure(client, requests, concurrency):
    """Return the CPU microseconds per request."""

    async def send_some(_):
        for _ in range(requests // concurrency):
            assert (await client.send()).startswith(b'{"1')

    with Meter() as meter:
        await run_all(send_some, range(concurrency))
    return meter.cpu / (requests // concurrency * concurrency) * 1e6


async def compare(url, loop, concurrency, requests, rounds):
    """Return the figures of all competitors, one a round."""
    clients = {name: make(url, concurrency) for name, make in competitors_on(loop).items()}
    figures = {name: [] for name in clients}
    for number in range(-1, rounds):
        for name in list(clients)[:: -1 if number % 2 else 1]:
            spent = await measure(clients[name], requests, concurrency)
            if number >= 0:
                figures[name].append(spent)
    with anyio.CancelScope(shield=True):
        for client in clients.values():
            await client.aclose()
    return figures


def rows_of(report, loop, figures):
    """Return the rows of a loop, and keep what goals are about."""
    alone, *_, most = CONCURRENCY
    for name in figures[alone]:
        medians = [statistics.median(figures[concurrency][name]) for concurrency in CONCURRENCY]
        ratios = [ratio(figures[concurrency][BASELINE], figures[concurrency][name]) for concurrency in CONCURRENCY]
        growth = ratio(figures[most][name], figures[alone][name])
        for concurrency, median, times in zip(CONCURRENCY, medians, ratios, strict=True):
            report.keep(f"{loop} {name} {concurrency}", median)
            report.keep(f"{loop} {name} {concurrency} times", times)
        report.keep(f"{loop} {name} growth", growth)
        yield [
            *(loop, name),
            *(
                f"{median:.0f} ({spread(figures[concurrency][name], '{:.0f}')})"
                for concurrency, median in zip(CONCURRENCY, medians, strict=True)
            ),
            *(f"{times:.2f}" for times in ratios),
            f"{growth:.2f}",
        ]


def main():
    with Report(__doc__) as report:
        requests, rounds = (QUICK_REQUESTS, QUICK_ROUNDS) if report.is_quick else (REQUESTS, ROUNDS)
        if fast is None:
            report.say("pyreqwest is not installed, and left out")
        report.say(f"{requests} requests for {len(IDS)} ids at 1, 8 and 32 at once, median CPU of {rounds} rounds\n")
        rows = []
        with LeanPanel(choose_cpus()) as panel:
            for loop in LOOPS:
                figures = {
                    concurrency: run_on(loop, compare, panel.url(), loop, concurrency, requests, rounds)
                    for concurrency in CONCURRENCY
                }
                rows += rows_of(report, loop, figures)
        columns = ["us at 1", "at 8", "at 32", "times less at 1", "at 8", "at 32", "32 : 1"]
        report.table(["loop", "transport"], columns, rows)


if __name__ == "__main__":
    main()
