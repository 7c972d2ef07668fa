"""The command line, `smm-async`; it needs the extra `cli`.

Each command is a function in a module of its own that is named in `_add_commands`; it returns an exit code.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from cyclopts import App

__all__ = ["main"]

_EXTRA: Final = ("cyclopts", "platformdirs", "rich", "trio", "uvicorn")
# An option that nobody has, but that many will try.
_KEY_OPTION: Final = re.compile(
    r"--?(?:api[-_]?|panel[-_]?)?(?:key|token|secret)(?:[=:].*)?", re.IGNORECASE | re.DOTALL
)
_KEY_COMPLAINT: Final = (
    "A key does not go on the command line, where the shell's history and everybody on the machine can see it: "
    "put it into the variable SMM_KEY or into a profile. If you typed a real one, have the panel make a new one."
)
_STDERR: Final = 2
_FAILED: Final = 1
_MISUSED: Final = 2
# What a shell reports for a program that Ctrl-C has ended.
_STOPPED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default the one that this process was started with, and return the exit code.

    It is 0 if all went well; 1 if something failed or was not found; 2 if the arguments or settings are wrong, and
    nothing was sent, or no further id after a bad one in a file; 3 if an order or another write may have happened, and
    nobody knows, whatever else went wrong, or if what came of it could not be written; and 130 after Ctrl-C.
    """
    _occupy_streams()
    if sys.stdout is None:
        _complain("The standard output is closed: nothing was done, since nobody would see what came of it.")
        return _MISUSED
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        _complain(f"smm-async needs {', '.join(missing)}: pip install 'smm_async[cli]'")
        return _FAILED
    _write_utf8()
    code = _STOPPED
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
    # A group, where Ctrl-C found one of many tasks at work.
    except* KeyboardInterrupt:
        pass
    if code == _STOPPED:
        _complain("Stopped.")
    return code


def _occupy_streams() -> None:
    """Let no file that is opened later take the place of a standard stream that is closed, and be written into."""
    if None not in (sys.stdin, sys.stdout, sys.stderr):
        return
    while (number := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(number)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_STDERR, "w", closefd=False)


def _write_utf8() -> None:
    # A panel's names are in any script, whatever the locale is. A terminal knows its own encoding, as does who names one.
    is_chosen = sys.stdout.isatty() or "PYTHONIOENCODING" in os.environ
    output: object = sys.stdout
    if isinstance(output, io.TextIOWrapper) and not is_chosen:
        output.reconfigure(encoding="utf-8")


def _run(arguments: Sequence[str]) -> int:
    if any(_KEY_OPTION.fullmatch(argument) for argument in arguments):
        _complain(_KEY_COMPLAINT)
        return _MISUSED
    # Only now, since it may not be installed.
    from cyclopts import CycloptsError  # noqa: PLC0415

    try:
        code: Any = _make_app()(arguments, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        _complain(" ".join(str(error).split()))
        return _MISUSED
    except BrokenPipeError:
        _drop(sys.stdout)
        return _FAILED
    except UnicodeEncodeError as error:
        _complain(f"The output cannot be written: {error}.")
        return _FAILED
    except OSError as error:
        if error.errno is None:
            raise
        _drop_broken(sys.stdout, sys.stderr)
        # What commands read, they speak of themselves.
        _complain(f"{error.filename or 'The output'} cannot be written: {error.strerror}.")
        return _FAILED
    return code or 0


def _drop_broken(*streams: TextIO) -> None:
    """Let nothing be said at exit of streams that keep what they cannot write."""
    for stream in streams:
        try:
            stream.flush()
        except OSError:
            _drop(stream)


def _make_app() -> App:
    from cyclopts import App, Parameter  # noqa: PLC0415  as above

    from smm_async import __version__  # noqa: PLC0415  as below

    app = App(
        name="smm-async",
        help="Ask SMM panels from the command line, order, and track orders.",
        version=__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        default_parameter=Parameter(show_default=_shown_default),
    )
    _add_commands(app)
    app.register_install_completion_command(help="Install completion for your shell.")  # pyright: ignore[reportUnknownMemberType]
    return app


def _shown_default(value: object) -> str | None:
    """Return a default as the help shows it; a switch that is off and a text or list that is empty say nothing."""
    return None if value is None or value is False or value in ("", ()) else str(value)


def _add_commands(app: App) -> None:
    from smm_async import (  # noqa: PLC0415  they need the extra, too
        _cli_add,
        _cli_balance,
        _cli_journal,
        _cli_lookups,
        _cli_panel_app,
        _cli_services,
        _cli_watch,
        _cli_writes,
        _demo,
        _track,
        _worker,
    )

    app.command(_cli_services.services)
    app.command(_cli_balance.balance)
    app.command(_cli_lookups.status)
    app.command(_cli_watch.watch)
    app.command(_cli_add.add)
    app.command(_cli_journal.app)
    app.command(_cli_writes.refill)
    app.command(_cli_lookups.refill_status)
    app.command(_cli_writes.cancel)
    app.command(_cli_panel_app.app)
    app.command(_demo.demo)
    app.command(_worker.worker)
    app.command(_track.app)


def _drop(stream: TextIO) -> None:
    from smm_async._cli_output import drop  # noqa: PLC0415  it needs the extra

    drop(stream)


def _complain(sentence: str) -> None:
    # Where nobody can be told, the exit code alone says it.
    with suppress(OSError):
        sys.stderr.write(f"{sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
