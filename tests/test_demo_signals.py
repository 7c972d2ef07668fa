"""How the demo ends before its time, and what it leaves behind then, which is nothing."""

import contextlib
import gc
import os
import signal
from pathlib import Path

import anyio
import pytest

import smm_async as smm
from smm_async import _demo
from smm_async.cli import main
from tests.demo_process import BACKENDS, LONGEST, children_of, has_ended, make_starter  # noqa: F401  a fixture, too

NEEDS_PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc to look into")
IN_A_PROCESS = pytest.mark.thorough


@pytest.fixture(autouse=True)
def _garbage_is_collected():
    """Undo what a stopped demo does to a process that is about to end."""
    yield
    gc.unfreeze()
    gc.enable()


@pytest.fixture
def demo_at_work(start_demo, backend):
    """Start the command and wait until it has placed its orders: the panel runs, and lookups begin."""
    demo = start_demo("--backend", backend)
    lines = [demo.stdout.readline() for _ in range(3)]
    assert b"client.add" in lines[-1]
    return demo


@pytest.fixture
def demo_that_follows(start_demo, backend):
    """Start the command with few orders and wait until it follows them."""
    demo = start_demo("--backend", backend, "--orders", "40")
    for line in demo.stdout:
        if line.startswith(b"Following"):
            return demo
    raise AssertionError("The demo has followed nothing.")


@NEEDS_PROC
@IN_A_PROCESS
@BACKENDS
def test_ctrl_c_while_orders_are_followed_ends_both(demo_that_follows):
    """Ctrl-C while orders are followed ends everything: one word, no traceback, no process left."""
    demo = demo_that_follows
    (child,) = children_of(demo.pid)
    pidfd = os.pidfd_open(child)

    demo.send_signal(signal.SIGINT)
    _, shown = demo.communicate(timeout=LONGEST)

    assert (demo.returncode, shown) == (130, b"Stopped.\n")
    assert has_ended(pidfd)


@NEEDS_PROC
@IN_A_PROCESS
@BACKENDS
def test_demo_whose_panel_is_killed_waits_for_no_other(demo_that_follows):
    """A watch waits out a panel that is down; but when this one is killed, one sentence says so and the exit code is 1."""
    demo = demo_that_follows
    (child,) = children_of(demo.pid)

    os.kill(child, signal.SIGKILL)
    _, shown = demo.communicate(timeout=LONGEST)

    assert demo.returncode == 1
    assert shown == b"The process of the simulated panel has ended unexpectedly.\n"


@NEEDS_PROC
@IN_A_PROCESS
@BACKENDS
@pytest.mark.parametrize(
    ("signum", "code", "err"),
    [(signal.SIGINT, 130, b"Stopped.\n"), (signal.SIGTERM, 143, b"")],
    ids=["interrupt", "terminate"],
)
def test_signal_ends_demo_and_panel(demo_at_work, signum, code, err):
    """Ctrl-C while lookups are on their way ends everything: one word, no traceback, no process left."""
    demo = demo_at_work
    (child,) = children_of(demo.pid)
    pidfd = os.pidfd_open(child)

    demo.send_signal(signum)
    _, shown = demo.communicate(timeout=LONGEST)

    assert (demo.returncode, shown) == (code, err)
    assert has_ended(pidfd)
    assert not Path(f"/proc/{child}").exists()


@NEEDS_PROC
@IN_A_PROCESS
@BACKENDS
def test_ctrl_c_before_the_panel_runs_ends_both(backend, start_demo):
    """Ctrl-C while the other process is still starting leaves nothing of it, either."""
    demo = start_demo("--backend", backend)
    demo.stdout.readline()

    demo.send_signal(signal.SIGINT)
    _, shown = demo.communicate(timeout=LONGEST)

    assert (demo.returncode, shown) == (130, b"Stopped.\n")
    assert children_of(demo.pid) == []


@NEEDS_PROC
@IN_A_PROCESS
@BACKENDS
def test_panel_ends_when_the_demo_is_killed(demo_at_work):
    """Where the command had no chance to tidy up, the other process ends all the same, and quietly."""
    demo = demo_at_work
    (child,) = children_of(demo.pid)
    pidfd = os.pidfd_open(child)

    demo.kill()
    _, shown = demo.communicate(timeout=LONGEST)

    assert shown == b""
    assert has_ended(pidfd)


@NEEDS_PROC
@IN_A_PROCESS
@BACKENDS
def test_demo_whose_panel_is_killed_says_so(demo_at_work):
    """When the other process goes while lookups are on their way, one sentence says so and the exit code is 1."""
    demo = demo_at_work
    (child,) = children_of(demo.pid)

    os.kill(child, signal.SIGKILL)
    _, shown = demo.communicate(timeout=LONGEST)

    assert demo.returncode == 1
    assert shown.count(b"\n") == 1
    assert b"panel" in shown


@IN_A_PROCESS
@BACKENDS
def test_output_that_nobody_reads_ends_the_demo(demo_at_work):
    """A reader that leaves, such as `head`, ends the command without a traceback."""
    demo_at_work.stdout.close()

    assert demo_at_work.wait(LONGEST) == 1
    assert demo_at_work.stderr.read() == b""


def compare_with(monkeypatch, act):
    """Have the demo do something else once it runs."""

    async def compare(console, orders):
        await act()

    monkeypatch.setattr(_demo, "_compare", compare)


@BACKENDS
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signal_is_a_cancellation(backend, signum, monkeypatch, capsys):
    """A signal lets everything tidy up as after any cancellation; a second one does no harm."""
    tidy = []

    async def act():
        try:
            os.kill(os.getpid(), signum)
            await anyio.sleep_forever()
        finally:
            os.kill(os.getpid(), signum)
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.01)
            tidy.append(True)

    compare_with(monkeypatch, act)

    code = main(["demo", "--backend", backend])

    assert (code, tidy) == (128 + signum, [True])
    assert capsys.readouterr().err == ("Stopped.\n" if signum == signal.SIGINT else "")


@BACKENDS
@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (_demo._ServerGoneError("It has ended."), "It has ended.\n"),
        (smm.NoAnswerError("late"), "late\n"),
        (SystemExit(1), ""),
    ],
    ids=["panel", "client", "reader"],
)
def test_what_ends_the_demo_is_one_sentence(backend, error, shown, monkeypatch, capsys):
    """A panel that has gone, an error of the client and a reader that has left make it end with 1."""

    async def act():
        raise error

    compare_with(monkeypatch, act)

    assert main(["demo", "--backend", backend]) == 1
    assert capsys.readouterr().err == shown


@BACKENDS
def test_loop_without_signals_works(backend, monkeypatch):
    """Where a loop cannot wait for signals, the demo runs without."""

    @contextlib.contextmanager
    def refuse(*signals):
        raise NotImplementedError
        yield

    async def act():
        ran.append(True)

    ran: list[bool] = []
    compare_with(monkeypatch, act)
    monkeypatch.setattr(anyio, "open_signal_receiver", refuse)

    assert main(["demo", "--backend", backend]) == 0
    assert ran == [True]


@BACKENDS
def test_exit_within_the_demo_is_no_group(backend, monkeypatch):
    """What ends the program because nobody reads it arrives as an exit code."""

    async def act():
        raise SystemExit(1)

    compare_with(monkeypatch, act)

    assert main(["demo", "--backend", backend]) == 1
