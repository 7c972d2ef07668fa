"""A description of a panel is checked when it is made."""

import attrs
import pytest

import smm_async as smm

URL = "https://panel.example/api/v2"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"batch_limit": 0}, "batch_limit"),
        ({"batch_limit": True}, "batch_limit"),
        ({"batch_limit": "100"}, "batch_limit"),
        ({"key_field": ""}, "key_field"),
        ({"key_field": "api key"}, "key_field"),
        ({"action_field": "action&key"}, "action_field"),
        ({"headers": {"X Shop": "7"}}, "'X Shop'"),
        ({"headers": {"X-Shop": "a\r\nX-Evil: 1"}}, "'X-Shop'"),
        ({"headers": {"X-Shop": "Laden ü"}}, "'X-Shop'"),
        ({"headers": {"content-length": "1"}}, "sets itself"),
        ({"user_agent": ""}, "user_agent"),
        ({"user_agent": "a\nb"}, "user_agent"),
        ({"method": "PUT"}, "'PUT'"),
        ({"method": "GET"}, "show the key"),
        ({"body": "xml"}, "body"),
        ({"actions": {"status": smm.Action("status", "order", url="http://panel.example/status")}}, "clear text"),
    ],
)
def test_panel_with_a_bad_setting_is_refused(settings, complaint):
    """What would break a request, or show the key, is a sentence before there is a panel."""
    with pytest.raises(ValueError, match=complaint):
        smm.Panel(URL, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "GET", "bearer": True},
        {"method": "GET", "key_in_url": True},
        {"body": "json", "headers": {"X-Shop": "7"}, "user_agent": "shop/1.0 (me@example.com)"},
        {"key_field": "data[key]", "action_field": "cmd", "batch_limit": 1},
    ],
    ids=["bearer", "key_in_url", "headers", "fields"],
)
def test_panel_with_unusual_settings_is_taken(settings):
    """Whatever a panel really wants can be said."""
    panel = smm.Panel(URL, **settings)

    assert {name: getattr(panel, name) for name in settings} == settings


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://[::1]/", "http://localhost/api"])
def test_panel_on_this_machine_needs_no_encryption(url):
    """What does not leave the machine may go in clear."""
    assert smm.Panel(url).url == url


def test_panel_elsewhere_goes_in_clear_only_if_allowed():
    """Plain http to another machine has to be said."""
    assert smm.Panel("http://panel.example/", allow_http=True).allow_http


def test_panel_is_derived_from_another():
    """A change of one thing leaves the rest, and the panel it was derived from."""
    derived = attrs.evolve(smm.panels.ONE_DG, batch_limit=50)

    assert (derived.batch_limit, smm.panels.ONE_DG.batch_limit) == (50, 100)
    assert derived.actions == smm.panels.ONE_DG.actions
