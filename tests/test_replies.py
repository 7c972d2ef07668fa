"""Answers of real shapes: what each call makes of each, and what goes over the wire for it."""

import json
from pathlib import Path

import httpx
import pytest

import smm_async as smm
from tests.canned import CannedPanel, all_at_once, outcome_of, reply
from tests.reply_checks import CHECKS, Outcome

LINES = Path(__file__).with_name("replies.jsonl").read_text("utf-8").splitlines()
CASES = {case["name"]: case for case in map(json.loads, LINES)}
# What is asked for where a case has no batch; the ids are those that the answers repeat.
ORDER = {"status_long_float_british": "660931", "status_error_in_message_only": "A-20999"}
REFILL = "TX7Q2M9K"
ADD = smm.orders.Default(service=411, link="https://example.com/p", quantity=100)


def answer_singly(form):
    """Answer for one id: odd ones are done, even ones are unknown."""
    assert not {"orders", "refills"} & form.keys()
    id_ = int(form.get("order") or form["refill"])
    if id_ % 2 == 0:
        return reply({"error": "Incorrect order ID"})
    return reply({"charge": f"{id_}.5", "start_count": str(id_), "status": "Completed", "remains": "0"})


def calls_of(client):
    """Return the call for each action, for one id or none."""
    return {
        "services": client.services,
        "products": client.products,
        "add": lambda: client.add(ADD),
        "status": client.status,
        "refill": client.refill,
        "refill_status": client.refill_status,
        "product_order_status": client.product_order_status,
    }


async def ask(client, case):
    """Ask as a case says, with one task for each id of a batch."""
    call, ids = calls_of(client)[case["action"]], case["batch_ids"]
    if case["action"] == "refill" and ids:
        return await client.refills(ids)
    if ids:
        return await all_at_once(call, ids)
    if case["action"] in {"services", "products", "add"}:
        return await outcome_of(call)
    return await outcome_of(call, REFILL if case["action"] == "refill_status" else ORDER.get(case["name"], "7"))


def test_every_case_has_a_check():
    """Each line of the file is looked at."""
    assert len(CASES) == len(LINES) == 36
    assert CASES.keys() <= CHECKS.keys()


@pytest.mark.parametrize("name", CASES)
async def test_reply_of_a_real_shape(name):
    """Each answer is read as the panel meant it, and nothing more is sent than it takes."""
    case = CASES[name]
    response = reply(case["body"], case["http_status"], case["content_type"])
    panel = CannedPanel(response, single=answer_singly)

    async with panel.client() as client:
        value = await ask(client, case)

    CHECKS[name](Outcome(value, panel.forms))
    assert {form["action"] for form in panel.forms} == {case["action"]}
    if not case["batch_ids"]:
        assert len(panel.forms) == 1


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["action"] in {"add", "refill"}])
@pytest.mark.parametrize("status_code", [500, 502, 503])
async def test_write_answered_by_a_failing_server_is_unknown_and_sent_once(name, status_code):
    """Whatever a failed server says of a write, it is not known what became of it, and it is not repeated."""
    case = CASES[name]
    panel = CannedPanel(reply(case["body"], status_code, case["content_type"]), single=lambda _: httpx.Response(500))

    async with panel.client() as client:
        value = await ask(client, case)

    outcomes = list(value.values()) if isinstance(value, dict) else [value]
    assert {type(outcome) for outcome in outcomes} == {smm.OutcomeUnknownError}
    assert len(panel.forms) == 1


async def test_skipped_rows_are_reported(caplog):
    """Rows that are no services leave a warning that says how many they are."""
    case = CASES["services_wrapped_data_with_bad_row"]

    async with CannedPanel(reply(case["body"])).client() as client:
        await client.services()

    assert [record.getMessage() for record in caplog.records if record.name == "smm_async"] == [
        "1 of 3 rows of 'services' are not usable and were passed over."
    ]
