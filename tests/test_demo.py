"""The demo: what it counts, what it says, and how that looks."""

import contextlib
import math
import os
import re
import secrets
import struct
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from smm_async.cli import main
from tests.demo_process import BACKENDS, ENVIRONMENT, LONGEST, figures_in, make_starter  # noqa: F401  a fixture, too

COLOR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38)[;m]")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def calls(monkeypatch):
    """Record the arguments of each process that is started, and what others can see of it."""
    calls = []
    open_process = anyio.open_process

    async def spy(command, **options):
        process = await open_process(command, **options)
        seen = [Path(f"/proc/{process.pid}/{name}") for name in ("cmdline", "environ")]
        calls.append(
            (process, repr(command) + repr(options), b"".join(path.read_bytes() for path in seen if path.exists()))
        )
        return process

    monkeypatch.setattr(anyio, "open_process", spy)
    return calls


@pytest.mark.parametrize(("backend", "orders"), [("asyncio", 101), ("trio", 100), ("trio", 620)])
def test_demo_counts_requests(backend, orders, capfd):
    """Merged lookups take one request for each hundred orders, and others one each, on a sample of 500 at most."""
    code = main(["demo", "--backend", backend, "--orders", str(orders)])

    out, err = capfd.readouterr()
    requests, sample = math.ceil(orders / 100), min(orders, 500)
    assert (code, err) == (0, "")
    assert figures_in(out) == {
        "merged": (orders, requests, f"{orders / requests:.1f}"),
        "one by one": (sample, sample, "1.0"),
    }


@pytest.mark.thorough
@BACKENDS
def test_demo_of_ten_thousand_orders_sends_a_hundred_requests(backend, start_demo):
    """By default ten thousand lookups become exactly a hundred requests, on both loops."""
    demo = start_demo("--backend", backend)

    out, err = demo.communicate(timeout=LONGEST)

    assert (demo.returncode, err) == (0, b"")
    assert figures_in(out.decode())["merged"] == (10_000, 100, "100.0")
    assert "100 times fewer requests" in out.decode()
    assert "Following 100 new orders" in out.decode()


def lines_in(text):
    """Return its lines, but for blank ones: how many of these stand under a bar differs between versions of rich."""
    return [line for line in text.splitlines() if line]


def test_demo_says_what_it_does(capfd):
    """The first lines say in plain words what goes on; without a terminal there is no bar and no escape code."""
    main(["demo", "--orders", "7", "--backend", "trio"])

    lines = lines_in(capfd.readouterr().out)
    assert lines[0] == "Looking up 7 orders at once, each from a task of its own, on trio."
    assert "simulated" in lines[1]
    assert re.fullmatch(r"Placed 5 orders with client\.add: (\d+, ){4}\d+\.", lines[2])
    assert re.fullmatch(r"Merged lookups took 7 times fewer requests and were [\d.e+-]+ times as fast\.", lines[-3])
    assert lines[-2] == "Following 7 new orders with client.watch, until each has ended."
    assert re.fullmatch(r"\d+ changes, \d+ lookups in \d+ requests?\.", lines[-1])
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= 80


def test_demo_of_one_order_does_not_boast(capfd):
    """For a single order there is nothing to merge, and the last line says so."""
    main(["demo", "--orders", "1", "--backend", "trio"])

    lines = lines_in(capfd.readouterr().out)
    assert lines[0].startswith("Looking up 1 order at once")
    assert lines[-3] == "One order alone is one request either way."
    assert lines[-2].startswith("Following 1 new order with")


@BACKENDS
def test_key_is_nowhere_to_be_seen(backend, calls, capfd, monkeypatch):
    """The key is new in each run, and neither printed nor in what the system shows of the other process."""
    made, token_hex = [], secrets.token_hex

    def remember(count):
        made.append(token_hex(count))
        return made[-1]

    monkeypatch.setattr(secrets, "token_hex", remember)

    for _ in range(2):
        main(["demo", "--backend", backend, "--orders", "2"])

    first, second = made
    shown = repr(capfd.readouterr()) + repr(calls)
    assert first != second
    assert len(calls) == 2
    assert [key for key in made if key in shown] == []


@BACKENDS
def test_panel_has_ended_with_the_demo(backend, calls):
    """When the command returns, the other process has ended by itself."""
    main(["demo", "--backend", backend, "--orders", "2"])

    assert [process.returncode for process, *_ in calls] == [0]


@pytest.fixture
def run_in_terminal(start_demo):
    """Run the command in a terminal of 80 columns, and return what it drew."""
    termios, pty, fcntl = (pytest.importorskip(name) for name in ("termios", "pty", "fcntl"))

    def run(*arguments, **environment):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {**ENVIRONMENT, "TERM": "xterm-256color", **environment}
        demo = start_demo(*arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
        os.close(theirs)
        drawn = b"".join(iter(lambda: read_terminal(ours), b""))
        os.close(ours)
        assert demo.wait(LONGEST) == 0
        return drawn.decode()

    return run


def read_terminal(number):
    """Return what was drawn since, or nothing after the end, which Linux tells by an error."""
    with contextlib.suppress(OSError):
        return os.read(number, 65536)
    return b""


def test_terminal_shows_bars(run_in_terminal):
    """A terminal shows a bar for each way, in color, no wider than it is, and has its cursor back in the end."""
    drawn = run_in_terminal("--orders", "300")

    lines = ESCAPE.sub("", drawn).replace("\r", "\n").split("\n")
    assert COLOR.search(drawn)
    assert [line for line in lines if re.search(r"merged +━+ +starting tasks", line)]
    assert [line for line in lines if re.search(r"merged +━+ +300 of 300", line)]
    assert [line for line in lines if re.search(r"one by one +━+ +waiting", line)]
    assert [line for line in lines if re.search(r"one by one +━+ +300 of 300", line)]
    assert [line for line in lines if re.search(r"Pending +━+ +\d+$", line.rstrip())]
    assert [line for line in lines if re.search(r"In progress +[━╸╺]+ +[1-9]\d*$", line.rstrip())]
    assert [line for line in lines if re.search(r"Completed +━+ +100$", line.rstrip())]
    assert max(map(len, lines)) <= 80
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")
    assert figures_in("\n".join(lines))["merged"] == (300, 3, "100.0")


def test_terminal_without_color_has_bars_all_the_same(run_in_terminal):
    """With NO_COLOR the bars are drawn, and nothing is in color."""
    drawn = run_in_terminal("--orders", "5", NO_COLOR="1")

    assert "5 of 5" in drawn
    assert COLOR.search(drawn) is None


def test_dumb_terminal_has_no_bars(run_in_terminal):
    """A terminal that cannot move its cursor gets plain lines."""
    drawn = run_in_terminal("--orders", "5", TERM="dumb")

    assert "━" not in drawn
    assert figures_in(drawn.replace("\r", ""))["merged"] == (5, 1, "5.0")


def test_output_in_ascii_is_possible(start_demo):
    """Where the output's encoding has no lines and bars, they are drawn with what it has."""
    demo = start_demo("--orders", "5", env={**ENVIRONMENT, "PYTHONIOENCODING": "ascii"})

    out, err = demo.communicate(timeout=LONGEST)

    assert (demo.returncode, err) == (0, b"")
    assert figures_in(out.decode("ascii"))["merged"] == (5, 1, "5.0")


def test_folder_of_the_caller_is_not_imported_from(tmp_path):
    """Files in the folder that the command is started in are not taken for its own modules."""
    for name in ("uvicorn", "smm_async", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the current folder')")
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    code = "import sys; from smm_async.cli import main; sys.exit(main(['demo', '--orders', '2']))"
    environment = {**ENVIRONMENT, "PYTHONPATH": path}

    demo = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
        timeout=LONGEST,
    )

    assert (demo.returncode, demo.stderr) == (0, b"")
