"""A store by its address, as the command line has it."""

from __future__ import annotations

from typing import Final

from smm_async.tracking import OnRecord, PostgresStore, SQLiteStore, Store

__all__ = ["store_at"]

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql://", "postgres://")


def store_at(url: str, on_record: OnRecord | None = None) -> Store:
    """Return the store at an address; it is not opened.

    Raises:
        ValueError: it is no address of a store.
        ImportError: what it needs is not installed.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return SQLiteStore(url.removeprefix(_SQLITE), on_record=on_record)
    if url.startswith(_POSTGRES):
        return PostgresStore(url, on_record=on_record)
    # It may hold a password.
    message = "A store is sqlite:///orders.db, sqlite:////absolute/path.db or postgresql://user@host/database."
    raise ValueError(message)
