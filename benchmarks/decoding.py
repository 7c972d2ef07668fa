"""What decoding costs: CPU per record of an answer about 100 orders, from its bytes to typed objects.

``python -m benchmarks.decoding [--quick]`` (needs ``pip install -e '.[benchmark]'``)

Competitors run in turn, in one process, and the order turns around every round. Figures are medians of CPU; "times less"
is how often that goes into what was taken in the same round by the converter that people write first, cattrs with its
defaults behind ``json.loads``, the median of all rounds. "Text" has all numbers as texts, as most panels do. Only
`smm_async` looks for each id that was asked, tells rows from errors, bounds what a hostile body can cost, and keeps
unknown fields.
"""

import json
import statistics
import time
from decimal import Decimal

import msgspec
import pydantic

import smm_async as smm
from benchmarks.baseline import Record, State, make_body, make_structure
from benchmarks.measuring import Report, in_turn, ratio, spread
from smm_async._decode import make_converter, make_shortcut
from smm_async._wire import Reader, Reply

RECORDS = 100
BODIES = 300
ROUNDS = 7
QUICK_BODIES = 10
QUICK_ROUNDS = 1
BASELINE, OURS = "cattrs defaults", "smm_async"


class PydanticRecord(pydantic.BaseModel):
    charge: Decimal
    start_count: int
    status: State
    remains: int
    currency: str


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
    structure = make_structure()
    return lambda body, _: structure(json.loads(body, parse_float=Decimal))


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


def measure_for(decode, body, ids):
    """Return what measures the CPU microseconds per record in so many bodies."""

    def measure(bodies):
        bodies = max(1, int(bodies))
        started = time.process_time()
        for _ in range(bodies):
            decoded = decode(body, ids)
        spent = time.process_time() - started
        assert len(decoded) == RECORDS
        return spent / bodies / RECORDS * 1e6

    return measure


def rows_of(report, numbers, *, bodies, rounds):
    body, ids = make_body(RECORDS, numbers_as_text=numbers == "text")
    competitors = {
        BASELINE: make_cattrs(),
        "json.loads only": json_only,
        "hand-written": hand_written,
        "pydantic": make_pydantic(),
        "msgspec": make_msgspec(),
        OURS: make_ours(),
    }
    measures = {name: measure_for(decode, body, ids) for name, decode in competitors.items()}
    figures = in_turn(measures, rounds, bodies)
    for name, each in figures.items():
        median, times = statistics.median(each), ratio(figures[BASELINE], each)
        report.keep(f"{numbers} {name} times", times)
        yield [numbers, name, f"{median:.2f}", spread(each), f"{times:.2f}", f"{1e6 / median:,.0f}"]


def main():
    with Report(__doc__) as report:
        bodies, rounds = (QUICK_BODIES, QUICK_ROUNDS) if report.is_quick else (BODIES, ROUNDS)
        report.say(f"{RECORDS} records a body, {bodies} bodies, median CPU of {rounds} rounds\n")
        rows = []
        for numbers in ("text", "numbers"):
            rows += rows_of(report, numbers, bodies=bodies, rounds=rounds)
        report.table(["numbers", ""], ["us/record", "spread", "times less", "records/s"], rows)


if __name__ == "__main__":
    main()
