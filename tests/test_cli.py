"""The command line: what it answers, on which stream, and with which exit code."""

import io
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import smm_async
from smm_async import _demo, cli
from smm_async.cli import main

FULL = Path("/dev/full")
EXTRA = ["cyclopts", "platformdirs", "rich", "trio", "uvicorn"]


@pytest.fixture
def command(monkeypatch):
    """Put a command in the place of `demo` that does what it is told by the test."""
    command = SimpleNamespace(act=int)

    def demo():
        return command.act()

    monkeypatch.setattr(_demo, "demo", demo)
    return command


def raiser(error):
    """Return a function that raises an error."""

    def act():
        raise error

    return act


def run_python(*arguments):
    """Run a new interpreter to its end and return what it left."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("words", ["services", "add", "watch", "panel serve", "track add"])
def test_help_names_no_default_that_says_nothing(words, capsys, monkeypatch):
    """A switch that is off, a text that is empty and a list without anything are no defaults to read about."""
    monkeypatch.setenv("COLUMNS", "200")
    assert main([*words.split(), "--help"]) == 0

    shown = set(re.findall(r"\[default: (.*?)\]", capsys.readouterr().out))
    assert shown & {"False", "None", '""', "()"} == set()
    assert words != "panel serve" or shown == {"standard", "0", "127.0.0.1", "10.0"}


def test_main_without_arguments_shows_the_commands(capsys):
    """Who asks for nothing is told what there is."""
    code = main([])

    assert code == 0
    assert "demo" in capsys.readouterr().out


def test_main_takes_its_arguments_from_the_process(capsys, monkeypatch):
    """By default the arguments are those that the process was started with."""
    monkeypatch.setattr(sys, "argv", ["smm-async", "--version"])

    code = main()

    assert (code, capsys.readouterr().out) == (0, f"{smm_async.__version__}\n")


def test_module_is_a_program():
    """`python -m smm_async.cli` is the command, exit code included."""
    version, misuse = run_python("-m", "smm_async.cli", "--version"), run_python("-m", "smm_async.cli", "nothing")

    assert (version.returncode, version.stdout) == (0, f"{smm_async.__version__}\n")
    assert misuse.returncode == 2


@pytest.mark.parametrize("text", ["--help", "-h"])
def test_help_of_a_command_says_what_its_options_mean(text, capsys):
    """A command's help has its options, what they mean, and their defaults."""
    code = main(["demo", text])

    out = capsys.readouterr().out
    assert code == 0
    for part in ("--backend", "event loop", "asyncio", "trio", "--orders", "10000"):
        assert part in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--orders", "0"], ["--orders", "0", "1"]),
        (["demo", "--orders", "-5"], ["--orders"]),
        (["demo", "--orders", "20001"], ["--orders", "20000"]),
        (["demo", "--orders", "many"], ["--orders", "many"]),
        (["demo", "--orders"], ["--orders"]),
        (["demo", "--backend", "curio"], ["--backend", "curio", "asyncio", "trio"]),
        (["demo", "--loud"], ["--loud"]),
        (["demo", "3"], ["3"]),
        (["dmo"], ["dmo", "demo"]),
    ],
    ids=" ".join,
)
def test_bad_arguments_give_one_line(arguments, words, capsys):
    """A wrong argument is answered in one line that names it, with exit code 2, and nothing is begun."""
    code = main(arguments)

    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert [word for word in words if word not in err] == []


@pytest.mark.parametrize("code", [0, 1, 7])
def test_exit_code_is_the_command_s(code, command, capsys):
    """What a command returns is the exit code, and nothing is added to its output."""
    command.act = lambda: code

    assert main(["demo"]) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), BaseExceptionGroup("tasks", [BaseExceptionGroup("inner", [KeyboardInterrupt()])])],
    ids=["bare", "group"],
)
def test_ctrl_c_in_a_command_says_stopped(error, command, capsys):
    """Ctrl-C ends a command with one word and exit code 130, also where many tasks were at work."""
    command.act = raiser(error)

    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "Stopped.\n")


def test_reader_that_left_is_no_news(command, monkeypatch, capsys):
    """A pipe that nobody reads any more ends a command quietly; what that takes is tried in a process of its own."""
    monkeypatch.setattr(cli, "_drop", bool)
    command.act = raiser(BrokenPipeError())

    assert main(["demo"]) == 1
    assert capsys.readouterr() == ("", "")


def test_closed_output_is_refused(command, monkeypatch, capsys):
    """Nothing is begun whose outcome nobody could see."""
    command.act = raiser(LookupError())
    monkeypatch.setattr(sys, "stdout", None)

    assert main(["demo"]) == 2
    assert capsys.readouterr().err.startswith("The standard output is closed: nothing was done")


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed otherwise there")
def test_closed_streams_are_no_error():
    """Without an input and a place for complaints, the exit code says it, and no file gets the numbers of the streams."""
    line = f"exec {sys.executable} -m smm_async.cli demo --orders 0 <&- 2>&-"

    process = subprocess.run(["/bin/sh", "-c", line], stdout=subprocess.PIPE, timeout=60, check=False)

    assert (process.returncode, process.stdout) == (2, b"")


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("buffering", [-1, 1], ids=["kept", "lost"])
def test_full_disk_is_said(buffering, command, monkeypatch, capsys):
    """Where the output cannot be written there is one sentence, and no second one when the program ends."""
    with FULL.open("w", buffering=buffering) as full:
        monkeypatch.setattr(sys, "stdout", full)
        command.act = lambda: full.write("figures\n") - 8
        assert main(["demo"]) == 1

    assert capsys.readouterr().err == "The output cannot be written: No space left on device.\n"


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
def test_full_disk_for_complaints(command, monkeypatch, capsys):
    """What cannot be said does not change what came of it."""
    with FULL.open("w", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["demo", "--orders", "0"]) == 2
        assert main(["status", "1,2"]) == 2


def test_letters_that_the_output_does_not_know_are_said(command, monkeypatch, capsys):
    """A terminal of another encoding is named, and not taken for a bug."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", stream)
    command.act = lambda: stream.write("\N{CYRILLIC SMALL LETTER EL}")

    assert main(["demo"]) == 1
    assert "The output cannot be written: 'ascii' codec can't encode" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("is_seen", "asked", "encoding"),
    [(False, "", "utf-8"), (True, "", "cp1251"), (False, "cp1251", "cp1251")],
    ids=["pipe", "terminal", "asked for"],
)
def test_what_goes_into_a_pipe_is_utf8(is_seen, asked, encoding, command, monkeypatch):
    """Whatever the locale says, a program reads UTF-8; a terminal keeps its encoding, and a user's choice is one."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1251")
    monkeypatch.setattr(stream, "isatty", lambda: is_seen)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    if asked:
        monkeypatch.setenv("PYTHONIOENCODING", asked)
    command.act = lambda: stream.write("\N{CYRILLIC SMALL LETTER EL}") - 1

    assert main(["demo"]) == 0
    assert stream.buffer.getvalue().decode(encoding) == "\N{CYRILLIC SMALL LETTER EL}"


def test_command_that_was_stopped_says_so(command, capsys):
    """A command that returns 130, since it saw Ctrl-C itself, ends with the same word."""
    command.act = lambda: 130

    assert main(["demo"]) == 130
    assert capsys.readouterr() == ("", "Stopped.\n")


@pytest.mark.parametrize("error", [LookupError("a bug"), OSError("a bug"), SystemExit(1)], ids=repr)
def test_other_exceptions_pass(error, command):
    """What is no Ctrl-C is not hidden."""
    command.act = raiser(error)

    with pytest.raises(type(error)):
        main(["demo"])


@pytest.mark.parametrize("names", [[name] for name in EXTRA] + [EXTRA], ids=" ".join)
def test_missing_extra_names_the_remedy(names):
    """Without the extra there is one sentence that says what to install, and no traceback."""
    code = f"import sys; sys.modules.update(dict.fromkeys({names})); from smm_async.cli import main; sys.exit(main())"

    process = run_python("-c", code)

    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr == f"smm-async needs {', '.join(names)}: pip install 'smm_async[cli]'\n"


def test_library_does_not_import_the_command_line():
    """Who imports the library gets neither the command line nor the libraries it is made with."""
    code = "import sys; sys.modules['rich'] = None; import smm_async, smm_async.testing; print(*sys.modules)"

    loaded = set(run_python("-c", code).stdout.split())

    assert "smm_async.testing" in loaded
    assert loaded & {"cyclopts", "uvicorn", "smm_async.cli", "smm_async._demo", "smm_async._demo_server"} == set()
