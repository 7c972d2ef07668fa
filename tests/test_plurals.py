"""What a client learns of how a panel takes several ids, and how a spoiled batch is taken apart."""

import logging
from urllib.parse import parse_qs

import anyio
import httpx
import pytest

import smm_async as smm
from smm_async import _retry

URL = "https://panel.example/api/v2"


class OddPanel:
    """A panel whose answers to `status` are made by a function from the ids asked; it remembers them."""

    def __init__(self, answer_many, bad=()):
        self.asked = []
        self._answer_many = answer_many
        self._bad = set(bad)

    def __call__(self, request):
        """Answer one request."""
        form = parse_qs(request.content.decode())
        ids = (form["orders"] if "orders" in form else form["order"])[0].split(",")
        self.asked.append(ids)
        return self.single(ids[0]) if "order" in form else self._answer_many(self, ids)

    def row(self, id_):
        """Return the row of an id, or nothing for a bad one."""
        return {"charge": "1", "status": "Pending", "remains": id_} if id_ not in self._bad else None

    def single(self, id_):
        """Return the answer to the single form."""
        return httpx.Response(200, json=self.row(id_) or {"error": "Incorrect order ID"})

    def client(self, **settings):
        """Return a client of this panel."""
        return smm.Client(URL, key="simulated-key", transport=httpx.MockTransport(self), **settings)


def spoiled_by_one(panel, ids):
    """Refuse a batch for one bad id in it."""
    rows = {id_: panel.row(id_) for id_ in ids}
    return httpx.Response(200, json=rows if all(rows.values()) else {"error": "Incorrect order ID"})


def never_understood(panel, ids):
    """Look for the field of the single form, and find none."""
    return httpx.Response(200, json={"error": "Order not found.", "status": "104"})


def limited_to(limit, *, says_so):
    """Answer so many ids, and refuse or forget the rest."""

    def answer(panel, ids):
        if says_so and len(ids) > limit:
            return httpx.Response(400, json={"error": f"Maximum {limit} orders per request"})
        return httpx.Response(200, json={id_: panel.row(id_) for id_ in ids[:limit]})

    return answer


def right_answers(found, bad=()):
    """Tell whether each id has its own row, and each bad one its own error."""
    return all(
        isinstance(result, smm.UnknownOrderError) if str(id_) in bad else result.remains == id_
        for id_, result in found.items()
    )


async def test_one_bad_id_among_100_is_found_by_halving():
    """A batch spoiled by one id costs a few more requests, and not one for each id."""
    panel = OddPanel(spoiled_by_one, bad={"77"})
    async with panel.client() as client:
        found = await client.statuses(range(1, 101))

    assert right_answers(found, {"77"})
    assert len(panel.asked) < 20
    assert [ids for ids in panel.asked if len(ids) == 1 and ids[0] == "77"] == [["77"]]


async def test_many_bad_ids_are_not_halved_for_ever():
    """Where halving does not pay, the rest is asked for one by one, and nothing is asked more than a third too often."""
    bad = {str(id_) for id_ in range(1, 101, 3)}
    panel = OddPanel(spoiled_by_one, bad=bad)
    async with panel.client() as client:
        await client.statuses(range(1000, 1010))
        panel.asked.clear()
        found = await client.statuses(range(1, 101))

    assert right_answers(found, bad)
    assert sum(len(ids) == 1 for ids in panel.asked) == 100
    assert len(panel.asked) <= 100 + 1 + 35


async def test_a_few_ids_are_asked_one_by_one_at_once():
    """Halving seven or fewer ids costs more than it finds."""
    panel = OddPanel(spoiled_by_one, bad={"2"})
    async with panel.client() as client:
        found = await client.statuses([1, 2, 3])

    assert right_answers(found, {"2"})
    assert [len(ids) for ids in panel.asked] == [3, 1, 1, 1]


async def test_batch_that_is_repeated_after_the_panel_was_learned_not_to_take_any(monkeypatch):
    """A batch that fails while another one teaches what the panel takes is repeated one by one."""
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.0)
    both_left, learned = anyio.Event(), anyio.Event()

    async def answer(request):
        response = panel(request)
        match panel.asked[-1]:
            case ["3", "4"]:
                await both_left.wait()
            case ["3"]:
                learned.set()
            case ["5", "6"]:
                both_left.set()
                await learned.wait()
                return httpx.Response(503, text="busy")
        return response

    panel = OddPanel(never_understood)
    settings = {"transport": httpx.MockTransport(answer), "max_in_flight": 2}
    async with smm.Client(smm.Panel(URL, batch_limit=2), key="simulated-key", **settings) as client:
        await client.status(1)
        await client.status(2)
        found = await client.statuses([3, 4, 5, 6])

    assert right_answers(found)
    assert panel.asked.count(["5", "6"]) == 1
    assert sorted(panel.asked[-2:]) == [["5"], ["6"]]


async def test_a_panel_that_ignores_the_plural_form_is_remembered(caplog):
    """Such a panel is asked one by one from then on, and `Client.panel` shows what was learned."""
    panel = OddPanel(never_understood)
    with caplog.at_level(logging.INFO, "smm_async"):
        async with panel.client() as client:
            await client.statuses([1, 2, 3])
            found = await client.statuses([4, 5, 6])
            panel.asked.clear()
            later = await client.statuses(range(7, 30))
            learned = client.panel

    assert right_answers(found)
    assert right_answers(later)
    assert {len(ids) for ids in panel.asked} == {1}
    assert learned.actions["status"].many is None
    assert learned.actions["refill_status"].many == "refills"
    assert "answers 1 ids of 'status' at once" in caplog.text


async def test_a_learned_panel_can_be_kept():
    """What was learned is a panel to start the next client with."""
    panel = OddPanel(never_understood)
    async with panel.client() as client:
        await client.statuses([1, 2, 3])
        await client.statuses([4, 5, 6])
        learned = client.panel
    panel.asked.clear()

    async with smm.Client(learned, key="simulated-key", transport=httpx.MockTransport(panel)) as client:
        await client.statuses([1, 2, 3])

    assert {len(ids) for ids in panel.asked} == {1}


async def test_unknown_ids_alone_do_not_make_a_panel_singular():
    """A batch of unknown ids that is refused as a whole says nothing about the plural form."""
    panel = OddPanel(spoiled_by_one, bad={str(id_) for id_ in range(1, 7)})
    async with panel.client() as client:
        await client.statuses([1, 2, 3])
        await client.statuses([4, 5, 6])
        panel.asked.clear()
        await client.statuses([7, 8, 9])

    assert [len(ids) for ids in panel.asked] == [3]


async def test_a_probe_that_is_answered_clears_the_panel():
    """Two ids that are answered together prove the plural form, whatever a bad batch looked like."""
    panel = OddPanel(spoiled_by_one, bad={"3", "6"})
    async with panel.client() as client:
        await client.statuses([1, 2, 3])
        await client.statuses([4, 5, 6])

    assert ["1", "2"] in panel.asked
    assert client.panel.actions["status"].many == "orders"


@pytest.mark.parametrize("says_so", [True, False], ids=["named", "silent"])
async def test_a_lower_limit_is_learned(says_so):
    """A limit that the panel names, or keeps by falling silent, is kept from then on; no id is lost."""
    panel = OddPanel(limited_to(30, says_so=says_so))
    async with panel.client() as client:
        found = await client.statuses(range(1, 101))
        panel.asked.clear()
        later = await client.statuses(range(101, 201))

    assert right_answers(found)
    assert right_answers(later)
    assert client.panel.batch_limit == 30
    assert [len(ids) for ids in panel.asked] == [30, 30, 30, 10]


async def test_ids_left_out_at_the_end_are_asked_alone():
    """A few ids that are missing behind others are not taken for a limit."""
    panel = OddPanel(limited_to(3, says_so=False))
    async with panel.client() as client:
        found = await client.statuses(range(1, 6))

    assert right_answers(found)
    assert sorted(len(ids) for ids in panel.asked) == [1, 1, 5]
    assert client.panel.batch_limit == 100


async def test_unknown_ids_left_out_behind_many_others_are_asked_once_more():
    """What is missing at the end is asked for together once, then alone, and teaches no limit."""

    def forgets_unknown_ids(panel, ids):
        return httpx.Response(200, json={id_: panel.row(id_) for id_ in ids if panel.row(id_)} or [])

    panel = OddPanel(forgets_unknown_ids, bad={"21", "22"})
    async with panel.client() as client:
        found = await client.statuses(range(1, 23))

    assert right_answers(found, {"21", "22"})
    assert sorted(map(len, panel.asked)) == [1, 1, 2, 22]
    assert client.panel.batch_limit == 100


@pytest.mark.parametrize("broken", [2, 3, 4])
async def test_what_concerns_everybody_stops_taking_apart(broken):
    """A wrong key in the middle of it reaches every waiter at once, and causes no further request."""

    def breaks(panel, ids):
        if len(panel.asked) >= broken:
            return httpx.Response(200, json={"error": "Invalid API key"})
        return spoiled_by_one(panel, ids)

    panel = OddPanel(breaks, bad={"77"})
    async with panel.client() as client:
        with pytest.raises(smm.InvalidKeyError):
            await client.statuses(range(1, 101))

    assert len(panel.asked) == broken


@pytest.mark.parametrize(
    "answer", [limited_to(30, says_so=True), limited_to(30, says_so=False)], ids=["named", "silent"]
)
async def test_a_wrong_key_while_a_limit_is_learned_reaches_everybody(answer):
    """Learning a limit stops at what concerns everybody, too."""

    def breaks(panel, ids):
        return answer(panel, ids) if len(panel.asked) < 2 else httpx.Response(401, json={"error": "Invalid API key"})

    panel = OddPanel(breaks)
    async with panel.client() as client:
        with pytest.raises(smm.InvalidKeyError):
            await client.statuses(range(1, 101))

    assert len(panel.asked) == 2


async def test_a_wrong_key_at_the_probe_reaches_everybody():
    """Nor does the probe of two good ids go on after it."""

    def breaks(panel, ids):
        if len(ids) == 2:
            return httpx.Response(401, json={"error": "Invalid API key"})
        return never_understood(panel, ids)

    panel = OddPanel(breaks)
    async with panel.client() as client:
        await client.statuses([1, 2, 3])
        panel.asked.clear()
        with pytest.raises(smm.InvalidKeyError):
            await client.statuses([4, 5, 6])

    assert [len(ids) for ids in panel.asked] == [3, 2]


async def test_a_large_batch_that_is_refused_in_halves_too_is_asked_one_by_one():
    """As long as a panel has answered no batch at all, halving goes no further than the halves."""
    panel = OddPanel(never_understood)
    async with panel.client() as client:
        found = await client.statuses(range(1, 101))

    assert right_answers(found)
    assert sorted(map(len, panel.asked)) == [1] * 100 + [50, 50, 100]


@pytest.mark.parametrize(
    "answer",
    [limited_to(30, says_so=True), limited_to(30, says_so=False), spoiled_by_one],
    ids=["named", "silent", "spoiled"],
)
async def test_what_was_found_is_not_thrown_away_for_an_error_behind_it(answer):
    """A part that fails on the way costs the others nothing: its ids are asked for alone."""

    def breaks_once(panel, ids):
        if len(panel.asked) == 3:
            return httpx.Response(200, text="<html>")
        return answer(panel, ids)

    panel = OddPanel(breaks_once, bad={"77"} if answer is spoiled_by_one else ())
    async with panel.client() as client:
        found = await client.statuses(range(1, 101))

    assert right_answers(found, {"77"} if answer is spoiled_by_one else ())


async def test_fields_that_a_panel_would_take_for_one_are_refused():
    """What is renamed must not meet what is added under the same name: the panel would take one of them."""
    panel = smm.Panel(URL, fields={"quantity": "amount"})
    order = smm.orders.Default(service=1, link="https://example.com", quantity=100, extra={"amount": 100_000})
    transport = httpx.MockTransport(lambda _: httpx.Response(500))
    async with smm.Client(panel, key="simulated-key", transport=transport) as client:
        with pytest.raises(ValueError, match="'amount'"):
            await client.add(order)
