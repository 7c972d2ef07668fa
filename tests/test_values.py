"""Numbers, flags and texts, as panels write them: one value at a time."""

import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smm_async._values import UnreadableError, flag_or_none, or_none, read_count, read_ids, read_money, read_text
from smm_async._values import text_or_none as read_text_or_none

MONEY = {
    "0.90": "0.90",
    "8": "8",
    "0.0200": "0.0200",
    "95200": "95200",
    "9999999999999.00": "9999999999999.00",
    "0.00": "0.00",
    "0.08011655652": "0.08011655652",
    "1e-05": "0.00001",
    "1.0E-5": "0.000010",
    "0.0000000001": "0.0000000001",
    "-3.20": "-3.20",
    "+3.20": "3.20",
    " 3.20\n": "3.20",
    ".5": "0.5",
    "5.": "5",
    "$0.50": "0.50",
    "$ 0.50": "0.50",
    "$.50": "0.50",
    "-$3.20": "-3.20",
    "$-3.20": "-3.20",
    "- $3.20": "-3.20",
    "USD -5": "-5",
    "-5 USD": "-5",
    "+$5": "5",
    "12.50 EUR": "12.50",
    "12.50€": "12.50",
    "€12.50": "12.50",
    "₺12,50": "12.50",
    "R$ 1.234,56": "1234.56",
    "US$5": "5",
    "Rs. 12.50": "12.50",
    "12.50 TL.": "12.50",
    "12.50 z\u0142.": "12.50",
    "95.200 ₫": "95.200",
    "1,234.56": "1234.56",
    "1.234,56": "1234.56",
    "1.234,567": "1234.567",
    "12,5": "12.5",
    "12,50": "12.50",
    "12,5000": "12.5000",
    ",5": "0.5",
    "0,123": "0.123",
    "1,234": "1234",
    "12,345": "12345",
    "1.234": "1.234",
    "1,234,567": "1234567",
    "1,234,567.89": "1234567.89",
    "1.234.567,89": "1234567.89",
    "1.234.567": "1234567",
    "1,23,456.78": "123456.78",
    "-1.234,56": "-1234.56",
    "1e5 USD": "100000",
}


@pytest.mark.parametrize(("text", "amount"), MONEY.items())
def test_money_is_the_digits_the_panel_wrote(text, amount):
    """A dot is decimal unless a comma follows, a lone comma unless exactly three digits follow."""
    read = read_money(text)

    assert read == Decimal(amount)
    assert isinstance(read, Decimal)


@pytest.mark.parametrize(
    ("number", "amount"),
    [
        (1250, Decimal(1250)),
        (0, Decimal(0)),
        (-3, Decimal(-3)),
        (Decimal("0.04172390551"), Decimal("0.04172390551")),
        (Decimal("1E-5"), Decimal("0.00001")),
    ],
    ids=repr,
)
def test_money_sent_as_a_number_is_exact(number, amount):
    """A JSON number is taken as it is."""
    assert read_money(number) == amount


NO_MONEY = [
    *(
        "",
        " ",
        "Unknown",
        "free",
        "NaN",
        "nan",
        "-NaN",
        "Infinity",
        "-inf",
        "sNaN",
        "1e999999",
        "1e999",
        "1e21",
        "1e-21",
    ),
    *(
        "1_0",
        "1_000.5",
        "\u0661\u0662",
        "\u06612",
        "2\u0661",
        "\u0967\u0968",
        "1\uff12",
        "0x10",
        "1.2.3",
        "1,2,3",
        "1,234,56",
        "12.34,56",
        "1,23.45",
    ),
    *(
        "1234.567,89",
        "1..5",
        "1,,5",
        "5-",
        "12-34",
        "2024-05",
        "--5",
        "+-5",
        "-",
        "$",
        "\u22123.20",
        "(3.20)",
        "~5",
        "5%",
    ),
    *("5/1000", "1 2", "1 234.56", "12 per 1000", "Rs.50", "USD.50", "1;2", "#5", "five", "$5 and more", "1" * 41),
    *("$" * 61, "e", ".", ",", "-.", "0.1.", "1'234"),
]


@pytest.mark.parametrize("text", NO_MONEY)
def test_money_that_is_no_number_is_refused(text):
    """What can be read in two ways, or in none, is no amount."""
    with pytest.raises(UnreadableError):
        read_money(text)


@pytest.mark.parametrize("value", [True, False, None, [], ["5"], {}, {"amount": "5"}], ids=repr)
def test_money_that_is_no_text_or_number_is_refused(value):
    """A flag is no amount, though Python counts with it."""
    with pytest.raises(UnreadableError):
        read_money(value)


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=11))
def test_money_with_eleven_decimals_is_exact(amount):
    """Any amount comes back as it was written, plain or with separators of either kind and a currency."""
    english = f"{amount:,.11f}"
    german = english.translate(str.maketrans(",.", ".,"))

    assert [read_money(text) for text in (str(amount), f"{amount:f}", english, f"$ {english}", f"{german} EUR")] == [
        amount
    ] * 5


SIGNED = st.builds(
    "{}{}{}{}".format, st.sampled_from(["-", "-$", "$-", "- ", "-1,", "1-"]), *[st.integers(0, 9999)] * 3
)


@settings(deadline=None)
@given(st.text(max_size=20) | st.text("0123456789.,-+eE $€_\u0661", max_size=12) | SIGNED)
def test_money_from_any_text_is_finite_or_refused(text):
    """No text becomes anything but a finite amount, and a minus in it is never lost."""
    try:
        amount = read_money(text)
    except UnreadableError:
        return

    assert amount.is_finite()
    assert abs(amount) < Decimal("1e60")
    assert amount <= 0 or "-" not in text.casefold().partition("e")[0]


COUNTS = {
    "3572": 3572,
    "0": 0,
    "-2": -2,
    "+5": 5,
    " 30 ": 30,
    "1,204": 1204,
    "1.204": 1204,
    "10,000": 10_000,
    "10.000": 10_000,
    "10 000": 10_000,
    "1,234,567": 1_234_567,
    "1.234.567": 1_234_567,
    "-1,204": -1204,
    "12.0": 12,
    "12.00": 12,
    "0.000": 0,
    "0.0": 0,
    "10,000.00": 10_000,
    "2147483647": 2_147_483_647,
    "9223372036854775807": 9_223_372_036_854_775_807,
    "18446744073709551615": 18_446_744_073_709_551_615,
}


@pytest.mark.parametrize(("text", "count"), COUNTS.items())
def test_count_has_dots_and_commas_for_thousands(text, count):
    """In a whole number both signs part thousands, and zeros behind a point are nothing."""
    assert read_count(text) == count


@pytest.mark.parametrize(
    ("number", "count"), [(96, 96), (-2, -2), (Decimal("12.0"), 12), (Decimal("1E+3"), 1000)], ids=repr
)
def test_count_sent_as_a_number_is_whole(number, count):
    """A JSON number is a count if it is whole."""
    read = read_count(number)

    assert read == count
    assert type(read) is int


NO_COUNTS: list[object] = [
    *(
        "",
        "Unknown",
        "1.5",
        "0.5",
        "0.500",
        "0,500",
        "1,23",
        "1,2345",
        "12,34,567",
        "1e5",
        "1_0",
        "\u0661\u0662",
        "\u0967",
        "12abc",
        "--1",
    ),
    *("5 likes", "1,204,", ".5", "NaN", "Infinity", "1" * 41, "1" * 1_000_000, "1,000" * 100_000, "0x10", "\u22122"),
    *(True, False, None, [], {}, Decimal("1.5"), Decimal("0.1")),
]


@pytest.mark.parametrize("value", NO_COUNTS, ids=lambda value: f"{value!r:.20}_{len(repr(value))}")
def test_count_that_is_not_whole_is_refused_soon(value):
    """What is not a whole number is no count, and is not computed with."""
    began = time.process_time()

    with pytest.raises(UnreadableError):
        read_count(value)

    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    "value", [None, False, "", " ", "null", "None", "Unknown", "UNKNOWN", "n/a", "N/A", "NA", "-", "--"], ids=repr
)
def test_missing_number_is_none(value):
    """The many ways of writing that there is no value are no value, and never 0."""
    assert or_none(read_count)(value, None) is None
    assert or_none(read_money)(value, None) is None


@pytest.mark.parametrize("value", [True, "soon", [], {}, "1/2"], ids=repr)
def test_number_that_is_there_but_unreadable_is_refused(value):
    """What is neither a number nor a way of saying that there is none is refused."""
    for leaf in (or_none(read_count), or_none(read_money)):
        with pytest.raises(UnreadableError):
            leaf(value, None)


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        *((True, True), (1, True), ("1", True), ("true", True), ("True", True), ("yes", True), ("on", True)),
        *((False, False), (0, False), ("0", False), ("false", False), ("no", False), ("off", False), ("", False)),
        *((None, None), ("30 days", None), ("30 gün", None), (2, None), ("maybe", None), ([], None), ({}, None)),
    ],
    ids=repr,
)
def test_flag_is_read_or_unknown(value, flag):
    """Words and digits for yes and no are flags; what does not say so is unknown, not no."""
    assert flag_or_none(value, None) is flag


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Unknown", "Unknown"),
        ("0", "0"),
        (411, "411"),
        (Decimal("0.50"), "0.50"),
        (["a", 1], "a\n1"),
        ([], ""),
        (None, None),
        (False, None),
        ("", None),
    ],
    ids=repr,
)
def test_text_is_kept_in_the_panels_words(value, text):
    """A text stays as it is, even one that would be no number; numbers are their digits, lists are lines."""
    assert read_text_or_none(value, None) == text


@pytest.mark.parametrize("value", [True, {}, {"a": 1}, [{}], [None], None], ids=repr)
def test_text_that_is_none_is_refused(value):
    """Objects and flags are no texts."""
    with pytest.raises(UnreadableError):
        read_text(value)


@pytest.mark.parametrize(
    ("value", "ids"),
    [(["77131", 77132, " x "], ("77131", "77132", "x")), ([], ()), (None, ()), (False, ()), ("1,2", ()), ({}, ())],
    ids=repr,
)
def test_child_ids_are_texts(value, ids):
    """The ids of the orders that an order has placed are texts; what is no list holds none."""
    assert read_ids(value) == ids
