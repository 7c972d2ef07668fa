"""What tells one panel from another, as data; and the two panels that come with the library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlsplit

import attrs

from smm_async import _words
from smm_async.errors import PanelError
from smm_async.models import OrderState, RefillState

__all__ = ["D3MWORLD", "ONE_DG", "STANDARD_ACTIONS", "Action", "Panel"]

_FIELD_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_HEADER_VALUE = re.compile(r"[ -~]*")
# What parts of a parameter's name make it one for a key: `api_key`, `accessToken`, `data[secret]`.
_NAME_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_KEY_WORDS = frozenset({
    *("key", "token", "secret", "password", "passwd", "pass", "pwd", "auth", "authorization"),
    *("apikey", "apitoken", "accesskey", "accesstoken", "secretkey", "privatekey", "authtoken", "authkey"),
})  # fmt: skip
# A second one would contradict the first; for one of them there is `Panel.user_agent`.
_OWN_HEADERS = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "accept-encoding", "user-agent"}
)


@attrs.frozen
class Action:
    """How one panel wants one action asked for."""

    word: str
    """What goes into the ``action`` field."""
    one: str | None = None
    """The field for a single id; ``None`` for an action without ids."""
    many: str | None = attrs.field(default=None, kw_only=True)
    """The field for several comma-separated ids; ``None`` where the panel takes one at a time."""
    many_word: str | None = attrs.field(default=None, kw_only=True)
    """What goes into the ``action`` field for several ids, where that is another word."""
    url: str | None = attrs.field(default=None, kw_only=True)
    """The complete address, for a panel with one address per action."""


STANDARD_ACTIONS: Final[Mapping[str, Action]] = {
    "services": Action("services"),
    "add": Action("add"),
    "status": Action("status", "order", many="orders"),
    "refill": Action("refill", "order", many="orders"),
    "refill_status": Action("refill_status", "refill", many="refills"),
    # Most panels document only the plural field of this action, and take it for a single id.
    "cancel": Action("cancel", "orders", many="orders"),
    "balance": Action("balance"),
    "products": Action("products"),
    "add_product_order": Action("add_product_order"),
    "product_order_status": Action("product_order_status", "order", many="orders"),
}
"""The usual words and fields of every action that `smm_async.Client` has a method for."""


def _check_url(panel: Panel, _: object, url: str) -> None:
    complaint = _complaint_about_url(url, allow_http=panel.allow_http)
    if complaint is None and _has_key(url, panel.key_field):
        # Neither the value nor the name: what somebody pastes there may be both.
        complaint = "A panel's address holds no key, since addresses are logged: take it out, and give it as the key."
    if complaint:
        raise ValueError(complaint)


def _complaint_about_url(url: object, *, allow_http: bool) -> str | None:
    # There may be a password in it, or behind the question mark a key.
    shown = repr(url) if not isinstance(url, str) else "This" if "@" in url else repr(url.partition("?")[0])
    if not isinstance(url, str) or not url.isprintable() or " " in url:
        return f"{shown} is not a panel's address: give the complete URL, such as 'https://panel.example/api/v2'."
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        why = "" if "@" in url else f": {error}"
        return f"{shown} is not a panel's address{why}."
    if parts.scheme not in {"https", "http"} or not host:
        return f"{shown} is not a panel's address: it must start with 'https://' and a host."
    if "@" in parts.netloc or parts.fragment:
        return "A panel's address holds neither a user name, a password nor a fragment."
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        return f"{shown} would send the key in clear text: use https, or say Panel(..., allow_http=True)."
    return None


def _has_key(url: str, key_field: str) -> bool:
    names = [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    return any(name == key_field or not _KEY_WORDS.isdisjoint(_words_of(name)) for name in names)


def _words_of(name: str) -> set[str]:
    return {part.lower() for part in _NAME_PART.findall(name)}


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _check_actions(panel: Panel, _: object, actions: Mapping[str, Action]) -> None:
    for action in actions.values():
        if action.url is not None:
            _check_url(panel, None, action.url)


def _check_limit(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if type(value) is not int or value < 1:
        message = f"{attribute.name} must be a whole number of at least 1, not {value!r}."
        raise ValueError(message)


def _check_field(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not _FIELD_NAME.fullmatch(value):
        message = f"{attribute.name} must be a plain field name, not {value!r}."
        raise ValueError(message)


def _check_headers(_: object, attribute: attrs.Attribute[Any], value: Mapping[str, str]) -> None:
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(text):
            message = f"{attribute.name} has an entry {name!r} that is not a plain ASCII header."
            raise ValueError(message)
        if name.lower() in _OWN_HEADERS:
            message = f"{attribute.name} has an entry {name!r} that the client sets itself."
            raise ValueError(message)


def _check_agent(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not value or not _HEADER_VALUE.fullmatch(value):
        message = f"{attribute.name} must be printable ASCII, not {value!r}."
        raise ValueError(message)


def _check_method(panel: Panel, _: object, value: str) -> None:
    if value not in {"POST", "GET"}:
        message = f"method must be 'POST' or 'GET', not {value!r}."
        raise ValueError(message)
    if value == "GET" and not panel.bearer and not panel.key_in_url:
        message = "A GET request would show the key in the address: set bearer=True, or key_in_url=True if you must."
        raise ValueError(message)


@attrs.frozen
class Panel:
    """One panel: where it is and how it differs from the others. Derive yours with `attrs.evolve`."""

    url: str = attrs.field(validator=_check_url)
    """The complete address, taken as it is: no slash is added or dropped. https, or http on the loopback interface.

    It may have parameters, but none for a key, by its name: what is in an address ends in logs.
    """
    allow_http: bool = attrs.field(default=False, kw_only=True)
    """Allow plain http elsewhere, which shows the key to everyone on the way."""
    bearer: bool = attrs.field(default=False, kw_only=True)
    """Send the key as ``Authorization: Bearer``, and not in the field."""
    key_in_url: bool = attrs.field(default=False, kw_only=True)
    """Allow the key in the address of a GET request, where proxies and servers log it."""
    method: Literal["POST", "GET"] = attrs.field(default="POST", validator=_check_method, kw_only=True)
    body: Literal["form", "json"] = attrs.field(
        default="form", validator=attrs.validators.in_(("form", "json")), kw_only=True
    )
    key_field: str = attrs.field(default="key", validator=_check_field, kw_only=True)
    action_field: str = attrs.field(default="action", validator=_check_field, kw_only=True)
    actions: Mapping[str, Action] = attrs.field(
        factory=lambda: dict(STANDARD_ACTIONS), validator=_check_actions, kw_only=True
    )
    """What the panel can do; an action that is missing here is an `UnsupportedActionError` before any request."""
    fields: Mapping[str, str] = attrs.field(factory=dict[str, str], kw_only=True)
    """The panel's own names for fields other than ids, such as ``{"quantity": "amount"}``."""
    batch_limit: int = attrs.field(default=100, validator=_check_limit, kw_only=True)
    """How many ids one request may carry."""
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], validator=_check_headers, repr=False, kw_only=True)
    """Further headers; never the place for a key that should not be shown."""
    user_agent: str = attrs.field(default="smm_async", validator=_check_agent, kw_only=True)
    order_states: Mapping[str, OrderState] = attrs.field(factory=lambda: _words.ORDER_STATES, repr=False, kw_only=True)
    """Folded words (lower case, single blanks) to states. Numbers are here only if you put them here."""
    refill_states: Mapping[str, RefillState] = attrs.field(
        factory=lambda: _words.REFILL_STATES, repr=False, kw_only=True
    )
    error_words: _words.ErrorWords = attrs.field(default=_words.ERROR_WORDS, repr=False, kw_only=True)
    """Error classes and the words that mean them; the first match decides, so put your own lines in front."""
    error_codes: Mapping[str, type[PanelError]] = attrs.field(
        factory=lambda: _words.ERROR_CODES, repr=False, kw_only=True
    )
    """Numbers beside an error whose text nobody knows."""
    unclear_words: _words.Words = attrs.field(default=_words.UNCLEAR_WORDS, repr=False, kw_only=True)
    """Texts that admit a failure without saying that nothing happened: for a write, the outcome is unknown."""


def _without_plurals(names: tuple[str, ...], *, plural: tuple[str, ...]) -> dict[str, Action]:
    return {
        name: STANDARD_ACTIONS[name] if name in plural else attrs.evolve(STANDARD_ACTIONS[name], many=None)
        for name in names
    }


D3MWORLD: Final = Panel(
    "https://d3mworld.com/api/v2",
    actions=_without_plurals(
        ("services", "add", "status", "refill", "refill_status", "balance"),
        plural=("status",),
    ),
)
"""d3mworld.com, by its API page as read in November 2026: several ids for ``status`` only."""

ONE_DG: Final = Panel(
    "https://1dg.me/api/v2",
    actions={name: action for name, action in STANDARD_ACTIONS.items() if name != "cancel"},
)
"""1dg.me, by its API page as read in November 2026: at most 100 ids a request, and products beside services."""
