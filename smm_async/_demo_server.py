"""The simulated panel of `smm-async demo`, in a process of its own: `python -m smm_async._demo_server ORDERS`.

The first line of its input is the key, which no list of processes shows then. It answers one line of JSON, with its
address and its orders; and to each further line one with the lookups that it has counted. It ends with its input, and
so with its parent at the latest, however that ends.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import BinaryIO, Final

from smm_async._simulated_server import address_of, listen, make_server
from smm_async.testing import STANDARD, SimulatedPanel

_FIRST_ORDER: Final = 23501
_DURATIONS: Final = (0.5, 2.5)
_CLOSING_SECONDS: Final = 5.0


def main() -> None:
    """Serve the process that started this one."""
    # Ctrl-C in a terminal is for the parent, which then closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as replies, suppress(BrokenPipeError):
        serve(int(sys.argv[1]), sys.stdin, replies)


def serve(orders: int, lines: Iterator[str], replies: BinaryIO) -> None:
    """Serve a panel with as many orders in it on a free port of the loopback interface, until ``lines`` ends."""
    key = next(lines, "").strip()
    if not key:
        return
    panel = SimulatedPanel(key, dialect=STANDARD, first_order=_FIRST_ORDER, durations=_DURATIONS)
    panel.seed_orders(orders)
    server = make_server(panel)
    # Who connects before the server runs is served when it does.
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            _reply(replies, {"url": address_of(listener), "first_order": _FIRST_ORDER})
            for _ in lines:
                counted = panel.ids_per_request("status")
                _reply(replies, {"requests": len(counted), "ids": sum(counted)})
        finally:
            server.should_exit = server.force_exit = True
            thread.join(_CLOSING_SECONDS)


def _reply(replies: BinaryIO, row: Mapping[str, object]) -> None:
    replies.write(f"{json.dumps(row)}\n".encode())


if __name__ == "__main__":
    main()
