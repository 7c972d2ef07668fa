"""One small frozen class per order type, for `smm_async.Client.add`.

Fields have their wire names. A class checks its fields when it is made and raises `ValueError` with the class, the
field and the value. What a service allows (its ``min``, ``max`` and ``dripfeed``) is for the panel to check: panels
disagree on whether the bounds hold for one run or for all.

A field of lines takes one text, cut at its newlines, or a sequence of texts without newlines. Blank lines are dropped,
the others are sent as they are. It reads back as a tuple.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import ClassVar, Final

import attrs
from attrs.validators import optional

from smm_async import _order_fields as fields
from smm_async._order_fields import Commented, Counted, DripFed, Linked, Order

__all__ = [
    "SUBSCRIPTION_DELAYS",
    "CommentLikes",
    "CommentReplies",
    "Custom",
    "CustomComments",
    "CustomCommentsPackage",
    "Default",
    "InvitesFromGroups",
    "LikesSpread",
    "Mentions",
    "MentionsCustomList",
    "MentionsHashtag",
    "MentionsMediaLikers",
    "MentionsUserFollowers",
    "MentionsWithHashtags",
    "Order",
    "Package",
    "Poll",
    "Seo",
    "Special",
    "Special1",
    "Subscriptions",
    "WebTraffic",
    "for_type",
]

SUBSCRIPTION_DELAYS: Final = (0, 5, 10, 15, 30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 360, 420, 480, 540, 600)
"""What a subscription may wait, in minutes. Older panels know the values up to 90 only."""


@attrs.frozen(kw_only=True)
class Default(DripFed):
    """A quantity for a link, at once or in several runs."""

    type: ClassVar[str] = "Default"


@attrs.frozen(kw_only=True)
class Package(Linked):
    """A package of fixed size. Its service's ``rate`` is the price of one package, not of 1,000."""

    type: ClassVar[str] = "Package"

    @property
    def total_quantity(self) -> int:
        """One package."""
        return 1


@attrs.frozen(kw_only=True)
class Seo(Counted):
    """Visits from searches."""

    type: ClassVar[str] = "SEO"
    keywords: tuple[str, ...] = attrs.field(converter=fields.as_lines, validator=fields.is_lines)


@attrs.frozen(kw_only=True)
class CustomComments(Commented):
    """Comments in the caller's words, charged by the line."""

    type: ClassVar[str] = "Custom Comments"
    quantity: int | None = attrs.field(default=None, validator=optional(fields.whole_number(1)))
    """For the few panels that want the number of lines as well, and then count for themselves."""


@attrs.frozen(kw_only=True)
class Mentions(Counted):
    """Mentions of users out of a list."""

    type: ClassVar[str] = "Mentions"
    usernames: tuple[str, ...] = attrs.field(converter=fields.as_lines, validator=fields.is_lines)


@attrs.frozen(kw_only=True)
class MentionsWithHashtags(Mentions):
    """Mentions of users out of a list, with hashtags."""

    type: ClassVar[str] = "Mentions with Hashtags"
    hashtags: tuple[str, ...] = attrs.field(converter=fields.as_lines, validator=fields.is_lines)


@attrs.frozen(kw_only=True)
class MentionsCustomList(Linked):
    """Mentions of exactly the users in a list. Panels charge by the line."""

    type: ClassVar[str] = "Mentions Custom List"
    usernames: tuple[str, ...] = attrs.field(converter=fields.as_lines, validator=fields.is_lines)

    @property
    def total_quantity(self) -> int:
        """The number of user names."""
        return len(self.usernames)


@attrs.frozen(kw_only=True)
class MentionsHashtag(Counted):
    """Mentions of users who posted under a hashtag."""

    type: ClassVar[str] = "Mentions Hashtag"
    hashtag: str = attrs.field(validator=fields.is_text)
    """A single one."""


@attrs.frozen(kw_only=True)
class MentionsUserFollowers(Counted):
    """Mentions of somebody's followers."""

    type: ClassVar[str] = "Mentions User Followers"
    username: str = attrs.field(validator=fields.is_text)
    """The name or URL of the one whose followers are mentioned."""


@attrs.frozen(kw_only=True)
class MentionsMediaLikers(Counted):
    """Mentions of those who like a post."""

    type: ClassVar[str] = "Mentions Media Likers"
    media: str = attrs.field(validator=fields.is_text)
    """The URL of the post."""


@attrs.frozen(kw_only=True)
class CustomCommentsPackage(Package):
    """A package of comments in the caller's words, at the price of the package."""

    type: ClassVar[str] = "Custom Comments Package"
    comments: tuple[str, ...] = attrs.field(converter=fields.as_lines, validator=fields.is_lines)


@attrs.frozen(kw_only=True)
class CommentLikes(Counted):
    """Likes for one comment under a post."""

    type: ClassVar[str] = "Comment Likes"
    username: str = attrs.field(validator=fields.is_text)
    """The owner of the comment."""


@attrs.frozen(kw_only=True)
class CommentReplies(Commented):
    """Replies to one comment under a post, charged by the line."""

    type: ClassVar[str] = "Comment Replies"
    username: str = attrs.field(validator=fields.is_text)
    """The owner of the comment."""


@attrs.frozen(kw_only=True)
class Poll(Counted):
    """Votes for one answer of a poll."""

    type: ClassVar[str] = "Poll"
    answer_number: int = attrs.field(validator=fields.whole_number(0))
    """The position of the answer as the panel counts it, usually from 1."""


@attrs.frozen(kw_only=True)
class InvitesFromGroups(Counted):
    """Invitations of members of other groups."""

    type: ClassVar[str] = "Invites from Groups"
    groups: tuple[str, ...] = attrs.field(converter=fields.as_lines, validator=fields.is_lines)


@attrs.frozen(kw_only=True)
class Subscriptions(Order):
    """Deliveries to the posts somebody is yet to make, each with a random quantity from ``min`` to ``max``.

    Some panels call all their special types "Subscriptions": look into the service's description as well.
    """

    type: ClassVar[str] = "Subscriptions"
    username: str = attrs.field(validator=fields.is_text)
    min: int = attrs.field(validator=fields.whole_number(1))
    max: int = attrs.field(validator=[fields.whole_number(1), fields.at_least("min")])
    delay: int = attrs.field(validator=fields.one_of(SUBSCRIPTION_DELAYS))
    """Minutes to wait after a post, one of `SUBSCRIPTION_DELAYS`."""
    posts: int | None = attrs.field(default=None, validator=optional(fields.whole_number(0)))
    """How many new posts to serve. ``None``, and 0 on most panels, is no limit; some refuse 0."""
    old_posts: int | None = attrs.field(default=None, validator=optional(fields.whole_number(0)))
    """How many posts that are already there to serve."""
    expiry: dt.date | None = attrs.field(default=None, converter=fields.as_day, validator=optional(fields.is_day))
    """The last day, in the panel's time zone; also as a ``dd/mm/YYYY`` text, which is how it is sent."""
    link: str | None = attrs.field(default=None, validator=optional(fields.is_text))
    """For the few panels that want one."""


@attrs.frozen(kw_only=True)
class WebTraffic(DripFed):
    """Visits to a web site."""

    type: ClassVar[str] = "Web Traffic"
    country: str = attrs.field(validator=fields.is_text)
    """The code or name of the visitors' country, as the panel lists it."""
    device: int = attrs.field(validator=fields.one_of(range(1, 6)))
    """1 desktop, 2 Android, 3 iOS, 4 mixed mobile, 5 mixed."""
    type_of_traffic: int = attrs.field(validator=fields.one_of(range(1, 4)))
    """1 from a search for ``google_keyword``, 2 from ``referring_url``, 3 without a referrer."""
    google_keyword: str | None = attrs.field(default=None, validator=fields.text_when("type_of_traffic", 1))
    referring_url: str | None = attrs.field(default=None, validator=fields.text_when("type_of_traffic", 2))


@attrs.frozen(kw_only=True)
class Special(Counted):
    """Views through suggestions or searches."""

    type: ClassVar[str] = "Special"
    list: tuple[str, ...] = attrs.field(converter=fields.as_lines, validator=fields.is_lines)
    """The videos that suggest it, or the keywords that find it."""


@attrs.frozen(kw_only=True)
class Special1(Counted):
    """Views through suggestions and searches."""

    type: ClassVar[str] = "Special 1"
    suggest: tuple[str, ...] = attrs.field(converter=fields.as_lines, validator=fields.is_lines)
    """The videos that suggest it."""
    search: tuple[str, ...] = attrs.field(converter=fields.as_lines, validator=fields.is_lines)
    """The keywords that find it."""


@attrs.frozen(kw_only=True)
class LikesSpread(Counted):
    """Likes spread over several posts. Few panels have it, and their documents say little."""

    type: ClassVar[str] = "Likes spread"
    old_posts: int | None = attrs.field(default=None, validator=optional(fields.whole_number(0)))
    """How many of the posts that are already there to include."""


@attrs.frozen(kw_only=True)
class Custom(Order):
    """An order of any other type: only ``service`` is known, everything else goes into ``extra``."""


def for_type(text: str) -> type[Order] | None:
    """Return the class for the type of a service, or ``None`` for a word nobody knows.

    Case and separators do not count: ``"custom_comments"`` is ``"Custom Comments"``.
    """
    return _TYPES.get(_bare(text))


def _bare(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).casefold()


_TYPES: Final[dict[str, type[Order]]] = {
    _bare(order.type): order
    for order in (
        Default,
        Package,
        Seo,
        CustomComments,
        Mentions,
        MentionsWithHashtags,
        MentionsCustomList,
        MentionsHashtag,
        MentionsUserFollowers,
        MentionsMediaLikers,
        CustomCommentsPackage,
        CommentLikes,
        CommentReplies,
        Poll,
        InvitesFromGroups,
        Subscriptions,
        WebTraffic,
        Special,
        Special1,
        LikesSpread,
    )
}
