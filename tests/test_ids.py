"""What the library takes for an id and for a text."""

import enum
import string
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smm_async._ids import check_many, read_id, read_text, shown

ALPHABET = string.ascii_letters + string.digits + "_.-"


class Number(enum.IntEnum):
    """Ids under names, as ints."""

    FIRST = 23501


class Word(str, enum.Enum):  # noqa: UP042  a `StrEnum` would hide the trap
    """Ids under names, as texts; `str()` of a member is not its value."""

    FIRST = "23501"


@given(st.integers(0, 10**64 - 1))
def test_read_id_int(number):
    """An int of 0 or more becomes its decimal text."""
    assert read_id(number) == f"{number:d}"


@given(st.text(ALPHABET, min_size=1, max_size=64))
def test_read_id_text_of_the_alphabet(text):
    """A text of the alphabet is returned as it is."""
    assert read_id(text) == text


@given(st.text())
def test_read_id_any_text(text):
    """Any text is either an id of the alphabet or refused."""
    is_id = 1 <= len(text) <= 64 and set(text) <= set(ALPHABET)

    if is_id:
        assert read_id(text) == text
    else:
        with pytest.raises(ValueError, match="is no order id"):
            read_id(text)


@given(st.text(ALPHABET, min_size=1, max_size=20), st.sampled_from(",&=\r\n \t\0%;+/#२²\ud800é"), st.integers(0, 20))
def test_read_id_one_foreign_character(text, foreign, place):
    """One character from outside the alphabet, anywhere, makes a text no id."""
    with pytest.raises(ValueError, match="is no order id"):
        read_id(text[:place] + foreign + text[place:])


@pytest.mark.parametrize("value", [Number.FIRST, Word.FIRST], ids=["int", "text"])
def test_read_id_member_of_an_enum(value):
    """A member of an enum gives its value, as a plain text."""
    text = read_id(value)

    assert text == "23501"
    assert type(text) is str


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "1,2", " 1", "1 ", "1\n", "+1", "1&key=x", "1\r\nX", "१२", "²", "1" * 65, "a" * 65),
        *(-1, 10**64, 10**5000, True, False, 1.0, Decimal(1), None, b"1", [1], (1, 2), {"order": 1}, object),
    ],
    ids=shown,
)
def test_read_id_refused(value):
    """What is no id is a `ValueError`, a wrong type as well."""
    with pytest.raises(ValueError, match="is no order id: it must be an int of 0 or more, or 1 to 64 of the"):
        read_id(value)


def test_read_id_message():
    """The message names the value and the kind of id."""
    with pytest.raises(ValueError, match=r"^'1,2' is no refill id: "):
        read_id("1,2", "refill")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
def test_read_text_sendable(text):
    """A text that UTF-8 can carry is returned as it is."""
    assert read_text(text, "Default.link") == text


def test_read_text_member_of_an_enum():
    """A member of an enum gives its value, as a plain text."""
    assert type(read_text(Word.FIRST, "Default.link")) is str


@pytest.mark.parametrize("value", ["a\0", "\ud800", "a\udfffb", b"a", 1, None, ["a"]], ids=ascii)
def test_read_text_refused(value):
    """NUL, half a surrogate pair and what is no text are refused under the name of the field."""
    with pytest.raises(ValueError, match=r"^Default\.link must be a text without NUL and lone surrogates, not "):
        read_text(value, "Default.link")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\ud800", r"'a\ud800'"),
        ("a" * 100, "'" + "a" * 76 + "..."),
        (10**5000, "an int of 16610 bits"),
        (-(10**5000), "an int of 16610 bits"),
    ],
    ids=["surrogate", "long", "huge", "huge negative"],
)
def test_shown_in_a_message(value, expected):
    """A message shows any value in at most 80 printable characters."""
    assert shown(value) == expected
    assert len(shown(value)) <= 80


@pytest.mark.parametrize(
    "ids", ["23501", Word.FIRST, b"23501", bytearray(b"1")], ids=["text", "enum", "bytes", "bytearray"]
)
def test_one_id_is_not_several(ids):
    """The characters of a text, and the bytes of bytes, would be ids of other orders."""
    with pytest.raises(ValueError, match="put one id in a list"):
        check_many(ids)


@pytest.mark.parametrize("ids", [[], ["23501"], (1,), {1: 2}, range(3), iter("12")])
def test_several_ids_are_any_iterable(ids):
    """Whatever else yields ids is left to be read."""
    check_many(ids)
