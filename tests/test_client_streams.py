"""The client's streams, by what goes over the wire and what comes back."""

import anyio
import httpx
import pytest

import smm_async as smm
from tests.simulated import KEY, client, panel  # noqa: F401  fixtures are used by their names
from tests.streaming import extend, quick


@pytest.mark.parametrize("make_source", [iter, quick])
async def test_stream_of_2050_orders_is_21_requests(client, panel, make_source):
    """Every order comes with its own status, from full requests."""
    orders, pairs = panel.seed_orders(2050), []

    async with client.stream_statuses(make_source(orders)) as results:
        await extend(pairs, results)

    assert sorted(panel.ids_per_request("status")) == [50] + [100] * 20
    assert sorted(id_ for id_, _ in pairs) == sorted(orders)
    assert all(status.start_count == panel.orders[order].start_count for order, status in pairs)


async def test_stream_keeps_the_callers_own_ids(client, panel):
    """Ids come back as they were given, also where two of them are one to the panel; each error is its id's own."""
    first, second = panel.seed_orders(2)

    async with client.stream_statuses([second, "999", str(first), first, int(first)]) as results:
        pairs = [pair async for pair in results]

    assert sorted(map(repr, (id_ for id_, _ in pairs))) == sorted(
        map(repr, [second, "999", str(first), first, int(first)])
    )
    (error,) = [result for id_, result in pairs if id_ == "999"]
    assert type(error) is smm.UnknownOrderError
    assert error.action == "status"
    assert panel.ids_per_request("status") == [3]


async def test_stream_with_a_bad_id(client, panel):
    """What cannot be an id raises after all that came before it, and nothing behind it is asked."""
    orders, pairs = panel.seed_orders(3), []

    with pytest.raises(ValueError, match="order id"):
        async with client.stream_statuses([*orders[:2], "1,2", orders[2]]) as results:
            await extend(pairs, results)

    assert sorted(id_ for id_, _ in pairs) == sorted(orders[:2])
    assert panel.ids_per_request("status") == [2]


async def test_stream_with_a_wrong_key_raises_once(panel):
    """Where nobody would be answered, each id that was taken has that error; then it is raised, and ends the stream."""
    ids, pairs = iter(range(1, 5001)), []
    async with smm.Client(panel.url, key="another-key", transport=panel.transport(), max_in_flight=2) as client:
        async with client.stream_statuses(ids) as results:
            with pytest.raises(smm.InvalidKeyError) as caught:
                await extend(pairs, results)
            assert [pair async for pair in results] == []

    assert caught.value.action == "status"
    assert sorted(id_ for id_, _ in pairs) == list(range(1, next(ids)))
    assert {(type(error), error.action) for _, error in pairs} == {(smm.InvalidKeyError, "status")}
    assert len({id(error) for error in [caught.value, *dict(pairs).values()]}) == len(pairs) + 1
    assert len(panel.requests) <= 2


async def test_stream_with_a_wrong_key_in_the_rows():
    """The same holds where a panel says it of each id; what it said of others before is yielded as well."""

    def answer(request):
        return httpx.Response(
            200, json={"1": {"status": "Completed"}} | {id_: {"error": "Invalid API key"} for id_ in "234"}
        )

    pairs = []
    transport = httpx.MockTransport(answer)
    async with smm.Client("https://panel.example/api/v2", key=KEY, transport=transport, max_in_flight=1) as client:
        async with client.stream_statuses(list("1234")) as results:
            with pytest.raises(smm.InvalidKeyError) as caught:
                await extend(pairs, results)
            assert [pair async for pair in results] == []

    assert caught.value.action == "status"
    assert sorted(id_ for id_, _ in pairs) == list("1234")
    assert [id_ for id_, result in pairs if not isinstance(result, smm.InvalidKeyError)] == ["1"]


async def test_streams_of_refills_and_product_orders(client, panel):
    """They are streams as that of orders is."""
    pairs: list[tuple[object, object]] = []

    async with client.stream_refill_statuses(quick([1, "2"])) as results:
        await extend(pairs, results)
    async with client.stream_product_order_statuses([997]) as results:
        await extend(pairs, results)

    assert {id_ for id_, _ in pairs} == {1, "2", 997}
    assert {request.action for request in panel.requests} == {"refill_status", "product_order_status"}


async def test_client_closed_while_a_stream_is_open(panel):
    """The reader hears of it once; leaving is no error."""
    client = smm.Client(panel.url, key=KEY, transport=panel.transport())
    orders, pairs = panel.seed_orders(5000), []

    async with client.stream_statuses(quick(orders)) as results:
        pairs.append(await anext(results))
        await anyio.wait_all_tasks_blocked()
        await client.aclose()
        with pytest.raises(smm.ClosedError):
            await extend(pairs, results)

    assert 100 <= len(pairs) <= 1600
