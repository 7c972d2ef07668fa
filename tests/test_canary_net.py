"""The net that keys are looked for with: it finds each form in each channel, and nothing else."""

import logging
import sys
import warnings
from decimal import Decimal
from urllib.parse import quote

import anyio
import httpx
import pytest

import smm_async as smm
from smm_async import events
from tests.canary import FAMILIES, KEYS, echoes_of, found_in, rare_echoes_of
from tests.canary_net import OF_CLIENTS, OF_ERRORS, OF_REQUESTS, OF_VALUES, Net
from tests.socket_panel import SocketPanel, reply

every_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])
every_key = pytest.mark.parametrize("name", KEYS)


class Dying:
    """Says something when it is collected, where nobody can catch it."""

    def __init__(self, text):
        self._text = text

    def __del__(self):
        raise LookupError(self._text)


class Leaky:
    """Has a text in all places where a client could have its key."""

    def __init__(self, text):
        self.text = text
        self.panel = None
        self.unsettled = list
        self.stats = self
        self.explain = lambda: [text]

    def __repr__(self):
        return f"Leaky({self.text})"


def spill(net, text, folder):
    """Put a text into every channel."""
    try:
        raise LookupError(text) from OSError(text)
    except LookupError as error:
        net.show(error)
    net.show(smm.Balance(balance=Decimal(1), extra={"field": text}))
    net.show_client(Leaky(text))
    request = events.Request(1, text, "POST", "https://panel.example", (text,), 1, 0.0, events.Reason.IDLE, 1, 0.0)
    net.hear(events.RequestSent(request))
    net.hear(events.RequestAnswered(request, 200, 0.0, None))
    logging.getLogger("httpcore.http11").debug("headers: %s", text)
    warnings.warn(text, ResourceWarning, stacklevel=1)
    Dying(text)
    (folder / "orders.db").write_text(text, "utf-8")
    net.show_files(folder / "orders.db")


def forms_of(name):
    """Return what may be made of a key, by the name of the form, whose first word is its family."""
    return {**echoes_of(KEYS[name]), **rare_echoes_of(KEYS[name])}


@every_key
def test_net_catches_every_form(name):
    """Each form is found as what it is."""
    found = {form: found_in(f"before {shown} after", KEYS[name]) for form, shown in forms_of(name).items()}

    assert {family for form in found for family in form.split()[:1]} == set(FAMILIES) - {"part"}
    assert [form for form, families in found.items() if form.split()[0] not in families] == []


@pytest.mark.parametrize("form", forms_of("specials"))
def test_net_catches_every_form_in_every_channel(tmp_path, form):
    """Each form of a key is found in each of the channels, and no other key is."""
    with Net() as net:
        spill(net, forms_of("specials")[form], tmp_path)

    assert net.channels == OF_ERRORS | OF_VALUES | OF_CLIENTS | OF_REQUESTS | {
        "journal",
        "log",
        "warning",
        "unraisable",
    }
    assert {(channel, name) for channel, name, _ in net.leaks()} == {(channel, "specials") for channel in net.channels}


@every_key
def test_net_catches_a_part(name):
    """The first and the last ten letters of a key are found, too."""
    key = KEYS[name]

    found = [found_in(f"before {part} after", key) for part in (key[:10], key[-10:], key[:10].encode().hex())]

    assert all(found)


@every_key
def test_net_lets_pass_what_is_no_key(name):
    """Nothing is found in other texts, with other keys among them."""
    others = [shown for key in KEYS.values() if key != KEYS[name] for shown in echoes_of(key).values()]

    families = found_in(" ".join(others) + repr(vars(smm)), KEYS[name])

    assert families == set()


@every_backend
@every_key
def test_net_catches_a_naive_program(backend, name):
    """Around plain httpx, with the key in a form or in the address, the net finds it in most channels."""

    async def ask(net, key):
        net.listen_to_loop()
        async with (
            SocketPanel(reply("<html>", 302, f"Location: /?key={quote(key)}")) as server,
            httpx.AsyncClient() as http,
        ):
            try:
                (await http.post(server.url, data={"key": key})).raise_for_status()
            except httpx.HTTPStatusError as error:
                net.show(error)
            await http.get(server.url, params={"key": key})

    with Net() as net:
        anyio.run(ask, net, KEYS[name], backend=backend)

    expected = {
        "str",
        "repr",
        "format",
        "fields",
        "traceback",
        "rich",
        "sentry",
        "span",
        "span of httpx",
        "log",
        "stderr",
    }
    assert {channel for channel, key, _ in net.leaks() if key == name} >= expected


def test_net_catches_what_the_loop_complains_of():
    """What asyncio tells its exception handler, and logs then, is caught."""

    async def complain(net):
        net.listen_to_loop()
        await anyio.lowlevel.checkpoint()
        sys.modules["asyncio"].get_running_loop().call_exception_handler({"message": KEYS["letters"]})

    with Net() as net:
        anyio.run(complain, net, backend="asyncio")

    assert {channel for channel, _, _ in net.leaks()} >= {"loop", "log"}


def test_net_draws_tracebacks():
    """A traceback is drawn by rich with all names in all frames, and a key is found in what is drawn."""
    with Net(draws=True) as net:
        try:
            smm.Panel(KEYS["letters"])
        except ValueError as error:
            net.show(error)

    assert "╭" in net.text_in("rich")
    assert ("rich", "letters", "plain") in net.leaks()
