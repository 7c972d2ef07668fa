"""What people write first: a form sent by `httpx`, and its answer read by `json` and by `cattrs` with its defaults."""

import enum
import json
from decimal import Decimal

import attrs
import cattrs

FIRST_ID = 10_000_000


class State(enum.Enum):
    IN_PROGRESS = "In progress"
    PARTIAL = "Partial"
    COMPLETED = "Completed"


@attrs.frozen
class Record:
    charge: Decimal
    start_count: int
    status: State
    remains: int
    currency: str


def make_row(number, *, numbers_as_text=True):
    """Return what a panel says of an order."""
    form = str if numbers_as_text else (lambda value: value)
    words = [state.value for state in State]
    return {
        "charge": form(round(0.27819 + number / 7, 5)),
        "start_count": form(3572 + number),
        "status": words[number % len(words)],
        "remains": form(157 + number),
        "currency": "USD",
    }


def make_body(records, *, numbers_as_text=True):
    """Return the answer about many orders, and their ids."""
    rows = {str(FIRST_ID + place): make_row(place, numbers_as_text=numbers_as_text) for place in range(records)}
    return json.dumps(rows, separators=(",", ":")).encode(), list(rows)


def make_structure():
    """Return what makes records of the rows of an answer."""
    converter = cattrs.Converter()
    converter.register_structure_hook(Decimal, lambda value, _: Decimal(value))
    return lambda rows: converter.structure(rows, dict[str, Record])


def form_for(ids):
    """Return the fields of a lookup."""
    name = "orders" if len(ids) > 1 else "order"
    return {"key": "not-a-key", "action": "status", name: ",".join(ids)}
