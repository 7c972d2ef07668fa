"""What callers pass in arrives at the server exactly as it is meant, with nothing beside it, or is not sent at all."""

import enum
import random

import anyio
import pytest

import smm_async as smm
from tests.random_inputs import (
    FOREIGN,
    KEY,
    ORDERS,
    PANELS,
    PIECES,
    Recorder,
    expected,
    hashable_ids,
    id_meant,
    is_sendable,
    php_name,
    random_field,
    random_id,
    random_name,
    random_order,
    random_text,
)
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

pytestmark = pytest.mark.thorough

SEED = 1
ROUNDS = 150
"""For each panel and each kind of call, so that a run has more than 10,000 calls."""
ONE_ID = {
    "status": ("status", "order"),
    "refill_status": ("refill_status", "refill"),
    "product_order_status": ("product_order_status", "order"),
    "refill": ("refill", "order"),
    "cancel": ("cancel", "orders"),
}
MANY_IDS = {
    "statuses": ("status", "order", "orders"),
    "refill_statuses": ("refill_status", "refill", "refills"),
    "product_order_statuses": ("product_order_status", "order", "orders"),
    "refills": ("refill", "order", "orders"),
    "cancels": ("cancel", "orders", "orders"),
}
every_panel = pytest.mark.parametrize("name", PANELS)


class Caller:
    """A client of one panel, and what it sends."""

    def __init__(self, name):
        self.panel = PANELS[name]
        self._transport = Recorder()
        self.client = smm.Client(self.panel, key=KEY, transport=self._transport)
        self.calls = 0

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self.client.aclose()

    async def check(self, call, meant):
        """Make a call, and check that it sends what is meant: an action and fields, nothing, or ``None`` for an error."""
        self.calls += 1
        self.take()
        if meant is None:
            with pytest.raises(ValueError, match=r".") as caught:
                await call(self.client)
            assert not isinstance(caught.value, UnicodeError)
            assert self._transport.sent == []
            return
        await call(self.client)
        assert [sent.fields() for sent in self._transport.sent] == [expected(self.panel, *one) for one in meant]
        for sent in self.take():
            self.check_request(sent)

    def take(self):
        """Return what was sent since the last time."""
        sent, self._transport.sent = self._transport.sent, []
        return sent

    def check_request(self, sent):
        """Check what else there is of a request, and that PHP finds the key and the action once each, and nowhere else."""
        panel = self.panel
        assert (sent.method, sent.target.partition("?")[0]) == (panel.method, "/api/v2")
        assert sent.headers.get("authorization") == (f"Bearer {KEY}" if panel.bearer else None)
        if sent.headers.get("content-type") != "application/json":
            own = {panel.action_field} if panel.bearer else {panel.action_field, panel.key_field}
            assert sorted(php_name(name) for name, _ in sent.fields() if php_name(name) in own) == sorted(own)


def dice_for(*names):
    return random.Random(f"{SEED} {names}")


# --- Ids


@every_panel
async def test_any_id_is_the_one_that_is_meant_or_refused(name):
    """An id arrives as it is, or is a `ValueError` before any request."""
    dice = dice_for("one", name)
    async with Caller(name) as caller:
        for _ in range(ROUNDS):
            for method, (action, field) in ONE_ID.items():
                id_ = random_id(dice)
                wire = id_meant(id_)
                meant = None if wire is None else [(action, [(field, wire)])]
                await caller.check(lambda client, method=method, id_=id_: getattr(client, method)(id_), meant)

    assert caller.calls == ROUNDS * len(ONE_ID)


@every_panel
async def test_any_ids_are_those_that_are_meant_or_refused(name):
    """Several ids arrive in one field, each once and in their order; one that is none keeps all of them back."""
    dice = dice_for("many", name)
    async with Caller(name) as caller:
        for _ in range(ROUNDS // 2):
            for method, (action, one, many) in MANY_IDS.items():
                ids = hashable_ids(dice)
                wire = [*dict.fromkeys(map(id_meant, ids))]
                meant = [(action, [(many if len(wire) > 1 else one, ",".join(map(str, wire)))])] if wire else []
                await caller.check(
                    lambda client, method=method, ids=ids: getattr(client, method)(ids), None if None in wire else meant
                )


@every_panel
async def test_id_with_anything_else_in_it_is_refused(name):
    """One foreign character, wherever it stands, makes an id none, whether alone or among others."""
    odd = [*FOREIGN, "1,2", "1&key=x", "1\r\nX-Evil: 1"]
    async with Caller(name) as caller:
        for id_ in (id_ for foreign in odd for id_ in (foreign, f"{foreign}7", f"7{foreign}", f"7{foreign}8")):
            for method in ONE_ID:
                await caller.check(lambda client, method=method, id_=id_: getattr(client, method)(id_), None)
            for method in MANY_IDS:
                await caller.check(lambda client, method=method, id_=id_: getattr(client, method)([1, id_, 2]), None)
            await caller.check(lambda client, id_=id_: client.add(smm.orders.Package(service=id_, link="x")), None)
            await caller.check(lambda client, id_=id_: client.add_product_order(id_, 1, "x"), None)


# --- Texts


@every_panel
async def test_any_order_is_the_one_that_is_meant_or_refused(name):
    """All fields of an order of any class arrive as they are, or it is a `ValueError` before any request."""
    dice = dice_for("orders", name)
    was_sent = dict.fromkeys(ORDERS, 0)
    async with Caller(name) as caller:
        for _ in range(ROUNDS // 5):
            for order in ORDERS:
                given, wire = random_order(dice, order)
                meant = None if wire is None else [("add", wire)]
                await caller.check(lambda client, order=order, given=given: client.add(order(**given)), meant)
                was_sent[order] += wire is not None

    assert min(was_sent.values()) > 0
    assert caller.calls > sum(was_sent.values()) > caller.calls / 10


@every_panel
async def test_any_answer_to_a_product_is_the_one_that_is_meant_or_refused(name):
    """What a product requires arrives as it is, or is a `ValueError` before any request."""
    dice = dice_for("products", name)
    async with Caller(name) as caller:
        for _ in range(ROUNDS):
            product, quantity, require = random_id(dice), dice.choice([1, 2, 10**6]), random_text(dice)
            wire = [("product", id_meant(product)), ("quantity", str(quantity)), ("require", require)]
            meant = [("add_product_order", wire)] if id_meant(product) is not None and is_sendable(require) else None
            await caller.check(lambda client, args=(product, quantity, require): client.add_product_order(*args), meant)


@every_panel
async def test_any_field_of_a_call_is_the_one_that_is_meant_or_refused(name):
    """The fields of any action arrive as they are, or are a `ValueError` before any request."""
    dice = dice_for("calls", name)
    async with Caller(name) as caller:
        for _ in range(2 * ROUNDS):
            fields = {f"field_{number}": random_field(dice) for number in range(dice.randint(0, 3))}
            action = random_text(dice, 2) if dice.random() < 0.2 else "anything"
            given = {field: value for field, (value, _) in fields.items()}
            wire = [(field, text) for field, (_, text) in fields.items()]
            is_fine = is_sendable(action) and all(text is not None for _, text in wire)
            await caller.check(
                lambda client, action=action, given=given: client.call(action, **given),
                [(action, wire)] if is_fine else None,
            )


@every_panel
async def test_text_with_anything_in_it_is_the_one_that_is_meant_or_refused(name):
    """Each of the texts that something on the way may take for something else arrives as it is, or is refused."""
    async with Caller(name) as caller:
        for piece in PIECES:
            text = f"a{piece}b"
            order = [("service", "1"), ("link", text), ("quantity", "5")]
            product = [("product", "1"), ("quantity", "2"), ("require", text)]
            for call, *meant in (
                (
                    lambda client, text=text: client.add(smm.orders.Default(service=1, link=text, quantity=5)),
                    "add",
                    order,
                ),
                (lambda client, text=text: client.add_product_order(1, 2, text), "add_product_order", product),
                (lambda client, text=text: client.call("anything", field=text), "anything", [("field", text)]),
            ):
                await caller.check(call, [meant] if is_sendable(piece) else None)


# --- Names


async def complaint_about(call):
    """Return the `ValueError` that a call raises, if it does."""
    try:
        await call
    except ValueError as error:
        return error
    return None


@every_panel
async def test_no_name_of_a_field_stands_in_for_the_key_or_the_action(name):
    """A name arrives as it is, as no server would take it for the key or the action, or is a `ValueError`."""
    dice = dice_for("names", name)
    async with Caller(name) as caller:
        for _ in range(ROUNDS):
            field = random_name(dice)
            error = await complaint_about(caller.client.call("anything", **{field: "x"}))
            sent = caller.take()
            assert not isinstance(error, UnicodeError), field
            assert len(sent) == (error is None)
            for one in sent:
                assert one.fields() == expected(caller.panel, "anything", [(field, "x")])
                caller.check_request(one)


class Word(str, enum.Enum):  # noqa: UP042  a `StrEnum` would hide the trap
    """A text under a name; `str()` of a member is not its value."""

    FIRST = "a&b"


class Number(int, enum.Enum):
    """A number under a name; `str()` of a member is not its value."""

    FIRST = 7


@every_panel
async def test_member_of_an_enum_is_its_value(name):
    """A member of an enum arrives as its value, in whatever place it is passed."""
    order = smm.orders.Package(service=Number.FIRST, link=Word.FIRST, extra={"x": Word.FIRST, "y": Number.FIRST})
    async with Caller(name) as caller:
        await caller.check(lambda client: client.status(Number.FIRST), [("status", [("order", "7")])])
        await caller.check(
            lambda client: client.add(order),
            [("add", [("service", "7"), ("link", "a&b"), ("x", "a&b"), ("y", "7")])],
        )
        await caller.check(
            lambda client: client.call(Word.FIRST, x=Word.FIRST, y=Number.FIRST), [("a&b", [("x", "a&b"), ("y", "7")])]
        )


# --- Several at once


@every_panel
async def test_ids_of_many_callers_are_merged_without_anything_else(name):
    """Ids that are passed by many tasks at once arrive as one list of exactly these ids, those refused not among them."""
    dice = dice_for("merged", name)
    ids = [random_id(dice) for _ in range(120)]
    wanted = [*dict.fromkeys(id_meant(id_) for id_ in ids if id_meant(id_) is not None)]
    refused = []
    async with Caller(name) as caller:

        async def look_up(id_):
            try:
                await caller.client.status(id_)
            except ValueError:
                refused.append(id_)

        async with anyio.create_task_group() as tasks:
            for id_ in ids:
                tasks.start_soon(look_up, id_)
        (sent,) = caller.take()

    fields = dict(sent.fields())
    assert sorted(fields.pop("orders").split(",")) == sorted(wanted)
    assert [*fields.items()] == expected(caller.panel, "status", [])
    assert len(refused) == sum(id_meant(id_) is None for id_ in ids)
