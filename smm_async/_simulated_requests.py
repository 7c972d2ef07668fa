"""What reaches a simulated panel and what leaves it: form fields in, status and bytes out."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

from attrs import field, frozen

from smm_async._simulated_dialects import Dialect

SINGLE_FIELDS = {
    "status": "order",
    "refill": "order",
    "refill_status": "refill",
    "cancel": "order",
    "product_order_status": "order",
}
_LONGEST_NUMBER = 18


@frozen(kw_only=True)
class ReceivedRequest:
    """One request that reached the panel. The key is in none of the fields."""

    action: str
    """The action as it was sent; empty if there was none."""
    ids: tuple[str, ...] = ()
    """The ids asked about, as they were sent, with duplicates; empty for actions without ids."""
    fields: Mapping[str, str] = field(factory=dict[str, str])
    """All fields but the key, `action` included. Where the key was in another field, `[key]` stands in its place."""
    at: float = 0.0
    """The panel's clock, in seconds; 0.0 if there was no event loop to ask."""
    method: str = "POST"
    """The HTTP method."""
    is_plural: bool = False
    """Whether the ids came in `orders` or `refills`, however many there were."""
    is_authorized: bool = True
    """Whether the key was the panel's own."""
    duplicated_fields: tuple[str, ...] = ()
    """Names that were sent more than once (the last value counts); empty for a well-made form."""


@frozen
class Answer:
    """An HTTP answer: status code, headers without the content length, body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@frozen
class Form:
    """The fields of one body, key included, and the names that were there more than once."""

    fields: Mapping[str, str] = field(repr=False)
    duplicated: tuple[str, ...] = ()


def json_answer(value: object, *, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Answer:
    """Return `value` as compact JSON, the way PHP writes it."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return Answer(status, (("content-type", "application/json"), *headers), body)


def read_form(content_type: str, body: bytes) -> Form:
    """Return the fields of a form or JSON body; whatever else there is counts as an empty form."""
    text = body.decode(errors="replace")
    if content_type.partition(";")[0].strip().lower() == "application/json":
        return _read_json(text)
    pairs = parse_qsl(text, keep_blank_values=True)
    names = [name for name, _ in pairs]
    return Form(dict(pairs), tuple(name for name in dict.fromkeys(names) if names.count(name) > 1))


def _read_json(text: str) -> Form:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    items = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    return Form({name: str(item) for name, item in items.items()})


def read_request(form: Form, dialect: Dialect, *, key: str, method: str, at: float) -> ReceivedRequest:
    """Return what is recorded of a form: what it asks for, and nothing of the key."""
    # A JSON body sent as a form becomes one long name, so names are cleaned like values.
    fields = {
        name.replace(key, "[key]"): value.replace(key, "[key]")
        for name, value in form.fields.items()
        if name != dialect.key_field
    }
    action = fields.get("action", "")
    ids, is_plural = _ids_of(action, fields, dialect)
    return ReceivedRequest(
        action=action,
        ids=ids,
        fields=fields,
        at=at,
        method=method,
        is_plural=is_plural,
        is_authorized=form.fields.get(dialect.key_field) == key,
        duplicated_fields=tuple(name.replace(key, "[key]") for name in form.duplicated),
    )


def _ids_of(action: str, fields: Mapping[str, str], dialect: Dialect) -> tuple[tuple[str, ...], bool]:
    single = SINGLE_FIELDS.get(action)
    if single is None:
        return (), False
    plural = fields.get(f"{single}s")
    if plural is not None and action in dialect.plural_actions:
        return tuple(part.strip() for part in plural.split(",") if part.strip()), True
    return ((fields[single],) if single in fields else ()), False


def read_number(text: str) -> int | None:
    """Return the number that some ASCII digits stand for, None for any other text."""
    # `int()` alone would also take signs, underscores and the digits of other scripts.
    is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
    return int(text) if is_number else None
