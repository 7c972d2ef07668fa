"""Calls of a client on a real socket, with any transport."""

import anyio
import httpx
import httpx2
import pytest

import smm_async as smm

KEY = "simulated-key"
BALANCE = b'{"balance": "1.50", "currency": "USD"}'
ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)

GIVEN = {
    "default": lambda: None,
    "httpx": httpx.AsyncHTTPTransport,
    "httpx2": httpx2.AsyncHTTPTransport,
}
every_transport = pytest.mark.parametrize("make_transport", GIVEN.values(), ids=GIVEN)


def client_of(server, transport=None, **kwargs):
    return smm.Client(server.url, key=KEY, transport=transport, **kwargs)


async def outcome_of(call, *args):
    """Return what a call returns or the error it raises."""
    try:
        return await call(*args)
    except smm.SmmError as error:
        return error


async def at_once(call, count):
    """Make one call many times at the same time, and return its outcomes."""
    outcomes = []

    async def one():
        outcomes.append(await outcome_of(call))

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(one)
    return outcomes
