"""No command shows the key, whatever the panel does, and however much is asked for."""

import pytest
import respx

from smm_async.cli import main
from smm_async.testing import Fault, SimulatedPanel
from tests.canary import Canary, found_in
from tests.commands import URL, settings
from tests.test_cli_add import ORDER

__all__ = ["settings"]

COMMANDS = {
    "services": ["services"],
    "balance": ["balance", "--json"],
    "status": ["status", "1", "2"],
    "refill": ["refill", "1"],
    "refill-status": ["refill-status", "1"],
    "cancel": ["cancel", "1"],
    "add": [*ORDER, "--yes"],
    "watch": ["watch", "1", "--shortest", "0.01", "--longest", "0.02", "--lag", "0"],
    "probe": ["panel", "probe"],
}
CANARY = Canary("letters")


def wrong_key(panel):
    """Refuse the key, and repeat it."""
    panel.fault(Fault.error(f"Invalid API key {CANARY.echo}", status=401), times=None)


def page(panel):
    """Answer with a web page that repeats the key."""
    panel.fault(Fault.html(403, body=f"<html>{CANARY.echo}</html>".encode()), times=None)


def stalled(panel):
    """Never answer."""
    panel.fault(Fault.stall(), times=None)


def refused(panel):
    """Refuse the connection."""
    panel.fault(Fault.refuse(), times=None)


def suspended(panel):
    """Say no to the account in words that hold the key."""
    panel.fault(Fault.error(f"Account {CANARY.echo} is suspended"), times=None)


@pytest.fixture(params=[wrong_key, page, stalled, refused, suspended], ids=lambda fail: fail.__name__)
def fail(request):
    """One way to fail."""
    return request.param


@pytest.mark.parametrize("is_profile", [False, True], ids=["environment", "profile"])
def test_no_command_shows_the_key(is_profile, fail, settings, tmp_path, capsys):
    """Every command fails against a panel that repeats the key, with --debug, in words that do not hold it."""
    settings.setenv("SMM_KEY", CANARY.key)
    if is_profile:
        settings.delenv("SMM_KEY")
        path = tmp_path / "profiles.toml"
        path.write_text(f'[panels.alpha]\nurl = "{URL}"\nkey = "{CANARY.key}"')
        path.chmod(0o600)
        settings.setenv("SMM_PROFILES", str(path))
    options = ["--debug", "--budget", "0.05", *(["--panel", "alpha"] if is_profile else [])]
    panel = SimulatedPanel(key="another")
    fail(panel)
    codes = {}
    with respx.mock(assert_all_called=False) as router:
        router.post(URL).mock(side_effect=panel.respond)
        for name, arguments in COMMANDS.items():
            # Writes have a minute, and a watch waits until a panel is back.
            if (name == "watch" and fail is not wrong_key) or (name in {"refill", "cancel"} and fail is stalled):
                continue
            codes[name] = main([*arguments, *options])

    out, err = capsys.readouterr()
    assert set(codes.values()) <= {1, 3}
    assert found_in(out + err, CANARY.key) == set()
    assert "Traceback" not in err
