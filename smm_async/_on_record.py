"""What handles ends in a store's transaction, by its name on the command line."""

from __future__ import annotations

import inspect
import os
import pkgutil
import sys

from smm_async._cli_panel import SettingsError
from smm_async.tracking import OnRecord

__all__ = ["find_handler"]


def find_handler(name: str) -> OnRecord:
    """Return a function by ``MODULE:FUNCTION``; modules in the current folder are found, too.

    Raises:
        SettingsError: there is none, or none that a store can call.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        message = f"--on-record is MODULE:FUNCTION, not {name!r}."
        raise SettingsError(message)
    if os.getcwd() not in sys.path:  # noqa: PTH109  a text, as all others there
        sys.path.insert(0, os.getcwd())  # noqa: PTH109  as above
    try:
        found: object = pkgutil.resolve_name(name)
    except Exception as error:  # an import runs anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        message = f"--on-record {name!r} cannot be imported: {reason}"
        raise SettingsError(message) from error
    if not callable(found) or inspect.iscoroutinefunction(found):
        message = (
            f"--on-record {name!r} is no function that can be called in a transaction, with a connection and ends."
        )
        raise SettingsError(message)
    return found
