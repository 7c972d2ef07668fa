"""Orders in PostgreSQL, for workers on several machines; it needs the extra `postgres`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, LiteralString

from smm_async import _rows
from smm_async._postgres_connections import Connections
from smm_async._sql import POSTGRES, VERSION, make_statements, quote_name
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

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresStore"]

# Any number that nobody else is likely to lock: workers that start at the same time make the tables one by one.
_LOCK: Final = "select pg_advisory_xact_lock(7653829104)"


class PostgresStore:
    """Orders in a PostgreSQL database, 13 or newer; see `Store` for its methods, which `Tracker` calls.

    Any number of workers on any number of machines may share it: rows are claimed with ``for update skip locked``, and
    the only clock is the server's. Connections are made when they are needed, one for each call at a time, and kept.
    """

    def __init__(
        self,
        dsn: str,
        *,
        schema: str = "public",
        on_record: OnRecord | None = None,
        prepare: bool = True,
    ) -> None:
        """Remember where it is; nothing is connected yet.

        Args:
            dsn: such as ``postgresql://user@host/database``. What it leaves out comes from libpq's variables and files.
                With standby servers: ``postgresql://user@one,two/database?target_session_attrs=read-write``.
            schema: whose tables; it is made if it is not there.
            on_record: called as ``on_record(connection, ended)`` in the transaction that records ends. The connection
                is psycopg's. All workers of a database need the same.
            prepare: whether statements are prepared; not behind PgBouncer in transaction mode.

        Raises:
            ImportError: psycopg is not installed.
            ValueError: libpq does not understand the address.
        """
        self._connections = Connections(dsn, prepare=prepare)
        self._schema = schema
        self._sql = make_statements(POSTGRES, f"{quote_name(schema)}.", r"%(\1)s")
        self._on_record = on_record

    def __repr__(self) -> str:
        # The address may hold a password.
        return f"<smm_async.tracking.PostgresStore {self._schema}>"

    def open(self) -> None:
        """Connect, and make the tables if there are none."""
        was_open, self._connections.is_open = self._connections.is_open, True
        try:
            self._connections.run(self._check_tables)
        except Exception as error:
            if not was_open:
                self.close()
            if isinstance(error, self._connections.error):
                # Such as rights that are missing.
                message = f"There can be no tracked orders in schema {self._schema}: {error}"
                raise StoreError(message) from error
            raise

    def close(self) -> None:
        """Disconnect."""
        self._connections.close()

    def add(self, panel: str, orders: Sequence[str]) -> int:
        """Track orders, and return how many are new."""

        def add(db: psycopg.Connection[Any]) -> int:
            with db.transaction():
                db.execute(self._sql.put_panel, {"panel": panel})
                return sum(self._add_part(db, {"panel": panel, "orders": part}) for part in chunks(orders))

        return self._connections.run(add)

    def _add_part(self, db: psycopg.Connection[Any], given: Mapping[str, Any]) -> int:
        added = db.execute(self._sql.add, given).rowcount
        # Where somebody prunes meanwhile, it has waited for them, and they may have left nothing to meet.
        return added and added - db.execute(self._sql.take_back, given).rowcount

    def claim(self, panel: str, *, limit: int, batch: int, lease: float, ahead: float, horizon: float) -> Claim:
        """Take due orders."""

        def claim(db: psycopg.Connection[Any]) -> Claim:
            look = db.execute(self._sql.look, {"panel": panel, "limit": limit}).fetchone()
            nothing = _rows.without_claim(look, horizon)
            if nothing is not None or look is None:
                return nothing or Claim()
            most = _rows.claim_limit(look[3], limit=limit, batch=batch)
            given = {"id": look[0], "limit": most, "lease": lease, "ahead": ahead}
            return _rows.make_claim(look, db.execute(self._sql.claim, given).fetchall())

        return self._connections.run(claim)

    def record(self, news: Sequence[News]) -> set[int]:
        """Write down news, and the events of ends with it."""
        # Sorted, so that two workers with the same rows wait for each other and never in a circle.
        rows = [_rows.news_values(part) for part in sorted(news, key=lambda part: part.id)]
        columns = {name: [row[place] for row in rows] for place, name in enumerate(_rows.NEWS)}
        ends = {part.id: part.end for part in news if part.end is not None}
        return self._connections.run(lambda db: self._record(db, columns, ends))

    def _record(
        self, db: psycopg.Connection[Any], columns: Mapping[str, list[Any]], ends: Mapping[int, EndKind]
    ) -> set[int]:
        with db.transaction():
            accepted = {id_ for (id_,) in db.execute(self._sql.record, columns)}
            ended = [id_ for id_ in ends if id_ in accepted]
            for kind in EndKind:
                ids = [id_ for id_ in ended if ends[id_] is kind]
                if ids:
                    db.execute(self._sql.put_events, {"ids": ids, "kind": kind.value})
            if self._on_record is not None and ended:
                self._hand_over(self._on_record, db, self._events(db, self._sql.new_events, ended))
        return accepted

    def _hand_over(self, on_record: OnRecord, db: psycopg.Connection[Any], ended: list[Ended]) -> None:
        """Call what handles ends, and look whether it has left the transaction as it was.

        Raises:
            OnRecordError: it has failed, or has ended the transaction.
            StoreAwayError: the connection was lost meanwhile.
        """
        try:
            with _own_rows(db):
                on_record(db, ended)
        except Exception as error:
            undone = next((cause for cause in _causes(error) if isinstance(cause, self._connections.undone)), None)
            if undone is not None:
                raise undone from None
            if db.broken:
                message = f"The database cannot be used for now: {error!r}"
                raise StoreAwayError(message) from error
            message = f"What handles ends has failed, and nothing was recorded: {error!r}"
            raise OnRecordError(message) from error
        # After an error that was swallowed, a commit would take everything back without a word.
        if db.info.transaction_status != db.info.transaction_status.INTRANS:
            message = "What handles ends has ended the transaction, or has had it fail: it must not commit or close."
            raise OnRecordError(message)

    def reserve(self, panel: str, *, turns: int, interval: float, horizon: float) -> float | None:
        """Reserve turns to send requests."""
        given = {"panel": panel, "turns": turns, "interval": float(interval), "horizon": horizon}
        row = self._connections.run(lambda db: db.execute(self._sql.reserve, given).fetchone())
        return None if row is None else row[0] - turns * interval

    def pause(self, panel: str, seconds: float) -> None:
        """Let nobody claim orders of a panel for a while."""
        self._connections.run(lambda db: db.execute(self._sql.pause, {"panel": panel, "seconds": seconds}))

    def find(self, panel: str, orders: Sequence[str]) -> list[Tracked]:
        """Return some orders."""
        given = {"panel": panel, "orders": sorted(set(orders))}
        rows = self._connections.run(lambda db: db.execute(self._sql.find, given).fetchall())
        return [_rows.make_tracked(row, _moment) for row in rows]

    def page(self, panel: str | None, *, after: int, limit: int, is_open: bool | None) -> list[tuple[int, Tracked]]:
        """Return tracked orders, part by part."""
        given = {"panel": panel, "after": after, "limit": limit, "open": None if is_open is None else int(is_open)}
        rows = self._connections.run(lambda db: db.execute(self._sql.page, given).fetchall())
        return [(row[14], _rows.make_tracked(row, _moment)) for row in rows]

    def reopen(self, panel: str, order: str) -> bool:
        """Track an order that has ended again."""
        given = {"panel": panel, "number": order}

        def reopen(db: psycopg.Connection[Any]) -> bool:
            with db.transaction():
                if db.execute(self._sql.reopen, given).rowcount:
                    return True
                is_back = db.execute(self._sql.bring_back, given).rowcount > 0
                db.execute(self._sql.forget_pruned, given)
                return is_back

        return self._connections.run(reopen)

    def take(self, limit: int, lease: float) -> list[Ended]:
        """Take events."""

        def take(db: psycopg.Connection[Any]) -> list[Ended]:
            with db.transaction():
                taken = db.execute(self._sql.take, {"limit": limit, "lease": lease}).fetchall()
                return self._events(db, self._sql.events, [id_ for (id_,) in taken]) if taken else []

        return self._connections.run(take)

    def ack(self, ids: Sequence[int]) -> None:
        """Forget events."""
        self._connections.run(lambda db: db.execute(self._sql.ack, {"ids": sorted(ids)}))

    def release(self, ids: Sequence[int]) -> None:
        """Give events back, to come after a while."""
        self._connections.run(lambda db: db.execute(self._sql.release, {"ids": sorted(ids)}))

    def stats(self) -> list[PanelStats]:
        """Return the figures of each panel."""
        return [
            _rows.make_stats(row) for row in self._connections.run(lambda db: db.execute(self._sql.stats).fetchall())
        ]

    def prune(self, seconds: float, *, events: bool = False) -> int:
        """Forget orders that ended long ago."""

        def prune(db: psycopg.Connection[Any]) -> int:
            with db.transaction():
                if events:
                    db.execute(self._sql.prune_events, {"seconds": seconds})
                return db.execute(self._sql.keep_and_prune, {"seconds": seconds}).rowcount

        return self._connections.run(prune)

    def _events(self, db: psycopg.Connection[Any], statement: LiteralString, ids: Sequence[int]) -> list[Ended]:
        return [_rows.make_ended(row, _moment) for row in db.execute(statement, {"ids": list(ids)})]

    def _check_tables(self, db: psycopg.Connection[Any]) -> None:
        name = f"{quote_name(self._schema)}.smm_schema"
        with db.transaction():
            db.execute(_LOCK)
            if db.execute("select to_regclass(%(name)s)", {"name": name}).fetchall() == [(None,)]:
                if self._schema != "public":
                    # Not where it is there: that may be all the rights there are.
                    db.execute(f"create schema if not exists {quote_name(self._schema)}")
                for table in self._sql.tables:
                    db.execute(table)
                db.execute(self._sql.put_version, {"version": VERSION})
            _rows.check_version(f"schema {self._schema}", db.execute(self._sql.version).fetchall())


@contextmanager
def _own_rows(db: psycopg.Connection[Any]) -> Generator[None, None, None]:
    """Let others have rows made as they like them; the store's are tuples."""
    rows, cursors = db.row_factory, db.cursor_factory
    try:
        yield
    finally:
        db.row_factory, db.cursor_factory = rows, cursors


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and what has caused it: whoever queues jobs has errors of its own around the database's."""
    while error is not None:
        yield error
        error = error.__cause__


def _moment(moment: datetime) -> datetime:
    # The server tells its moments in the zone of the session.
    return moment.astimezone(UTC)
