"""A share of the simulation that `python -m tests.simulation` runs at any length, and what it stands on."""

import ast
import os
import random
import subprocess
import sys
from importlib import util
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from tests.simulation import hunt, loops, mutants, torture

pytestmark = pytest.mark.thorough
BACKENDS = pytest.mark.parametrize("backend", loops.BACKENDS)
LIVES = 100
EASILY_FOUND = ("swallows a cancellation", "takes one too many", "sends a write again", "exit swallows")


def simulate(*arguments, **environment):
    """Run the command, and return how it ended."""
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    env = os.environ | {"COLUMNS": "200"} | environment
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


@BACKENDS
def test_lives_without_a_violation(backend):
    """Nothing is wrong in some lives, in which something happened."""
    report = hunt.hunt(backend, 0, LIVES)

    assert report.violations == []
    assert report.lives == LIVES
    for word in ("OrderStatus", "cancelled", "OutcomeUnknownError", "ClosedError", "orders placed", "faults"):
        assert report.counts[word] > 0, word


# A batch was repeated that another one had taught the client not to send.
@pytest.mark.parametrize(("backend", "seed"), [("trio", 59_261)])
def test_lives_that_once_showed_a_bug(backend, seed):
    """What was found in a life of a longer run is not found in it again."""
    assert hunt.hunt(backend, seed, 1).violations == []


@BACKENDS
def test_violation_is_told_with_the_command_that_shows_it(backend):
    """A planted bug is found, and the command that is printed finds it again, in the same life."""
    name = "swallows a cancellation"
    found = simulate("mutants", name, "--jobs", "1")
    cells = {"asyncio": -2, "trio": -1}
    row = next(line for line in found.stdout.splitlines() if line.startswith(f"│ {name}"))
    seed = int(row.strip("│ ").split("│")[cells[backend]]) - 1

    again = simulate(*hunt.replay_command(backend, seed).split()[3:], "--mutant", name)
    without = simulate(*hunt.replay_command(backend, seed).split()[3:])

    assert found.returncode == 0, found.stdout
    assert again.returncode == 1
    assert "was cancelled and got NoAnswerError('gone')" in again.stdout
    assert (without.returncode, without.stdout.splitlines()[-1]) == (0, "nothing wrong")


def test_bugs_that_are_not_found_fail_the_command():
    """A bug that no life shows, here for want of lives, is told."""
    ended = simulate("mutants", "asked alone for the first caller only", "--lives", "1", "--jobs", "1")

    assert ended.returncode == 1
    assert "2 not found" in ended.stdout


def test_bug_that_does_not_exist_is_not_looked_for():
    """A name that is misspelt must not pass for a bug that was found."""
    ended = simulate("mutants", "no such bug")

    assert (ended.returncode, ended.stdout.strip()) == (2, "There is no such planted bug: no such bug")


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_bug_can_be_planted(mutant):
    """The text that a planted bug replaces is still there, once, and what comes out is Python."""
    spec = util.find_spec(mutant.module)
    assert spec is not None
    source = Path(str(spec.origin)).read_text("utf-8")

    changed = mutants.mutate(source, mutant)

    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))


def test_bug_whose_text_is_gone_is_an_error():
    """A planted bug that nothing would change must not count as one that was looked for."""
    with pytest.raises(LookupError, match="stands 0 times"):
        mutants.mutate("", mutants.MUTANTS[0])


def test_planted_bugs_are_found():
    """Some bugs are found on both loops by the message meant for them; the command hunts for all."""
    ended = simulate("mutants", *EASILY_FOUND, "--lives", "200", "--jobs", "2")

    assert ended.returncode == 0, ended.stdout
    assert "all found" in ended.stdout


@BACKENDS
def test_every_waiter_cancelled_at_every_pass(backend):
    """Nobody else notices, whoever is cancelled, and whenever."""
    runs, wrong = torture.torture_scenario(backend, 1)

    assert wrong == []
    assert runs > 20


def test_lives_are_the_same_in_every_process():
    """Neither the order of sets nor that of addresses has a part in a life."""
    ended = simulate("determinism", "--lives", "60")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [len(line.split(":")[1].split()) for line in ended.stdout.splitlines()] == [1, 1]


def test_command_lives_some_lives():
    """The command prints what the lives came to."""
    ended = simulate("--lives", "20", "--jobs", "1")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "20 lives in" in ended.stdout


# What the simulation stands on: private parts of trio and asyncio.


def order_of_tasks(backend, seed):
    """Return in which order some tasks had their turns."""
    turns = []

    async def take_turns(name):
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            turns.append(name)

    async def main():
        async with anyio.create_task_group() as group:
            for name in range(6):
                group.start_soon(take_turns, name)

    loops.run(backend, main, random.Random(seed), lambda: None)
    return tuple(turns)


@BACKENDS
def test_order_of_tasks_follows_from_the_seed(backend):
    """The same seed gives the same order, and other seeds give others, not only the reverse."""
    orders = [order_of_tasks(backend, seed) for seed in range(20)]

    assert orders == [order_of_tasks(backend, seed) for seed in range(20)]
    assert len(set(orders)) > 10


@BACKENDS
def test_time_passes_only_when_all_wait(backend):
    """A day takes no time, and nothing happens too early."""
    woken = []

    async def sleep(seconds):
        await anyio.sleep(seconds)
        woken.append((seconds, anyio.current_time()))

    async def main():
        start = anyio.current_time()
        async with anyio.create_task_group() as group:
            for seconds in (86_400.0, 1.0, 60.0):
                group.start_soon(sleep, seconds)
        woken.append(anyio.current_time() - start)

    loops.run(backend, main, random.Random(0), lambda: None)

    assert [seconds for seconds, _ in woken[:-1]] == [1.0, 60.0, 86_400.0]
    assert woken[-1] == pytest.approx(86_400.0)


@BACKENDS
def test_parked_task_is_told_from_one_that_runs(backend):
    """Who waits for what has not happened is parked, and who is about to go on is not."""
    parked = []

    async def wait(event, task_of):
        task_of.append(loops.current_task(backend))
        await event.wait()

    async def main():
        event, task_of = anyio.Event(), []
        async with anyio.create_task_group() as group:
            group.start_soon(wait, event, task_of)
            await anyio.wait_all_tasks_blocked()
            parked.append(loops.is_parked(task_of[0]))
            event.set()
            parked.append(loops.is_parked(task_of[0]))

    loops.run(backend, main, random.Random(0), lambda: None)

    assert parked == [True, False]
