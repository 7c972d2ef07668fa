"""How long a panel asks to wait, in whatever way it says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import smm_async as smm
from smm_async._responses import retry_after
from smm_async._secret import Secret
from smm_async._transport import Transport
from smm_async._wire import ask
from tests.scripted_transport import ScriptedTransport, answer
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name

KEY = "simulated-key"
PANEL = smm.Panel("https://panel.example/api/v2")


async def send(*acts, limit=1000):
    """Return what becomes of one question that is answered by the first of ``acts``."""
    transport = Transport(PANEL, Secret(KEY), ScriptedTransport(*acts))
    return await transport.send(ask(PANEL, "balance"), limit=limit)


DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("text", "date", "seconds"),
    [
        ("0", "", 0.0),
        ("120", "", 120.0),
        (" 7 ", "", 7.0),
        ("9" * 5000, "", 999_999_999.0),
        ("Wed, 21 Oct 2026 07:28:05 GMT", DATE, 5.0),
        ("Wed, 21 Oct 2026 09:28:05 +0200", DATE, 5.0),
        ("Wednesday, 21-Oct-26 07:28:05 GMT", DATE, 5.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", DATE, 0.0),
        ("Wed, 21 Oct 2026 07:28:05 GMT", "", None),
        ("Wed, 21 Oct 2026 07:28:05 GMT", "yesterday", None),
        ("Wed, 21 Oct 2026 07:28:05 -0000", DATE, None),
        ("Nov +99999999999999999999 08:49:37 Nov 1 a a", DATE, None),
        ("Wed, 21 Oct 99999 07:28:05 GMT", DATE, None),
        ("-5", DATE, None),
        ("1.5", DATE, None),
        ("1e3", DATE, None),
        ("٣", DATE, None),
        ("²", DATE, None),
        ("soon", DATE, None),
        ("", DATE, None),
    ],
)
async def test_retry_after_is_read_as_seconds_or_date(text, date, seconds):
    """``Retry-After`` counts in seconds or, against the server's own clock, as a date; never negative, never a guess."""
    reply = await send(answer({}, 429, retry_after=text.encode(), date=date))

    assert reply.retry_after == seconds


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["Mon,", "Mon", "06", "Nov", "1994", "08:49:37", ":", "GMT", "-", "+" + "9" * 20])).map(
        " ".join
    )
)
def test_retry_after_never_raises(text):
    """Whatever stands in ``Retry-After``, the answer it came with is not lost."""
    seconds = retry_after({"retry-after": text, "date": DATE})

    assert seconds is None or seconds >= 0.0
