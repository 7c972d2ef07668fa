"""What `smm-async panel probe` does: find out what a panel supports, by reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias, cast

import anyio

import smm_async as smm
from smm_async._cli_balance import money
from smm_async._cli_ids import Ids
from smm_async._cli_output import TABLE, Column, Output, Writer, complain
from smm_async._cli_panel import DEFAULTS, Connection, SettingsError
from smm_async._cli_run import DONE, FAILED, MISUSED, run

__all__ = ["probe"]

_COLUMNS: Final = (
    Column("what", is_long=True),
    Column("supported"),
    Column("milliseconds", is_number=True, rank=1),
    Column("detail", is_long=True),
)
# Whose orders they are does not matter: it is about how the panel answers.
_SOME_IDS: Final = ("1", "2")
_WRITES: Final = ("add", "refill", "cancel")
# An error that is about the id, and so shows that the question was understood.
_ABOUT_IDS: Final = (smm.UnknownOrderError, smm.UnknownRefillError, smm.UnresolvedError)

Found: TypeAlias = tuple[str, str]
Question: TypeAlias = Callable[[smm.Client], Awaitable[Found]]


def probe(*orders: str, connection: Connection = DEFAULTS, output: Output = TABLE) -> int:
    """Show what a panel supports, by reads only.

    Nothing is ordered, refilled or canceled.

    Args:
        orders: The ids of two or more orders of yours, which make the answers surer.
        connection: Which panel, and how.
        output: How to write it.
    """
    try:
        given = Ids(orders or _SOME_IDS, None).given
    except SettingsError as error:
        complain(str(error))
        return MISUSED
    ids = given if len(given) > 1 else [*given, *(id_ for id_ in _SOME_IDS if id_ not in given)][: len(_SOME_IDS)]

    async def work(client: smm.Client) -> int:
        code = FAILED
        with Writer(output, _COLUMNS) as writer:
            async for row in _rows(client, ids):
                writer.write(row)
                code = DONE if row["supported"] == "yes" else code
        return code

    # A plural form is asked for in the way of a write, which is sent once; but it is a read, and need not be waited for.
    return run(connection, work, write_budget=connection.budget, grace=0.0)


async def _rows(client: smm.Client, ids: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
    questions: dict[str, Question] = {
        "balance": _balance,
        "services": _services,
        "status": lambda client: _one("status", client.status(ids[0])),
        "status, several ids": lambda client: _several(client, "status", ids),
        "refill_status": lambda client: _one("refill_status", client.refill_status(ids[0])),
        "refill_status, several ids": lambda client: _several(client, "refill_status", ids),
        "products": _products,
    }
    for what, ask in questions.items():
        began_at = anyio.current_time()
        try:
            supported, detail = await ask(client)
        except (smm.InvalidKeyError, smm.AccountError, smm.NotSentError):
            # Nothing else would be answered either.
            raise
        except smm.UnsupportedActionError as error:
            supported, detail = "no", error.text or str(error)
        except smm.SmmError as error:
            supported, detail = "unclear", error.text or str(error)
        taken = round((anyio.current_time() - began_at) * 1000)
        yield {"what": what, "supported": supported, "milliseconds": taken, "detail": detail}
    for action in _WRITES:
        yield {"what": action, "supported": "not tried", "milliseconds": None, "detail": "It is a write."}


async def _balance(client: smm.Client) -> Found:
    found = await client.balance()
    return "yes", money(found.balance, found.currency)


async def _services(client: smm.Client) -> Found:
    found = await client.services()
    types = Counter(service.type or "no type" for service in found)
    strange = sorted({service.type for service in found if service.type and service.order_type is None})
    hints = [
        f"{sum(bool(getattr(row, hint)) for row in found):,} with {hint}" for hint in ("refill", "cancel", "dripfeed")
    ]
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in types.most_common())
    unknown = f"; unknown types: {', '.join(strange)}" if strange else ""
    return "yes", f"{_counted(len(found), 'service')}: {kinds}; {', '.join(hints)}{unknown}"


async def _products(client: smm.Client) -> Found:
    return "yes", _counted(len(await client.products()), "product")


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


async def _one(action: str, asking: Awaitable[Any]) -> Found:
    try:
        found = await asking
    except _ABOUT_IDS as error:
        return "yes", error.text or f"{action} was answered, but not about this id"
    return "yes", found.status


async def _several(client: smm.Client, action: str, ids: Sequence[str]) -> Found:
    """Ask once, in the plural form, and look which ids are in the answer."""
    many = client.panel.actions[action].many if action in client.panel.actions else None
    if many is None:
        return "no", "The panel documents it for one id at a time."
    word = client.panel.actions[action].many_word or action
    try:
        answer = await client.call(word, **{many: ",".join(ids)})
    except smm.OutcomeUnknownError as error:
        # It is sent as a write is, but it only asks.
        return "unclear", error.text or "There was no usable answer."
    asked = _ids_in(answer) & set(ids)
    if len(asked) == len(ids):
        return "yes", f"{len(ids):,} ids in one request, each answered"
    return "unclear", f"{len(asked):,} of {len(ids):,} ids were in the answer; say the ids of orders of yours"


def _ids_in(answer: Any) -> set[str]:
    """Return all that may be an id in an answer: the names of its objects, and the values of plain fields."""
    if isinstance(answer, (str, int)):
        return {str(answer)}
    if isinstance(answer, dict):
        named = cast("dict[str, Any]", answer)
        return {*named, *_ids_in(list(named.values()))}
    return {id_ for inner in answer for id_ in _ids_in(inner)} if isinstance(answer, list) else set()  # pyright: ignore[reportUnknownVariableType]
