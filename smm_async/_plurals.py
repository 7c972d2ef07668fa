"""How a panel takes several ids at once: what its answers taught, and what to do with a batch it did not understand."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from smm_async._refusals import CONCERNS_ALL
from smm_async.errors import SmmError

__all__ = ["Answers", "PluralForm"]

Answers: TypeAlias = dict[str, Any]
Ask: TypeAlias = Callable[[Sequence[str]], Awaitable[Answers | SmmError]]

# Asking fewer than these one by one is cheaper than halving them.
_FEWEST_TO_HALVE: Final = 8
# Halving may cost this share of a batch's ids in requests before the rest is asked for one by one.
_PRICE: Final = 1 / 3
# A panel that answers the first few ids and is silent about the others may know the first few only.
_SMALLEST_SILENT_LIMIT: Final = 10


class PluralForm:
    """The plural form of one action on one panel.

    A batch without a single row in its answer may be one that a bad id spoiled, or one that the panel does not
    understand at all. Halving finds the bad id; the panel is said not to understand only when it has never answered a
    batch and does not answer one of two ids that it has answered alone.
    """

    def __init__(self, ask: Ask, limit: int) -> None:
        self._ask = ask
        self._is_proven = False
        self._answered_alone: deque[str] = deque(maxlen=2)
        self.limit = limit
        """How many ids the panel takes; 1 once it was seen not to understand the plural form."""

    async def settle(self, ids: Sequence[str], answers: Answers) -> Answers | SmmError:
        """Return ``answers``, and what smaller batches can find out about ids that they leave open.

        Ids that are missing in the result are best asked for alone. What was found is not thrown away for an error on
        the way, unless that concerns everybody.
        """
        self._note(ids, answers)
        if len(ids) == 1 or len(answers) == len(ids):
            return answers
        if len(ids) > self.limit:
            return await self._ask_in_parts(ids)
        if answers:
            return await self._ask_for_the_rest(ids, answers)
        if not self._is_proven and len(self._answered_alone) > 1:
            return await self._probe()
        return await self._halve(ids)

    def _note(self, ids: Sequence[str], answers: Answers) -> None:
        if len(ids) > 1:
            self._is_proven = self._is_proven or bool(answers)
        elif ids[0] not in self._answered_alone and not isinstance(answers.get(ids[0], SmmError("")), SmmError):
            self._answered_alone.append(ids[0])

    async def _ask_and_note(self, ids: Sequence[str]) -> Answers | SmmError:
        answers = await self._ask(ids)
        if not isinstance(answers, SmmError):
            self._note(ids, answers)
        return answers

    async def _ask_in_parts(self, ids: Sequence[str]) -> Answers | SmmError:
        """Ask again for no more than the limit that the panel has just named."""
        found: Answers = {}
        for start in range(0, len(ids), self.limit):
            answers = await self._ask_and_note(ids[start : start + self.limit])
            if isinstance(answers, CONCERNS_ALL):
                return answers
            if isinstance(answers, SmmError):
                break
            found |= answers
        return found

    async def _ask_for_the_rest(self, ids: Sequence[str], answers: Answers) -> Answers | SmmError:
        """Ask for what stands behind the answered ids, if that is what a silent limit would have cut off."""
        known = len(answers)
        if known < _SMALLEST_SILENT_LIMIT or len(ids) - known < 2 or any(id_ not in answers for id_ in ids[:known]):  # noqa: PLR2004
            return answers
        rest = await self._ask_and_note(ids[known:])
        if isinstance(rest, SmmError):
            return rest if isinstance(rest, CONCERNS_ALL) else answers
        if rest:
            self.limit = known
        return answers | rest

    async def _probe(self) -> Answers | SmmError:
        probe = await self._ask_and_note(list(self._answered_alone))
        if isinstance(probe, SmmError):
            return probe
        if not self._is_proven:
            self.limit = 1
        return {}

    async def _halve(self, ids: Sequence[str]) -> Answers | SmmError:
        found: Answers = {}
        refused, requests = deque([ids]), 0
        while refused and requests < len(ids) * _PRICE:
            part = refused.popleft()
            if len(part) < _FEWEST_TO_HALVE:
                continue
            for half in (part[: len(part) // 2], part[len(part) // 2 :]):
                answers = await self._ask_and_note(half)
                if isinstance(answers, CONCERNS_ALL):
                    return answers
                if isinstance(answers, SmmError):
                    return found
                found |= answers
                requests += 1
                if not answers:
                    refused.append(half)
            if not self._is_proven:
                break
        return found
