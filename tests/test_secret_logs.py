"""The logs of all libraries together do not show the key."""

import logging

import pytest

import smm_async as smm
from smm_async import _retry
from tests.shown import KEYS, PANELS, assert_hides, shown_by
from tests.socket_panel import SocketPanel, close, reply

ORDER = smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100)


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("fields", PANELS.values(), ids=PANELS)
async def test_logs_of_all_libraries_show_nothing(caplog, monkeypatch, name, fields):
    """With every logger at its most talkative, calls that succeed and calls that fail leave no key in the log."""
    monkeypatch.setattr(_retry, "_FIRST_PAUSE", 0.0)
    caplog.set_level(logging.DEBUG)
    async with SocketPanel(reply('{"balance": "1"}'), reply('{"order": 7}'), reply("x", 500), close) as server:
        panel = smm.Panel(server.url, **fields)
        async with smm.Client(panel, key=KEYS[name]) as client:
            await client.balance()
            await client.add(ORDER)
            for _ in range(2):
                with pytest.raises(smm.OutcomeUnknownError) as caught:
                    await client.add(ORDER)
                assert_hides(shown_by(caught.value), KEYS[name])

    assert len(server.requests) == 4
    assert "httpcore" in {record.name.partition(".")[0] for record in caplog.records}
    for record in caplog.records:
        assert_hides(f"{record.getMessage()} {vars(record)!r}", KEYS[name])
