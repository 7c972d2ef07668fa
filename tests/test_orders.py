"""What the order types send, and what they refuse."""

import copy
import datetime as dt
import enum
import pickle
import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smm_async import orders

LINK = "https://example.com/p/1"
COUNTED: dict[str, Any] = {"service": 1, "link": LINK, "quantity": 100}
SENT = {"service": "1", "link": LINK, "quantity": "100"}
SUBSCRIPTION: dict[str, Any] = {"service": 1, "username": "ann", "min": 10, "max": 20, "delay": 30}
WEB_TRAFFIC: dict[str, Any] = COUNTED | {"country": "US", "device": 5, "type_of_traffic": 3}

EXAMPLES: list[Any] = [
    (orders.Default(**COUNTED), SENT, 100),
    (orders.Default(**COUNTED, runs=3, interval=60), SENT | {"runs": "3", "interval": "60"}, 300),
    (orders.Package(service=1, link=LINK), {"service": "1", "link": LINK}, 1),
    (orders.Seo(**COUNTED, keywords=["one", "two"]), SENT | {"keywords": "one\ntwo"}, 100),
    (
        orders.CustomComments(service=1, link=LINK, comments="Nice!\r\n\r\nGood &\u2028cheap\n"),
        {"service": "1", "link": LINK, "comments": "Nice!\nGood &\u2028cheap"},
        2,
    ),
    (
        orders.CustomComments(service=1, link=LINK, comments=["Nice!", " ", "Good"], quantity=2),
        {"service": "1", "link": LINK, "comments": "Nice!\nGood", "quantity": "2"},
        2,
    ),
    (orders.Mentions(**COUNTED, usernames="ann\nbob"), SENT | {"usernames": "ann\nbob"}, 100),
    (
        orders.MentionsWithHashtags(**COUNTED, usernames="ann", hashtags=["#a", "#b"]),
        SENT | {"usernames": "ann", "hashtags": "#a\n#b"},
        100,
    ),
    (
        orders.MentionsCustomList(service=1, link=LINK, usernames=("ann", "bob")),
        {"service": "1", "link": LINK, "usernames": "ann\nbob"},
        2,
    ),
    (orders.MentionsHashtag(**COUNTED, hashtag="#a"), SENT | {"hashtag": "#a"}, 100),
    (orders.MentionsUserFollowers(**COUNTED, username="ann"), SENT | {"username": "ann"}, 100),
    (orders.MentionsMediaLikers(**COUNTED, media=LINK), SENT | {"media": LINK}, 100),
    (
        orders.CustomCommentsPackage(service=1, link=LINK, comments=["Nice!", "Good"]),
        {"service": "1", "link": LINK, "comments": "Nice!\nGood"},
        1,
    ),
    (orders.CommentLikes(**COUNTED, username="ann"), SENT | {"username": "ann"}, 100),
    (
        orders.CommentReplies(service=1, link=LINK, username="ann", comments=["Yes", "No"]),
        {"service": "1", "link": LINK, "comments": "Yes\nNo", "username": "ann"},
        2,
    ),
    (orders.Poll(**COUNTED, answer_number=7), SENT | {"answer_number": "7"}, 100),
    (orders.InvitesFromGroups(**COUNTED, groups="one\rtwo"), SENT | {"groups": "one\ntwo"}, 100),
    (
        orders.Subscriptions(**SUBSCRIPTION),
        {"service": "1", "username": "ann", "min": "10", "max": "20", "delay": "30"},
        None,
    ),
    (
        orders.Subscriptions(**SUBSCRIPTION, posts=0, old_posts=5, expiry=dt.date(2031, 2, 9), link=LINK),
        {"service": "1", "username": "ann", "min": "10", "max": "20", "delay": "30"}
        | {"posts": "0", "old_posts": "5", "expiry": "09/02/2031", "link": LINK},
        None,
    ),
    (
        orders.WebTraffic(**WEB_TRAFFIC, runs=2, interval=5),
        SENT | {"runs": "2", "interval": "5", "country": "US", "device": "5", "type_of_traffic": "3"},
        200,
    ),
    (
        orders.WebTraffic(**WEB_TRAFFIC | {"type_of_traffic": 1}, google_keyword="shoes"),
        SENT | {"country": "US", "device": "5", "type_of_traffic": "1", "google_keyword": "shoes"},
        100,
    ),
    (
        orders.WebTraffic(**WEB_TRAFFIC | {"type_of_traffic": 2}, referring_url=LINK),
        SENT | {"country": "US", "device": "5", "type_of_traffic": "2", "referring_url": LINK},
        100,
    ),
    (orders.Special(**COUNTED, list=["one", "two"]), SENT | {"list": "one\ntwo"}, 100),
    (orders.Special1(**COUNTED, suggest="one", search="two"), SENT | {"suggest": "one", "search": "two"}, 100),
    (orders.LikesSpread(**COUNTED), SENT, 100),
    (orders.LikesSpread(**COUNTED, old_posts=3), SENT | {"old_posts": "3"}, 100),
    (
        orders.Custom(service="a-1", extra={"target": LINK, "amount": 5, "limit": Decimal("1E-7")}),
        {"service": "a-1", "target": LINK, "amount": "5", "limit": "0.0000001"},
        None,
    ),
]
NAMED = [pytest.param(*example, id=f"{number}-{type(example[0]).__name__}") for number, example in enumerate(EXAMPLES)]
CLASSES = [getattr(orders, name) for name in orders.__all__ if isinstance(getattr(orders, name), type)]
TYPES = [order for order in CLASSES if order not in {orders.Order, orders.Custom}]
WORDS = {  # required fields; optional fields
    "Default": "link quantity; runs interval",
    "Package": "link;",
    "SEO": "link quantity keywords;",
    "Custom Comments": "link comments; quantity",
    "Mentions": "link quantity usernames;",
    "Mentions with Hashtags": "link quantity usernames hashtags;",
    "Mentions Custom List": "link usernames;",
    "Mentions Hashtag": "link quantity hashtag;",
    "Mentions User Followers": "link quantity username;",
    "Mentions Media Likers": "link quantity media;",
    "Custom Comments Package": "link comments;",
    "Comment Likes": "link quantity username;",
    "Comment Replies": "link username comments;",
    "Poll": "link quantity answer_number;",
    "Invites from Groups": "link quantity groups;",
    "Subscriptions": "username min max delay; posts old_posts expiry link",
    "Web Traffic": "link quantity country device type_of_traffic; google_keyword referring_url runs interval",
    "Special": "link quantity list;",
    "Special 1": "link quantity suggest search;",
    "Likes spread": "link quantity; old_posts",
}

sendable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
texts = sendable.filter(str.strip)


class Word(str, enum.Enum):  # noqa: UP042  a `StrEnum` would hide the trap
    """Texts under names; `str()` of a member is not its value."""

    LINK = LINK


class Number(enum.IntEnum):
    """Ints under names."""

    MANY = 100


def received(order: orders.Order) -> dict[str, list[str]]:
    """Return what a server reads out of the form of an order."""
    return parse_qs(urlencode(order.form_fields()), keep_blank_values=True, strict_parsing=True, errors="strict")


@pytest.mark.parametrize(("order", "form", "total"), NAMED)
def test_form_fields_of_every_type(order, form, total):
    """Each type sends exactly its own fields, ``service`` first and each time in one order."""
    assert list(order.form_fields().items()) == list(form.items())


@pytest.mark.parametrize(("order", "form", "total"), NAMED)
def test_total_quantity_of_every_type(order, form, total):
    """The total counts all runs, lines where lines are charged, and a package as one."""
    assert order.total_quantity == total


@pytest.mark.parametrize(("order", "form", "total"), NAMED)
def test_order_copied(order, form, total):
    """An order is the same after a pickle, a deep copy and a change of nothing, and has the same hash."""
    twins = [pickle.loads(pickle.dumps(order)), copy.deepcopy(order), attrs.evolve(order)]

    assert twins == [order] * 3
    assert {hash(twin) for twin in twins} == {hash(order)}


def test_examples_complete():
    """Every public class but the common ancestor has an example."""
    assert {type(order) for order, *_ in EXAMPLES} == set(CLASSES) - {orders.Order}


@pytest.mark.parametrize("order", TYPES)
def test_fields_of_every_type(order):
    """Each type has its documented required and optional fields, beside ``service`` and ``extra``."""
    required, optional = ({*words.split()} for words in WORDS[order.type].split(";"))
    is_required = {field.name: field.default is attrs.NOTHING for field in attrs.fields(order)}

    assert {name for name in is_required if is_required[name]} == required | {"service"}
    assert {name for name in is_required if not is_required[name]} == optional | {"extra"}
    for name in required:
        with pytest.raises(TypeError, match=name):
            order(**{other: 1 for other in is_required if other != name})


def test_order_changed():
    """An order cannot be changed."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        EXAMPLES[0][0].quantity = 5


@given(texts, texts, st.lists(sendable))
def test_form_fields_any_text(link, comments, items):
    """Whatever the texts are, a server reads them back unchanged, and no field more."""
    items = [re.sub(r"[\r\n]", " ", item) for item in [*items, "last"]]
    one = orders.CommentReplies(service=1, link=link, username=link, comments=comments)
    two = orders.CustomComments(service=1, link=link, comments=items)

    lines = [line for line in re.split(r"\r\n|\r|\n", comments) if line.strip()]
    assert received(one) == {"service": ["1"], "link": [link], "username": [link], "comments": ["\n".join(lines)]}
    assert received(two)["comments"][0].split("\n") == [item for item in items if item.strip()]


def test_form_fields_members_of_enums():
    """Members of enums are sent as their values."""
    order = orders.Default(service=Number.MANY, link=Word.LINK, quantity=Number.MANY, extra={"x": Word.LINK})

    assert order.form_fields() == {"service": "100", "link": LINK, "quantity": "100", "x": LINK}
    assert {type(text) for text in order.form_fields().values()} == {str}


@pytest.mark.parametrize("order", TYPES)
def test_for_type_spellings(order):
    """A type is found whatever the case and the separators of its word."""
    words = [order.type, order.type.lower(), order.type.upper(), order.__name__]
    words += [re.sub(" ", separator, word) for word in words for separator in ("_", "-", "", " \t")]

    assert [orders.for_type(word) for word in words] == [order] * len(words)


@pytest.mark.parametrize("word", ["", " ", "Custom", "auto", "views", "17", "Defaults", "دفتر"])
def test_for_type_unknown(word):
    """A word that nobody knows has no class."""
    assert orders.for_type(word) is None


def test_order_of_a_users_own_class():
    """A class derived from `Order` sends its fields like the others and says nothing about the total."""

    @attrs.frozen(kw_only=True)
    class Auto(orders.Order):
        """A type of one panel."""

        target: str

    assert Auto(service=1, target="ann", extra={"x": 1}).form_fields() == {"service": "1", "target": "ann", "x": "1"}
    assert Auto(service=1, target="ann").total_quantity is None
