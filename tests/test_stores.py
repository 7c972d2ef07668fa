"""The stores, by the suite that anybody's store can run."""

import pytest

from smm_async.conformance import StoreConformance
from smm_async.tracking import PostgresStore, SQLiteStore
from tests.databases import postgres_schema, postgres_url  # noqa: F401  fixtures
from tests.trackers import Clock

MOMENTS = {
    "smm_panel": ["turn", "paused_until"],
    "smm_order": ["due_at", "added_at", "changed_at", "ended_at"],
    "smm_event": ["at", "taken_until"],
}


class SQLiteConformance(StoreConformance):
    """What both kinds of SQLite stores have in common: a clock to put on."""

    path = ":memory:"

    def make_store(self, on_record=None):
        self.clock = Clock()
        return SQLiteStore(self.path, on_record=on_record, clock=self.clock)

    def advance(self, store, seconds):
        self.clock.ahead += seconds


class TestSQLiteInMemory(SQLiteConformance):
    """A store in memory."""


class TestSQLiteFile(SQLiteConformance):
    """A store in a file."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.path = tmp_path / "orders.db"


class TestPostgres(StoreConformance):
    """A store in a real server, for which time passes when all moments in it are set back."""

    @pytest.fixture(autouse=True)
    def _place(self, postgres_url, postgres_schema):
        self.place = postgres_url, postgres_schema

    def make_store(self, on_record=None):
        return PostgresStore(self.place[0], schema=self.place[1], on_record=on_record)

    def advance(self, store, seconds):
        set_back(*self.place, seconds)


def set_back(url, schema, seconds):
    """Let time pass for a store in a server: all moments in it are set back."""
    import psycopg  # noqa: PLC0415  an extra

    quoted = '"' + schema.replace('"', '""') + '"'
    with psycopg.connect(url) as db:
        for table, columns in MOMENTS.items():
            changes = ", ".join(f"{column} = {column} - interval '{seconds} seconds'" for column in columns)
            db.execute(f"update {quoted}.{table} set {changes}")


def test_suite_says_what_it_needs():
    """Whoever forgets to say how a store is made, or how time passes, is told."""
    with pytest.raises(NotImplementedError):
        StoreConformance().make_store()
    with pytest.raises(NotImplementedError):
        StoreConformance().advance(SQLiteStore(), 1.0)
