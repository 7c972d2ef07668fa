"""The client: one short method per action."""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from operator import is_
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from smm_async import _wire, _writes
from smm_async._bounds import check_seconds, check_type, check_whole
from smm_async._exchange import Exchange
from smm_async._hooks import check_hook
from smm_async._ids import check_many, read_id, read_text, shown
from smm_async._limits import Limiter, RateLimit
from smm_async._poll import LAG, Poll
from smm_async._reconcile import Reconciliation, reconcile
from smm_async._secret import Secret, complaint_about_key
from smm_async._transport import AsyncTransport
from smm_async._watch import Watch, final_status
from smm_async._wire import Reply
from smm_async.errors import AccountError, ClosedError, InvalidKeyError, SmmError
from smm_async.events import Explanation, Hook, Stats
from smm_async.journal import Journal, check_ref
from smm_async.models import (
    Balance,
    OrderId,
    OrderStatus,
    Product,
    ProductOrderStatus,
    RefillId,
    RefillStatus,
    Service,
    Unsettled,
)
from smm_async.orders import Order
from smm_async.panels import Panel

__all__ = ["Client"]

_FIELD_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")

Id = TypeVar("Id", bound="int | str")
T = TypeVar("T")

_POLL = Poll()


class Client:
    """Asks one panel with one key, on asyncio or trio.

    Lookups that wait at the same time are merged into requests for up to `Panel.batch_limit` ids, whoever asks. All
    requests run in tasks of the client's own: cancelling a caller ends that caller's wait and nothing else. Orders
    and other writes are sent at most once, and never merged.

    Use it with ``async with``, or call `aclose()`; it may be made, entered and left in different tasks. It lives on
    one event loop at a time.
    """

    def __init__(
        self,
        panel: Panel | str,
        *,
        key: str,
        transport: AsyncTransport | None = None,
        max_in_flight: int = 8,
        budget: float = 30.0,
        write_budget: float = 60.0,
        max_delay: float = 0.0,
        grace: float = 10.0,
        journal: Journal | None = None,
        rate_limit: RateLimit | Limiter | Mapping[str, RateLimit | Limiter] | None = None,
        on_event: Hook | None = None,
    ) -> None:
        """Check the arguments; nothing is sent or opened yet.

        Args:
            panel: the complete address, or a `Panel` that says what is special about it.
            key: your API key. It is kept out of everything that can be printed.
            transport: what carries the requests, such as ``httpx.AsyncHTTPTransport(proxy=...)`` or the transport of
                a library with the same interface. It is closed with the client.
            max_in_flight: how many requests may be on their way at the same time. A *transport* of yours must allow as
                many connections: the pool of httpx 0.28 loses some for ever when requests that wait there are cancelled.
            budget: seconds from a read's call to its end, with queueing and repetition.
            write_budget: the same for a write, which ends as `OutcomeUnknownError` if it was sent.
            max_delay: seconds that lookups may wait for company even if the panel is idle.
            grace: seconds that `aclose()` leaves writes on their way to be answered.
            journal: where orders are written down before they are sent, so that a crash does not forget them.
            rate_limit: how often the panel may be asked: for all requests of the client, or by action, where ``"*"``
                stands for all together. What has to wait waits in its budget, and ends as `NotSentError` if that is
                not enough. With it, even if empty, an answer 429 with ``Retry-After`` has all wait that are counted
                together.
            on_event: called with each `smm_async.events.Event`, at once, in the client's own task that sends the
                request, where the callers' context variables are not. All wait until it returns: it must not block.
                What it raises is logged, once per client, and reaches nobody.

        Raises:
            ValueError: an address that is not complete, not https or holds a key, an empty key, a number out of bounds,
                a limit for what is no action of the panel, an ``on_event`` that is async, or a ``journal`` that is none.
        """
        complaint = complaint_about_key(key)
        secret = None if complaint else Secret(key)
        # The plain text must not stand in this frame when something raises.
        del key
        if secret is None:
            raise ValueError(complaint)
        check_whole("max_in_flight", max_in_flight)
        check_seconds("budget", budget, least=0.001)
        check_seconds("write_budget", write_budget, least=0.001)
        check_seconds("max_delay", max_delay, least=0.0)
        check_seconds("grace", grace, least=0.0)
        if on_event is not None:
            check_hook(on_event)
        if journal is not None:
            check_type("journal", journal, Journal, "an smm_async.Journal")
        self._exchange = Exchange(
            panel if isinstance(panel, Panel) else Panel(panel),
            secret,
            transport=transport,
            max_in_flight=max_in_flight,
            budget=budget,
            max_delay=max_delay,
            write_budget=write_budget,
            grace=grace,
            journal=journal,
            rate_limit=rate_limit,
            on_event=on_event,
        )
        self._journal = journal
        self._budget = float(budget)

    @property
    def panel(self) -> Panel:
        """The panel, with what was learned about it on the way."""
        return self._exchange.panel

    @property
    def budget(self) -> float:
        """Seconds that a read may take, as given."""
        return self._budget

    @property
    def stats(self) -> Stats:
        """What it has done so far; a snapshot, which may be taken at any time, also from another thread."""
        return self._exchange.stats()

    def explain(self) -> Explanation:
        """Return the last 100 requests: why each left when it did, for how many lookups, and what came of it."""
        return self._exchange.explain()

    def __repr__(self) -> str:
        # A traceback may show it half made, when its arguments are refused.
        return f"<smm_async.Client {self.panel.url}>" if hasattr(self, "_exchange") else "<smm_async.Client>"

    async def __aenter__(self) -> Self:
        """Return the client itself.

        Raises:
            ClosedError: it was closed.
        """
        self._exchange.host.loop_here()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Answer all lookups with `ClosedError` at once, leave writes on their way ``grace`` seconds, and disconnect.

        A write that is then unanswered ends as `OutcomeUnknownError`. Harmless when repeated.
        """
        await self._exchange.aclose()

    async def status(self, order: int | str) -> OrderStatus:
        """Return where ``order`` stands, asked for after this call began, in one request with other lookups.

        Raises:
            UnknownOrderError: the panel knows no such order, or not yet.
            UnresolvedError: the panel answered, but not about this order.
            SmmError: what else may go wrong with a read.
            ValueError: what cannot be an order id.
        """
        # A function for these four lines would be one more coroutine that waits with each of very many callers.
        try:
            found: OrderStatus = await self._exchange.lookups("status").get(read_id(order))
        except SmmError as error:
            error.action = "status"
            raise
        return found

    async def statuses(self, orders: Iterable[Id]) -> dict[Id, OrderStatus | SmmError]:
        """Return where each of ``orders`` stands, or its own error, by the ids as given and in their order.

        Raises:
            InvalidKeyError, AccountError, ClosedError: nobody would be answered.
            ValueError: what cannot be an order id; one text in place of many ids.
        """
        return await self._look_up_all("status", orders)

    def stream_statuses(
        self, orders: Iterable[Id] | AsyncIterable[Id]
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[Id, OrderStatus | SmmError]]]:
        """Yield where each of ``orders`` stands, or its own error, with the id as given, as the answers come.

        Use it as ``async with client.stream_statuses(orders) as results: async for order, status in results: ...``. It
        is for more orders than one would hold in memory: at most ``2 * Panel.batch_limit * max_in_flight`` ids are
        taken from ``orders`` and not yet yielded. Requests are full and all slots busy as long as ids come and results
        are read; a slow reader slows the asking. An id that comes twice is yielded twice.

        Leaving the ``async with``, however that happens, withdraws at that instant what was not sent, and disturbs
        nobody else. So does cancelling the task while it waits for a result; if that ended only this wait, the
        next one asks again, and no result is lost. Only one task may read at a time.

        Args:
            orders: an iterable, or an async iterable, which is read in a task of the client's with the reader's
                context variables, until the ``async with`` is left at the latest. Either is read from the first result
                on. An async generator is closed on leaving; any other source is yours to close.

        Raises:
            InvalidKeyError, AccountError, RateLimitedError, MaintenanceError, ClosedError: nobody would be answered.
                Raised once, when every id that was taken has been yielded: those not asked for with this error, too.
                (An async iterable that is being read at that moment may give one more, which is left.)
            ValueError: one text in place of many ids, at once; what cannot be an order id, when everything before it has
                been yielded.
            Exception: what ``orders`` raised, when everything before it has been yielded.
            RuntimeError: it was read after it was left, or by two tasks at once.
        """
        return self._stream("status", orders)

    def watch(self, orders: Iterable[Id], *, poll: Poll = _POLL, lag: float = LAG) -> Watch[Id]:
        """Return the changes of ``orders``, for ``async for``, until every order has ended.

        The first look is at once, and its changes have no `Change.before`. Later, orders are asked for as ``poll``
        says, by as many in one request as it holds. Passing errors are waited out: one order's own by itself, the
        panel's for all. `OrderState.FAILED` and `OrderState.UNKNOWN` are no ends, so that only the caller can end
        such a watch: leave the loop, or cancel it. Closing the client ends it with `ClosedError`, at once.

        Args:
            orders: the ids.
            poll: how often to ask.
            lag: for how many seconds "no such order" is taken for lag, from when the panel first says so.

        Raises:
            UnsupportedActionError: the panel documents no such action.
            ValueError: what cannot be an order id, one text in place of many ids, or a number out of bounds.
        """
        lookups, sleep_until = self._exchange.lookups("status"), self._exchange.host.sleep_until
        return Watch(
            self.statuses, orders, batch=lambda: lookups.max_batch, poll=poll, lag=lag, sleep_until=sleep_until
        )

    async def wait(self, order: int | str, *, poll: Poll = _POLL, lag: float = LAG) -> OrderStatus:
        """Return how ``order`` has ended, as soon as that is seen; see `watch()`.

        Many that wait for an order each ask together, where their moments are near.

        Raises:
            UnknownOrderError: the panel knows no such order, and has said so for ``lag`` seconds.
            InvalidKeyError, AccountError, ClosedError: nobody would be answered.
        """
        return await final_status(self.watch([order], poll=poll, lag=lag))

    async def refill_status(self, refill: int | str) -> RefillStatus:
        """Return where ``refill`` stands, in one request with other lookups.

        Raises:
            UnknownRefillError: the panel knows no such refill.
            UnresolvedError: the panel answered, but not about this refill.
            SmmError: what else may go wrong with a read.
            ValueError: what cannot be a refill id.
        """
        found: RefillStatus = await self._look_up("refill_status", read_id(refill, "refill"))
        return found

    async def refill_statuses(self, refills: Iterable[Id]) -> dict[Id, RefillStatus | SmmError]:
        """Return where each of ``refills`` stands, or its own error; otherwise as `statuses()`."""
        return await self._look_up_all("refill_status", refills)

    def stream_refill_statuses(
        self, refills: Iterable[Id] | AsyncIterable[Id]
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[Id, RefillStatus | SmmError]]]:
        """Yield where each of ``refills`` stands, or its own error; otherwise as `stream_statuses()`."""
        return self._stream("refill_status", refills)

    async def product_order_status(self, order: int | str) -> ProductOrderStatus:
        """Return where a product order stands, in one request with other lookups; errors as `status()`."""
        found: ProductOrderStatus = await self._look_up("product_order_status", read_id(order))
        return found

    async def product_order_statuses(self, orders: Iterable[Id]) -> dict[Id, ProductOrderStatus | SmmError]:
        """Return where each product order stands, or its own error; otherwise as `statuses()`."""
        return await self._look_up_all("product_order_status", orders)

    def stream_product_order_statuses(
        self, orders: Iterable[Id] | AsyncIterable[Id]
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[Id, ProductOrderStatus | SmmError]]]:
        """Yield where each product order stands, or its own error; otherwise as `stream_statuses()`."""
        return self._stream("product_order_status", orders)

    async def services(self) -> list[Service]:
        """Return the catalogue. Rows that are no services are passed over, with a warning in the log.

        Raises:
            SmmError: what may go wrong with a read.
        """
        return await self._list("services", Service)

    async def products(self) -> list[Product]:
        """Return the products, as `services()` does the services."""
        return await self._list("products", Product)

    async def balance(self) -> Balance:
        """Return what is left on the account.

        Raises:
            SmmError: what may go wrong with a read.
        """
        _wire.documented(self.panel, "balance")
        question = _wire.ask(self.panel, "balance")
        return await self._exchange.read(question, self._exchange.read_balance)

    async def call(self, action: str, /, **fields: int | str | Decimal) -> Any:
        """Return the JSON that the panel answers to any action, numbers with a fraction as `Decimal`.

        It is sent once, since it may be a write.

        Raises:
            OutcomeUnknownError: it may have been sent, and no usable answer came.
            PanelError: the panel refused.
            NotSentError: it was not sent.
            ValueError: a field that is not plain text or a number, that would stand in for the key, or whose name has
                other characters than A-Z a-z 0-9 _ . - [ ].
        """
        texts = {name: _field(name, value) for name, value in fields.items()}
        question = _wire.ask(self.panel, read_text(action, "action"), texts)
        return _raised(await self._exchange.write([question], functools.partial(self._read_raw, action)))

    async def add(self, order: Order, *, ref: str | None = None) -> OrderId:
        """Place an order: one request, sent at most once. Its id is the answer.

        A cancelled caller does not take the order back once it is on its way; see `unsettled()`.

        Args:
            order: what to buy.
            ref: your own name for this order, 1 to 200 printable characters. In the client's journal it stands for
                this order for ever, across restarts and processes: once placed, its id is returned and nothing is
                sent; it is sent again only if it was refused or never left.

        Raises:
            PanelError: the panel said no; nothing was bought.
            NotSentError: nothing left; the same order may be placed again.
            OutcomeUnknownError: the order may have been placed, now or under the same ``ref`` before: look before you
                repeat it, and tell the journal with `Journal.settle()`.
            ClosedError: the client was closed before the order was sent.
            ValueError: ``ref`` without a journal, or one that stands for another order; what is no order of
                `smm_async.orders`.
        """
        check_type("order", order, Order, "one of smm_async.orders, such as Default")
        return await self._place(self._question("add", order.form_fields()), ref)

    async def add_product_order(
        self,
        product: int | str,
        quantity: int,
        require: str,
        *,
        ref: str | None = None,
    ) -> OrderId:
        """Buy ``quantity`` of a product; ``require`` answers the product's question. Otherwise as `add()`."""
        check_whole("quantity", quantity)
        fields = {
            "product": read_id(product, "product"),
            "quantity": str(quantity),
            "require": read_text(require, "require"),
        }
        return await self._place(self._question("add_product_order", fields), ref)

    def unsettled(self) -> list[Unsettled]:
        """Return the writes on their way, and those whose outcome came after their callers had left."""
        return self._exchange.unsettled()

    async def reconcile(self, ref: str, *, settle: float = 120.0, neighbours: int = 0) -> Reconciliation:
        """Look for evidence of whether an open order was placed. Nothing is sent but reads, and nothing is decided.

        Tell the journal what you decide with `Journal.settle()`. Only what the journal knows is taken into account: an
        order at the same price that was placed without it, or a refund of just this sum, may pass for this order, or
        hide it. So may an order that the panel books after ``settle`` seconds.

        Args:
            ref: what the order is called in the journal.
            settle: seconds to wait after its sending has ended, by the machine's clock; panels book late. Less than a
                minute invites wrong answers.
            neighbours: how many ids after the last order that the journal knows may be looked up, 0 to 1,000, one
                request for a hundred. It helps where ids ascend, and only if the panel does not mind.

        Raises:
            LookupError: there is no order under ``ref``.
            ValueError: the client has no journal, or a number is out of bounds.
            SmmError: a read failed.
        """
        if self._journal is None:
            message = "There is nothing to reconcile without a journal."
            raise ValueError(message)
        check_seconds("settle", settle, least=0.0)
        return await reconcile(self, self._journal, ref, settle=settle, neighbours=neighbours)

    async def refill(self, order: int | str) -> RefillId:
        """Ask for a refill of ``order`` and return the refill's id. Sent at most once; errors as `add()`."""
        return RefillId(_raised(list((await self._each("refill", [read_id(order)])).values())))

    async def refills(self, orders: Iterable[Id]) -> dict[Id, RefillId | SmmError]:
        """Ask for refills, and return each order's refill id or its own error; nothing is sent twice.

        Raises:
            InvalidKeyError, AccountError, ClosedError: nobody would be answered.
            ValueError: what cannot be an order id; one text in place of many ids.
        """
        return await self._write_all("refill", orders)

    async def cancel(self, order: int | str) -> str:
        """Ask the panel to cancel ``order`` and return its word for "asked", often ``"1"``.

        Whether it is cancelled is told by `status()`, later. Sent at most once; errors as `add()`.
        """
        return cast(
            "str",
            _raised(list((await self._each("cancel", [read_id(order)])).values())),
        )

    async def cancels(self, orders: Iterable[Id]) -> dict[Id, str | SmmError]:
        """Ask for cancellations, and return each order's answer or its own error, as `refills()` does."""
        return await self._write_all("cancel", orders)

    async def _look_up(self, action: str, id_: str) -> Any:
        try:
            return await self._exchange.lookups(action).get(id_)
        except SmmError as error:
            error.action = action
            raise

    async def _look_up_all(self, action: str, ids: Iterable[Id]) -> dict[Id, Any]:
        check_many(ids)
        own_ids = list(ids)
        wire_ids = [read_id(own) for own in own_ids]
        found = await self._exchange.lookups(action).get_many(wire_ids)
        return _by_own_id(action, own_ids, wire_ids, found)

    def _stream(
        self, action: str, ids: Iterable[Any] | AsyncIterable[Any]
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[Any, Any]]]:
        check_many(ids)
        note_error = functools.partial(_note_error, action)
        return self._exchange.lookups(action).stream(ids, _key_of=read_id, _note_error=note_error)

    async def _list(self, action: str, record: type[T]) -> list[T]:
        question = self._question(action, {})
        return await self._exchange.read(question, functools.partial(self._read_list, action, record), is_long=True)

    def _read_list(self, action: str, record: type[T], reply: Reply) -> list[T] | SmmError:
        rows = self._exchange.reader.read_list(action, action.removesuffix("s"), reply)
        if isinstance(rows, SmmError):
            return rows
        records = self._exchange.structure_all(action, record, rows)
        return records if records or not rows else self._exchange.reader.bad_shape(action, reply)

    def _read_raw(self, action: str, _: int, reply: Reply) -> Any:
        return _writes.read_any(self._exchange.reader, action, reply)

    def _question(self, action: str, fields: Mapping[str, str]) -> _wire.Question:
        _wire.documented(self.panel, action)
        return _wire.ask(self.panel, action, fields)

    async def _place(self, question: _wire.Question, ref: str | None) -> OrderId:
        if ref is not None:
            check_ref(ref)
            if self._journal is None:
                message = (
                    "ref= needs a journal, which remembers it across restarts: Client(..., journal=Journal(path))."
                )
                raise ValueError(message)
        reader = self._exchange.reader
        outcome = await self._exchange.place(
            question, ref, lambda reply: _writes.read_placed(reader, question.action, reply)
        )
        return OrderId(_raised([outcome]))

    async def _each(self, action: str, ids: Sequence[str]) -> dict[str, Any]:
        """Send a write about ``ids`` in as few requests as the panel allows."""
        known = _wire.documented(self.panel, action)
        size = self.panel.batch_limit if known.many else 1
        parts = [ids[start : start + size] for start in range(0, len(ids), size)]
        reader = self._exchange.reader
        answers = await self._exchange.write(
            [_wire.ask_for(self.panel, action, part) for part in parts],
            lambda place, reply: _writes.read_each(reader, action, parts[place], reply),
        )
        found: dict[str, Any] = {}
        for part, answer in zip(parts, answers, strict=True):
            found |= answer if isinstance(answer, dict) else dict.fromkeys(part, answer)
        return found

    async def _write_all(self, action: str, ids: Iterable[Id]) -> dict[Id, Any]:
        check_many(ids)
        wire_ids = {own: read_id(own) for own in ids}
        found = await self._each(action, list(dict.fromkeys(wire_ids.values())))
        if found and all(isinstance(result, (InvalidKeyError, AccountError, ClosedError)) for result in found.values()):
            _raised(list(found.values())[:1])
        # One that was done before the account was closed must not be lost to it.
        return {own: found[id_] for own, id_ in wire_ids.items()}


def _by_own_id(action: str, own_ids: list[Id], wire_ids: list[str], found: dict[Any, Any]) -> dict[Id, Any]:
    for result in found.values():
        if isinstance(result, Exception) and _note_error(action, result):
            raise result
    # One that is a plain text is its own wire id, and needs no other dictionary.
    if all(map(is_, own_ids, wire_ids)):
        return found
    return {own: found[id_] for own, id_ in zip(own_ids, wire_ids, strict=True)}


def _note_error(action: str, error: Exception) -> bool:
    """Have ``error`` say what was asked, and return whether it is everybody's: nobody would be answered, or it is a bug."""
    if not isinstance(error, SmmError):
        return True
    error.action = action
    return isinstance(error, (InvalidKeyError, AccountError))


def _raised(results: Sequence[Any]) -> Any:
    """Return the only result, or raise it."""
    (result,) = results
    if isinstance(result, Exception):
        raise result
    return result


def _field(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        message = f"{name} must be a text, an int or a Decimal, not {value!r}."
        raise ValueError(message)  # noqa: TRY004  callers have one error to expect of bad arguments
    if not _FIELD_NAME.fullmatch(name):
        message = f"A field's name must be 1 to 64 of the characters A-Z a-z 0-9 _ . - [ and ], not {shown(name)}."
        raise ValueError(message)
    if isinstance(value, Decimal):
        return format(value, "f")
    # `str()` of an enum's member may be its name: base classes know the value.
    return int.__repr__(value) if isinstance(value, int) else read_text(value, name)
