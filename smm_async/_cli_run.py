"""How all commands about a panel run: with a client, on asyncio, and with one sentence for whatever goes wrong."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final, TypeAlias

import anyio

import smm_async as smm
from smm_async import errors
from smm_async._cli_output import complain
from smm_async._cli_panel import Connection, SettingsError, make_client, take_key

__all__ = ["DONE", "FAILED", "MISUSED", "STOPPED", "UNKNOWN", "code_for", "explain", "run", "sentence_for"]

DONE: Final = 0
FAILED: Final = 1
MISUSED: Final = 2
UNKNOWN: Final = 3
"""A write may have happened, and nobody knows."""
STOPPED: Final = 130

_LOGGERS: Final = ("smm_async", "httpcore")

Work: TypeAlias = Callable[[smm.Client], Awaitable[int]]

_REMEDIES: Final[Sequence[tuple[type[errors.SmmError], str]]] = (
    (errors.OutcomeUnknownError, "It may have happened: look at the panel before you repeat it."),
    (errors.DuplicateOrderError, "There is such an order, and it may be this one: look at the panel."),
    (errors.NotSentError, "Nothing was sent: check the address and the network, and repeat it."),
    (errors.UnresolvedError, "Ask again later."),
    (errors.NoAnswerError, "Ask again later, or allow more time with --budget."),
    (errors.BadReplyError, "Check that the address is that of the API, and ask again later."),
    (errors.InvalidKeyError, "Check the key, and that it belongs to this panel."),
    (errors.AccountError, "Ask the panel's support about the account."),
    (errors.RateLimitedError, "Ask again {when}, and less often, with --rate."),
    (errors.MaintenanceError, "Ask again {when}."),
    (errors.NotEnoughFundsError, "Top up the account."),
    (errors.UnknownServiceError, "See what there is with: smm-async services."),
    (errors.UnsupportedActionError, "See what the panel supports with: smm-async panel probe."),
)


def run(connection: Connection, work: Work, **options: Any) -> int:
    """Do some work with a client, and return the exit code; what goes wrong is said in a sentence.

    ``options`` are for the client. ``work`` closes the client itself if it has something to say of what became of writes.
    """
    try:
        client = make_client(connection, **options)
        with _logging(connection) if connection.debug else nullcontext():
            return anyio.run(_run, client, work, connection.debug)
    except SettingsError as error:
        complain(str(error))
        return MISUSED


async def _run(client: smm.Client, work: Work, debug: bool) -> int:  # noqa: FBT001  `anyio.run` passes by position
    try:
        async with client:
            return await work(client)
    except smm.SmmError as error:
        explain(error, debug=debug)
        return code_for(error)


@contextmanager
def _logging(connection: Connection) -> Generator[None, None, None]:
    """Write what the library and its HTTP client log to the standard error, the key blacked out."""
    uninstall = smm.install_log_redaction(take_key(connection))
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    for name in _LOGGERS:
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(logging.NOTSET)
        uninstall()


def code_for(*found: object) -> int:
    """Return the exit code for some answers, the worst of which decides."""
    # An order that the panel takes for a repetition may be the one before it, or this one.
    if any(isinstance(result, (errors.OutcomeUnknownError, errors.DuplicateOrderError)) for result in found):
        return UNKNOWN
    return FAILED if any(isinstance(result, errors.SmmError) for result in found) else DONE


def explain(error: smm.SmmError, *, debug: bool) -> None:
    """Say what went wrong, and what to do next; with ``debug``, also what else is known."""
    complain(sentence_for(error))
    if debug:
        complain(f"{type(error).__name__}: action {error.action}, HTTP status {error.status_code}, text {error.text!r}")


def sentence_for(error: smm.SmmError) -> str:
    """Return what went wrong, and what to do next."""
    sentence = str(error)
    ended = sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
    remedy = next((remedy for kind, remedy in _REMEDIES if isinstance(error, kind)), "")
    return f"{ended} {remedy.format(when=_when(error))}".rstrip()


def _when(error: smm.SmmError) -> str:
    if isinstance(error, (errors.RateLimitedError, errors.MaintenanceError)) and error.retry_after is not None:
        return f"in {math.ceil(error.retry_after):,} s"
    return "in a minute"
