"""The command line, `smm-async`; it needs the extra `cli`.

Each command is a function in a module of its own that is named in `_add_commands`; it returns an exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cyclopts import App

__all__ = ["main"]

_EXTRA: Final = ("cyclopts", "rich", "trio", "uvicorn")
_FAILED: Final = 1
_MISUSED: Final = 2
# What a shell reports for a program that Ctrl-C has ended.
_STOPPED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default the one that this process was started with, and return the exit code.

    It is 0 if all went well, 1 if something failed, 2 if the arguments are wrong, and 130 after Ctrl-C.
    """
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        _complain(f"smm-async needs {', '.join(missing)}: pip install 'smm_async[cli]'")
        return _FAILED
    code = _STOPPED
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
    # A group, where Ctrl-C found one of many tasks at work.
    except* KeyboardInterrupt:
        pass
    if code == _STOPPED:
        _complain("Stopped.")
    return code


def _run(arguments: Sequence[str]) -> int:
    # Only now, since it may not be installed.
    from cyclopts import CycloptsError  # noqa: PLC0415

    try:
        code: Any = _make_app()(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        _complain(" ".join(str(error).split()))
        return _MISUSED
    return code or 0


def _make_app() -> App:
    from cyclopts import App  # noqa: PLC0415  as above

    from smm_async import __version__  # noqa: PLC0415  as below

    app = App(
        name="smm-async",
        help="Try smm_async from the command line, and track orders.",
        version=__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    _add_commands(app)
    return app


def _add_commands(app: App) -> None:
    from cyclopts import App  # noqa: PLC0415  as above

    from smm_async import _cli_serve, _demo, _track, _worker  # noqa: PLC0415  they need the extra, too

    app.command(_demo.demo)
    app.command(_worker.worker)
    app.command(_track.app)
    panel = App(name="panel", help="Do something with a panel.")
    panel.command(_cli_serve.serve)
    app.command(panel)


def _complain(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
