"""The demo in a process of its own, for tests: how to start it, to read its output, and to see what it leaves."""

import contextlib
import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
LONGEST = 60
ENVIRONMENT = {name: text for name, text in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}


@pytest.fixture(name="start_demo")
def make_starter():
    """Start the command in a process of its own; whatever happens, it ends with the test."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, **options):
            options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": ENVIRONMENT, **options}
            demo = subprocess.Popen([sys.executable, "-m", "smm_async.cli", "demo", *arguments], **options)
            stack.push(demo)
            stack.callback(demo.kill)
            return demo

        yield start


def children_of(pid):
    """Return the ids of the processes that a process has started."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    return [child for child, parent in found.items() if parent == pid]


def has_ended(pidfd):
    """Wait until a process ends, and return whether it did."""
    try:
        return bool(select.select([pidfd], [], [], LONGEST)[0])
    finally:
        os.close(pidfd)


def figures_in(text):
    """Return the lookups, requests and ids per request of each line of the table, by the line's name."""
    rows = re.findall(
        r"^\W*(merged|one by one)\W+([\d,]+)\W+([\d,]+)\W+([\d.]+)\W+[\d.]+\W+[\d,]+\W*$", text, re.MULTILINE
    )
    assert len(rows) == 2, text
    return {
        name: (int(lookups.replace(",", "")), int(sent.replace(",", "")), mean) for name, lookups, sent, mean in rows
    }
