"""Whatever is printed, logged, pickled or caught: the key is not in it, in no form."""

import base64
import copy
import json
import pickle
import pprint

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import smm_async as smm
from smm_async._secret import Secret, complaint_about_key
from smm_async._wire import ask
from tests.shown import KEYS, assert_hides, forms_of, shown_by

every_key = pytest.mark.parametrize("name", KEYS)
every_form = pytest.mark.parametrize("form", forms_of("x"))


@every_key
def test_secret_shows_itself_to_nobody(name):
    """Printing, formatting and logging a secret shows asterisks."""
    secret = Secret(KEYS[name])

    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", f"{secret!a}"):
        assert "***" in text
        assert_hides(text, KEYS[name])
    assert_hides(pprint.pformat([secret, {"key": secret}]), KEYS[name])
    assert secret.reveal() == KEYS[name]


@every_key
def test_secret_cannot_be_taken_along(name):
    """A secret is neither copied, pickled, nor turned into fields or JSON."""
    secret = Secret(KEYS[name])

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(secret, protocol)
        assert_hides(str(caught.value), KEYS[name])
    for take in (copy.copy, copy.deepcopy, vars, json.dumps):
        with pytest.raises(TypeError) as caught:
            take(secret)
        assert_hides(str(caught.value), KEYS[name])


@every_key
@every_form
def test_redacted_text_hides_every_form(name, form):
    """The key is blacked out in whatever form a server echoes it, and the text around it is kept."""
    shown = forms_of(KEYS[name])[form]

    redacted = Secret(KEYS[name]).redact(f"<b>Wrong: {shown} and {shown}, sorry</b>")

    assert redacted == "<b>Wrong: *** and ***, sorry</b>"


@every_key
@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user:"])
@pytest.mark.parametrize("after", [b"", b"x", b"xy"])
def test_redacted_base64_hides_the_key_wherever_it_stands(name, before, after):
    """Of base64 that holds more than the key, what is the key's is blacked out."""
    text = base64.b64encode(before + KEYS[name].encode() + after).decode()

    redacted = Secret(KEYS[name]).redact(text)

    assert "***" in redacted
    assert len(redacted.replace("***", "")) <= 4 * (len(before) + len(after)) / 3 + 6


@given(st.text(min_size=4, max_size=20).filter(lambda key: "*" not in key), st.text(max_size=30), st.text(max_size=30))
def test_redacted_text_never_holds_the_key(key, before, after):
    """No text around a key brings it back."""
    redacted = Secret(key).redact(before + key + after)

    assert key not in redacted


def test_redacted_text_is_cut():
    """At most 200 characters are shown, and no part of a key at the end."""
    key = KEYS["hex"]

    redacted = Secret(key).redact("x" * 190 + key + "y" * 100)

    assert redacted == "x" * 190 + "***" + "y" * 7


def test_key_that_is_a_common_word_is_not_looked_for():
    """A key of three letters would black out half of every text."""
    assert Secret("the").redact("the other") == "the other"


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        (None, "must be a str, not NoneType"),
        (b"0f1e2d3c4b5a", "must be a str, not bytes"),
        ("", "is empty"),
        ("   ", "is empty"),
        ("0f1e2d3c4b5a\n", "control characters"),
        ("0f1e2d3c\x00", "control characters"),
        ("0f1e2d3c\ud800", "control characters"),
    ],
    ids=repr,
)
def test_key_that_cannot_be_one_is_refused(key, complaint):
    """What cannot be a key is refused when the client is made, without showing it."""
    with pytest.raises(ValueError, match=complaint) as caught:
        smm.Client("https://panel.example/", key=key)

    assert "0f1e2d3c" not in shown_by(caught.value)
    assert complaint_about_key("0f1e2d3c") is None


def reachable_from(thing):
    """Yield all that hangs on an object by names, keys and places, except for what is inside a secret."""
    seen, rest = set(), [thing]
    while rest:
        one = rest.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, dict):
            rest += [*one, *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            rest += one
        elif type(one).__module__.startswith("smm_async"):
            rest += [getattr(one, "__dict__", None), *(getattr(one, slot, None) for slot in _slots(one))]


def _slots(thing):
    names = () if isinstance(thing, Secret) else getattr(type(thing), "__slots__", ())
    return [name for name in names if not name.startswith("__")]


@every_key
def test_client_and_all_its_parts_show_nothing(name):
    """Nothing that hangs on a client shows the key, however deep one looks."""
    client = smm.Client("https://panel.example/", key=KEYS[name])

    things = list(reachable_from(client))

    assert len(things) > 100
    for thing in things:
        assert_hides(f"{thing!r} {thing!s}", KEYS[name])
    assert_hides(pprint.pformat(vars(client)), KEYS[name])
    assert_hides(repr(attrs.asdict(client.panel)), KEYS[name])
    assert_hides(repr(attrs.asdict(ask(client.panel, "balance"))), KEYS[name])


@every_key
def test_client_cannot_be_taken_along(name):
    """A client is neither pickled nor copied with its key, and says so without it."""
    client = smm.Client("https://panel.example/", key=KEYS[name])

    for take in (pickle.dumps, copy.deepcopy):
        with pytest.raises((TypeError, pickle.PicklingError, AttributeError)) as caught:
            take(client)
        assert_hides(str(caught.value), KEYS[name])
    assert_hides(repr(vars(copy.copy(client))), KEYS[name])


@every_key
@pytest.mark.parametrize(
    ("panel", "more"),
    [
        ("panel.example", {}),
        ("http://panel.example/", {}),
        ("https://☃.example/", {}),
        (None, {}),
        ("https://panel.example/", {"transport": object()}),
        ("https://panel.example/", {"max_in_flight": 0}),
        ("https://panel.example/", {"budget": -1.0}),
        ("https://panel.example/", {"write_budget": float("nan")}),
        ("https://panel.example/", {"max_delay": "soon"}),
        ("https://panel.example/", {"grace": None}),
    ],
)
def test_client_that_cannot_be_made_shows_nothing(name, panel, more):
    """A constructor that raises has the key in no message and in no frame."""
    with pytest.raises(ValueError, match=r".") as caught:
        smm.Client(panel, key=KEYS[name], **more)

    assert_hides(shown_by(caught.value), KEYS[name])


@every_key
def test_control_character_in_a_key_does_not_show_it(name):
    """A key that was copied with its line break is complained of, not shown."""
    with pytest.raises(ValueError, match="control characters") as caught:
        smm.Client("https://panel.example/", key=KEYS[name] + "\n")

    assert_hides(shown_by(caught.value), KEYS[name])
