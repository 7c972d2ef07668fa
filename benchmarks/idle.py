"""What it costs to do nothing: passes of the scheduler and wake-ups while a client is idle, and the price of its import.

``python -m benchmarks.idle [--quick]`` (needs ``pip install -e '.[benchmark]'``)

The first table counts passes of the scheduler in virtual time: in the first minute after the last of 1,000 answers, in
which the budgets of those lookups would have ended, and in the hour after that. The second is in real time, with open
connections to a panel in another process: how often the process was woken up, and its CPU time. Both beside a program
that only sleeps for as long.

The third says what an import takes in a new process, the median of the milliseconds of CPU without those of an empty
program; the last, which of the packages that only extras ask for are imported, too.
"""

import importlib.metadata
import json
import re
import statistics
import subprocess
import sys
import time

import anyio
import httpx

import smm_async as smm
from benchmarks import virtual_loops
from benchmarks.baseline import make_row
from benchmarks.lean_panel import LeanPanel
from benchmarks.lookup_ways import make_ids
from benchmarks.measuring import LOOPS, Report, choose_cpus, ratio, run_all, run_on, spread

try:
    import resource
except ImportError:
    resource = None

LOOKUPS = 1_000
MINUTE, HOUR = 60.0, 3600.0
REAL_SECONDS = 3.0
ROUNDS = 15
QUICK_REAL_SECONDS = 0.2
QUICK_ROUNDS = 1
NOTHING, HTTPX, OURS = "pass", "import httpx", "import smm_async"
IMPORTS = (NOTHING, "import anyio", HTTPX, "import anyio, attrs, cattrs, httpx", OURS)
TIMED = "; import time; print(time.process_time())"
LISTED = "; import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def answer(request):
    ids = httpx.QueryParams(request.content.decode())["orders"].split(",")
    return httpx.Response(200, json={id_: make_row(1) for id_ in ids})


async def use(client):
    await run_all(client.status, make_ids(LOOKUPS))


class Passes:
    """Counts passes of the scheduler while ``main`` runs on a loop in virtual time."""

    def __init__(self, *, has_client):
        self._has_client = has_client
        self._count = 0
        self.counted = []

    def at_pass(self):
        self._count += 1
        return False

    async def main(self):
        transport = httpx.MockTransport(answer)
        async with smm.Client("https://panel.example/api/v2", key="not-a-key", transport=transport) as client:
            if self._has_client:
                await use(client)
            for seconds in (MINUTE, HOUR):
                before = self._count
                await anyio.sleep(seconds)
                self.counted.append(self._count - before)


def pass_rows(report):
    for backend in ("asyncio", "trio"):
        counted = {}
        for name, has_client in (("sleep", False), ("idle client", True)):
            passes = Passes(has_client=has_client)
            virtual_loops.run(backend, passes.main, passes.at_pass)
            counted[name] = passes.counted[1]
            yield [backend, name, *passes.counted]
        report.keep(f"{backend} passes too many", counted["idle client"] - counted["sleep"])


async def idle_for_real(url, seconds, *, has_client):
    """Return how often this process waited and was woken up, and its seconds of CPU."""
    async with smm.Client(url, key="not-a-key") as client:
        if has_client:
            await use(client)
        woken, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw, time.process_time()
        await anyio.sleep(seconds)
        return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - woken, time.process_time() - cpu


def real_rows(seconds):
    with LeanPanel(choose_cpus()) as panel:
        for loop in LOOPS:
            for name, has_client in (("sleep", False), ("idle client", True)):
                woken, cpu = run_on(loop, lambda: idle_for_real(panel.url(), seconds, has_client=has_client))  # noqa: B023
                yield [loop, name, woken, f"{cpu * 1000:.1f}"]


def output_of(program):
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def import_rows(report, rounds):
    figures = {program: [] for program in IMPORTS}
    for number in range(-1, rounds):
        for program in IMPORTS[:: -1 if number % 2 else 1]:
            spent = float(output_of(program + TIMED)) * 1000
            if number >= 0:
                figures[program].append(spent)
    empty = figures.pop(NOTHING)
    net = {program: [one - other for one, other in zip(each, empty, strict=True)] for program, each in figures.items()}
    for program, each in net.items():
        times = ratio(each, net[HTTPX])
        report.keep(f"{program} of httpx", times)
        yield [program, f"{statistics.median(each):.0f}", spread(each, "{:.0f}"), f"{times:.2f}"]


def modules_of_extras():
    """Return what can be imported of the packages that extras ask for."""
    asked = {
        re.match(r"[\w.-]+", line)[0].lower().replace("_", "-")
        for line in importlib.metadata.requires("smm_async")
        if "extra ==" in line
    }
    modules = importlib.metadata.packages_distributions()
    return {
        module for module, packages in modules.items() if asked & {name.lower().replace("_", "-") for name in packages}
    } - {"smm_async"}


def main():
    with Report(__doc__) as report:
        seconds, rounds = (QUICK_REAL_SECONDS, QUICK_ROUNDS) if report.is_quick else (REAL_SECONDS, ROUNDS)
        report.say("Passes of the scheduler, in virtual time\n")
        report.table(["loop", ""], ["first minute", "hour after"], pass_rows(report))
        if resource is None:
            report.say("Wake-ups are not counted on this system\n")
        else:
            report.say(f"Wake-ups and CPU in {seconds:g} seconds of real time\n")
            report.table(["loop", ""], ["wake-ups", "CPU ms"], real_rows(seconds))
        report.say(f"Imports, medians of {rounds} rounds\n")
        report.table([""], ["CPU ms", "spread", "of httpx"], import_rows(report, rounds))
        found = modules_of_extras().intersection(json.loads(output_of(OURS + LISTED)))
        found -= set(json.loads(output_of(HTTPX + LISTED)))
        report.keep("extras imported", len(found))
        report.say(f"Packages of extras that are imported: {', '.join(sorted(found)) or 'none'}")


if __name__ == "__main__":
    main()
