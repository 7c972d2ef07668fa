"""Asking a panel's client for the orders of one claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import anyio

from smm_async._news import Answer
from smm_async.errors import SmmError
from smm_async.panels import Panel

__all__ = ["Client", "ask_in_parts"]


class Client(Protocol):
    """What is needed of a `smm_async.Client`."""

    @property
    def panel(self) -> Panel:
        """The panel, for how many ids one request carries."""
        ...

    @property
    def budget(self) -> float:
        """Seconds that a lookup may take, with queueing and repetition."""
        ...

    async def statuses(self, orders: Iterable[str], /) -> Mapping[str, Answer]:
        """Return where orders stand."""
        ...


async def ask_in_parts(
    client: Client, parts: Sequence[Sequence[str]], *, wait: float = 0.0, interval: float = 0.0
) -> Mapping[str, Answer]:
    """Return where orders stand, asked for in parts ``interval`` seconds apart, the first after ``wait`` seconds.

    Raises:
        InvalidKeyError, AccountError, ClosedError: nobody would be answered.
    """
    answers: dict[str, Answer] = {}
    failures: list[SmmError] = []
    began_at = anyio.current_time() + wait

    async def ask(part: Sequence[str], at: float) -> None:
        await anyio.sleep_until(at)
        try:
            answers.update(await client.statuses(part))
        except SmmError as error:
            failures.append(error)

    async with anyio.create_task_group() as group:
        for place, part in enumerate(parts):
            group.start_soon(ask, part, began_at + place * interval)
    if failures:
        raise failures[0]
    return answers
