"""What the tests of the client share: a simulated panel, and a client that asks it."""

import pytest

import smm_async as smm
from smm_async.testing import SimulatedPanel

KEY = "simulated-key"


@pytest.fixture
def panel():
    """Return a panel that has done nothing yet."""
    return SimulatedPanel(key=KEY)


@pytest.fixture
async def client(panel):
    """Give a client of that panel."""
    async with smm.Client(panel.url, key=KEY, transport=panel.transport()) as client:
        yield client
