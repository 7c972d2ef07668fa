"""The fixtures that smm_async brings to pytest, which finds them by itself: a simulated panel, and a client of it.

It stands beside the package, not in it: pytest loads this module in every run wherever smm_async is installed, and to
import the package takes longer than to import pytest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from smm_async import Client
    from smm_async.testing import SimulatedPanel

__all__ = ["simulated_panel", "smm_client"]


@pytest.fixture
def simulated_panel() -> SimulatedPanel:
    """Return a panel in memory with nothing in it yet; to have another in your tests, define this fixture anew."""
    from smm_async.testing import SimulatedPanel  # noqa: PLC0415  most runs never ask for it

    return SimulatedPanel()


@pytest.fixture
def smm_client(simulated_panel: SimulatedPanel) -> Iterator[Client]:
    """Give a client of `simulated_panel`, ready to be used; it is closed after the test.

    It is at home on whichever event loop uses it first, and so needs no particular plugin for async tests. Use it as it
    is, without ``async with``, unless the test is about closing.
    """
    from smm_async import Client  # noqa: PLC0415  as above

    client = Client(simulated_panel.url, key=simulated_panel.key, transport=simulated_panel.transport())
    # A fixture that knows no loop cannot await `aclose()`.
    host = client._exchange.host  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    host.warns = False
    yield client
    host.close_nowait()
