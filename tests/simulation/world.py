"""The panel of a simulated life, what goes wrong on the way to it, and the ledger of what really happened.

An answer about an order says which order it is about (``remains``) and by which request it was asked for
(``start_count``), so that a caller can tell whether it got its own row, and one that was asked for after its question.
"""

import json
import zlib
from collections import defaultdict
from urllib.parse import parse_qsl

import anyio
import anyio.lowlevel
import attrs

KEY = "simulated-key"
LATEST = 60.0
"""Seconds after which the slowest answer has come, if it comes at all."""

_ONE = {"status": "order", "refill": "order", "refill_status": "refill", "cancel": "orders"}
_MANY = {"status": "orders", "refill": "orders", "refill_status": "refills", "cancel": "orders"}
_WRITES = {"add", "refill", "cancel"}
_HTML = b"<!DOCTYPE html><title>Just a moment...</title>"


@attrs.frozen
class Fault:
    """What can go wrong with a request, and whether the panel acts on it all the same."""

    name: str
    executed: tuple[bool, ...] = (True,)
    """What may be true of a write that meets it."""
    only: frozenset[str] = frozenset()
    """The actions that can meet it; empty for all."""


_BOTH = (True, False)
_LOOKUPS = frozenset({"status", "refill_status"})
NONE = Fault("")
FAULTS = (
    # On the way.
    Fault("refused", (False,)),
    Fault("connecting", (False,)),
    Fault("lost while writing", _BOTH),
    Fault("lost before", (False,)),
    Fault("lost after"),
    Fault("hang", _BOTH),
    Fault("cut"),
    Fault("short"),
    Fault("drip"),
    Fault("slow"),
    # In the answer.
    Fault("html", _BOTH),
    Fault("500", _BOTH),
    Fault("busy", (False,)),
    Fault("maintenance", (False,)),
    Fault("wrong key", (False,)),
    Fault("null", _BOTH),
    Fault("nothing", _BOTH),
    Fault("unclear", _BOTH, frozenset(_WRITES)),
    Fault("refusal", (False,), frozenset({"add"})),
    Fault("left out", only=_LOOKUPS),
    Fault("list", only=_LOOKUPS),
    Fault("foreign", only=_LOOKUPS),
    Fault("whole", only=_LOOKUPS),
    Fault("flat", only=_LOOKUPS),
)


@attrs.define(eq=False)
class Received:
    """One request, as it came to the panel."""

    number: int
    at: float
    fault: Fault
    form: dict[str, str] = attrs.field(factory=dict)
    ids: tuple[str, ...] = ()
    duplicated: bool = False
    is_executed: bool = False

    @property
    def action(self):
        """What it asks for; empty until its body was read."""
        return self.form.get("action", "")


class World:
    """One panel and the network before it."""

    def __init__(self, draw, moment, *, fault_rate, unknown, latency, checkpoints):
        self._draw = draw
        self._moment = moment
        self._unknown = unknown
        self._latency = latency
        self._checkpoints = checkpoints
        self.fault_rate = fault_rate
        self.received = []
        self.arrivals = 0
        self.met = defaultdict(list)
        """When each fault was met, by its name."""
        self.placed = defaultdict(list)
        """The ids of the orders that each link was ordered with."""
        self.done = defaultdict(int)
        """How often each refill and cancellation was carried out, by action and order."""
        self.told = defaultdict(list)
        """When the panel called an id unknown, by action and id."""
        self.open = 0
        self.most_open = 0
        self.open_streams = 0

    def arrive(self):
        """Note that a request begins."""
        self.open += 1
        self.most_open = max(self.most_open, self.open)

    def draw_request(self):
        """Return the next request, still empty, with the fault that it will meet."""
        self.arrivals += 1
        fault = self._draw.choice(FAULTS) if self._draw.random() < self.fault_rate else NONE
        return Received(self.arrivals, anyio.current_time(), fault)

    def leave(self):
        """Note that a request has ended, whatever became of it."""
        self.open -= 1

    async def pause(self):
        """Let others run, now and then."""
        if self._checkpoints and self._draw.random() < self._checkpoints:
            await anyio.lowlevel.checkpoint()

    async def travel(self, times=1.0):
        """Take the time of a way."""
        seconds = self._latency() * times
        if seconds:
            await anyio.sleep(seconds)

    def receive(self, received, body):
        """Read what a request asks for. A fault that cannot be met by it is none."""
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
        received.form = dict(pairs)
        received.duplicated = len(pairs) != len(received.form)
        action = received.action
        for field in (_ONE.get(action), _MANY.get(action)):
            if field in received.form:
                received.ids = tuple(received.form[field].split(","))
        if received.fault.only and action not in received.fault.only:
            received.fault = NONE
        self.received.append(received)
        self._meet(received)

    def _meet(self, received):
        if received.fault is not NONE:
            self.met[received.fault.name].append(anyio.current_time())

    def meet_early(self, received):
        """Note a fault before which nothing of the request could be read."""
        self._meet(received)

    def act(self, received):
        """Do what was asked for, unless the fault is before it, and return the truth about it as JSON."""
        received.is_executed = self._draw.choice(received.fault.executed)
        action = received.action
        if action in _WRITES and not received.is_executed:
            return {"error": "Not carried out"}
        if action == "add":
            return self._add(received)
        if action == "balance":
            return {"balance": str(received.number), "currency": "USD"}
        if action in {"refill", "cancel"}:
            return self._do_all(action, received)
        rows = {id_: self._row(received, id_) for id_ in received.ids}
        return rows if _MANY[action] in received.form else rows[received.ids[0]]

    def _add(self, received):
        orders = self.placed[received.form["link"]]
        orders.append(str(10_000 + received.number))
        return {"order": int(orders[-1])}

    def _do_all(self, action, received):
        rows = []
        for id_ in received.ids:
            self.done[action, id_] += 1
            rows.append({"order": int(id_), action: 1 if action == "cancel" else int(self.refill_of(id_))})
        is_lone = action == "refill" and "order" in received.form
        return {"refill": rows[0]["refill"]} if is_lone else rows

    def refill_of(self, order):
        """Return the id of the refill that an order gets."""
        return str(int(order) + 50_000)

    def _tell(self, action, id_):
        self.told[action, id_].append(anyio.current_time())

    def _row(self, received, id_):
        action = received.action
        if id_ in self._unknown:
            self._tell(action, id_)
            return {"error": "Incorrect order ID" if action == "status" else "Refill not found"}
        if action == "refill_status":
            return {"status": "Completed", "about": id_, "number": received.number}
        charge = f"0.{id_}"
        return {"charge": charge, "start_count": received.number, "status": "In progress", "remains": id_}

    def answer(self, received, value):
        """Return the status, the headers and the body of the answer, as its fault has it."""
        self._meet(received)
        status, headers, value = self._change(received, value)
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        if self._draw.random() < 0.1:
            packer = zlib.compressobj(wbits=31)
            body = packer.compress(body) + packer.flush()
            headers = {**headers, "Content-Encoding": "gzip"}
        return status, headers, body

    def _change(self, received, value):
        simple = {
            "html": (self._draw.choice([200, 403, 502]), {}, _HTML),
            "500": (500, {}, b""),
            "wrong key": (200, {}, {"error": "Invalid API key"}),
            "null": (200, {}, None),
            "nothing": (200, {}, self._draw.choice([{}, [], ""])),
            "unclear": (200, {}, {"error": "Something went wrong, try again later"}),
            "refusal": (200, {}, {"error": "Not enough funds on balance"}),
        }
        name = received.fault.name
        if name in simple:
            return simple[name]
        if name in {"busy", "maintenance"}:
            after = {"Retry-After": str(self._draw.randint(0, 4))} if self._draw.random() < 0.5 else {}
            is_busy = name == "busy"
            text = "Too many requests" if is_busy else "Panel is under maintenance"
            return (429 if is_busy else 503), after, {"error": text}
        return 200, {}, self._change_rows(received, value) if received.fault.only == _LOOKUPS else value

    def _change_rows(self, received, value):
        name, action = received.fault.name, received.action
        is_many = len(received.ids) > 1
        if name == "whole" or (name == "flat" and is_many):
            for id_ in received.ids:
                self._tell(action, id_)
            # A row without an id says nothing about any of many.
            return {"error": "Incorrect order ID"} if name == "whole" else self._row(received, "999")
        if not is_many or not isinstance(value, dict):
            return value
        if name == "left out":
            return {id_: row for id_, row in value.items() if self._draw.random() < 0.5}
        if name == "foreign":
            shuffled = list(value.items())
            self._draw.shuffle(shuffled)
            return {"998": self._row(received, "998"), **dict(shuffled), "997": {"error": "Incorrect order ID"}}
        rows = [_with_id(action, id_, row) for id_, row in value.items()]
        self._draw.shuffle(rows)
        return rows


def _with_id(action, id_, row):
    """Return a row as it stands in a list; in one of refills, an error takes the place of the status."""
    if action == "refill_status":
        return {"refill": id_, **row, "status": {"error": row["error"]} if "error" in row else row["status"]}
    return {"order": id_, **row}
