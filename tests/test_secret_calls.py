"""Calls that fail do not show the key, whatever the server or the transport does."""

import json
import logging
import pickle

import anyio
import httpx
import pytest

import smm_async as smm
from tests.scripted_transport import ScriptedTransport, answer, failure, never
from tests.shown import KEYS, PANELS, assert_hides, forms_of, shown_by
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)
every_key = pytest.mark.parametrize("name", KEYS)
every_panel = pytest.mark.parametrize("fields", PANELS.values(), ids=PANELS)
CALLS = {
    "balance": lambda client: client.balance(),
    "status": lambda client: client.status(1),
    "services": lambda client: client.services(),
    "add": lambda client: client.add(ORDER),
    "refill": lambda client: client.refill(1),
    "call": lambda client: client.call("anything", field="value"),
}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


async def error_of(client, call):
    with pytest.raises(smm.SmmError) as caught:
        await call(client)
    return caught.value


def echoes(shown):
    """Return answers that hold what was sent, in all places where servers put it."""
    return {
        "html": answer(f"<html>Wrong key {shown}".encode(), 403),
        "error": answer(json.dumps({"error": f"Invalid key {shown}"}).encode()),
        "message": answer(json.dumps({"status": "fail", "message": {"key": shown}}).encode(), 400),
        "name": answer(json.dumps({shown: shown, "error": {shown: shown}}).encode()),
        "number": answer(json.dumps({"error": [{"code": shown}, f"No {shown}"], "balance": shown}).encode()),
        "broken": answer(f'{{"key": "{shown}", '.encode(), 200),
        "location": answer(b"", 302, location=f"https://panel.example/?key={shown}".encode()),
        "cookie": answer(b"", 500, set_cookie=f"key={shown}".encode()),
    }


@every_call
@pytest.mark.parametrize("place", echoes(""))
async def test_echoed_key_is_not_in_the_error(caplog, call, place):
    """A server that repeats the key does not bring it into errors, their frames, their pickles or the log."""
    caplog.set_level(logging.DEBUG)
    for name in ("hex", "specials"):
        for form in ("plain", "json", "quoted_all", "html_of_php", "base64_1", "hex"):
            transport = ScriptedTransport(echoes(forms_of(KEYS[name])[form])[place])
            async with smm.Client("https://panel.example/", key=KEYS[name], transport=transport) as client:
                error = await error_of(client, call)

            assert_hides(shown_by(error), KEYS[name])
            assert_hides(repr(vars(pickle.loads(pickle.dumps(error)))), KEYS[name])
        assert_hides(caplog.text, KEYS[name])


@every_key
@every_call
@every_panel
async def test_failing_transport_shows_nothing(caplog, name, call, fields):
    """Exceptions of a transport, which hold the request, are in no error, and in none of its frames."""
    caplog.set_level(logging.DEBUG)
    panel = smm.Panel("https://panel.example/", **fields)

    def fail(request):
        raise httpx.ReadError(f"{request.url} {request.headers} {request.content}", request=request)

    async with smm.Client(panel, key=KEYS[name], transport=httpx.MockTransport(fail)) as client:
        error = await error_of(client, call)

    assert_hides(shown_by(error), KEYS[name])
    assert_hides(caplog.text, KEYS[name])


@every_call
async def test_call_that_ends_late_or_closed_shows_nothing(call):
    """Errors of a budget's end and of closing show nothing of what was on its way."""
    key = KEYS["hex"]
    for budget in (1.0, 5.0):
        transport = ScriptedTransport(never)
        client = smm.Client("https://panel.example/", key=key, transport=transport, budget=budget, write_budget=budget)
        client._exchange._calls._grace = 0.0
        async with anyio.create_task_group() as tasks:
            if budget == 5.0:
                tasks.start_soon(close_when_asked, client, transport)
            error = await error_of(client, call)
        await client.aclose()

        assert_hides(shown_by(error), key)


async def close_when_asked(client, transport):
    await transport.wait_for_requests(1)
    await client.aclose()


async def test_refused_connection_shows_nothing():
    """The error of a connection that never stood has no frame of the library either."""
    transport = ScriptedTransport(failure(httpx.ConnectError(KEYS["hex"])))

    async with smm.Client("https://panel.example/", key=KEYS["hex"], transport=transport) as client:
        error = await error_of(client, CALLS["add"])

    assert_hides(shown_by(error), KEYS["hex"])
