"""What `smm-async panel serve` does: serve a simulated panel over HTTP, for programs in any language."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
from collections.abc import Generator
from typing import Annotated, Final, Literal

import uvicorn
from cyclopts import Parameter
from cyclopts.validators import Number

from smm_async._simulated_server import address_of, listen, make_server
from smm_async.testing import D3MWORLD, ONE_DG, STANDARD, SimulatedPanel

_DIALECTS: Final = {dialect.name: dialect for dialect in (STANDARD, D3MWORLD, ONE_DG)}
_FIRST_ORDER: Final = 23501
# For clients that are in the middle of a request. With 0 the server would not wait for its own sockets to close, either.
_CLOSING_SECONDS: Final = 1
_FAILED: Final = 1
# What a shell adds to the number of the signal that ended a program.
_SIGNALED: Final = 128

_HELLO: Final = """\
A simulated panel is at {url} until Ctrl-C.
Its key is {key}; an order takes {least:g} to {most:g} seconds. Nothing is bought, and nothing is kept.

curl -d key={key} -d action=services {url}
curl -d key={key} -d action=add -d service=1 -d link=https://example.com/p/1 -d quantity=100 {url}
curl -d key={key} -d action=status -d order={order} {url}
"""


def _check_finite(_: object, seconds: float) -> None:
    if not math.isfinite(seconds):
        message = f"Must be a number of seconds, not {seconds}."
        raise ValueError(message)


def serve(
    *,
    dialect: Literal["standard", "d3mworld", "1dg"] = "standard",
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65535))] = 0,
    host: str = "127.0.0.1",
    seconds: Annotated[float, Parameter(validator=(Number(gt=0), _check_finite))] = 10.0,
) -> int:
    """Serve a simulated panel over HTTP, for programs in any language, until Ctrl-C.

    Args:
        dialect: What the panel understands, and how it writes its answers.
        port: Where it listens; 0 is any free port.
        host: The address on which it listens; by default only this machine can reach it.
        seconds: How long an order takes at most, from Pending to Completed; at least half of it.
    """
    panel = SimulatedPanel(dialect=_DIALECTS[dialect], first_order=_FIRST_ORDER, durations=(seconds / 2, seconds))
    try:
        listener = listen(host, port)
    except OSError as error:
        sys.stderr.write(f"Nothing can listen on {host!r}, port {port}: {error.strerror}.\n")
        return _FAILED
    server = make_server(panel)
    server.config.timeout_graceful_shutdown = _CLOSING_SECONDS
    with listener, _stopped_by_signals(server) as caught:
        hello = _HELLO.format(
            url=address_of(listener), key=panel.key, least=seconds / 2, most=seconds, order=_FIRST_ORDER
        )
        sys.stdout.write(hello)
        sys.stdout.flush()
        server.run([listener])
    return _SIGNALED + caught[0] if caught else _FAILED


@contextlib.contextmanager
def _stopped_by_signals(server: uvicorn.Server) -> Generator[list[int], None, None]:
    """Give a list of the signals that came; the first one stops the server, also while it is starting.

    While it runs, the server catches them by itself, and raises them again at its end, for us.
    """
    caught = list[int]()

    def stop(signum: int, _: object) -> None:
        caught.append(signum)
        server.should_exit = True

    before = {signum: signal.signal(signum, stop) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
