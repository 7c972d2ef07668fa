"""Questions as they go out, without I/O."""

import json
from urllib.parse import parse_qsl

import attrs
import pytest

import smm_async as smm
from smm_async import _wire
from smm_async.panels import Action, Panel

PANEL = Panel("https://panel.example/api/v2")


def form(question):
    """Return the fields of a question in their order."""
    return parse_qsl(question.content.decode(), keep_blank_values=True, strict_parsing=True)


def test_question_without_ids():
    """An action without ids is its word and its fields, under the panel's own names."""
    panel = attrs.evolve(PANEL, action_field="cmd", fields={"quantity": "jumlah"})
    question = _wire.ask(panel, "add", {"quantity": "5", "link": "https://e.x/?a=1&b=2", "comments": "a\nb,ü"})

    assert form(question) == [
        ("cmd", "add"),
        ("jumlah", "5"),
        ("link", "https://e.x/?a=1&b=2"),
        ("comments", "a\nb,ü"),
    ]
    assert (question.action, question.url) == ("add", PANEL.url)
    assert "comments" not in repr(question)


def test_question_for_a_word_that_no_panel_documents():
    """Any other word is sent as it is, without fields if none are given."""
    assert form(_wire.ask(PANEL, "orders")) == [("action", "orders")]
    assert form(_wire.ask(PANEL, "mass", {"orders": "[1]"})) == [("action", "mass"), ("orders", "[1]")]


@pytest.mark.parametrize("name", ["key", "action"])
def test_question_never_takes_the_place_of_the_key_or_the_action(name):
    """A field that would stand in for the key or the action is refused, under its own name and under the panel's."""
    renamed = attrs.evolve(PANEL, fields={"x": name})

    with pytest.raises(ValueError, match=f"'{name}' is set by the client"):
        _wire.ask(PANEL, "add", {name: "1"})
    with pytest.raises(ValueError, match=f"'{name}' is set by the client"):
        _wire.ask(renamed, "add", {"x": "1"})


def test_question_for_one_id_and_for_several():
    """One id takes the single form, several the plural one, without blanks."""
    assert form(_wire.ask_for(PANEL, "status", ["7"])) == [("action", "status"), ("order", "7")]
    assert form(_wire.ask_for(PANEL, "status", ["7", "A-8"])) == [("action", "status"), ("orders", "7,A-8")]
    assert form(_wire.ask_for(PANEL, "refill_status", ["7", "8"])) == [("action", "refill_status"), ("refills", "7,8")]
    assert form(_wire.ask_for(PANEL, "cancel", ["7"])) == [("action", "cancel"), ("orders", "7")]


def test_question_in_a_dialect():
    """Another word, field and address for several ids are a panel's setting."""
    action = Action("order_status", "id", many="ids", many_word="multi_status", url="https://panel.example/status")
    panel = attrs.evolve(PANEL, actions={"status": action}, body="json")
    question = _wire.ask_for(panel, "status", ["7", "8"])

    assert question.url == "https://panel.example/status"
    assert json.loads(b"{%s}" % question.content) == {"action": "multi_status", "ids": "7,8"}
    assert json.loads(b"{%s}" % _wire.ask_for(panel, "status", ["7"]).content) == {"action": "order_status", "id": "7"}


@pytest.mark.parametrize("ids", [["7"], ["7", "8"]])
def test_question_for_an_action_that_the_panel_does_not_document(ids):
    """What the panel does not document is refused before there is a question."""
    panel = attrs.evolve(PANEL, actions={})

    with pytest.raises(smm.UnsupportedActionError, match="documents no action 'status'") as caught:
        _wire.ask_for(panel, "status", ids)

    assert caught.value.action == "status"
