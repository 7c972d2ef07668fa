"""Families of answers to one question: the same truth about each order, told in the many ways of panels."""

import json

import attrs
from hypothesis import strategies as st

IDS = st.integers(1, 10**12).map(str) | st.from_regex(r"[A-F]-[0-9]{1,6}", fullmatch=True) | st.from_regex(
    r"[0-9a-f]{24}", fullmatch=True
)  # fmt: skip
FATES = st.sampled_from(["row", "row", "row", "error", "left out", "nothing"])
ENVELOPES = st.sampled_from(["", "data", "orders", "result", "value"])
BESIDE = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["success", "ok", 1, 100]),
        "success": st.sampled_from([True, 1]),
        "message": st.sampled_from(["", "Done"]),
        "msg": st.just(""),
        "code": st.just(200),
    },
)


@attrs.frozen
class Order:
    """What is true about one order."""

    id: str
    number: int
    """What every field of its row, and the text of its error, shows."""
    fate: str
    refill: bool = False

    @property
    def text(self):
        """Return the text of its error."""
        return f"Incorrect {'refill' if self.refill else 'order'} ID: {self.number}"

    def fields(self, draw):
        """Return its row, numbers as texts or as numbers."""
        if self.refill:
            return {"status": draw(st.sampled_from(["Completed", "Rejected", "In progress"])), "note": self.number}
        write = draw(st.sampled_from([str, lambda value: value]))
        row = {"charge": write(self.number + 0.25), "status": "Partial", "remains": write(self.number)}
        return row | {draw(st.sampled_from(["start_count", "start_counter"])): write(self.number)}

    def error(self, draw, *, is_bare):
        """Return its error in one of the ways that errors of one id are told."""
        styles = [
            {"error": self.text},
            {"status": {"error": self.text}},
            {"status": "error", "message": self.text},
            {"status": "error", "error": self.text},
            {"success": False, "msg": self.text},
        ]
        return draw(st.sampled_from([*styles, self.text] if is_bare else styles))


@attrs.frozen
class Family:
    """Some orders, which of them were asked for, and an answer."""

    orders: list[Order]
    asked: list[str]
    body: bytes

    def truth(self):
        """Return the orders that the answer settles among those that were asked for."""
        return {order.id: order for order in self.orders if order.id in self.asked and order.fate in {"row", "error"}}


@st.composite
def orders(draw, *, refill=False, least=0):
    """Draw some orders with different ids and different numbers."""
    ids = draw(st.lists(IDS, min_size=least, max_size=12, unique=True))
    return [Order(id_, number, draw(FATES), refill) for number, id_ in enumerate(ids, 1)]


def spelled(draw, id_, *, is_key):
    """Return an id as a key with blanks, or as a value that is a number where it can be one."""
    if is_key:
        return draw(st.sampled_from([id_, id_, f" {id_}", f"{id_} "]))
    is_number = id_.isdigit() and not id_.startswith("0")
    return draw(st.sampled_from([id_, f" {id_}", int(id_)] if is_number else [id_, f"{id_} "]))


def tell(draw, order, *, is_bare):
    """Return what stands in the answer for an order."""
    if order.fate == "nothing":
        return draw(st.sampled_from([None, [], {}] if is_bare else [{}]))
    return order.fields(draw) if order.fate == "row" else order.error(draw, is_bare=is_bare)


def container_of(draw, told):
    """Return all that is told in an object keyed by id, or in a list whose rows bear their ids."""
    told = draw(st.permutations(told))
    if draw(st.booleans()):
        is_flat = draw(st.booleans())
        rows = {order: tell(draw, order, is_bare=not is_flat) for order in told}
        name = "refill" if told and told[0].refill else "order"
        return {
            spelled(draw, order.id, is_key=True): {name: order.id} | row if is_flat and row else row
            for order, row in rows.items()
        }
    is_refill = bool(told) and told[0].refill
    name = draw(st.sampled_from(["refill", "refill_id", "id"] if is_refill else ["order", "id", "order_id"]))
    return [{name: spelled(draw, order.id, is_key=False)} | tell(draw, order, is_bare=False) for order in told]


@st.composite
def families(draw, *, refill=False, least=0):
    """Draw some orders, ask for some of them, and tell the truth about them in one of the ways of panels."""
    table = draw(orders(refill=refill, least=least))
    others = draw(orders(refill=refill))
    known = {order.id for order in table}
    others = [attrs.evolve(order, number=order.number + 100) for order in others if order.id not in known]
    asked = draw(st.lists(st.sampled_from(table), min_size=least, unique=True)) if table else []
    told = [order for order in [*table, *others] if order.fate != "left out"]
    value = container_of(draw, told)
    envelope = draw(ENVELOPES)
    if envelope:
        value = {envelope: value} | draw(BESIDE)
    if isinstance(value, dict) and len(asked) > 1 and draw(st.booleans()):
        # An error for some of them next to the rows of the others.
        value |= {"error": "Incorrect order ID", "status": "104"}
    indent = draw(st.sampled_from([None, 4]))
    body = json.dumps(value, indent=indent, ensure_ascii=draw(st.booleans())).encode()
    notice = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"<br />\n<b>Notice</b>: x on line 1<br />\n"]))
    return Family([*table, *others], [order.id for order in asked], notice + body)


INTERESTING = st.sampled_from(
    [
        *(
            "status",
            "error",
            "errors",
            "Error",
            "message",
            "msg",
            "success",
            "data",
            "orders",
            "result",
            "value",
            "code",
        ),
        *("order", "order_id", "id", "refill", "refill_id", "cancel", "canceled", "balance", "Balance", "amount", "1"),
        *(
            "2",
            " 1",
            "charge",
            "remains",
            "start_count",
            "currency",
            "service",
            "product",
            "name",
            "rate",
            "min",
            "type",
        ),
        *("runs", "posts", "order_status", "orderStatus", "refill_status", "services", "products", "refills", "note"),
    ]
)
WORDS = st.sampled_from(
    [
        *("", "0", "1", "2", "success", "error", "fail", "Completed", "Pending", "Not found", "Incorrect order ID"),
        *(
            "Invalid API key",
            "Too many requests",
            "Unknown",
            "NaN",
            "1e999",
            "-5",
            "1,234",
            "true",
            "104",
            "x",
            "\ud83d",
        ),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-5, 10**6) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
JSON = st.recursive(
    SCALARS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(INTERESTING, inner, max_size=5),
    max_leaves=12,
)
