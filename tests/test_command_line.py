"""The commands in docs/command-line.md write what is printed there."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from smm_async.cli import main
from tests.commands import panel, settings

__all__ = ["panel", "settings"]

PAGE = Path(__file__).parent.parent / "docs" / "command-line.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def run(line):
    """Run one command line, and return it with all that it wrote, in one stream as on a terminal."""
    text, _, path = line.partition(" >")
    seen = io.StringIO()
    with contextlib.redirect_stdout(seen), contextlib.redirect_stderr(seen):
        main(shlex.split(text)[1:])
    if path:
        Path(path).write_text(seen.getvalue(), "utf-8")
        return [f"$ {line}"]
    # An older rich puts blank lines around a table.
    return [f"$ {line}", *(shown.rstrip() for shown in seen.getvalue().splitlines() if shown.strip())]


def test_page_shows_what_commands_write(panel, settings, tmp_path):
    """One after the other, the commands of the page write what stands below them; but times differ."""
    settings.chdir(tmp_path)
    settings.setenv("COLUMNS", "100")
    commands = 0
    for block in BLOCK.findall(PAGE.read_text("utf-8")):
        lines = block.splitlines()
        written = [row for line in lines if line.startswith("$ ") for row in run(line.removeprefix("$ "))]
        commands += sum(line.startswith("$ ") for line in lines)
        if "probe" in lines[0]:
            lines, written = ([re.sub(r" +\d+  ", " 0  ", line) for line in text] for text in (lines, written))
        assert written == lines
    assert commands > 10


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed(shell, settings, tmp_path, capsys):
    """The option of the page writes a script that knows the commands."""
    # The shell's own file is told of it.
    settings.setenv("HOME", str(tmp_path))
    path = tmp_path / "script"

    assert main(["--install-completion", "--shell", shell, "--output", str(path)]) == 0
    assert "refill-status" in path.read_text()
