"""The event loops that every async test runs on."""

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


@pytest.fixture(autouse=True)
def _processes_are_not_counted_either(request, monkeypatch):
    """Have no child process of a thorough test count its lines."""
    if request.node.get_closest_marker("thorough"):
        for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"):
            monkeypatch.delenv(name, raising=False)


def pytest_collection_modifyitems(items):
    """Count no lines under what is thorough, nor on uvloop: it takes twice the time, and the others run each line."""
    for item in items:
        if item.get_closest_marker("thorough") or "uvloop" in item.name:
            item.add_marker("no_cover")
