"""What a tracker may be given: names, clients, paces."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from smm_async._asking import Client
from smm_async._bounds import check_seconds
from smm_async._ids import check_many, read_id

__all__ = ["check_client", "check_panel", "read_orders", "read_paces"]

_LONGEST_NAME: Final = 100


def check_panel(name: object) -> str:
    """Return a panel's name.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        message = f"A panel's name is a text of 1 to {_LONGEST_NAME} printable characters, not {name!r:.200}."
        raise ValueError(message)
    return name


def read_orders(orders: Iterable[int | str]) -> list[str]:
    """Return the ids of orders.

    Raises:
        ValueError: one is none; or they are one text, each character of which would be an order.
    """
    check_many(orders)
    return [read_id(order) for order in orders]


def check_client(name: str, client: Client, lease: float) -> None:
    """Check that a panel can be looked up within a lease.

    Raises:
        ValueError: it cannot.
    """
    if "status" not in client.panel.actions:
        message = f"Panel {name!r} has no status to look up."
        raise ValueError(message)
    check_seconds("lease", lease, least=0.0)
    if lease <= client.budget:
        message = f"lease must be longer than {client.budget:g} s, the budget of a lookup at {name!r}, not {lease!r}."
        raise ValueError(message)


def read_paces(
    pace: Mapping[str, float] | float | None, clients: Mapping[str, Client], horizon: float
) -> dict[str, float | None]:
    """Return the pace of each panel that has a client.

    Raises:
        ValueError: one so slow that turns would not come within the horizon, or for a name that has no client.
    """
    paces = _by_name(pace, clients)
    for name, requests in paces.items():
        _check_pace(name, requests, horizon)
    return paces


def _by_name(pace: Mapping[str, float] | float | None, clients: Mapping[str, Client]) -> dict[str, float | None]:
    if not isinstance(pace, Mapping):
        return dict.fromkeys(clients, pace)
    strange = [name for name in pace if name not in clients]
    if strange and clients:
        message = f"pace is for {', '.join(map(repr, strange))}, but there is no client of that name."
        raise ValueError(message)
    return {name: pace.get(name) for name in clients}


def _check_pace(name: str, pace: float | None, horizon: float) -> None:
    if pace is None:
        return
    slowest = 4 / horizon
    if isinstance(pace, bool) or not slowest <= pace < math.inf:
        message = f"pace must be at least {slowest:.2g} requests a second to {name!r}, for this lease, not {pace!r}."
        raise ValueError(message)
