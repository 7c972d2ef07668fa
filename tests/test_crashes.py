"""Processes that are killed at every point of placing orders: nothing bought is forgotten, nothing is bought twice."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import parse_qs

import pytest

import smm_async as smm
from smm_async import _journal_file

pytestmark = pytest.mark.thorough

ORDERS = 2
BACKENDS = ["asyncio", "trio"]
# Each order has two transactions, and a commit takes some milliseconds.
MOMENTS = [
    *(f"{moment} {count}" for moment in ("begun", "commit", "committed", "closed") for count in range(2 * ORDERS)),
    *(f"stated {count}" for count in (1, 5, 8, 12)),
    *(f"leaving {count}" for count in range(ORDERS)),
]
PANEL_MOMENTS = ["received", "dropped", "executed", "half", "answered"]
DELAYED = ["begun 2", "leaving 1", "commit 2", "commit 3"]
DELAYS = [0.0003 * step for step in range(17)]


class KillingPanel:
    """A panel in threads, which kills its client at a moment, and knows what it has sold."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api/v2"
        self.sold: dict[str, list[str]] = {}
        """The ids of the orders for each ref."""
        self.moment = None
        """When to kill, and how many orders from now."""
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def close(self):
        """Serve no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._talk, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _talk(self, connection):
        # The killed break their connections off.
        with connection, contextlib.suppress(OSError):
            head, body = receive(connection)
            self._sell(connection, int(re.search("process ([0-9]+)", head)[1]), parse_qs(body))

    def _sell(self, connection, client, form):
        def pass_by(name):
            if self.moment == (name, 0):
                self.moment = None
                os.kill(client, signal.SIGKILL)
                return True
            return False

        pass_by("received")
        if pass_by("dropped"):
            return
        ref = form["link"][0].rpartition("/")[2]
        order = str(1 + sum(map(len, self.sold.values())))
        self.sold.setdefault(ref, []).append(order)
        pass_by("executed")
        answer = b'{"order": %s}' % order.encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(answer), answer)
        connection.sendall(answer[:-3])
        pass_by("half")
        connection.sendall(answer[-3:])
        pass_by("answered")
        if self.moment is not None:
            self.moment = (self.moment[0], self.moment[1] - 1)


def receive(connection):
    """Return the head and the body of a request.

    Raises:
        ConnectionError: the client died before its end.
    """
    data, length = b"", None
    while length is None or len(data) < length:
        part = connection.recv(65536)
        if not part:
            raise ConnectionError
        data += part
        if length is None and b"\r\n\r\n" in data:
            length = data.index(b"\r\n\r\n") + 4 + int(re.search(rb"content-length: ([0-9]+)", data.lower())[1])
    head, _, body = data.partition(b"\r\n\r\n")
    return head.decode(), body.decode()


@pytest.fixture
def panel():
    """A panel that kills."""
    panel = KillingPanel()
    yield panel
    panel.close()


@pytest.fixture
def program():
    """Return what has orders placed in a process of its own, and returns what came of them, ``None`` if it died."""
    command = [sys.executable, "-m", "tests.crash_program"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def run(journal, panel, refs, backend, moment=None, delay=None):
            job = {"journal": str(journal), "url": panel.url, "refs": refs, "backend": backend}
            process.stdin.write(json.dumps({**job, "moment": moment, "delay": delay}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()


def entries_in(path):
    """Return the journal's orders by their refs, as whoever comes after a crash finds them."""
    return {entry.ref: entry for entry in _journal_file.transact(str(path), lambda db: _journal_file.select(db, ""))}


def check(path, sold):
    """Check that a journal knows of everything that was sold, and says no of nothing that was."""
    entries = entries_in(path)
    assert set(sold) <= set(entries)
    for ref, orders in sold.items():
        entry = entries[ref]
        assert len(orders) == 1
        assert entry.state in {smm.EntryState.OPEN, smm.EntryState.PLACED}
        assert entry.order in {None, orders[0]}
    assert all(ref in sold for ref, entry in entries.items() if entry.state is smm.EntryState.PLACED)
    return entries


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_forgotten_or_bought_twice_by_whoever_is_killed(panel, program, tmp_path, backend):
    """Killed a hundred times around sending, a program finds every order it may have bought, and buys none again."""
    path = tmp_path / "orders.db"
    kills = [(moment, None, None) for moment in MOMENTS]
    kills += [(None, None, (moment, count)) for moment in PANEL_MOMENTS for count in range(ORDERS)]
    kills += [(moment, delay, None) for moment in DELAYED for delay in DELAYS]
    refs = []

    for number, (moment, delay, panel.moment) in enumerate(kills):
        new = [f"{number}-{count}" for count in range(ORDERS)]
        assert program(path, panel, new, backend, moment, delay) is None, (moment, delay)
        # The panel may still be at what the killed has sent.
        time.sleep(0.001)
        check(path, dict(panel.sold))
        refs += new

    before = check(path, panel.sold)
    outcomes = program(path, panel, refs, backend)
    after = check(path, panel.sold)

    assert len(kills) == 100
    for ref in refs:
        known = before.get(ref)
        if known is None:
            assert [outcomes[ref]] == panel.sold[ref]
        elif known.state is smm.EntryState.OPEN:
            assert outcomes[ref] == "OutcomeUnknownError"
        else:
            assert outcomes[ref] == known.order
    assert set(after) == set(refs)
    assert {entry.state for entry in before.values()} == {smm.EntryState.OPEN, smm.EntryState.PLACED}
