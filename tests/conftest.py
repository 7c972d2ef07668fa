"""The event loops that every async test runs on."""

import importlib.util
import signal

import pytest

UVLOOP_MISSING = importlib.util.find_spec("uvloop") is None

# What a shell starts in the background ignores it, and so would the commands that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {"debug": True}), id="asyncio"),
        pytest.param(
            ("asyncio", {"use_uvloop": True}),
            id="uvloop",
            marks=pytest.mark.skipif(UVLOOP_MISSING, reason="uvloop is not available for this platform"),
        ),
        pytest.param(("trio", {}), id="trio"),
    ],
)
def anyio_backend(request):
    """Run each async test, and each async fixture up to module scope, once on every loop."""
    return request.param
