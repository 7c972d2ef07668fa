"""Tracking as tasks of streaq, a queue on Redis for asyncio and trio; it needs the extra `streaq`.

The orders stay in the tracker's store: a task looks up what is due at one panel, for some seconds, again and again. What
streaq adds is that its workers share the panels out, and that its pages and figures show them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from smm_async.tracking import Tracker

if TYPE_CHECKING:
    from streaq import Worker
    from streaq.task import Task

__all__ = ["add_tending"]

_SHORTEST: Final = 0.05


def add_tending(
    worker: Worker[Any],
    tracker: Callable[[], Tracker],
    panels: Iterable[str],
    *,
    seconds: float = 20.0,
    idle: float = 30.0,
    revive: str = "*/10 * * * * * *",
) -> None:
    """Have a streaq worker look up the orders of some panels, one task for each, for ever.

    A task that has gone, by a crash of Redis or by hand, is put back by a job on a schedule, which also starts them.

    Args:
        worker: before it runs. Its tasks' arguments are pickled, so whoever can write to its Redis can run code in it:
            give it a ``signing_secret``.
        tracker: returns the tracker, entered, as ``lambda: worker.context`` does if that is what the worker's lifespan
            yields.
        panels: their names, as the tracker has them.
        seconds: for how long a task works at most before others of the worker get their turn.
        idle: seconds between two looks where nothing is due.
        revive: when to put back what has gone, as streaq has it: a crontab with seconds first and the year last.
    """
    # Only now, since it may not be installed.
    from streaq import StreaqRetry  # noqa: PLC0415

    names = list(panels)

    @worker.task(name="smm_async_tend", max_tries=None, silent=True, timeout=None, ttl=0)
    async def tend(panel: str) -> None:
        done = await tracker().tend(panel, seconds=seconds)
        due_in = idle if done.due_in is None else min(done.due_in, idle)
        raise StreaqRetry(delay=timedelta(seconds=max(_SHORTEST, due_in)))

    @worker.cron(revive, name="smm_async_revive", silent=True, ttl=0)
    async def put_back() -> None:
        # By its id a task is known as one that is there already.
        tasks: list[Task[Any, Any]] = [tend.enqueue(name) for name in names]
        for name, task in zip(names, tasks, strict=True):
            task.id = f"smm_async_tend_{name}"
        await worker.enqueue_many(tasks)
