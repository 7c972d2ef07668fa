"""The event loops that every async test runs on."""

import importlib.util
import signal

import pytest

UVLOOP_MISSING = importlib.util.find_spec("uvloop") is None

# What a shell starts in the background ignores it, and so would the commands that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    """Add what makes asyncio look more closely: nothing may be scheduled from a wrong thread."""
    parser.addoption("--asyncio-debug", action="store_true", help="run asyncio in debug mode, a quarter slower")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {}), id="asyncio"),
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
    name, options = request.param
    if name == "asyncio" and request.config.getoption("asyncio_debug"):
        options = options | {"debug": True}
    return name, options
