"""What `smm-async services` does: show the catalogue, search it, and compare it with an older one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number

import smm_async as smm
from smm_async._cli_output import TABLE, Column, Output, Writer, complain, plain
from smm_async._cli_panel import DEFAULTS, Connection, SettingsError
from smm_async._cli_run import DONE, FAILED, run
from smm_async._decode import make_converter

__all__ = ["services"]

_COLUMNS: Final = (
    Column("service"),
    Column("name", is_long=True),
    Column("type", is_long=True, rank=3),
    Column("category", is_long=True, rank=6),
    Column("rate", is_number=True),
    Column("min", is_number=True, rank=1),
    Column("max", is_number=True, rank=2),
    Column("refill", rank=4),
    Column("cancel", rank=5),
)
_CHANGE_COLUMNS: Final = (
    Column("change"),
    Column("service"),
    Column("name", is_long=True),
    Column("field"),
    Column("before", is_long=True),
    Column("after", is_long=True),
)


def services(
    *,
    search: str = "",
    diff: Path | None = None,
    most_gone: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.5,
    connection: Connection = DEFAULTS,
    output: Output = TABLE,
) -> int:
    """Show what the panel sells, or what changed in it.

    Rates are for 1,000, and those of packages for one.

    Args:
        search: Only those with all these words in their id, name, type or category.
        diff: Show only what changed since this file was written with --json, or is what the panel answered then.
        most_gone: With --diff, the share of the old services that may be gone before the new catalogue is not trusted.
        connection: Which panel, and how.
        output: How to write it.
    """

    async def work(client: smm.Client) -> int:
        # Before anything is sent.
        old = None if diff is None else _read(diff, client.panel)
        sold = await client.services()
        if old is None:
            found = [service for service in sold if _matches(search, service)]
            _show(found, output)
            return DONE if found else FAILED
        # What is compared has gone the same way, so that money in fields nobody knows is text on both sides.
        new = _structure(client.panel, json.loads(json.dumps([_row(service) for service in sold])))
        return _show_changes(old, new, most_gone, search, output)

    return run(connection, work)


def _matches(search: str, *services: smm.Service) -> bool:
    """Return whether one of some services has all the words."""
    words = search.casefold().split()
    return any(all(word in _searched(service) for word in words) for service in services)


def _searched(service: smm.Service) -> str:
    return f"{service.service} {service.name} {service.type} {service.category or ''}".casefold()


def _show(found: Sequence[smm.Service], output: Output) -> None:
    with Writer(output, _COLUMNS) as writer:
        for service in found:
            writer.write(_row(service))
    if not found:
        complain("No service was found.")


def _row(service: smm.Service) -> dict[str, Any]:
    return {field.name: plain(getattr(service, field.name)) for field in attrs.fields(smm.Service)}


def _show_changes(old: list[smm.Service], new: list[smm.Service], most_gone: float, search: str, output: Output) -> int:
    try:
        # Whole catalogues: a service may have the words before only, or after.
        changes = smm.diff_services(old, new, most_gone=most_gone)
    except ValueError as error:
        complain(str(error).replace("most_gone", "--most-gone"))
        return FAILED
    changes = _searched_changes(changes, search)
    with Writer(output, _CHANGE_COLUMNS) as writer:
        for row in _change_rows(changes):
            writer.write(row)
    if not changes:
        complain("Nothing changed.")
    return DONE


def _searched_changes(changes: smm.CatalogueDiff, search: str) -> smm.CatalogueDiff:
    return smm.CatalogueDiff(
        new=tuple(service for service in changes.new if _matches(search, service)),
        gone=tuple(service for service in changes.gone if _matches(search, service)),
        changed=tuple(change for change in changes.changed if _matches(search, change.before, change.after)),
    )


def _change_rows(changes: smm.CatalogueDiff) -> Iterable[dict[str, Any]]:
    nothing = {"field": None, "before": None, "after": None}
    for service in changes.new:
        yield {"change": "new", "service": service.service, "name": service.name, **nothing, "after": service.rate}
    for service in changes.gone:
        yield {"change": "gone", "service": service.service, "name": service.name, **nothing, "before": service.rate}
    for change in changes.changed:
        for field in sorted(change.fields):
            before, after = getattr(change.before, field), getattr(change.after, field)
            row = {"change": "changed", "service": change.after.service, "name": change.after.name, "field": field}
            yield row | {"before": before, "after": after}


def _read(path: Path, panel: smm.Panel) -> list[smm.Service]:
    """Return the services in a file that `services --json` wrote, or that holds a panel's own answer.

    Raises:
        SettingsError: it is no such file.
    """
    try:
        text = path.read_text("utf-8-sig")
        whole = text.lstrip().startswith("[")
        rows = json.loads(text, parse_float=Decimal) if whole else _read_lines(text)
        return _structure(panel, json.loads(json.dumps(plain(rows))))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
    except (ValueError, RecursionError):
        message = f"{path} is no catalogue: write one with `smm-async services --json`."
    raise SettingsError(message)


def _read_lines(text: str) -> list[Any]:
    return [json.loads(line, parse_float=Decimal) for line in text.splitlines() if line.strip()]


def _structure(panel: smm.Panel, rows: Sequence[Any]) -> list[smm.Service]:
    """Return rows as services; what is under "extra" goes where it was.

    Raises:
        ValueError: they are no services.
    """
    converter = make_converter(panel)
    if not all(isinstance(row, dict) and isinstance(row.get("extra", {}), dict) for row in rows):  # pyright: ignore[reportUnknownMemberType]
        message = "A service is an object."
        raise ValueError(message)
    return [converter.structure({**row.pop("extra", {}), **row}, smm.Service) for row in rows]
