"""Places orders in processes that are killed; run as a program by `test_crashes`.

Each line of the input is a job in JSON. Each is done in a process of its own, forked from this one, which has everything
imported: a hundred crashes take seconds. Each answers with one line: what came of the orders, or ``null`` if it was killed.
"""

import json
import os
import signal
import sqlite3
import sys
import threading
import time

import anyio

import smm_async as smm
from smm_async._requests import Departure


class Watch:
    """Has the process killed at a moment on the way of its orders, or a little later."""

    def __init__(self, moment, delay):
        self._moment = moment
        self._delay = delay
        self._seen: dict[str, int] = {}

    def pass_by(self, name):
        """Note that the moment ``name`` has come, once more."""
        count = self._seen[name] = self._seen.get(name, -1) + 1
        if self._moment == f"{name} {count}":
            if self._delay is None:
                os.kill(os.getpid(), signal.SIGKILL)
            threading.Thread(target=self._kill_later).start()

    def _kill_later(self):
        time.sleep(self._delay)
        os.kill(os.getpid(), signal.SIGKILL)


def watched_connection(watch):
    """Return a class of connections that tell how far each transaction is."""

    class Connection(sqlite3.Connection):
        def execute(self, statement, *args):
            word = statement.split()[0]
            if word == "commit":
                watch.pass_by("commit")
            result = super().execute(statement, *args)
            watch.pass_by({"begin": "begun", "commit": "committed"}.get(word, "stated" if args else word))
            return result

        def close(self):
            super().close()
            watch.pass_by("closed")

    return Connection


def watch_over(moment, delay):
    """Have this process killed when ``moment`` has come."""
    watch = Watch(moment, delay)
    connect, leave = sqlite3.connect, Departure.leave
    sqlite3.connect = lambda *args, **kwargs: connect(*args, **kwargs, factory=watched_connection(watch))

    def leave_watched(departure):
        leave(departure)
        watch.pass_by("leaving")

    Departure.leave = leave_watched


async def place(journal, url, refs):
    """Place an order under each ref, one after the other, and return what came of them."""
    # The panel kills whoever it is told to by this name.
    panel = smm.Panel(url, user_agent=f"process {os.getpid()}")
    outcomes = {}
    async with smm.Client(panel, key="crash-key", journal=smm.Journal(journal)) as client:
        for ref in refs:
            try:
                order = smm.orders.Default(service=1, link=f"https://example.com/{ref}", quantity=100)
                outcomes[ref] = await client.add(order, ref=ref)
            except smm.SmmError as error:
                outcomes[ref] = type(error).__name__
    return outcomes


def work(job):
    """Do one job, and end the process."""
    if job["moment"] is not None:
        watch_over(job["moment"], job["delay"])
    outcomes = anyio.run(place, job["journal"], job["url"], job["refs"], backend=job["backend"])
    if job["delay"] is not None:
        # It is to be killed: a little later than all of it was done.
        time.sleep(60)
    print(json.dumps(outcomes), flush=True)


def main():
    """Fork a process for each job."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            work(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            print("null", flush=True)
        elif status != 0:
            print(json.dumps({"status": status}), flush=True)


if __name__ == "__main__":
    for backend in ("asyncio", "trio"):
        anyio.run(anyio.sleep, 0, backend=backend)
    main()
