"""Orders in SQLite: in memory, or in a file that several processes of one machine share."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

from smm_async import _rows
from smm_async._sql import SQLITE, VERSION, make_statements
from smm_async._store import (
    Claim,
    Ended,
    EndKind,
    News,
    OnRecord,
    OnRecordError,
    PanelStats,
    StoreAwayError,
    StoreError,
    Tracked,
    chunks,
)

__all__ = ["SQLiteStore"]

_SQL: Final = make_statements(SQLITE)
# Without a key: by one it would be looked up for each order of the whole table, instead of the other way round.
_NEWS_TABLE: Final = f"create temp table smm_news ({', '.join(_rows.NEWS)})"
_PUT_NEWS: Final = f"insert into temp.smm_news values ({', '.join('?' * len(_rows.NEWS))})"  # noqa: S608  our own text
_OLDEST: Final = (3, 35)
# Others of this machine may be writing; each of their transactions takes milliseconds.
_BUSY_SECONDS: Final = 5.0
_BUSY_PAUSE: Final = 0.05
# A store is called in worker threads, where nothing else can wait.
_sleep: Final = time.sleep  # noqa: TID251
_MEMORY: Final = ":memory:"
_IS_THERE: Final = "select name from sqlite_schema where name in ('smm_schema', 'smm_order')"


class SQLiteStore:
    """Orders in memory, or in a file; see `Store` for its methods, which `Tracker` calls.

    A file is for the processes of one machine, on a local disk: SQLite's locks are not reliable on network drives. What
    was recorded is on the disk. One clock is the machine's: setting it back delays lookups by as much.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] = _MEMORY,
        *,
        on_record: OnRecord | None = None,
        clock: Callable[[], float] = time.time,  # noqa: TID251  processes must agree, and tests pass one of their own
    ) -> None:
        """Remember the path; the file is made by `open()`.

        Args:
            path: of a file of its own, not that of a journal.
            on_record: called as ``on_record(connection, ended)`` in the transaction that records ends. All workers of a
                file need the same. A commit there, as by ``with connection:``, is refused as "not authorized".
            clock: seconds since 1970.
        """
        given = os.fspath(path)
        # Whoever changes the folder later must not get another store.
        self._path = given if given == _MEMORY else os.path.abspath(given)  # noqa: PTH100  links stay links
        self._on_record = on_record
        self._clock = clock
        # One connection: SQLite has one writer at a time, and calls come from several threads.
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def __repr__(self) -> str:
        return f"SQLiteStore({self._path!r})"

    def open(self) -> None:
        """Open the file, and make the tables if there are none."""
        if sqlite3.sqlite_version_info < _OLDEST:
            message = f"A store needs SQLite 3.35 or newer; Python has {sqlite3.sqlite_version} here."
            raise StoreError(message)
        try:
            with self._lock, _translated(self._path):
                self._db = self._db or self._connect()
        except sqlite3.DatabaseError as error:
            message = f"{self._path!r} is no store of tracked orders: {error}"
            raise StoreError(message) from error

    def close(self) -> None:
        """Close the file. What was in memory is gone."""
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db = None

    def add(self, panel: str, orders: Sequence[str]) -> int:
        """Track orders, and return how many are new."""
        with self._transaction() as db:
            db.execute(_SQL.put_panel, self._with_now(panel=panel))
            return sum(
                db.execute(_SQL.add, self._with_now(panel=panel, orders=json.dumps(part))).rowcount
                for part in chunks(orders)
            )

    def claim(self, panel: str, *, limit: int, batch: int, lease: float, ahead: float, horizon: float) -> Claim:
        """Take due orders."""
        with self._transaction() as db:
            look = db.execute(_SQL.look, self._with_now(panel=panel, limit=limit)).fetchone()
            nothing = _rows.without_claim(look, horizon)
            if nothing is not None:
                return nothing
            most = _rows.claim_limit(look[3], limit=limit, batch=batch)
            given = self._with_now(id=look[0], limit=most, lease=lease, ahead=ahead)
            return _rows.make_claim(look, db.execute(_SQL.claim, given).fetchall())

    def record(self, news: Sequence[News]) -> set[int]:
        """Write down news, and the events of ends with it."""
        ends = {part.id: part.end for part in news if part.end is not None}
        with self._transaction() as db:
            db.execute("delete from temp.smm_news")
            db.executemany(_PUT_NEWS, map(_sqlite_values, news))
            accepted = {id_ for (id_,) in db.execute(_SQL.record, self._with_now())}
            ended = [id_ for id_ in ends if id_ in accepted]
            for kind in EndKind:
                ids = json.dumps([id_ for id_ in ended if ends[id_] is kind])
                db.execute(_SQL.put_events, self._with_now(ids=ids, kind=kind.value))
            if self._on_record is not None and ended:
                _hand_over(self._on_record, db, self._events(db, _SQL.new_events, ended))
        return accepted

    def reserve(self, panel: str, *, turns: int, interval: float, horizon: float) -> float | None:
        """Reserve turns to send requests."""
        with self._transaction() as db:
            given = self._with_now(panel=panel, turns=turns, interval=interval, horizon=horizon)
            row = db.execute(_SQL.reserve, given).fetchone()
        return None if row is None else row[0] - turns * interval

    def pause(self, panel: str, seconds: float) -> None:
        """Let nobody claim orders of a panel for a while."""
        with self._transaction() as db:
            db.execute(_SQL.pause, self._with_now(panel=panel, seconds=seconds))

    def find(self, panel: str, orders: Sequence[str]) -> list[Tracked]:
        """Return some orders."""
        with self._transaction("begin") as db:
            given = {"panel": panel, "orders": json.dumps(sorted(set(orders)))}
            return [_rows.make_tracked(row, _moment) for row in db.execute(_SQL.find, given)]

    def page(self, panel: str | None, *, after: int, limit: int, is_open: bool | None) -> list[tuple[int, Tracked]]:
        """Return tracked orders, part by part."""
        with self._transaction("begin") as db:
            given = {"panel": panel, "after": after, "limit": limit, "open": is_open}
            return [(row[14], _rows.make_tracked(row, _moment)) for row in db.execute(_SQL.page, given)]

    def reopen(self, panel: str, order: str) -> bool:
        """Track an order that has ended again."""
        with self._transaction() as db:
            given = self._with_now(panel=panel, number=order)
            if db.execute(_SQL.reopen, given).rowcount:
                return True
            is_back = db.execute(_SQL.bring_back, given).rowcount > 0
            db.execute(_SQL.forget_pruned, given)
            return is_back

    def take(self, limit: int, lease: float) -> list[Ended]:
        """Take events."""
        with self._transaction() as db:
            taken = db.execute(_SQL.take, self._with_now(limit=limit, lease=lease)).fetchall()
            return self._events(db, _SQL.events, [id_ for (id_,) in taken])

    def ack(self, ids: Sequence[int]) -> None:
        """Forget events."""
        with self._transaction() as db:
            db.execute(_SQL.ack, {"ids": json.dumps(list(ids))})

    def release(self, ids: Sequence[int]) -> None:
        """Give events back, to come after a while."""
        with self._transaction() as db:
            db.execute(_SQL.release, self._with_now(ids=json.dumps(list(ids))))

    def stats(self) -> list[PanelStats]:
        """Return the figures of each panel."""
        with self._transaction("begin") as db:
            return [_rows.make_stats(row) for row in db.execute(_SQL.stats, self._with_now())]

    def prune(self, seconds: float, *, events: bool = False) -> int:
        """Forget orders that ended long ago."""
        with self._transaction() as db:
            # The same moment for all: what is kept of an order, and what goes, must be the same orders.
            given = self._with_now(seconds=seconds)
            if events:
                db.execute(_SQL.prune_events, given)
            db.execute(_SQL.keep_pruned, given)
            return db.execute(_SQL.prune, given).rowcount

    def _with_now(self, **parameters: Any) -> Mapping[str, Any]:
        return {"now": self._clock(), **parameters}

    def _events(self, db: sqlite3.Connection, statement: str, ids: Sequence[int]) -> list[Ended]:
        return [_rows.make_ended(row, _moment) for row in db.execute(statement, {"ids": json.dumps(list(ids))})]

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _make_durable(db)
            db.execute(f"pragma busy_timeout = {int(_BUSY_SECONDS * 1000)}")
            db.execute("pragma temp_store = memory")
            db.execute(_NEWS_TABLE)
            db.execute("begin immediate")
            _check_tables(db, self._path)
            db.execute("commit")
        except BaseException:
            db.close()
            raise
        return db

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None and _is_closed(self._db):
            # By what handles ends, which must not. What was in memory is gone.
            self._db = None if self._path == _MEMORY else self._connect()
        if self._db is None:
            message = f"{self!r} is not open."
            raise StoreError(message)
        return self._db

    @contextmanager
    def _transaction(self, begin: str = "begin immediate") -> Generator[sqlite3.Connection, None, None]:
        with self._lock, _translated(self._path):
            db = self._opened()
            # Who only reads says just "begin": it sees what was there then, and keeps nobody from writing.
            db.execute(begin)
            try:
                yield db
                db.execute("commit")
            finally:
                if _is_in_transaction(db):
                    db.execute("rollback")


def _make_durable(db: sqlite3.Connection) -> None:
    """Have a connection without a timeout write to a log beside the file, and from there to the disk.

    Of those that begin a log with a new file at once, one succeeds, and SQLite refuses the others however long they would
    wait: they try again.
    """
    pauses = int(_BUSY_SECONDS / _BUSY_PAUSE)
    while True:
        try:
            db.execute("pragma synchronous = full")
            db.execute("pragma fullfsync = on")
            db.execute("pragma journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or not pauses:
                raise
        else:
            return
        pauses -= 1
        _sleep(_BUSY_PAUSE)


def _hand_over(on_record: OnRecord, db: sqlite3.Connection, ended: list[Ended]) -> None:
    """Call what handles ends, and see to it that it leaves the transaction as it is.

    Raises:
        OnRecordError: it has failed, or has ended the transaction.
    """
    # So that `with connection:`, which commits, fails before anything is committed.
    db.set_authorizer(_forbid_ends_of_transactions)
    try:
        with _own_rows(db):
            on_record(db, ended)
    except Exception as error:
        message = f"What handles ends has failed, and nothing was recorded: {error!r}"
        raise OnRecordError(message) from error
    finally:
        with suppress(sqlite3.ProgrammingError):
            db.set_authorizer(None)
    if not _is_in_transaction(db):
        message = "What handles ends has ended the transaction: it must not commit, roll back or close."
        raise OnRecordError(message)


@contextmanager
def _own_rows(db: sqlite3.Connection) -> Generator[None, None, None]:
    """Let others have rows made as they like them; the store's are tuples of texts and numbers."""
    rows, texts = db.row_factory, db.text_factory
    try:
        yield
    finally:
        db.row_factory, db.text_factory = rows, texts


def _forbid_ends_of_transactions(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_TRANSACTION else sqlite3.SQLITE_OK


def _is_in_transaction(db: sqlite3.Connection) -> bool:
    return not _is_closed(db) and db.in_transaction


def _is_closed(db: sqlite3.Connection) -> bool:
    try:
        _ = db.in_transaction
    except sqlite3.ProgrammingError:
        return True
    return False


def _check_tables(db: sqlite3.Connection, path: str) -> None:
    names = {name for (name,) in db.execute(_IS_THERE)}
    if not names:
        for table in _SQL.tables:
            db.execute(table)
        db.execute(_SQL.put_version, {"version": VERSION})
    elif "smm_schema" not in names:
        message = f"{path!r} is not a store of tracked orders but, as it seems, a journal: take a file of its own."
        raise StoreError(message)
    else:
        _rows.check_version(path, db.execute(_SQL.version).fetchall())


def _sqlite_values(news: News) -> tuple[Any, ...]:
    values = list(_rows.news_values(news))
    values[7] = None if news.charge is None else str(news.charge)
    return tuple(values)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


@contextmanager
def _translated(path: str) -> Generator[None, None, None]:
    """Raise what SQLite says of a lock or a disk as what a store raises."""
    try:
        yield
    except sqlite3.OperationalError as error:
        message = f"{path!r} cannot be used for now: {error}"
        raise StoreAwayError(message) from error
