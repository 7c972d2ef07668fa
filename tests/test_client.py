"""The client's methods, by what goes over the wire and what comes back."""

from decimal import Decimal

import anyio
import httpx
import pytest

import smm_async as smm
from smm_async.testing import Fault, SimulatedPanel
from tests.simulated import KEY, client, panel  # noqa: F401  fixtures are used by their names


async def all_at_once(call, ids):
    """Return what ``call`` returns or raises for each id, from one task each."""
    results = {}

    async def one(id_):
        try:
            results[id_] = await call(id_)
        except smm.SmmError as error:
            results[id_] = error

    async with anyio.create_task_group() as tasks:
        for id_ in ids:
            tasks.start_soon(one, id_)
    return results


def sent(panel):
    """Return the action and the fields of each request, without the key."""
    return [(request.action, dict(request.fields)) for request in panel.requests]


async def test_status_of_250_orders_is_three_requests(client, panel):
    """250 concurrent lookups are three requests, and each caller gets its own order."""
    orders = panel.seed_orders(250)

    results = await all_at_once(client.status, orders)

    assert sorted(panel.ids_per_request("status")) == [50, 100, 100]
    assert all(results[order].start_count == panel.orders[order].start_count for order in orders)


async def test_status_of_2000_orders_is_twenty_requests(client, panel):
    """2,000 concurrent lookups are twenty full requests."""
    results = await all_at_once(client.status, panel.seed_orders(2000))

    assert panel.ids_per_request("status") == [100] * 20
    assert len(results) == 2000


async def test_status_of_one_order_uses_the_single_form(client, panel):
    """A lone lookup asks for ``order``, which every panel knows."""
    (order,) = panel.seed_orders(1)

    await client.status(order)

    assert sent(panel)[0][1]["order"] == str(order)
    assert "orders" not in sent(panel)[0][1]


async def test_status_of_one_order_by_fifty_callers_is_one_id(client, panel):
    """Fifty callers of one id, as text and as a number, are one id on the wire."""
    (order,) = panel.seed_orders(1)

    async with anyio.create_task_group() as tasks:
        for n in range(50):
            tasks.start_soon(client.status, order if n % 2 else str(order))

    assert panel.ids_per_request("status") == [1]


async def test_statuses_keep_the_callers_own_ids_and_order(client, panel):
    """A mapping has the ids as they were given, in that order, each with its value or its own error."""
    first, second = map(int, panel.seed_orders(2))

    found = await client.statuses([second, "999", str(first), first])

    assert list(found) == [second, "999", str(first), first]
    assert isinstance(found["999"], smm.UnknownOrderError)
    assert found["999"].action == "status"
    assert found[first] == found[str(first)]
    assert panel.ids_per_request("status") == [3]


async def test_statuses_with_a_wrong_key_raise(panel):
    """What answers nobody raises, instead of standing in a mapping a thousand times."""
    async with smm.Client(panel.url, key="a-wrong-key", transport=panel.transport()) as client:
        with pytest.raises(smm.InvalidKeyError):
            await client.statuses(range(1, 5001))

    assert panel.count("status") <= 8


async def test_refill_status_on_a_panel_without_plural_is_asked_singly():
    """A panel that documents no plural form is asked one by one, and the caller does not notice."""
    panel = SimulatedPanel(key=KEY, dialect=smm.testing.D3MWORLD)
    d3mworld = smm.panels.D3MWORLD
    async with smm.Client(d3mworld, key=KEY, transport=panel.transport()) as client:
        results = await all_at_once(client.refill_status, ["51", "52", "53"])

    assert panel.ids_per_request("refill_status") == [1, 1, 1]
    assert {type(result) for result in results.values()} == {smm.UnknownRefillError}


async def test_an_action_the_panel_does_not_document_is_refused_before_any_request():
    """d3mworld documents no products and no cancellation: nothing is sent."""
    panel = SimulatedPanel(key=KEY)
    async with smm.Client(smm.panels.D3MWORLD, key=KEY, transport=panel.transport()) as client:
        for call in (client.products(), client.cancel(7), client.product_order_status(7), client.cancels([7, 8])):
            with pytest.raises(smm.UnsupportedActionError, match="documents no action"):
                await call

    assert panel.requests == []


async def test_add_sends_the_order_and_returns_its_id(client, panel):
    """An order goes out with its own fields, and its id comes back as text."""
    order = await client.add(smm.orders.Default(service=1, link="https://example.com/p?a=1&b=2", quantity=100))

    assert isinstance(order, str)
    assert sent(panel) == [
        (
            "add",
            {"action": "add", "service": "1", "link": "https://example.com/p?a=1&b=2", "quantity": "100"},
        )
    ]
    assert (await client.status(order)).remains == 100


async def test_add_refused_is_a_panel_error_and_nothing_is_bought(client, panel):
    """The panel's no is an error of its class, with the panel's words."""
    before = panel.balance

    with pytest.raises(smm.BadQuantityError) as caught:
        await client.add(smm.orders.Default(service=1, link="https://example.com", quantity=1))

    assert "less than minimal" in caught.value.text
    assert not caught.value.retryable
    assert panel.balance == before


async def test_statuses_of_texts_that_are_more_than_texts(client, panel):
    """An id that only equals its text on the wire is given back as it was, and plain ones once each."""

    class OwnId(str):
        __slots__ = ()

    first, second = map(str, panel.seed_orders(2))

    found = await client.statuses([second, OwnId(first)])
    plain = await client.statuses(iter([second, first, second]))

    assert [type(own) for own in found] == [str, OwnId]
    assert list(plain) == [second, first]
    assert found == plain


async def test_add_with_a_lost_answer_is_unknown_and_sent_once(client, panel):
    """An order that was executed and not answered is neither a yes nor a no, and is not repeated."""
    panel.fault(Fault.lost_answer())

    with pytest.raises(smm.OutcomeUnknownError):
        await client.add(smm.orders.Default(service=1, link="https://example.com", quantity=100))

    assert panel.count("add") == 1


async def test_add_that_could_not_connect_is_not_sent(client, panel):
    """A refused connection proves that nothing was bought."""
    panel.fault(Fault.refuse())

    with pytest.raises(smm.NotSentError) as caught:
        await client.add(smm.orders.Default(service=1, link="https://example.com", quantity=100))

    assert caught.value.retryable
    assert panel.count("add") == 0


async def test_add_with_ref_needs_a_journal(client, panel):
    """A reference without a place to remember it would promise too much."""
    with pytest.raises(ValueError, match="journal"):
        await client.add(smm.orders.Default(service=1, link="https://example.com", quantity=100), ref="a")

    assert panel.requests == []


async def test_refill_and_cancel_return_the_panels_words(client, panel):
    """A refill gives its id, a cancellation the panel's word; both accept what `status()` accepts."""
    order, other = panel.seed_orders(2)
    panel.set_status(order, "Completed", remains=0)

    refill = await client.refill(order)
    word = await client.cancel(int(other))

    assert (await client.refill_status(refill)).state is not smm.RefillState.UNKNOWN
    assert word == "1"
    assert sent(panel)[1] == ("cancel", {"action": "cancel", "orders": str(other)})


async def test_refills_and_cancels_of_many_orders_have_their_own_outcomes(client, panel):
    """Plural writes are one request, with one outcome for each order."""
    first, second = panel.seed_orders(2)
    panel.set_status(first, "Completed", remains=0)

    refills = await client.refills([first, second])
    cancels = await client.cancels([second, 999])

    assert isinstance(refills[first], str)
    assert isinstance(refills[second], smm.RefillRefusedError)
    assert cancels[second] == "1"
    assert isinstance(cancels[999], smm.UnknownOrderError)
    assert [action for action, _ in sent(panel)] == ["refill", "cancel"]


async def test_more_cancels_than_a_request_holds_are_several_requests(client, panel):
    """A plural write keeps to the panel's limit, and asks for an id given twice once."""
    orders = panel.seed_orders(150)

    results = await client.cancels([*orders, *orders])

    assert sorted(panel.ids_per_request("cancel")) == [50, 100]
    assert set(results.values()) == {"1"}


async def test_balance_services_and_products_are_decoded(client, panel):
    """The three calls without ids give records."""
    balance = await client.balance()
    services = await client.services()
    products = await client.products()

    assert balance == smm.Balance(balance=Decimal(1000), currency="USD")
    assert services[0].service == "1"
    assert services[0].order_type is smm.orders.Default
    assert products[0].in_stock


async def test_a_product_is_ordered_and_looked_up(client, panel):
    """Products are bought by their own action and looked up by their own, merged, status."""
    order = await client.add_product_order(1, 1, "me@example.com")

    status = await client.product_order_status(order)
    found = await client.product_order_statuses([order, 998])

    assert sent(panel)[0][1] == {
        "action": "add_product_order",
        "product": "1",
        "quantity": "1",
        "require": "me@example.com",
    }
    assert status.charge is not None
    assert isinstance(found[998], smm.UnknownOrderError)


async def test_refill_statuses_of_many_refills_are_one_request(client, panel):
    """Refills are looked up in batches too."""
    found = await client.refill_statuses([1, "2"])

    assert panel.ids_per_request("refill_status") == [2]
    assert {type(result) for result in found.values()} == {smm.UnknownRefillError}


async def test_call_returns_the_json_of_any_action():
    """Actions without a method have a door of their own; numbers with a fraction are exact."""
    requests = []

    def answer(request):
        requests.append(request.content)
        return httpx.Response(200, text='{"result": [1.10, "x"]}')

    async with smm.Client("https://panel.example/api/v2", key=KEY, transport=httpx.MockTransport(answer)) as client:
        result = await client.call("result_product", order=7, note=Decimal("0.10"))

    assert result == {"result": [Decimal("1.10"), "x"]}
    assert requests == [b"key=simulated-key&action=result_product&order=7&note=0.10"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"error": "Incorrect request"}', smm.UnsupportedActionError),
        ("<html>", smm.OutcomeUnknownError),
    ],
    ids=["refused", "html"],
)
async def test_call_with_a_strange_answer_is_an_error(text, error):
    """A raw call's refusal is a refusal; where its answer is none, what it did is unknown."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=text))
    async with smm.Client("https://panel.example/api/v2", key=KEY, transport=transport) as client:
        with pytest.raises(error):
            await client.call("anything")


@pytest.mark.parametrize("text", ["17", '{"data": {"a": 1}}'])
async def test_a_catalogue_that_is_none_is_a_bad_reply(text):
    """A number is no list of services, nor is what holds something else."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=text))
    async with smm.Client("https://panel.example/api/v2", key=KEY, transport=transport) as client:
        with pytest.raises(smm.BadReplyError):
            await client.services()


@pytest.mark.parametrize("order", [{"service": 1, "link": "x", "quantity": 1}, "1", None], ids=repr)
async def test_an_order_that_is_none_is_refused_before_any_request(client, panel, order):
    """What is no order of the library's is named by its class."""
    with pytest.raises(ValueError, match=f"such as Default, not {type(order).__name__}"):
        await client.add(order)

    assert panel.requests == []


@pytest.mark.parametrize(
    "fields", [{"key": "x"}, {"action": "x"}, {"flag": True}, {"rate": 0.5}, {"text": "a\0b"}, {"a b": "x"}]
)
async def test_call_with_a_bad_field_is_refused_before_any_request(client, panel, fields):
    """No field may stand in for the key or the action, and none is a float, a flag or holds NUL."""
    with pytest.raises(ValueError):  # noqa: PT011  the point is that it comes before any request
        await client.call("anything", **fields)

    assert panel.requests == []


@pytest.mark.parametrize("bad", ["1,2", "1&key=x", "", " 1", "1\r\nX", "१२", -1, True, 1.5, None, "x" * 65])
async def test_a_bad_id_is_refused_before_any_request(client, panel, bad):
    """What cannot be an id is a `ValueError`, by every method that takes one."""
    single = (client.status, client.refill, client.refill_status, client.cancel, client.product_order_status)
    plural = (client.statuses, client.refills, client.refill_statuses, client.cancels, client.product_order_statuses)

    for call in single:
        with pytest.raises(ValueError, match="is no"):
            await call(bad)
    for call in plural:
        with pytest.raises(ValueError, match="is no"):
            await call([1, bad])

    assert panel.requests == []


@pytest.mark.parametrize("text", ["23501", b"23501", ""], ids=["text", "bytes", "nothing"])
async def test_one_text_is_not_the_ids_that_its_characters_name(client, panel, text):
    """Whoever forgets the brackets is told, before orders of somebody else are asked for, or cancelled."""
    plural = (client.statuses, client.refills, client.refill_statuses, client.cancels, client.product_order_statuses)
    at_once = (
        client.stream_statuses,
        client.stream_refill_statuses,
        client.stream_product_order_statuses,
        client.watch,
    )

    for call in plural:
        with pytest.raises(ValueError, match="one id in a list"):
            await call(text)
    for call in at_once:
        with pytest.raises(ValueError, match="one id in a list"):
            call(text)

    assert panel.requests == []


@pytest.mark.parametrize(
    ("panel", "settings", "complaint"),
    [
        ("panel.example/api/v2", {}, "https://"),
        ("http://panel.example/api/v2", {}, "clear text"),
        ("ftp://panel.example", {}, "https://"),
        ("https://", {}, "https://"),
        ("https://panel.example:port/", {}, "not a panel's address"),
        ("https://user:word@panel.example/", {}, "user name"),
        ("https://panel.example/ api", {}, "complete URL"),
        ("https://panel.example/", {"key": ""}, "key is empty"),
        ("https://panel.example/", {"key": " "}, "key is empty"),
        ("https://panel.example/", {"key": None}, "must be a str"),
        ("https://panel.example/", {"key": "a-key\n"}, "control characters"),
        ("https://panel.example/", {"max_in_flight": 0}, "max_in_flight"),
        ("https://panel.example/", {"budget": 0}, "budget"),
        ("https://panel.example/", {"budget": float("nan")}, "budget"),
        ("https://panel.example/", {"max_delay": -1}, "max_delay"),
        ("https://panel.example/", {"grace": float("inf")}, "grace"),
        ("https://panel.example/", {"transport": object()}, "AsyncBaseTransport"),
        ("https://panel.example/", {"journal": "orders.db"}, "smm_async.Journal, not str"),
    ],
)
def test_a_client_with_a_bad_argument_is_refused(panel, settings, complaint):
    """Bad arguments are a sentence, before there is a client."""
    with pytest.raises(ValueError, match=complaint):
        smm.Client(panel, **{"key": KEY, **settings})


@pytest.mark.parametrize("quantity", [0, -1, True, 1.5, "1"])
async def test_a_product_order_with_a_bad_quantity_is_refused(client, panel, quantity):
    """A quantity is a whole number of at least one."""
    with pytest.raises(ValueError, match="quantity"):
        await client.add_product_order(1, quantity, "x")

    assert panel.requests == []


async def test_a_cancelled_caller_leaves_the_others_alone(client, panel):
    """The id of a caller that left before the request is not asked for, and nobody else notices."""
    orders = panel.seed_orders(3)
    results = {}

    async def look(order):
        results[order] = await client.status(order)

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            scope.cancel()
            tasks.start_soon(look, orders[0])
            tasks.start_soon(look, orders[2])
            await client.status(orders[1])

    assert scope.cancelled_caught
    assert set(results) == {orders[0], orders[2]}
    assert [request.ids for request in panel.requests] == [(str(orders[0]), str(orders[2]))] or [
        set(request.ids) for request in panel.requests
    ] == [{str(orders[0]), str(orders[2])}]


async def test_a_client_is_used_without_being_entered():
    """A client may be made anywhere, used at once, and closed by hand, more than once."""
    panel = SimulatedPanel(key=KEY)
    (order,) = panel.seed_orders(1)
    client = smm.Client(panel.url, key=KEY, transport=panel.transport())

    status = await client.status(order)
    await client.aclose()
    await client.aclose()

    assert status.status
    with pytest.raises(smm.ClosedError):
        await client.status(order)
    with pytest.raises(smm.ClosedError):
        await client.balance()
    with pytest.raises(smm.ClosedError):
        await client.__aenter__()


async def test_the_users_own_exception_leaves_bare(panel):
    """What the user raises inside ``async with`` comes out as it is."""

    async def use_and_fail():
        async with smm.Client(panel.url, key=KEY, transport=panel.transport()) as client:
            await client.statuses(panel.seed_orders(3))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await use_and_fail()


def test_a_client_shows_its_address_and_not_its_key(panel):
    """The representation names the panel; the panel that was given is at hand."""
    client = smm.Client(smm.panels.ONE_DG, key="a-very-secret-key")

    assert repr(client) == "<smm_async.Client https://1dg.me/api/v2>"
    assert client.panel is smm.panels.ONE_DG
