"""The fixtures for pytest, in test suites such as a user writes."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
SUITES = [
    block
    for page in ("README.md", "docs/testing.md")
    for block in re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    if "async def test_" in block
]
LOOPS = """
import importlib.util
import pytest

UVLOOP = [pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")] if importlib.util.find_spec("uvloop") else []

@pytest.fixture(scope="module", params=["asyncio", *UVLOOP, "trio"])
def anyio_backend(request):
    return request.param
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """Give what runs tests in this process, with the plugin as it was installed; warnings are errors."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\nanyio_mode = auto\nfilterwarnings = error")
    pytester.makeconftest(LOOPS)
    others = ("asyncio", "cacheprovider", "cov", "hypothesispytest", "xdist")
    plugins = [part for name in others for part in ("-p", f"no:{name}")]

    def run(source):
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess(*plugins).parseoutcomes()

    return run


def count_of_loops():
    """Return on how many loops the tests of a suite run."""
    scope: dict[str, Any] = {}
    exec(LOOPS, scope)
    return 2 + len(scope["UVLOOP"])


def test_client_works_on_every_loop_and_is_closed(run):
    """A test asks the panel without further ado, one after the other on the same loop; nothing is left to warn of."""
    outcomes = run("""
        import pytest
        import smm_async as smm

        kept = []

        async def test_order(smm_client, simulated_panel):
            order = await smm_client.add(smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100))
            assert (await smm_client.status(order)).state is smm.OrderState.PENDING
            assert list(simulated_panel.orders) == [int(order)]
            assert [request.action for request in simulated_panel.requests] == ["add", "status"]
            kept.append(smm_client)

        async def test_closed(smm_client):
            assert smm_client is not kept[-1]
            await smm_client.balance()
            with pytest.raises(smm.ClosedError):
                await kept[-1].balance()

        async def test_closing(smm_client):
            async with smm_client:
                await smm_client.balance()
            with pytest.raises(smm.ClosedError):
                await smm_client.balance()
    """)

    assert outcomes == {"passed": 3 * count_of_loops()}


def test_client_needs_no_plugin_for_async_tests(run):
    """A client is at home on whatever loop comes, one after the other, or on none; an unused one is no matter."""
    outcomes = run("""
        import asyncio
        import trio

        def test_two_loops(smm_client, simulated_panel):
            asyncio.run(smm_client.balance())
            trio.run(smm_client.balance)
            assert simulated_panel.count("balance") == 2

        def test_no_loop(smm_client):
            pass
    """)

    assert outcomes == {"passed": 2}


def test_client_that_is_busy_when_its_test_ends_does_no_harm(run):
    """What nobody waits for any more, and what hangs, is dropped with the loop."""
    outcomes = run("""
        import anyio
        import smm_async as smm
        from smm_async.testing import Fault

        async def test_left(smm_client, simulated_panel):
            simulated_panel.fault(Fault.stall())
            with anyio.move_on_after(0.01) as scope:
                await smm_client.add(smm.orders.Default(service=1, link="https://example.com/p/1", quantity=100))
            assert scope.cancelled_caught

        async def test_next(smm_client):
            await smm_client.balance()
    """)

    assert outcomes == {"passed": 2 * count_of_loops()}


def test_panel_can_be_another(run):
    """A suite that defines the panel anew has a client of that one."""
    outcomes = run("""
        from decimal import Decimal

        import pytest
        from smm_async.testing import SimulatedPanel

        @pytest.fixture
        def simulated_panel():
            return SimulatedPanel("another-key", balance=Decimal(7))

        async def test_balance(smm_client):
            assert (await smm_client.balance()).balance == 7
    """)

    assert outcomes == {"passed": count_of_loops()}


def test_suites_of_the_documentation_pass(run):
    """Each block with tests in it is a suite that passes on every loop."""
    for place, block in enumerate(SUITES):
        (Path.cwd() / f"test_suite_{place}.py").write_text(block, "utf-8")

    outcomes = run("")

    # One is in the README; one of the seven functions takes eight faults.
    assert len(SUITES) == 5
    assert outcomes == {"passed": (6 + 8) * count_of_loops()}


def test_plugin_is_registered():
    """Pytest finds the module by the name that the distribution gives."""
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["pytest11"]

    assert entry_points == {"smm_async": "pytest_smm_async"}


def test_loading_the_plugin_imports_nothing_of_the_package():
    """A run that uses no fixture does not pay for them, and a measurement of coverage misses nothing."""
    code = "import sys; before = {*sys.modules, 'pytest_smm_async'}; import pytest; before |= sys.modules.keys();"
    code += "import pytest_smm_async; print(*(sys.modules.keys() - before))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert loaded.split() == []
