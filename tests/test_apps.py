"""The programs of the pages on FastAPI and on bots: who shares a request, who is disturbed, and what is left in the end."""

import anyio
import httpx
import pytest

import smm_async as smm
from smm_async.testing import Fault
from tests.pages import ROOT, import_from, panel  # noqa: F401  fixtures are used by their names


@pytest.fixture
def shop(panel, import_from):
    """Give the web application."""
    return import_from(ROOT / "docs" / "fastapi.md")["shop"]


@pytest.fixture
def bots(panel, import_from):
    """Give the modules of the bot."""
    return import_from(ROOT / "docs" / "bots.md")


@pytest.fixture
async def web(shop):
    """Give a browser, while the application runs."""
    async with (
        shop.app.router.lifespan_context(shop.app),
        httpx.AsyncClient(transport=httpx.ASGITransport(shop.app), base_url="http://shop") as browser,
    ):
        yield browser


async def keep(found, name, call, *arguments):
    """Keep what a call returned."""
    found[name] = await call(*arguments)


# FastAPI.


async def test_visitors_share_a_request(web, panel):
    """What visitors ask in the same moment is one request, and each gets the answer to their own order."""
    found = {}

    async with anyio.create_task_group() as visitors:
        for order in (1, 2, 999):
            visitors.start_soon(keep, found, order, web.get, f"/orders/{order}")

    assert panel.ids_per_request("status") == [3]
    assert {order: reply.status_code for order, reply in found.items()} == {1: 200, 2: 200, 999: 404}
    assert found[2].json() == {"state": "Completed", "remains": 0}


async def test_visitor_who_leaves_disturbs_nobody(web, panel):
    """Cancelling one visitor's page ends neither the request nor the other visitor's page."""
    panel.latency = 0.05
    found = {}

    async with anyio.create_task_group() as visitors:
        impatient = anyio.create_task_group()
        visitors.start_soon(keep, found, 1, web.get, "/orders/1")
        async with impatient:
            impatient.start_soon(web.get, "/orders/2")
            await anyio.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()

    assert found[1].status_code == 200
    assert panel.ids_per_request("status") == [2]


async def test_failures_are_told_apart(web, panel):
    """What may work later is 503, what will not is 502, and what is no id is 422, with nothing sent."""
    panel.fault(Fault.rate_limited(retry_after=60))
    assert (await web.get("/orders/1")).status_code == 503

    panel.fault(Fault.error("Invalid API key"))
    assert (await web.get("/orders/1")).status_code == 502

    panel.requests.clear()
    assert (await web.get("/orders/1,2")).status_code == 422
    assert panel.requests == []


async def test_application_closes_its_client(shop):
    """When the application stops, its client is closed."""
    async with shop.app.router.lifespan_context(shop.app):
        client = shop.app.state.panel

    with pytest.raises(smm.ClosedError):
        await client.balance()


# Bots.


class Dispatcher:
    """Calls what is registered as aiogram does: the start, each message and the stop in tasks of their own."""

    def __init__(self):
        self.startup, self.shutdown = Hooks(), Hooks()
        self.handler = None

    def message(self):
        """Return what takes the handler of messages."""

        def take(handler):
            self.handler = handler
            return handler

        return take

    async def run(self, *messages):
        """Start, handle all messages at the same time, and stop."""
        for calls in (
            [(hook,) for hook in self.startup.hooks],
            [(self.handler, message) for message in messages],
            [(hook,) for hook in self.shutdown.hooks],
        ):
            async with anyio.create_task_group() as tasks:
                for call in calls:
                    tasks.start_soon(*call)


class Hooks:
    """What is called when a bot starts, or stops."""

    def __init__(self):
        self.hooks = []

    def register(self, hook):
        """Add one."""
        self.hooks.append(hook)


class Message:
    """A message, and what was answered to it."""

    def __init__(self, text):
        self.text = text
        self.answers = []

    async def answer(self, text):
        """Keep an answer."""
        self.answers.append(text)


@pytest.fixture
def dispatcher(bots):
    """Give a dispatcher that the bot has registered with."""
    dispatcher = Dispatcher()
    bots["main"].register(dispatcher)
    return dispatcher


async def test_messages_share_a_request(dispatcher, panel):
    """A bot starts, answers and stops in different tasks; messages that come together are one request."""
    messages = [Message(text) for text in ("1", " 2 ", "999", "hello, bot")]

    await dispatcher.run(*messages)

    assert panel.count("balance") == 1
    assert panel.ids_per_request("status") == [3]
    assert [message.answers for message in messages] == [
        ["Completed, 0 to go."],
        ["Completed, 0 to go."],
        ["No such order. A new one may need some minutes."],
        ["Send me the number of an order."],
    ]


async def test_wrong_key_is_found_at_the_start(bots, panel):
    """A bot with a wrong key does not start."""
    panel.fault(Fault.error("Invalid API key"))

    with pytest.raises(smm.InvalidKeyError):
        await bots["bot"].on_startup()

    await bots["bot"].on_shutdown()


async def test_customer_is_told_of_the_end(bots, panel):
    """Whoever waits for an order is told when it has ended, and of nothing when the bot stops before."""
    told = Message("")
    await bots["telling"].tell_when_done("1", told.answer)
    panel.latency = 60

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bots["telling"].tell_when_done, "2", told.answer)
        await anyio.wait_all_tasks_blocked()
        await bots["bot"].on_shutdown()

    assert panel.ids_per_request("status") == [1, 1]
    assert told.answers == ["Order 1: Completed"]
