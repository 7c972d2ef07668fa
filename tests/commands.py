"""The commands about a panel, run in this process against a simulated one."""

import json

import pytest
import respx

from smm_async.testing import SimulatedPanel

URL = "https://panel.example/api/v2"
KEY = "made-up-key-of-a-panel"


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path):
    """No settings but those of the test, and an empty folder for the file of profiles."""
    for name in ("SMM_PROFILES", "SMM_JOURNAL", "SMM_STORE", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("SMM_URL", URL)
    monkeypatch.setenv("SMM_KEY", KEY)
    return monkeypatch


@pytest.fixture
def panel():
    """A panel at the address, with the orders 1 to 250, which ends them as soon as they are looked at."""
    panel = SimulatedPanel(key=KEY, durations=(0.0, 0.0))
    panel.seed_orders(250)
    with respx.mock(assert_all_called=False) as router:
        router.post(URL).mock(side_effect=panel.respond)
        yield panel


def json_lines(text):
    """Return what a command wrote with --json."""
    return [json.loads(line) for line in text.splitlines()]
