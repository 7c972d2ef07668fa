"""Connections to PostgreSQL: made when they are needed, kept, and given up when the server is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

from smm_async._store import StoreAwayError, StoreError

if TYPE_CHECKING:
    import psycopg

__all__ = ["Connections"]

T = TypeVar("T")

# Unless the address says otherwise. Without them a call would wait for hours for a machine that has vanished.
_OPTIONS: Final = {
    "application_name": "smm_async",
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    # For one that vanishes while it works on what it has got.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
# A deadlock, or two transactions that could not be one after the other: the server has undone one, and it is repeated.
_ATTEMPTS: Final = 3


class Connections:
    """Lends connections, one for each call at a time."""

    def __init__(self, dsn: str, *, prepare: bool) -> None:
        """Remember where the database is.

        Raises:
            ImportError: psycopg is not installed.
            ValueError: libpq does not understand the address.
        """
        try:
            import psycopg  # noqa: PLC0415  an extra
        except ImportError as error:
            message = f"PostgresStore needs psycopg: pip install 'smm_async[postgres]' ({error})"
            raise ImportError(message) from error
        self.error = psycopg.Error
        self.undone = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
        self._no_primary = psycopg.errors.ReadOnlySqlTransaction
        self._away = (psycopg.OperationalError, psycopg.InterfaceError, self._no_primary)
        self._address: dict[str, Any] = {**_OPTIONS, **_read_address(dsn)}
        self._prepare_after = 5 if prepare else None
        self._lock = threading.Lock()
        self.idle: list[psycopg.Connection[Any]] = []
        self.is_open = False

    def close(self) -> None:
        """Lend no more, and disconnect; what is lent is disconnected when it is given back."""
        with self._lock:
            self.is_open = False
        self._drop_idle()

    def run(self, call: Callable[[psycopg.Connection[Any]], T]) -> T:
        """Return what ``call`` makes of a connection, repeated where the server has undone it for another's sake.

        Raises:
            StoreAwayError: the server cannot be reached, is no primary, or undoes it again and again.
            StoreError: nobody has opened them.
        """
        try:
            return self._repeat(call)
        except self._away as error:
            message = f"The database cannot be used for now: {error}"
            raise StoreAwayError(message) from error

    def _repeat(self, call: Callable[[psycopg.Connection[Any]], T]) -> T:
        for _ in range(_ATTEMPTS - 1):
            with suppress(*self.undone), self.lend() as db:
                return call(db)
        with self.lend() as db:
            return call(db)

    @contextmanager
    def lend(self) -> Generator[psycopg.Connection[Any], None, None]:
        """Lend a connection that nobody else uses, an idle one if there is one."""
        if not self.is_open:
            message = "The store is not open."
            raise StoreError(message)
        with self._lock:
            db = self.idle.pop() if self.idle else None
        db = db or self._connect()
        try:
            yield db
        except self._no_primary:
            # After a failover, whoever is connected to what was the primary must look for the one that is.
            db.close()
            raise
        finally:
            self._put_back(db)

    def _put_back(self, db: psycopg.Connection[Any]) -> None:
        if db.closed:
            # The others that were idle meanwhile are as dead, most likely.
            self._drop_idle()
        elif not self._keep(db):
            db.close()

    def _keep(self, db: psycopg.Connection[Any]) -> bool:
        # Looked at with the lock held: one that came in between, while they are closed, would stay connected for ever.
        with self._lock:
            if self.is_open:
                self.idle.append(db)
            return self.is_open

    def _connect(self) -> psycopg.Connection[Any]:
        import psycopg  # noqa: PLC0415  an extra

        db = psycopg.connect(**self._address, autocommit=True)
        db.prepare_threshold = self._prepare_after
        # Whatever the server's default is: what follows a wait for others must see what they have done.
        db.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        return db

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self.idle = self.idle, []
        for db in idle:
            db.close()


def _read_address(dsn: str) -> dict[str, Any]:
    from psycopg import ProgrammingError  # noqa: PLC0415  an extra
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415  an extra

    try:
        return conninfo_to_dict(dsn)
    except ProgrammingError:
        # What is wrong with it is not said, for it may hold a password.
        message = "libpq does not understand the address of the database: postgresql://user:password@host/database."
        raise ValueError(message) from None
