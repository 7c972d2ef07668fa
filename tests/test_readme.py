"""The examples in the README and under docs/ run as they are printed."""

import pytest

from tests.pages import PAGES, README, blocks_of, import_from, panel  # noqa: F401  fixtures are used by their names

BLOCKS = [pytest.param(page, block, id=block.label) for page in PAGES for block in blocks_of(page)]
ASYNC_BLOCKS = [block for block in BLOCKS if block.values[1].is_async]
SCRIPTS = [block for block in BLOCKS if not block.values[1].is_async]


def test_readme_has_blocks():
    """The README shows at least three blocks of code, so that the tests below test something."""
    assert len(blocks_of(README)) >= 3


@pytest.mark.parametrize(("page", "block"), ASYNC_BLOCKS)
async def test_block_runs(page, block, panel, import_from):
    """A block that awaits at its top level runs on every loop, and needs no name that it does not make itself."""
    import_from(page)

    await eval(block.code, {"__name__": "__main__"})


@pytest.mark.parametrize(("page", "block"), SCRIPTS)
def test_script_runs(page, block, panel, import_from):
    """A block that awaits nothing at its top level runs as a script of its own."""
    import_from(page)

    exec(block.code, {"__name__": "__main__"})
