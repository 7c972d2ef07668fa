"""Screenshots show what a command draws."""

import pyte
import pytest

import smm_async as smm

pytest.importorskip("termios")  # Windows has no such terminals

from tests.screens import COMMANDS, FOLDER, Command, picture, run


def test_screenshot_shows_what_a_command_prints():
    """A command runs in a terminal, and the picture has the line that was typed and what came of it."""
    screen = run(Command(("--version",)), "", "made-up-key")

    text = picture("smm-async --version", screen).replace("\N{NO-BREAK SPACE}", " ")

    assert " smm-async --version</text>" in text
    assert f">{smm.__version__}" in text


def test_screenshot_shows_colors_in_their_places():
    """Colors, bold letters and moves of the cursor are drawn as a terminal draws them."""
    screen = pyte.Screen(80, 50)
    pyte.Stream(screen).feed("gone\r\x1b[31mred \x1b[1;38;2;1;2;3m<dark>\x1b[0;44m on blue")

    text = picture("smm-async", screen).replace("\N{NO-BREAK SPACE}", " ")

    assert "gone" not in text
    assert 'fill="#ff7b72">red </text>' in text
    assert 'fill="#010203" font-weight="bold">&lt;dark&gt;</text>' in text
    assert 'fill="#79b8ff"/>' in text


def test_each_command_has_its_screenshot():
    """What is kept is what `python -m tests.screens` takes, and no more."""
    assert {file.stem for file in FOLDER.glob("*.svg")} == set(COMMANDS)
