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


@pytest.mark.parametrize(
    "query",
    [
        "key=secret-part",
        "KEY=",
        "site=7&api_key=secret-part",
        "apikey=secret-part",
        "panelAPIKey=secret-part",
        "data%5Btoken%5D=secret-part",
        "client-secret=secret-part",
        "pwd=secret-part",
        "auth=secret-part",
    ],
)
def test_address_with_a_key_is_refused(query):
    """A key in an address ends in logs: it is refused, and not repeated."""
    with pytest.raises(ValueError, match="A panel's address holds no key") as caught:
        smm.Client(f"https://panel.example/api/v2?{query}", key="made-up")

    assert "secret" not in str(caught.value)


def test_address_with_the_panel_s_own_field_for_keys_is_refused():
    """What a panel calls its key is one, too, also in the address of a single action."""
    with pytest.raises(ValueError, match="holds no key"):
        smm.Panel("https://panel.example/api/v2?hash=secret-part", key_field="hash")
    with pytest.raises(ValueError, match="holds no key"):
        smm.Panel(URL, actions={"balance": smm.Action("balance", url="https://panel.example/balance?key=secret-part")})


@pytest.mark.parametrize("query", ["site=7", "route=api/v2&keyword=a&monkey=1", "tokens", "?", "author=me&keys=2"])
def test_address_with_other_parameters_is_taken(query):
    """Panels that find their API by a parameter keep it."""
    url = f"https://panel.example/index.php?{query}"

    assert smm.Panel(url).url == url


def test_panel_elsewhere_goes_in_clear_only_if_allowed():
    """Plain http to another machine has to be said."""
    assert smm.Panel("http://panel.example/", allow_http=True).allow_http


def test_panel_is_derived_from_another():
    """A change of one thing leaves the rest, and the panel it was derived from."""
    derived = attrs.evolve(smm.panels.ONE_DG, batch_limit=50)

    assert (derived.batch_limit, smm.panels.ONE_DG.batch_limit) == (50, 100)
    assert derived.actions == smm.panels.ONE_DG.actions
