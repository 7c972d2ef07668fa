"""Order by order: write it down, send it, write down what came of it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

import anyio
import attrs

from smm_async._calls import Call
from smm_async.errors import ClosedError, DuplicateOrderError, NotSentError, OutcomeUnknownError, PanelError
from smm_async.journal import Entry, EntryState, Journal
from smm_async.models import OrderId

__all__ = ["Ledger"]

AskBalance = Callable[[], Awaitable[Decimal | None]]

_LOG: Final = logging.getLogger("smm_async")


class Ledger:
    """Keeps the order of things around each order, with a journal or without."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal

    async def place(
        self,
        call: Call,
        ref: str | None,
        send: Callable[[], Awaitable[Any]],
        ask_balance: AskBalance,
    ) -> Any:
        """Return what came of the order: from the journal if it is there under ``ref``, else what ``send`` returns.

        The intent is on the disk before ``send`` is called. A crash between the two leaves it open, as does every
        outcome that proves neither a yes nor a no.
        """
        if self._journal is None:
            return await send()
        call.ref = ref or uuid.uuid4().hex
        attempt = _Attempt(self._journal, call, call.ref)
        forbidden = await attempt.begin(ask_balance)
        if forbidden is not None:
            return forbidden
        return await attempt.send(send)


@attrs.frozen
class _Attempt:
    """One time that an order is sent, in a journal."""

    journal: Journal
    call: Call
    ref: str
    token: str = attrs.field(factory=lambda: uuid.uuid4().hex)

    async def begin(self, ask_balance: AskBalance) -> Any:
        """Write down the intent; return ``None``, or what comes in place of sending it."""
        action, fields = self.call.question.action, self.call.question.fields
        try:
            entry = await self._open(action, fields, ask_balance)
        except ValueError as error:
            return error
        except Exception as error:  # noqa: BLE001  a full disk, a lock: whatever it is, nothing was sent
            complaint = f"{type(error).__name__}: {error}"
        else:
            return None if entry is None else _known(entry)
        return NotSentError(
            f"{action!r} was not sent, for the journal could not be written ({complaint}).", action=action
        )

    async def _open(self, action: str, fields: Any, ask_balance: AskBalance) -> Entry | None:
        balance, since = None, None
        if self.journal.evidence:
            forbidding = await self.journal.check(self.ref, action, fields)
            if forbidding is not None:
                return forbidding
            # First the number, then the balance: what is written down in between may have moved it.
            since = await self.journal.last_change()
            balance = await ask_balance()
        within = self.call.budget
        return await self.journal.begin(
            self.ref, action, fields, attempt=self.token, within=within, balance=balance, since=since
        )

    async def send(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """Send it, write down what came of it, and return that."""
        try:
            outcome = await send()
        except GeneratorExit:
            # Its event loop is gone, so nothing can be awaited. The order stays open.
            raise
        except BaseException:
            await self._finish(self._cut_short())
            raise
        if isinstance(outcome, OutcomeUnknownError):
            outcome.ref = self.ref
        await self._finish(outcome)
        return outcome

    def _cut_short(self) -> NotSentError | OutcomeUnknownError:
        if self.call.departure.may_have_left:
            return OutcomeUnknownError("Ended before an answer came.")
        return NotSentError("Ended before it was sent.")

    async def _finish(self, outcome: Any) -> None:
        """Write down the outcome, even if the budget ends meanwhile; failing that, the order stays open."""
        note = str(outcome) if isinstance(outcome, Exception) else ""
        order = None if isinstance(outcome, Exception) else str(outcome)
        with anyio.CancelScope(shield=True):
            try:
                entry = await self.journal.finish(
                    self.ref, _state_after(outcome), attempt=self.token, order=order, note=note
                )
            except Exception:  # noqa: BLE001  the caller gets the outcome all the same
                _LOG.exception(
                    "What became of order %r could not be written down: it stays in the journal as it was.", self.ref
                )
            else:
                if order is not None and entry.order != order:
                    _LOG.error("Order %r was placed a second time: as %s and as %s.", self.ref, entry.order, order)


def _state_after(outcome: Any) -> EntryState:
    """Return what an outcome proves: an id a yes, a refusal a no, and anything else nothing."""
    if isinstance(outcome, str):
        return EntryState.PLACED
    if isinstance(outcome, (NotSentError, ClosedError)):
        return EntryState.NOT_SENT
    if isinstance(outcome, DuplicateOrderError):
        # There is such an order, and it may be this one: something on the way may have sent it twice.
        return EntryState.OPEN
    return EntryState.REFUSED if isinstance(outcome, PanelError) else EntryState.OPEN


def _known(entry: Entry) -> OrderId | OutcomeUnknownError:
    """Return what stands in the journal in place of a second order."""
    if entry.order is not None:
        return entry.order
    message = f"Whether the order under ref {entry.ref!r} was placed is not known; it was begun at {entry.opened_at}."
    error = OutcomeUnknownError(message, action=entry.action, text=entry.note)
    error.ref = entry.ref
    return error
