"""Whatever happens to a client, nothing that it shows holds its key: canaries are looked for in every channel."""

from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx
import pytest

import smm_async as smm
from smm_async import _retry
from smm_async._log_redaction import install_log_redaction
from smm_async._secret import Secret
from tests.canary import FAMILIES, KEYS, Canary, found_in, rare_echoes_of
from tests.canary_faults import BUGS, ESCAPES, FAULTS
from tests.canary_net import Net
from tests.canary_scenes import Stage
from tests.shown import PANELS
from tests.socket_panel import SocketPanel, reply

pytestmark = pytest.mark.thorough

every_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])
every_key = pytest.mark.parametrize("name", KEYS)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.0)


def kinds_for(name, faults):
    """Return a kind of panel for each key, other ones for the next fault, so that in the end all have met all."""
    kinds, first = list(PANELS), list(faults).index(name)
    return {key: kinds[(first + 2 * place) % len(kinds)] for place, key in enumerate(KEYS)}


def play(fault, backend, kinds, folder):
    """Have something happen with each key, and return what was caught."""

    async def play_one(stage):
        net.listen_to_loop()
        await fault.scene(stage)

    with Net() as net:
        for key, kind in kinds.items():
            anyio.run(play_one, Stage(net, Canary(key), kind, folder), backend=backend)
    assert fault.channels - net.channels == set()
    return net


def fewest_checks(fault):
    """Return how many checks must have been made: one for each channel and each family of forms."""
    return len(fault.channels) * len(FAMILIES)


# --- What happens to clients


@every_backend
@pytest.mark.parametrize("name", FAULTS)
def test_key_is_nowhere(tmp_path, backend, name):
    """No channel shows a key in any form, whatever happens.

    But for what other libraries show of a server's first lines: httpcore logs them, and where they are broken, httpx's
    exception quotes them in the span of its instrumentation. A key in an address has a test of its own.
    """
    fault, kinds = FAULTS[name], kinds_for(name, FAULTS)

    net = play(fault, backend, kinds, tmp_path)

    leaks = net.leaks()
    assert net.checks >= fewest_checks(fault)
    leaks -= {leak for leak in leaks if (leak[0], kinds[leak[1]]) == ("span of httpx", "get")}
    assert {leak for leak in leaks if leak[0] not in fault.shown_by_others} == set()
    assert {channel for channel, _, _ in leaks} == fault.shown_by_others


def test_there_are_enough_checks():
    """On each loop, far more than 400 checks are made: of no fault fewer than 56, each a channel for a family of forms."""
    fewest = [fewest_checks(fault) for fault in FAULTS.values()]

    assert min(fewest) >= 56
    assert sum(fewest) >= 5000


@every_backend
@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.shown_by_others])
def test_key_is_not_in_a_log_that_is_redacted(tmp_path, backend, name):
    """With the redaction of logs, what servers put into their first lines is in no log either."""
    uninstall = install_log_redaction(*KEYS.values())
    try:
        net = play(FAULTS[name], backend, kinds_for(name, FAULTS), tmp_path)
    finally:
        uninstall()

    assert {channel for channel, _, _ in net.leaks()} <= {"span of httpx"}


@every_backend
@pytest.mark.parametrize("name", ESCAPES)
def test_key_that_is_escaped_twice_is_nowhere(tmp_path, backend, name):
    """What one program has escaped may be escaped by the next, and by a third, and is blacked out all the same."""
    net = play(ESCAPES[name], backend, dict.fromkeys(KEYS, "form"), tmp_path)

    assert net.leaks() == set()


@every_key
def test_key_in_rare_forms_is_blacked_out(name):
    """A text in which every letter is escaped, or more than once, is redacted, too."""
    redact = Secret(KEYS[name]).redact

    shown = {form: found_in(redact(echo), KEYS[name]) for form, echo in rare_echoes_of(KEYS[name]).items()}

    assert {form for form, families in shown.items() if families} == set()


@every_backend
@pytest.mark.parametrize("name", BUGS)
def test_key_is_nowhere_after_a_bug(tmp_path, backend, name):
    """An exception that nobody expected, while an answer is decoded, does not bring what the server said with it."""
    net = play(BUGS[name], backend, kinds_for(name, BUGS), tmp_path)

    assert {leak for leak in net.leaks() if leak[0] != "span of httpx"} == set()


@every_backend
@pytest.mark.parametrize("name", ["be_answered", "page_403", "close", "be_refused"])
def test_key_in_an_address_is_not_in_a_span(tmp_path, backend, name):
    """Where a panel wants its key in the address, httpx's instrumentation does not get to see it."""
    net = play(FAULTS[name], backend, dict.fromkeys(KEYS, "get"), tmp_path)

    assert net.leaks() == set()


@every_backend
@every_key
def test_key_in_an_address_is_not_in_a_printed_request(monkeypatch, backend, name):
    """Whoever watches httpx's transport, and prints its requests, sees no key in their addresses; the panel gets it."""
    canary, seen, handle = Canary(name), [], httpx.AsyncHTTPTransport.handle_async_request

    def watch(transport, request):
        seen.append(f"{request!r} {request.url!r} {request.url} {httpx.URL(str(request.url))}")
        return handle(transport, request)

    async def ask():
        async with SocketPanel(reply('{"balance": 1}')) as server:
            panel = smm.Panel(server.url, method="GET", key_in_url=True)
            async with smm.Client(panel, key=canary.key) as client:
                await client.balance()
        return server.requests[0].target

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", watch)
    sent = dict(parse_qsl(urlsplit(anyio.run(ask, backend=backend)).query))

    assert (sent.pop("key") == canary.key, sent) == (True, {"action": "balance"})
    assert len(seen) == 1
    families = found_in(seen[0], canary.key)
    assert families == set()
