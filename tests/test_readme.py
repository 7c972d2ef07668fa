"""The examples in the README and under docs/ run as they are printed."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import respx

from smm_async.testing import SimulatedPanel

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def code_blocks(page):
    """Yield each Python block of a page as a code object whose tracebacks show the page's own lines."""
    text = page.read_text("utf-8")
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start(1))
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile("\n" * line + match[1], str(page), "exec", flags, dont_inherit=True)
        yield pytest.param(code, id=f"{page.relative_to(ROOT).as_posix()}:{line + 1}")


def is_async(block):
    """Tell whether a block awaits something outside of any function."""
    return bool(block.values[0].co_flags & inspect.CO_COROUTINE)


BLOCKS = [block for page in [README, *sorted(ROOT.glob("docs/**/*.md"))] for block in code_blocks(page)]
ASYNC_BLOCKS = [block for block in BLOCKS if is_async(block)]
SCRIPTS = [block for block in BLOCKS if not is_async(block)]


@pytest.fixture(autouse=True)
def panel():
    """Return a simulated panel that gets whatever a block sends to `https://panel.example/api/v2`.

    It takes the key that is printed, and knows the orders 1 to 250, which end as soon as they are looked at. respx takes the place of the network: a request to
    any other address fails the test.
    """
    panel = SimulatedPanel(key="your key", durations=(0.0, 0.0))
    panel.seed_orders(250)
    with respx.mock(assert_all_called=False) as router:
        router.post("https://panel.example/api/v2").mock(side_effect=panel.respond)
        yield panel


def test_readme_has_blocks():
    """The README shows at least three blocks of code, so that the tests below test something."""
    assert len(list(code_blocks(README))) >= 3


@pytest.mark.parametrize("block", ASYNC_BLOCKS)
async def test_block_runs(block):
    """A block that awaits at its top level runs on every loop, and needs no name that it does not make itself."""
    await eval(block, {"__name__": "__main__"})


@pytest.mark.parametrize("block", SCRIPTS)
def test_script_runs(block):
    """A block that awaits nothing at its top level runs as a script of its own."""
    exec(block, {"__name__": "__main__"})
