"""What decoding costs: CPU per record of an answer about 100 orders, from its bytes to typed objects.

``python -m benchmarks.decoding [--quick]`` (needs ``pip install -e '.[benchmark]'``)

Competitors run in turn, in one process, and the order turns around every round; figures are medians, ratios are
against the converter that people write first: cattrs with its defaults behind ``json.loads``. Only `smm_async` looks
for each id that was asked, tells rows from errors, bounds what a hostile body can cost, and keeps unknown fields.
"""

import argparse
import enum
import json
import statistics
import time
from decimal import Decimal

import attrs
import cattrs
import msgspec
import pydantic

import smm_async as smm
from smm_async._decode import make_converter, make_shortcut
from smm_async._wire import Reader, Reply

RECORDS = 100
BODIES = 300
ROUNDS = 7
QUICK_BODIES = 10
QUICK_ROUNDS = 1


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


class PydanticRecord(pydantic.BaseModel):
    charge: Decimal
    start_count: int
    status: State
    remains: int
    currency: str


def make_body(numbers_as_text):
    words = [state.value for state in State]
    form = str if numbers_as_text else (lambda number: number)
    rows = {
        str(10_000_000 + place): {
            "charge": form(round(0.27819 + place / 7, 5)),
            "start_count": form(3572 + place),
            "status": words[place % len(words)],
            "remains": form(157 + place),
            "currency": "USD",
        }
        for place in range(RECORDS)
    }
    return json.dumps(rows, separators=(",", ":")).encode(), list(rows)


def json_only(body, _):
    return json.loads(body, parse_float=Decimal)


def hand_written(body, _):
    rows = json.loads(body, parse_float=Decimal)
    states = State._value2member_map_
    return {
        id_: Record(
            Decimal(row["charge"]),
            int(row["start_count"]),
            states[row["status"]],
            int(row["remains"]),
            row["currency"],
        )
        for id_, row in rows.items()
    }


def make_cattrs():
    converter = cattrs.Converter()
    converter.register_structure_hook(Decimal, lambda value, _: Decimal(value))
    return lambda body, _: converter.structure(json.loads(body, parse_float=Decimal), dict[str, Record])


def make_msgspec():
    return lambda body, _: msgspec.json.decode(body, type=dict[str, Record], strict=False)


def make_pydantic():
    adapter = pydantic.TypeAdapter(dict[str, PydanticRecord])
    return lambda body, _: adapter.validate_json(body)


def make_ours():
    panel = smm.panels.D3MWORLD
    reader, shortcut = Reader.for_panel(panel, str), make_shortcut(panel)
    structure = make_converter(panel).get_structure_hook(smm.OrderStatus)

    def decode(body, ids):
        rows = reader.read_lookup("status", ids, Reply(200, body), shortcut)
        for id_, row in rows.items():
            if type(row) is dict:
                rows[id_] = structure(row, smm.OrderStatus)
        return rows

    return decode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    is_quick = parser.parse_args().quick
    bodies, rounds = (QUICK_BODIES, QUICK_ROUNDS) if is_quick else (BODIES, ROUNDS)
    competitors = {
        "cattrs defaults": make_cattrs(),
        "json.loads only": json_only,
        "hand-written": hand_written,
        "pydantic": make_pydantic(),
        "msgspec": make_msgspec(),
        "smm_async": make_ours(),
    }
    print(f"{RECORDS} records a body, {bodies} bodies, median CPU of {rounds} rounds")
    print(f"{'numbers':8} {'':16} {'us/record':>9} {'spread':>13} {'ratio':>6} {'records/s':>11}")
    for name, numbers_as_text in (("text", True), ("numbers", False)):
        body, ids = make_body(numbers_as_text)
        figures = {competitor: [] for competitor in competitors}
        for number in range(rounds + 1):
            for competitor in list(competitors)[:: -1 if number % 2 else 1]:
                started = time.process_time()
                for _ in range(bodies):
                    decoded = competitors[competitor](body, ids)
                spent = (time.process_time() - started) / bodies / RECORDS * 1e6
                assert len(decoded) == RECORDS
                if number:
                    figures[competitor].append(spent)
        first = statistics.median(figures["cattrs defaults"])
        for competitor, each in figures.items():
            median = statistics.median(each)
            spread = f"{min(each):.2f}-{max(each):.2f}"
            print(f"{name:8} {competitor:16} {median:9.2f} {spread:>13} {first / median:6.2f} {1e6 / median:11,.0f}")


if __name__ == "__main__":
    main()
