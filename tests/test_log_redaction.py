"""Keys are blacked out in everybody's log, on request, and everything else is left as it is."""

import logging
import traceback

import pytest

import smm_async as smm
from smm_async._log_redaction import install_log_redaction
from tests.shown import KEYS, assert_hides, forms_of, shown_by
from tests.socket_panel import SocketPanel, reply

LOG = logging.getLogger("somebody.else")
every_key = pytest.mark.parametrize("name", KEYS)


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog):
    caplog.set_level(logging.DEBUG)


@pytest.fixture
def install():
    """Install it for the time of a test."""
    undo = []

    def install(*keys):
        undo.append(install_log_redaction(*keys))
        return undo[-1]

    yield install
    for uninstall in reversed(undo):
        uninstall()


@every_key
async def test_headers_of_an_answer_do_not_show_the_key(caplog, install, name):
    """A server that repeats the key in its headers does not bring it into httpcore's log."""
    install(KEYS[name])
    shown = " ".join(forms_of(KEYS[name]).values())

    async with (
        SocketPanel(reply("", 302, f"Location: https://panel.example/?key={shown}", f"Set-Cookie: {shown}")) as server,
        smm.Client(server.url, key=KEYS[name]) as client,
    ):
        with pytest.raises(smm.BadReplyError):
            await client.balance()

    assert "panel.example/?key=***" in caplog.text
    assert_hides(caplog.text, KEYS[name])
    for record in caplog.records:
        assert_hides(repr(vars(record)), KEYS[name])


@every_key
def test_every_form_is_blacked_out_everywhere(caplog, install, name):
    """In every form, however far behind in a message, and in its arguments, the key is not shown."""
    install("another-key", KEYS[name])

    for shown in forms_of(KEYS[name]).values():
        LOG.debug("%s%s and %r", "x" * 1000, shown, {"key": shown})

    assert len(caplog.records) == len(forms_of(KEYS[name]))
    for record in caplog.records:
        assert record.getMessage().startswith("x" * 1000 + "*** and ")
        assert_hides(repr(vars(record)), KEYS[name])


def test_record_without_the_key_is_left_alone(caplog, install):
    """What does not hold the key keeps its format and its arguments, which some handlers group by."""
    install(KEYS["hex"])

    LOG.warning("%d of %s", 7, "nine", extra={"colour": "blue"})

    (record,) = caplog.records
    assert (record.msg, record.args, record.colour) == ("%d of %s", (7, "nine"), "blue")


def test_arguments_that_do_not_fit_are_the_handler_s_affair(install):
    """A record that cannot be formatted comes out as it would have without."""
    install(KEYS["hex"])

    record = LOG.makeRecord("name", logging.INFO, "path", 1, "%d", ("seven",), None)

    assert record.args == ("seven",)
    with pytest.raises(TypeError):
        record.getMessage()


def test_uninstalling_leaves_what_was_there(caplog, install):
    """Undone, there is the factory of before; and under one that came later, nothing is done any more."""
    before = logging.getLogRecordFactory()
    first, second = install(KEYS["hex"]), install(KEYS["base64"])

    first()
    LOG.info(f"{KEYS['hex']} {KEYS['base64']}")  # noqa: G004  it is about such messages, too
    second()

    assert caplog.messages == [f"{KEYS['hex']} ***"]
    first()
    LOG.info(KEYS["base64"])
    assert caplog.messages[-1] == KEYS["base64"]
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize("wrong", ["", None, f"{KEYS['hex']}\n", KEYS["hex"].encode()], ids=["empty", "none", "n", "b"])
def test_key_that_cannot_be_one_is_refused(wrong):
    """What cannot be a key is complained of without showing it, or the keys beside it, and nothing is installed."""
    before = logging.getLogRecordFactory()

    with pytest.raises(ValueError, match=r"The key") as caught:
        install_log_redaction(KEYS["base64"], wrong)

    assert logging.getLogRecordFactory() is before
    for key in (KEYS["hex"], KEYS["base64"]):
        assert_hides(shown_by(caught.value), key)
    assert traceback.extract_tb(caught.tb)[-1].name == "install_log_redaction"
