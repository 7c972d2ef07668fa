"""The README and the pages under docs/, and the Python in them."""

import ast
import inspect
import re
import sys
import types
from operator import attrgetter
from pathlib import Path
from typing import Any

import attrs
import pytest
import respx

from smm_async.testing import SimulatedPanel

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted(ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MODULE = re.compile(r"# (\w+)\.py\n")


@attrs.frozen
class Block:
    """A block of Python on a page. One that begins with the comment `# name.py` is that module for those below it."""

    label: str
    code: Any
    module: str | None

    @property
    def is_async(self):
        """Whether it awaits something outside of any function."""
        return bool(self.code.co_flags & inspect.CO_COROUTINE)


def blocks_of(page):
    """Return the blocks of a page, as code whose tracebacks show the page's own lines."""
    text = page.read_text("utf-8")
    return [make_block(page, text.count("\n", 0, match.start(1)), match[1]) for match in BLOCK.finditer(text)]


def make_block(page, line, source):
    """Compile one block, which may await at its top level."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile("\n" * line + source, str(page), "exec", flags, dont_inherit=True)
    named = MODULE.match(source)
    return Block(f"{page.relative_to(ROOT).as_posix()}:{line + 1}", code, named and named[1])


@pytest.fixture
def panel(monkeypatch):
    """Return a simulated panel that gets whatever a block sends to `https://panel.example/api/v2`.

    It takes the key that is printed, and knows the orders 1 to 250, which end as soon as they are looked at. respx takes
    the place of the network: a request to any other address fails the test.
    """
    monkeypatch.setenv("SMM_KEY", "your key")
    panel = SimulatedPanel(key="your key", durations=(0.0, 0.0))
    panel.seed_orders(250)
    with respx.mock(assert_all_called=False) as router:
        router.post("https://panel.example/api/v2").mock(side_effect=panel.respond)
        yield panel


@pytest.fixture
def import_from(monkeypatch):
    """Give a function that imports the modules that a page shows, and returns them by their names."""

    def import_from(page):
        modules = {}
        for block in filter(attrgetter("module"), blocks_of(page)):
            modules[block.module] = module = types.ModuleType(block.module)
            monkeypatch.setitem(sys.modules, block.module, module)
            exec(block.code, vars(module))
        return modules

    return import_from
