"""The demo's two ends of one pipe: the process of the simulated panel, and what the command does with it."""

import io
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest
from rich.console import Console

import smm_async as smm
from smm_async import _demo, _demo_server
from smm_async.cli import main
from smm_async.testing import SimulatedPanel
from tests.demo_process import BACKENDS, LONGEST

KEY = "key-of-a-test"


@pytest.fixture
def server():
    """Start the process of the panel, without a key yet; whatever happens, it ends with the test."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "smm_async._demo_server", "3"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as server:
        yield server
        server.kill()


def ask(server, line):
    """Send one line to the process of the panel and return its answer."""
    server.stdin.write(f"{line}\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


def ask_for_status(url, key=KEY, **fields):
    """Ask a panel for a status over HTTP and return its answer."""
    return httpx.post(url, data={"key": key, "action": "status", **fields}, trust_env=False).json()


def test_server_serves_and_counts():
    """The panel has as many orders as it was told, takes only its key, and tells what it has counted when asked."""
    replies = io.BytesIO()

    def lines():
        yield f"{KEY}\n"
        hello = json.loads(replies.getvalue())
        first, url = hello["first_order"], hello["url"]
        assert url.startswith("http://127.0.0.1:")
        yield "count\n"
        assert ask_for_status(url, orders=f"{first},{first + 1}")[str(first)]["currency"] == "USD"
        assert "error" in ask_for_status(url, order=str(first + 2))
        assert "error" in ask_for_status(url, key="another", order=str(first))
        yield "count\n"

    _demo_server.serve(2, lines(), replies)

    _, before, after = map(json.loads, replies.getvalue().splitlines())
    assert before == {"requests": 0, "ids": 0}
    assert after == {"requests": 3, "ids": 4}


def test_server_listens_no_longer_than_its_input_lasts():
    """When the input has ended, nothing listens any more."""
    replies = io.BytesIO()

    _demo_server.serve(1, iter([f"{KEY}\n"]), replies)

    with pytest.raises(httpx.ConnectError):
        ask_for_status(json.loads(replies.getvalue())["url"], order="1")


def test_server_without_a_key_does_nothing():
    """A parent that went before it gave a key gets no answer, and no server."""
    replies = io.BytesIO()

    _demo_server.serve(1, iter([]), replies)

    assert replies.getvalue() == b""


def test_server_process_ends_with_its_input(server):
    """The process answers line by line, is deaf to Ctrl-C in the parent's terminal, and ends when its input does."""
    hello = ask(server, KEY)

    server.send_signal(signal.SIGINT)
    counted = ask(server, "count")
    out, err = server.communicate(timeout=LONGEST)

    assert set(hello) == {"url", "first_order"}
    assert counted == {"requests": 0, "ids": 0}
    assert (server.returncode, out, err) == (0, "", "")


def test_server_process_without_a_reader_ends_quietly(server):
    """A parent that is gone before the first answer is no reason for a traceback."""
    server.stdout.close()

    server.stdin.write(f"{KEY}\n")
    server.stdin.close()

    assert server.wait(LONGEST) == 0
    assert server.stderr.read() == ""


def test_server_main_reads_the_process(monkeypatch):
    """The number of orders is an argument; input and output are those of the process."""
    reading, writing = os.pipe()
    interrupt = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "argv", ["_demo_server", "4"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\ncount\n"))
    with os.fdopen(writing, "w") as out, os.fdopen(reading) as replies:
        monkeypatch.setattr(sys, "stdout", out)

        try:
            _demo_server.main()
        finally:
            signal.signal(signal.SIGINT, interrupt)

        assert set(json.loads(replies.readline())) == {"url", "first_order"}
        assert json.loads(replies.readline()) == {"requests": 0, "ids": 0}


class FakeStream:
    """Both ends of a pipe to a process that has gone; each end tells it in its own way."""

    def __init__(self, error):
        self.error = error

    async def send(self, item):
        """Fail, if the error is one of sending."""
        if not isinstance(self.error, anyio.EndOfStream):
            raise self.error

    async def receive(self):
        """Fail."""
        raise self.error


@pytest.mark.parametrize(
    "error",
    [anyio.EndOfStream(), anyio.BrokenResourceError(), BrokenPipeError(), ConnectionResetError()],
    ids=lambda error: type(error).__name__,
)
async def test_server_that_has_gone_is_noticed(error):
    """However a loop tells that the other process has ended, it is one error with one sentence."""
    stream = FakeStream(error)
    process: Any = SimpleNamespace(stdin=stream, stdout=stream, wait=None)
    server = _demo._Server(process)

    with pytest.raises(_demo._ServerGoneError, match="has ended unexpectedly"):
        await server.ask("count")


@BACKENDS
def test_server_that_does_not_start_is_told(backend, monkeypatch, capfd):
    """When the other process ends at once, one sentence says so and the exit code is 1."""
    monkeypatch.setattr(_demo, "_SERVER", ("-c", ""))

    code = main(["demo", "--backend", backend, "--orders", "2"])

    assert code == 1
    assert capfd.readouterr().err == "The process of the simulated panel has ended unexpectedly.\n"


@BACKENDS
def test_panel_that_refuses_is_told(backend, monkeypatch, capfd):
    """What the panel refuses is one sentence, and the exit code is 1."""

    async def place(panel, key, count):
        return ["1", "2"]

    monkeypatch.setattr(_demo, "_place", place)

    code = main(["demo", "--backend", backend, "--orders", "2"])

    err = capfd.readouterr().err
    assert code == 1
    assert err.count("\n") == 1
    assert "order" in err


def make_bar(total):
    """Return a bar that nobody sees."""
    return _demo._Bar(_demo._make_progress(Console(file=io.StringIO())), "bar", total)


async def test_lookups_begin_together():
    """However many passes it takes to start the tasks, no lookup is sent before all are ready, so batches are full."""
    panel = SimulatedPanel(KEY)
    ids = [str(order) for order in panel.seed_orders(2150)]
    bar = make_bar(len(ids))

    async with smm.Client(panel.url, key=KEY, transport=panel.transport()) as client:
        await _demo._look_up(client, ids, bar)

    assert panel.ids_per_request("status") == [100] * 21 + [50]
    assert bar.done == 2150


class FakeClient:
    """Knows nothing of one order, and never answers about the others."""

    async def status(self, order):
        """Fail, or wait for ever."""
        if order == "unknown":
            message = "Incorrect order ID"
            raise smm.UnknownOrderError(message)
        await anyio.sleep_forever()


async def test_failed_lookup_ends_the_others():
    """One lookup's error ends all lookups, and is raised as it is."""
    client: Any = FakeClient()
    bar = make_bar(5)

    with pytest.raises(smm.UnknownOrderError, match="Incorrect order ID"):
        await _demo._look_up(client, ["1", "2", "unknown", "3", "4"], bar)

    assert bar.done == 0
