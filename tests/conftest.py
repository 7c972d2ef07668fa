"""The event loops that every async test runs on, and what coverage is counted in."""

import importlib.util

import pytest

UVLOOP_MISSING = importlib.util.find_spec("uvloop") is None


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


def pytest_collection_modifyitems(items):
    """Count no coverage in tests that try very many ways: each way is taken by a test of its own, too."""
    for item in items:
        if item.get_closest_marker("thorough"):
            item.add_marker("no_cover")
