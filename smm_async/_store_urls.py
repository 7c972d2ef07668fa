"""A store by its address, as the command line has it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from smm_async._cli_panel import SettingsError
from smm_async.tracking import OnRecord, PostgresStore, SQLiteStore, Store

__all__ = ["existing_store_at", "store_at"]

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql://", "postgres://")


def store_at(url: str, on_record: OnRecord | None = None) -> Store:
    """Return the store at an address; it is not opened.

    Raises:
        ValueError: it is no address of a store.
        ImportError: what it needs is not installed.
    """
    if _is_file(url):
        return SQLiteStore(url.removeprefix(_SQLITE), on_record=on_record)
    if url.startswith(_POSTGRES):
        return PostgresStore(url, on_record=on_record)
    # It may hold a password.
    message = "A store is sqlite:///orders.db, sqlite:////absolute/path.db or postgresql://user@host/database."
    raise ValueError(message)


def existing_store_at(url: str) -> Store:
    """Return the store at an address, which is there if it is a file: to look into one makes none.

    Raises:
        SettingsError: there is no such file.
        ValueError: it is no address of a store.
        ImportError: what it needs is not installed.
    """
    if _is_file(url) and not Path(url.removeprefix(_SQLITE)).exists():
        message = f"There is no store {url.removeprefix(_SQLITE)}."
        raise SettingsError(message)
    return store_at(url)


def _is_file(url: str) -> bool:
    return url.startswith(_SQLITE) and len(url) > len(_SQLITE)
