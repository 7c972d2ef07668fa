"""Work that takes several processes, with a bar that shows how far it has come."""

import contextlib
import multiprocessing
import signal
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def show_progress(console):
    """Return a bar for each thing that is counted."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


def work(call, tasks, jobs, *, tasks_per_child=None):
    """Yield what ``call`` returns for each of ``tasks``, from ``jobs`` processes; stop cleanly at Ctrl-C and SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        ProcessPoolExecutor(
            jobs,
            mp_context=_context(),
            initializer=_leave_signals_to_the_parent,
            max_tasks_per_child=tasks_per_child,
        ) as executor,
        contextlib.suppress(KeyboardInterrupt),
    ):
        left, running = iter(tasks), set()
        try:
            while True:
                # Only a few at a time, so that stopping does not wait for a long queue.
                for task in left:
                    running.add(executor.submit(call, *task))
                    if len(running) > jobs:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _context():
    """Return what starts processes anew; where it can be, with the libraries below the package imported already."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["anyio._backends._asyncio", "anyio._backends._trio", "attrs", "cattrs", "httpx", "rich", "trio.testing"]
    )
    return context


def _leave_signals_to_the_parent():
    """Let Ctrl-C end the work between two tasks, and not inside of one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
