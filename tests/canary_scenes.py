"""Clients with a key, all that may happen to them and their calls, and what is shown of it."""

import contextlib
import json
import sqlite3
import ssl

import anyio
import attrs
import httpx
import trustme

import smm_async as smm
from tests.canary_answers import (
    CALLS,
    CLOSED,
    READS,
    STATUS,
    UNSENT,
    VALUE,
    WRITES,
)
from tests.canary_transports import Telltale
from tests.scripted_transport import Held, ScriptedTransport, answer, never
from tests.shown import PANELS
from tests.socket_panel import ClosedPort, SocketPanel, reply

# So often is more than the event loop reads by itself.
LARGE = 500
TURNS = {
    "letters": ("balance", "status", "add"),
    "specials": ("statuses", "services", "refill", "call"),
    "base64": ("status", "balance", "call", "add"),
}


class Stage:
    """One key on one kind of panel: makes clients with it, and shows the net what becomes of them and their calls."""

    def __init__(self, net, canary, kind, folder):
        self.net = net
        self.canary = canary
        self.path = folder / f"{canary.name}.db"
        self.panel = smm.Panel("https://panel.example/api/v2", **PANELS[kind])
        self.outcomes: dict[str, object] = {}
        self.shows_values = True

    def make_client(self, url=None, *, evidence=False, **options):
        """Return a client with a journal."""
        panel = self.panel if url is None else attrs.evolve(self.panel, url=url)
        journal = smm.Journal(self.path, evidence=evidence)
        return smm.Client(panel, key=self.canary.key, journal=journal, on_event=self.net.hear, **options)

    @contextlib.asynccontextmanager
    async def client(self, *args, **options):
        """Yield a client, and show what is left of it and its journal."""
        async with self.make_client(*args, **options) as client:
            yield client
        self.net.show_client(client)
        self.net.show_files(self.path)

    async def call_all(self, client, names=None):
        """Make calls, another part of them with each key, all at the same time, and show what comes of them."""
        names = TURNS[self.canary.name] if names is None else names
        async with anyio.create_task_group() as tasks:
            for name in names:
                tasks.start_soon(self.call, client, name)

    async def call(self, client, name):
        """Make one call, and show what comes of it, even if it is cancelled."""
        try:
            outcome = await CALLS[name](client)
        except BaseException as error:
            outcome = error
            if not isinstance(error, Exception):
                raise
        finally:
            self.outcomes[name] = outcome
            self._show(outcome)

    def _show(self, outcome):
        """Show errors, those in mappings too, and values unless they hold the key themselves."""
        if isinstance(outcome, BaseException) or self.shows_values:
            self.net.show(outcome)
        for error in outcome.values() if isinstance(outcome, dict) else ():
            if isinstance(error, Exception):
                self.net.show(error)

    def check(self, read, write):
        """See that the calls had the outcomes that the fault is about, and not those of some other."""
        for expected, names in ((read, READS), (write, WRITES)):
            came_to = [self.outcomes[name] for name in names if name in self.outcomes]
            assert [type(outcome) for outcome in came_to if not isinstance(outcome, expected)] == []


async def meet(stage, what):
    """Ask a server that does what an `Answer` says."""
    # What `call()` returns is the panel's answer as it is.
    stage.shows_values = False
    async with SocketPanel(what.act(stage.canary)) as server:
        async with stage.client(server.url, budget=what.budget, write_budget=what.budget) as client:
            await stage.call_all(client)
    assert server.requests or not what.is_surely_sent
    stage.check(*what.outcomes)


# --- Where nothing is wrong with the answer


async def be_answered(stage):
    """Get the values that were asked for."""
    for call, value in (
        ("balance", VALUE),
        ("status", STATUS),
        ("statuses", {"7": STATUS, "8": {"error": "Incorrect order ID"}}),
        ("services", []),
        ("add", {"order": 7}),
        ("refill", {"refill": 7}),
        ("call", {"anything": 1}),
    ):
        async with SocketPanel(reply(json.dumps(value))) as server, stage.client(server.url) as client:
            await stage.call(client, call)
    assert not any(isinstance(outcome, Exception) for outcome in stage.outcomes.values())


async def be_answered_with_the_key(stage):
    """Get values that hold the key: they are the caller's, and shown by nobody else."""
    stage.shows_values = False
    shown = stage.canary.echo
    for call, value in (
        ("balance", {**VALUE, "key": shown, shown: shown}),
        ("status", {**STATUS, "status": shown, "key": shown}),
        ("services", [{"service": 1, "name": shown}, {shown: shown}, shown]),
        ("add", {"order": 7, "key": shown}),
        ("refill", {"refill": 7, "key": shown}),
        ("call", {"key": shown}),
    ):
        async with SocketPanel(reply(json.dumps(value))) as server, stage.client(server.url) as client:
            await stage.call(client, call)
    assert not any(isinstance(outcome, Exception) for outcome in stage.outcomes.values())


async def read_a_large_catalogue(stage):
    """Read, in a thread, what is too large for the loop, and is none."""
    large = json.dumps({"error": [stage.canary.echo] * LARGE})
    async with SocketPanel(reply(large)) as server, stage.client(server.url) as client:
        await stage.call(client, "services")
    assert isinstance(stage.outcomes["services"], smm.PanelError)


# --- Where no answer can come


async def be_refused(stage):
    """Ask where nobody listens."""
    with ClosedPort() as url:
        async with stage.client(url) as client:
            await stage.call_all(client)
    stage.check(*UNSENT)


async def distrust(stage):
    """Ask a server whose certificate was signed by nobody known."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with SocketPanel(reply("{}"), tls=context) as server, stage.client(server.url) as client:
        await stage.call_all(client)
    assert server.requests == []
    stage.check(*UNSENT)


async def speak_tls_to_nobody(stage):
    """Ask by TLS where plain http is spoken."""
    async with SocketPanel(reply("{}")) as server:
        async with stage.client(server.url.replace("http", "https")) as client:
            await stage.call_all(client)
    stage.check(*UNSENT)


# --- Transports that show what they were given


async def be_told_of(stage, act, outcomes):
    """Use a transport that has the request in what it raises."""
    async with stage.client(transport=Telltale(act)) as client:
        await stage.call_all(client)
    stage.check(*outcomes)


async def be_sure_that_nothing_left(stage):
    """Use a transport whose word is taken for it that it has sent nothing."""

    def fail(request):
        raise httpx.ConnectError(f"{request.url} {request.headers.raw} {request.content}", request=request)

    async with stage.client(transport=httpx.MockTransport(fail)) as client:
        await stage.call_all(client)
    stage.check(*UNSENT)


# --- Programs that come to an end


async def leave(stage):
    """Cancel the callers, while their requests are on their way, and take note of what comes later."""
    held = Held(answer({"error": stage.canary.echo}))
    transport = ScriptedTransport(held)
    async with stage.client(transport=transport) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.call_all, client, (*WRITES, "balance"))
            await transport.wait_for_requests(len(WRITES) + 1)
            tasks.cancel_scope.cancel()
        stage.net.show_client(client)
        assert len(client.unsettled()) == len(WRITES)
        held.release()
        await client._exchange._calls.wait_for_writes()
        assert all(write.outcome is not None for write in client.unsettled())


async def close_meanwhile(stage):
    """Close the client while requests are on their way, and go on asking it."""
    transport = ScriptedTransport(never)
    async with stage.client(transport=transport, grace=0.0) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.call_all, client, ("balance", "status", *WRITES))
            await transport.wait_for_requests(2 + len(WRITES))
            await client.aclose()
        stage.check(smm.ClosedError, smm.OutcomeUnknownError)
        stage.outcomes.clear()
        await stage.call_all(client)
        stage.check(*CLOSED)


async def leave_open(stage):
    """End the program with a client that nobody closes, and requests on their way."""
    transport = ScriptedTransport(never)
    client = stage.make_client(transport=transport)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stage.call_all, client, ("balance", "status", *WRITES))
        await transport.wait_for_requests(2 + len(WRITES))
        tasks.cancel_scope.cancel()
    stage.net.show_client(client)
    stage.net.show_files(stage.path)


# --- Orders that nobody knows of


async def reconcile(stage):
    """Lose the answer to an order, and look for evidence of it."""
    page = f"<html>{stage.canary.echo}".encode()
    acts = answer(VALUE), answer(page, 500), answer([]), answer(VALUE)
    async with stage.client(transport=ScriptedTransport(*acts), evidence=True) as client:
        await stage.call(client, "add")
        with contextlib.closing(sqlite3.connect(stage.path)) as db:
            # As long as somebody reads it, the files beside it are there, too.
            db.execute("select * from smm_order").fetchall()
            stage.net.show_value(await client.reconcile("first", settle=0.0))
            await stage.call(client, "add")
            assert len(list(stage.path.parent.glob("*.db-*"))) == 2
            stage.net.show_files(stage.path)
        for show in (client._journal.unknown, client._journal.entries):
            stage.net.show_value(await show())
        stage.net.show_value(await client._journal.settle("first", order=7))
    stage.check((), smm.OutcomeUnknownError)


async def fail_to_write_down(stage):
    """Place an order while its journal cannot be written."""
    async with stage.client(transport=ScriptedTransport(answer({"order": 7}))) as client:
        client._journal._path = str(stage.path.parent)
        await stage.call(client, "add")
        client._journal._path = str(stage.path)
    assert type(stage.outcomes["add"]) is smm.NotSentError


# --- Bugs


class _Broken:
    """A part of a panel's description that does not do what it should."""

    def __iter__(self):
        raise LookupError("a bug in the words of a panel")


async def meet_a_bug(stage):
    """Have a bug while an answer is decoded that holds the key."""
    stage.panel = attrs.evolve(stage.panel, error_words=_Broken())
    async with stage.client(transport=ScriptedTransport(answer({"error": stage.canary.echo}))) as client:
        await stage.call_all(client)
    stage.check(LookupError, smm.OutcomeUnknownError)


async def meet_a_bug_in_a_thread(stage):
    """Have a bug while an answer is decoded in a thread."""
    stage.panel = attrs.evolve(stage.panel, error_words=_Broken())
    large = answer({"error": [stage.canary.echo] * 50})
    async with stage.client(transport=ScriptedTransport(large)) as client:
        await stage.call(client, "services")
    stage.check(LookupError, ())
