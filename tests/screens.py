"""Takes screenshots of the command line: `python -m tests.screens` runs each command, and writes docs/screens/*.svg.

A command runs in a terminal of its own, and what it has drawn when it ends is the picture. Those that need a panel get
a simulated one: its address for `{url}` among their arguments, its key as `SMM_KEY`. Its orders begin at 23501.
"""

import contextlib
import fcntl
import json
import os
import pty
import secrets
import signal
import struct
import subprocess
import sys
import termios
import threading
from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import escape

import attrs
import pyte

FOLDER = Path(__file__).parent.parent / "docs" / "screens"
COLUMNS, ROWS, ORDERS = 80, 50, 250
CELL, LINE, MARGIN = 8.4, 19, 16
PLAIN, BACKGROUND = "#d6dce4", "#161b22"
# By the names that pyte has for them; others are hexadecimal digits.
COLORS = {
    "black": "#5b6470",
    "red": "#ff7b72",
    "green": "#7ed387",
    "brown": "#e2c06e",
    "blue": "#79b8ff",
    "magenta": "#d2a8ff",
    "cyan": "#76d1dc",
    "white": PLAIN,
}


@attrs.frozen
class Command:
    """What is typed after `smm-async`, and after how many seconds Ctrl-C, if it does not end by itself."""

    arguments: tuple[str, ...]
    seconds: float | None = None


COMMANDS = {
    "demo": Command(("demo",)),
    "services": Command(("services", "--url", "{url}")),
    "status": Command(("status", "--url", "{url}", "23501", "23502", "23503", "999")),
    "probe": Command(("panel", "probe", "--url", "{url}", "23501", "23502")),
}


@contextlib.contextmanager
def simulated_panel():
    """Run a panel in another process; give its address and its key."""
    key = secrets.token_hex(16)
    command = [sys.executable, "-P", "-m", "smm_async._demo_server", str(ORDERS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write(f"{key}\n")
        process.stdin.flush()
        yield json.loads(process.stdout.readline())["url"], key


def run(command, url, key):
    """Run a command in a terminal, and return the terminal's screen when it has ended."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    words = [word.format(url=url) for word in command.arguments]
    environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "SMM_KEY": key}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        environment.pop(name, None)
    line = [sys.executable, "-P", "-m", "smm_async.cli", *words]
    with subprocess.Popen(
        line, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as process:
        os.close(theirs)
        if command.seconds is not None:
            threading.Timer(command.seconds, process.send_signal, [signal.SIGINT]).start()
        screen = read_screen(ours)
    os.close(ours)
    return screen


def read_screen(terminal):
    """Draw what comes from a terminal until its end, which Linux tells by an error."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    with contextlib.suppress(OSError):
        while drawn := os.read(terminal, 65536):
            stream.feed(drawn)
    return screen


def color_of(name, default):
    """Return a color of pyte as SVG has it; bright ones look like the others."""
    if name == "default":
        return default
    return COLORS.get(name.removeprefix("bright"), f"#{name}")


def style_of(cell):
    """Return the attributes of a cell's letter, and the color behind it, if it has one."""
    fill, behind = color_of(cell.fg, PLAIN), color_of(cell.bg, BACKGROUND)
    if cell.reverse:
        fill, behind = behind, fill
    marks = {"font-weight": cell.bold and "bold", "text-decoration": cell.underscore and "underline"}
    extra = "".join(f' {name}="{value}"' for name, value in marks.items() if value)
    return f'fill="{fill}"{extra}', None if behind == BACKGROUND else behind


def draw_row(cells, y):
    """Yield the letters of one row, those of one style together."""
    column = 0
    for (style, behind), group in groupby(cells, style_of):
        # Plain blanks would be drawn as one.
        text = "".join(cell.data for cell in group).replace(" ", "\N{NO-BREAK SPACE}")
        x, width = MARGIN + column * CELL, len(text) * CELL
        column += len(text)
        if behind:
            yield f'<rect x="{x:.1f}" y="{y - LINE + 5}" width="{width:.1f}" height="{LINE}" fill="{behind}"/>'
        if text.strip():
            # Columns stand below each other in any font.
            yield f'<text x="{x:.1f}" y="{y}" textLength="{width:.1f}" {style}>{escape(text)}</text>'


def picture(title, screen):
    """Return a terminal's screen as SVG, below the line that was typed."""
    height = len("\n".join(screen.display).rstrip().split("\n"))
    typed = [pyte.screens.Char("$", fg="green", bold=True), *(pyte.screens.Char(sign) for sign in f" {title}")]
    rows = [typed, *([screen.buffer[row][column] for column in range(COLUMNS)] for row in range(height))]
    size = f'viewBox="0 0 {2 * MARGIN + COLUMNS * CELL:.0f} {2 * MARGIN + len(rows) * LINE}"'
    font = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="{font}" font-size="14">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        *(part for place, row in enumerate(rows, 1) for part in draw_row(row, MARGIN + place * LINE - 5)),
        "</svg>\n",
    ])  # fmt: skip


def main(names=()):
    """Take the screenshots that are named, by default all."""
    FOLDER.mkdir(exist_ok=True)
    with simulated_panel() as (url, key):
        for name in names or COMMANDS:
            command = COMMANDS[name]
            title = " ".join(("smm-async", *command.arguments)).format(url="$URL")
            text = picture(title, run(command, url, key))
            assert key not in text
            (FOLDER / f"{name}.svg").write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
