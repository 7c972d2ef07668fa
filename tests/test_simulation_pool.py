"""A share of the storms over connection pools that `python -m tests.simulation.pool` runs at any length."""

import subprocess
import sys

import httpcore
import pytest

from tests.simulation import loops, pool, pool_storm
from tests.simulation.pool_storm import CLIENT, CONTROLS, LIBRARIES, PLAIN

BACKENDS = pytest.mark.parametrize("backend", loops.BACKENDS)
BURSTS = 12


@pytest.fixture(autouse=True)
def _short_storms(monkeypatch):
    monkeypatch.setattr(pool_storm, "BURSTS", BURSTS)


@BACKENDS
@pytest.mark.parametrize("library", LIBRARIES)
def test_storms_lose_no_slot(library, backend):
    """After bursts of cancelled callers, as many requests as there are slots are answered at once."""
    outcome = pool_storm.storms(library, backend, CLIENT, first=1, count=1)

    assert outcome.violations == []
    assert (outcome.calls, outcome.stuck, outcome.later) == (BURSTS * 20, 0, outcome.slots)
    for count in (outcome.answered, outcome.cancelled, outcome.failed, outcome.asked, outcome.cut):
        assert count > 0


@pytest.mark.skipif(httpcore.__version__ != "1.0.9", reason="it is known of this version that it loses slots")
@BACKENDS
@pytest.mark.parametrize("through", CONTROLS)
def test_control_loses_slots(through, backend):
    """Without the gate, or the whole client, the same callers cost httpx slots for ever, and it is told."""
    outcome = pool_storm.storms("httpx", backend, through, first=7, count=1)

    assert (outcome.stuck, outcome.slots, outcome.later) == (2, 2, 0)
    assert (7, "2 of 2 slots are stuck") in outcome.violations
    assert (7, "0 of 2 later requests were answered at once, 0 together") in outcome.violations


def test_gate_that_lets_in_too_many_is_told(monkeypatch):
    """More requests in flight than there are slots is a violation, whatever the pool makes of it."""
    monkeypatch.setattr(pool_storm.Storm, "gate", property(lambda storm: storm.knobs.places + 1))

    outcome = pool_storm.storms("httpx2", "asyncio", CLIENT, first=7, count=1)

    assert (7, "3 requests were in flight through a gate of 2") in outcome.violations


@BACKENDS
def test_storm_is_the_same_again(backend):
    """What happens in a storm follows from its seed."""
    digests = [pool_storm.let_break(pool_storm.Storm("httpx", backend, seed, CLIENT)).digest for seed in (1, 1, 2)]

    assert digests[0] == digests[1] != digests[2]


def test_storm_that_breaks_off_is_told(monkeypatch):
    """An error that nobody expects ends one storm, and not the command."""

    async def fail(*args):
        raise ZeroDivisionError

    monkeypatch.setattr(pool_storm.Storm, "_burst", fail)

    outcome = pool_storm.storms("httpx", "asyncio", CLIENT, first=7, count=1)

    ((seed, message),) = outcome.violations
    assert seed == 7
    assert "broke" in message


def test_command_replays_one_storm():
    """One storm is shown again, with what it left in the pool."""
    command = [sys.executable, *pool.replay_command("httpx", "asyncio", 0).split()[1:], "--through", PLAIN]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert ended.stdout.count("<AsyncHTTPConnection [CONNECTING]>") == 5
    assert "5 of 5 slots are stuck" in ended.stdout


@pytest.mark.parametrize("is_broken", [False, True])
def test_command_fails_if_the_client_lost_something(monkeypatch, capsys, is_broken):
    """There is a row for each pool; what the client lost, and not what the controls did, makes the command fail."""

    def work(call, tasks, jobs):
        for (task,) in tasks:
            is_control = task[2] != CLIENT
            violations = [(task[3], "lost")] if is_control or is_broken else []
            yield task, pool_storm.Outcome(storms=task[-1], stuck=int(is_control), violations=violations)

    monkeypatch.setattr(pool, "work", work)

    code = pool.simulate(seeds=12, first_seed=3, jobs=1)

    shown = " ".join(capsys.readouterr().out.split())
    assert code == int(is_broken)
    # Twelve for each of six pools, and two for each of eight controls.
    assert "88 storms in" in shown
    assert (pool.replay_command("own", "trio", 13) in shown) == is_broken
    assert shown.count("see it again:") == (18 if is_broken else 0)


def test_command_fails_if_no_control_lost_anything(monkeypatch, capsys):
    """Storms in which nobody loses a slot have not looked hard enough, and the command says so."""

    def work(call, tasks, jobs):
        for (task,) in tasks:
            yield task, pool_storm.Outcome(storms=task[-1])

    monkeypatch.setattr(pool, "work", work)

    code = pool.simulate(seeds=12, jobs=1)

    assert code == 1
    assert "No control lost a slot" in capsys.readouterr().out
