"""The pictures of the documentation show what the code does."""

import re

import pytest

from tests.pages import PAGES, ROOT
from tests.pictures import FOLDER, SCENES, picture
from tests.virtual_time import anyio_backend  # noqa: F401  a fixture is used by its name


@pytest.mark.parametrize("name", SCENES)
async def test_picture_is_what_happens(name):
    """A run on either loop gives the very picture that is kept; if not, `python -m tests.pictures` draws it anew."""
    kept = (FOLDER / f"{name}.svg").read_text("utf-8")

    assert await picture(name) == kept


def test_pages_show_what_is_there():
    """Every picture and screenshot is shown on a page, and none is shown that is not there."""
    shown = {
        page.parent / link for page in PAGES for link in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text("utf-8"))
    }

    assert shown == {*ROOT.glob("docs/pictures/*"), *ROOT.glob("docs/screens/*")}
