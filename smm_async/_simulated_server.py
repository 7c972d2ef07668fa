"""A simulated panel behind a socket: what the demo and `smm-async panel serve` have in common."""

from __future__ import annotations

import logging
import socket
from typing import Final

import uvicorn

from smm_async.testing import SimulatedPanel

__all__ = ["address_of", "listen", "make_server"]

_SILENT: Final = logging.CRITICAL + 1


def listen(host: str, port: int) -> socket.socket:
    """Return a socket on which connections may come from here on; port 0 is any free one.

    Raises:
        OSError: there is no such address here, or the port is taken.
    """
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    # Inherited by the connections: asyncio would leave each answer's body to wait for 40 ms, its peer's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address that a client is given."""
    host, port, *_ = listener.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/api/v2"


def make_server(panel: SimulatedPanel) -> uvicorn.Server:
    """Return a server that says nothing by itself."""
    return uvicorn.Server(
        uvicorn.Config(
            panel,
            loop="asyncio",  # uvloop, where it is installed, warns of sockets if it is stopped while it starts
            http="h11",
            lifespan="off",
            log_config=None,
            log_level=_SILENT,
            access_log=False,
        )
    )
