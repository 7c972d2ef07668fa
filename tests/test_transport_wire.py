"""What a request looks like on the wire, byte by byte."""

import json
from urllib.parse import parse_qsl, urlsplit

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import smm_async as smm
from smm_async._requests import body_class
from smm_async._secret import Secret, complaint_about_key
from smm_async._wire import ask
from tests.scripted_transport import ScriptedTransport, answer
from tests.socket_panel import SocketPanel, reply

KEY = "a+b/c=&%\"' é\\?#"
KEY_IN_FORM = "a%2Bb%2Fc%3D%26%25%22%27+%C3%A9%5C%3F%23"
BALANCE = '{"balance": "1.50", "currency": "USD"}'


async def received(action, fields, **panel_fields):
    """Return the one request that a server on a socket gets."""
    async with SocketPanel(reply(BALANCE)) as server:
        panel = smm.Panel(server.url, **panel_fields)
        async with smm.Client(panel, key=KEY) as client:
            await client.call(action, **fields)
        (request,) = server.requests
        assert request.header("Host") == f"127.0.0.1:{server.port}"
    return request


async def test_form_body_has_the_key_encoded():
    """By default the fields go as a form, whatever letters are in the key and in the values."""
    request = await received("add", {"link": "https://example.com/?a=1&b=2", "quantity": 100})

    assert (request.method, request.target) == ("POST", "/api/v2")
    assert request.body.decode() == (
        f"key={KEY_IN_FORM}&action=add&link=https%3A%2F%2Fexample.com%2F%3Fa%3D1%26b%3D2&quantity=100"
    )


async def test_headers_are_these_and_no_others():
    """A request has these headers, and nothing in them tells of the machine it comes from."""
    request = await received("balance", {})

    assert request.headers == [
        ("Host", request.header("Host")),
        ("Accept", "application/json"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "smm_async"),
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", str(len(request.body))),
    ]


async def test_json_body_has_the_same_fields():
    """Where the panel wants JSON, the same fields go as one object of texts."""
    request = await received("add", {"link": "x", "quantity": 100}, body="json")

    assert json.loads(request.body) == {"key": KEY, "action": "add", "link": "x", "quantity": "100"}
    assert request.header("Content-Type") == "application/json"
    assert request.header("Content-Length") == str(len(request.body))


@pytest.mark.parametrize(("body", "content"), [("form", b"action=balance"), ("json", b'{"action": "balance"}')])
async def test_bearer_key_is_in_the_header_only(body, content):
    """Where the panel wants the key as a bearer, it is not among the fields."""
    request = await received("balance", {}, bearer=True, body=body)

    assert request.body == content
    assert request.header("Authorization").encode("latin-1") == f"Bearer {KEY}".encode()


async def test_get_request_with_bearer_has_its_fields_in_the_address():
    """A GET request has no body, and no key in its address, where the panel takes it as a bearer."""
    request = await received("status", {"order": 7, "note": "a b&c"}, method="GET", bearer=True)

    assert (request.method, request.target) == ("GET", "/api/v2?action=status&order=7&note=a+b%26c")
    assert (request.body, request.header("Content-Type"), request.header("Content-Length")) == (b"", None, "0")
    assert request.header("Authorization").encode("latin-1") == f"Bearer {KEY}".encode()


async def test_get_request_has_the_key_in_its_address_where_allowed():
    """Only a panel that is told so gets the key in the address."""
    request = await received("balance", {}, method="GET", key_in_url=True)

    assert request.target == f"/api/v2?key={KEY_IN_FORM}&action=balance"
    assert request.header("Authorization") is None


async def test_get_request_keeps_the_query_of_the_address():
    """Fields are added to what the address has."""
    transport = ScriptedTransport(answer({"balance": "1"}))
    panel = smm.Panel("https://panel.example/api?lang=en", method="GET", bearer=True)

    async with smm.Client(panel, key=KEY, transport=transport) as client:
        await client.balance()

    assert transport.requests[0].url == "https://panel.example/api?lang=en&action=balance"


async def test_panel_names_its_fields_and_headers():
    """Field names, further headers and the user agent are the panel's."""
    request = await received(
        "balance",
        {},
        key_field="api_token",
        action_field="do",
        headers={"X-Shop": "7", "Accept-Language": "en"},
        user_agent="my shop/1.0",
    )

    assert request.body.decode() == f"api_token={KEY_IN_FORM}&do=balance"
    assert request.header("X-Shop") == "7"
    assert request.header("Accept-Language") == "en"
    assert request.header("User-Agent") == "my shop/1.0"


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Accept-Encoding", "User-Agent"])
def test_panel_names_no_header_that_the_client_sets(name):
    """A header that a request has anyway is refused: a second one would contradict it."""
    with pytest.raises(ValueError, match=f"headers has an entry '{name}' that the client sets itself"):
        smm.Panel("https://panel.example/", headers={name: "1"})


async def sent_to(panel):
    transport = ScriptedTransport(answer({"balance": "1"}))
    async with smm.Client(panel, key=KEY, transport=transport) as client:
        await client.balance()
    (request,) = transport.requests
    return request


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://panel.example/api/v2", "panel.example"),
        ("https://Panel.EXAMPLE:443/api/v2", "panel.example"),
        ("https://panel.example:8443/api/v2", "panel.example:8443"),
        ("https://панель.рф:8443/api/v2", "xn--80aksgi6f.xn--p1ai:8443"),
        ("https://straße.example/api/v2", "xn--strae-oqa.example"),
        ("https://192.0.2.1:8443/", "192.0.2.1:8443"),
        ("http://[::1]:8000/", "[::1]:8000"),
        ("http://localhost:80/", "localhost"),
    ],
)
async def test_host_is_the_one_that_is_looked_up(url, host):
    """The host that is named is the host that is asked, with its port unless it is the usual one."""
    request = await sent_to(smm.Panel(url))

    assert request.headers["host"] == host
    assert httpx.URL(request.url).netloc.decode() == host


async def test_action_with_an_address_of_its_own_is_asked_there():
    """A panel with one address per action is asked at the right one, by its own name."""
    there = attrs.evolve(smm.panels.STANDARD_ACTIONS["balance"], url="https://money.example:444/v2/balance")
    panel = smm.Panel("https://panel.example/api/v2", actions={"balance": there})

    request = await sent_to(panel)

    assert request.url == "https://money.example:444/v2/balance"
    assert request.headers["host"] == "money.example:444"


@pytest.mark.parametrize(
    "url",
    [
        "http://panel.example/api/v2",
        "http://127.0.0.1.panel.example/",
        "http://10.0.0.1/",
        "ftp://panel.example/",
        "panel.example/api/v2",
        "//panel.example/api/v2",
        "https:///api/v2",
        "https://user:secret@panel.example/",
        "https://panel.example/#here",
        "https://panel.example:port/",
        "https://☃.example/",
        "",
    ],
)
def test_address_that_is_not_complete_or_not_https_is_refused(url):
    """An address that is not https, or names no host, or more than a host, is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"address|clear text"):
        smm.Client(url, key=KEY)
    action = smm.panels.Action("balance", url=url)
    with pytest.raises(ValueError, match=r"address|clear text"):
        smm.Client(smm.Panel("https://panel.example/", actions={"balance": action}), key=KEY)


def test_plain_http_is_for_loopback_and_for_those_who_insist():
    """Plain http is for this machine, and elsewhere only by an explicit word, also for single actions."""
    for url in ("http://127.0.0.1:8000/", "http://127.9.9.9/", "http://[::1]/", "http://localhost/"):
        smm.Client(url, key=KEY)

    action = smm.panels.Action("balance", url="http://10.0.0.1/")
    smm.Client(smm.Panel("http://panel.example/", actions={"balance": action}, allow_http=True), key=KEY)


KEYS = st.text(min_size=1, max_size=40).filter(lambda text: complaint_about_key(text) is None)


def content_of(panel, key):
    return body_class(httpx)(panel, Secret(key), ask(panel, "balance", {"note": "x"}))


@given(KEYS)
def test_any_key_arrives_as_it_is(key):
    """Whatever key the server parses out of a form, an object or an address is the key, and adds no field."""
    fields = {"key": key, "action": "balance", "note": "x"}
    form = smm.Panel("https://panel.example/")
    json_panel = smm.Panel("https://panel.example/", body="json")
    get_panel = smm.Panel("https://panel.example/", method="GET", key_in_url=True)

    assert parse_qsl(content_of(form, key)._content().decode(), keep_blank_values=True) == list(fields.items())
    assert json.loads(content_of(json_panel, key)._content()) == fields
    query = urlsplit(str(httpx.URL(content_of(get_panel, key).url()))).query
    assert parse_qsl(query, keep_blank_values=True) == list(fields.items())
