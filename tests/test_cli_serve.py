"""`smm-async panel serve`: a simulated panel for programs in any language, and how it ends."""

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from smm_async import _cli_serve, _simulated_server
from smm_async.cli import main
from tests.demo_process import ENVIRONMENT, LONGEST

STOPS = pytest.mark.parametrize(
    ("signum", "code", "err"),
    [(signal.SIGINT, 130, "Stopped.\n"), (signal.SIGTERM, 143, "")],
    ids=["interrupt", "terminate"],
)


def run_curl(line):
    """Do what a printed command does, and return the answer."""
    words = shlex.split(line)
    fields = dict(words[place + 1].split("=", 1) for place, word in enumerate(words) if word == "-d")
    assert words == ["curl", *(part for name, text in fields.items() for part in ("-d", f"{name}={text}")), words[-1]]
    return httpx.post(words[-1], data=fields, trust_env=False).json()


@STOPS
def test_panel_is_served_until_a_signal(signum, code, err):
    """What is printed works as it stands, an order ends by itself, and a signal ends all, without a word of its own."""
    command = [sys.executable, "-m", "smm_async.cli", "panel", "serve", "--seconds", "0.01"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT) as server:
        try:
            services, add, status = [line for _ in range(6) if (line := server.stdout.readline()).startswith("curl")]
            assert run_curl(services)[0]["service"] == 1
            assert run_curl(add) == {"order": 23501}
            deadline = time.monotonic() + LONGEST
            while run_curl(status)["status"] != "Completed":
                assert time.monotonic() < deadline
            address = httpx.URL(status.split()[-1])
            assert address.host == "127.0.0.1"
            with socket.create_connection((address.host, address.port)) as client:
                # Half a request keeps the server a second, the least that it knows; the other one ends without.
                if signum == signal.SIGTERM:
                    client.sendall(b"POST /api/v2 HTTP/1.1\r\nHost: panel\r\nContent-Length: 9\r\n\r\nkey=")
                # Once this is answered, that is read.
                run_curl(status)
                server.send_signal(signum)
                out, shown = server.communicate(timeout=LONGEST)
        finally:
            server.kill()

    assert (server.returncode, out, shown) == (code, "", err)


class FakeServer:
    """Does nothing, as a server, but what a test wants done."""

    def __init__(self, act):
        self.should_exit = False
        self.config = SimpleNamespace()
        self._act = act

    def run(self, sockets):
        """Act."""
        self._act()


@pytest.fixture
def served(monkeypatch):
    """Put a fake in the server's place; give the panel that it is to serve, and what it does then."""
    served = SimpleNamespace(panel=None, act=bool, server=None)

    def make_server(panel):
        served.panel, served.server = panel, FakeServer(served.act)
        return served.server

    monkeypatch.setattr(_cli_serve, "make_server", make_server)
    return served


@STOPS
def test_signal_while_the_server_starts_stops_it(signum, code, err, served, capsys):
    """A signal that comes before the server catches any is not lost; the handlers are then those that were before."""
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    served.act = lambda: os.kill(os.getpid(), signum)

    assert main(["panel", "serve"]) == code

    assert served.server.should_exit
    assert capsys.readouterr().err == err
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("dialect", ["standard", "d3mworld", "1dg"])
def test_dialect_and_duration_are_as_asked(dialect, served, capsys):
    """The panel is the one that was asked for; a server that ends by itself has failed."""
    code = main(["panel", "serve", "--dialect", dialect, "--seconds", "7"])

    assert code == 1
    assert dialect in repr(served.panel)
    order = served.panel.place()
    assert 3.5 <= served.panel.orders[order].duration <= 7
    assert "takes 3.5 to 7 seconds" in capsys.readouterr().out


def test_port_that_is_taken_is_one_sentence(served, capsys):
    """Where somebody else listens already, nothing is served."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code = main(["panel", "serve", "--port", str(port)])

    out, err = capsys.readouterr()
    assert (code, out) == (1, "")
    assert err.startswith(f"Nothing can listen on '127.0.0.1', port {port}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "65536"],
        ["--port", "-1"],
        ["--seconds", "0"],
        ["--seconds", "inf"],
        ["--seconds", "nan"],
        ["--dialect", "latin"],
        ["--key", "mine"],
    ],
    ids=" ".join,
)
def test_bad_arguments_serve_nothing(arguments, served, capsys):
    """A wrong argument is one line and exit code 2; a key cannot be given, for others could read it."""
    assert main(["panel", "serve", *arguments]) == 2

    out, err = capsys.readouterr()
    assert (out, err.count("\n"), served.panel) == ("", 1, None)


def test_panel_without_a_command_shows_what_there_is(capsys):
    """`smm-async panel` alone lists its commands."""
    assert main(["panel"]) == 0
    assert "serve" in capsys.readouterr().out


def test_documentation_shows_what_is_printed(served, capsys):
    """The page about tests shows the very lines, but for the port."""
    page = (Path(__file__).parent.parent / "docs/testing.md").read_text("utf-8")

    main(["panel", "serve"])

    shown = capsys.readouterr().out
    port = httpx.URL(shown.split()[-1]).port
    assert f"$ smm-async panel serve --port 8042\n{shown.replace(f':{port}/', ':8042/')}```" in page


def test_address_of_ipv6_has_brackets():
    """The colons of such an address are not taken for that of the port."""
    listener = SimpleNamespace(getsockname=lambda: ("::1", 8042, 0, 0))

    assert _simulated_server.address_of(listener) == "http://[::1]:8042/api/v2"
