"""Clients that cannot be made, and the command line, show no key."""

import functools
import secrets
from types import SimpleNamespace
from urllib.parse import quote

import anyio
import pytest

import smm_async as smm
from smm_async import _demo
from smm_async.cli import main
from tests.canary import KEYS, Canary
from tests.canary_net import OF_ERRORS, Net

pytestmark = pytest.mark.thorough

every_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])
every_key = pytest.mark.parametrize("name", KEYS)


def shown_by_refusal(make, **arguments):
    """Return the net with what a refusal shows."""
    with Net() as net:
        try:
            make(**arguments)
        except (TypeError, ValueError) as error:
            net.show(error)
    assert OF_ERRORS - net.channels == set()
    return net


def make_client(canary, panel="https://panel.example/", change=str, **options):
    """Return a client, made in a frame that does not hold the key."""
    return smm.Client(panel, key=change(canary.key), **options)


REFUSED_KEYS = {
    "line_break": "{}\n".format,
    "control_character": "\x00{}".format,
    "half_a_letter": "{}\ud800".format,
    "bytes": str.encode,
    "list": lambda key: [key],
    "path": lambda key: SimpleNamespace(key=key),
}


@every_key
@pytest.mark.parametrize("change", REFUSED_KEYS.values(), ids=REFUSED_KEYS)
def test_refused_key_is_nowhere(name, change):
    """What cannot be a key is refused without being shown."""
    net = shown_by_refusal(make_client, canary=Canary(name), change=change)

    assert net.leaks() == set()


@every_key
@pytest.mark.parametrize(
    "options",
    [{"panel": "panel.example"}, {"panel": None}, {"budget": -1}, {"transport": "none"}, {"no_such_option": 1}],
    ids=lambda options: next(iter(options)) + str(len(str(options))),
)
def test_key_beside_a_refused_argument_is_nowhere(name, options):
    """A client that is not made for another reason does not show the key it was given."""
    net = shown_by_refusal(make_client, canary=Canary(name), **options)

    assert net.leaks() == set()


@every_key
@pytest.mark.parametrize("write", [str, functools.partial(quote, safe="")], ids=["raw", "quoted"])
@pytest.mark.parametrize(
    "address",
    [
        "https://user:{}@panel.example/api",
        "https://{}@panel.example/api",
        "https://user:{}@panel.example:port/api",
        "ftp://user:{}@panel.example/api",
        "user:{}@panel.example/api",
        "https://user:{}@panel.example/ api",
        "https://panel.example:port/api?key={}",
        "panel.example/api?key={}",
        "https://panel.example/api?my-api-key-is={}",
        "https://panel.example/api?{}&key=1",
    ],
)
def test_key_in_a_refused_address_is_not_in_the_error(name, write, address):
    """A message does not repeat the password or the query of an address; the frames have what the caller gave."""
    with Net() as net:
        try:
            smm.Panel(address.format(write(KEYS[name])))
        except ValueError as error:
            net.show(error.with_traceback(None))

    assert net.leaks() == set()


# --- The command line


@pytest.fixture
def processes(monkeypatch):
    """Keep the command and the environment of each process that is started."""
    started, open_process = [], anyio.open_process

    def spy(command, **options):
        started.append(f"{command!r} {options!r}")
        return open_process(command, **options)

    monkeypatch.setattr(anyio, "open_process", spy)
    return started


def run_command(monkeypatch, name, *arguments):
    """Return the exit code of a command whose key is a canary, and what was caught."""
    monkeypatch.setattr(secrets, "token_hex", lambda _: KEYS[name])
    with Net() as net:
        code = main(arguments)
    return code, net


@every_key
@every_backend
def test_demo_shows_its_key_to_nobody(monkeypatch, capfd, processes, backend, name):
    """What the demo and its server print, and all that can be seen of their processes, holds no key."""
    code, net = run_command(monkeypatch, name, "demo", "--backend", backend, "--orders", "20")

    net.keep("stdout and stderr of the server", *capfd.readouterr())
    net.keep("processes", *processes)
    assert (code, len(processes)) == (0, 1)
    assert "20" in net.text_in("stdout")
    assert {"log", "span of httpx"} <= net.channels
    assert net.leaks() == set()


@every_backend
@pytest.mark.parametrize("replies", ["", "input(); raise SystemExit(1)"], ids=["silent", "gone"])
def test_demo_that_fails_shows_no_key(monkeypatch, capfd, backend, replies):
    """If its server ends before its time, the demo's complaint holds no key."""
    monkeypatch.setattr(_demo, "_SERVER", ("-c", replies))

    code, net = run_command(monkeypatch, "letters", "demo", "--backend", backend)

    net.keep("stdout and stderr of the server", *capfd.readouterr())
    assert code == 1
    assert "ended unexpectedly" in net.text_in("stderr")
    assert net.leaks() == set()


@pytest.mark.parametrize(
    "arguments", [["--help"], ["demo", "--help"], ["demo", "--orders", "0"], ["demo", "3"], ["none"], []], ids=" ".join
)
def test_command_line_shows_no_key(monkeypatch, arguments):
    """Help and complaints hold no key, whatever the environment of the process holds."""
    monkeypatch.setenv("SMM_KEY", KEYS["letters"])

    _, net = run_command(monkeypatch, "specials", *arguments)

    assert {"stdout", "stderr"} & net.channels
    assert net.leaks() == set()
