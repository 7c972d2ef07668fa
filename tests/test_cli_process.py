"""The commands in a process of their own: on a narrow terminal, in a pipe that closes, and interrupted."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.demo_process import ENVIRONMENT, LONGEST
from tests.tracking.processes import KEY, PanelProcess

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals, pipes and signals")

STYLE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture(scope="module")
def environment():
    """A panel in a process of its own, as the environment names it."""
    panel = PanelProcess(0.0, 1)
    yield {**ENVIRONMENT, "SMM_URL": panel.url, "SMM_KEY": KEY, "SMM_PROFILES": os.devnull, "TERM": "xterm-256color"}
    panel.close()


def start(environment, *arguments, **options):
    """Start a command."""
    return subprocess.Popen([sys.executable, "-m", "smm_async.cli", *arguments], env=environment, **options)


def read_all(terminal):
    """Return all that is written to a terminal until it is closed."""
    parts = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # what Linux says when the other side has closed it
            part = b""
        if not part:
            return b"".join(parts).decode()
        parts.append(part)


def test_table_fits_a_narrow_terminal_without_colours(environment):
    """On a terminal of 60 columns no line is longer, and NO_COLOR is heeded."""
    termios = pytest.importorskip("termios")
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    process = start(
        {**environment, "NO_COLOR": "1"}, "status", *map(str, range(1, 120)), stdout=theirs, stderr=theirs, stdin=theirs
    )
    os.close(theirs)
    text = read_all(ours)
    os.close(ours)

    assert process.wait(LONGEST) == 0
    lines = STYLE.sub("", text).replace("\r", "\n").split("\n")
    assert len([line for line in lines if "Completed" in line]) == 119
    assert max(map(len, lines)) <= 60
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", text) is None


def test_reader_that_leaves_is_no_error(environment, tmp_path):
    """With `| head -1` the command ends, and says nothing; what it wrote has no escape codes."""
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(map(str, range(1, 5001))))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(environment, "status", "--file", str(file), "--json", **pipes) as process:
        line = process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""

    # Of whichever batch was answered first.
    assert json.loads(line)["status"] == "Completed"
    assert process.returncode == 1


def test_ctrl_c_while_ids_are_waited_for(environment):
    """A command that waits for its input ends at once, in order."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(environment, "status", "--file", "-", "--csv", **pipes) as process:
        assert process.stdout.readline().startswith(b"order,")
        process.stdin.write(b"1\n")
        process.stdin.flush()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LONGEST)

    assert (process.returncode, err) == (130, b"Stopped.\n")
