"""Journals that a crash has torn at any byte: they open, and what was on the disk before is still there."""

import functools
import random
import sqlite3
from contextlib import closing

import pytest

import smm_async as smm
from smm_async import _journal_file

pytestmark = pytest.mark.thorough

OPEN, PLACED, REFUSED, NOT_SENT = (
    smm.EntryState.OPEN,
    smm.EntryState.PLACED,
    smm.EntryState.REFUSED,
    smm.EntryState.NOT_SENT,
)
# The frames of a write-ahead log; its head is checked by a sum of its own.
_HEAD, _FRAME_HEAD = 32, 24
_FINE, _COARSE = 12, 13
FIELDS = {"service": "1", "link": "https://example.com/" + "x" * 500, "quantity": "100"}


def begin(ref):
    return functools.partial(
        _journal_file.begin,
        ref=ref,
        action="add",
        fields=FIELDS,
        attempt="1",
        within=60.0,
        balance=None,
        since=None,
    )


def finish(ref, state, order=None):
    return functools.partial(_journal_file.finish, ref=ref, state=state, attempt="1", order=order, note="")


BEFORE = [begin("placed"), finish("placed", PLACED, "7"), begin("refused"), finish("refused", REFUSED), begin("open")]
KNOWN = {"placed": PLACED, "refused": REFUSED, "open": OPEN}
LAST = {
    "begin": (begin("last"), {None, OPEN}),
    "placed": (finish("open", PLACED, "8"), {OPEN, PLACED}),
    "refused": (finish("open", REFUSED), {OPEN, REFUSED}),
    "not_sent": (finish("open", NOT_SENT), {OPEN, NOT_SENT}),
}


class Crashed:
    """What a crash leaves of a journal: the file, and a log that holds the last transaction behind others."""

    def __init__(self, folder, last):
        path = folder / "orders.db"
        _journal_file.transact(str(path), BEFORE[0])
        # Whoever else has the file open keeps the log from being taken into it.
        with closing(sqlite3.connect(path)) as other:
            other.execute("select count(*) from smm_order").fetchall()
            for step in BEFORE[1:]:
                _journal_file.transact(str(path), step)
            self.start = len(self._log_of(path))
            _journal_file.transact(str(path), last)
            self.file, self.log = path.read_bytes(), self._log_of(path)
        self._copy = folder / "copy.db"

    @staticmethod
    def _log_of(path):
        return path.with_name(f"{path.name}-wal").read_bytes()

    def states_with(self, log):
        """Return the states that a journal finds when it is opened behind this log."""
        self._copy.write_bytes(self.file)
        self._copy.with_name("copy.db-wal").write_bytes(log)
        entries = _journal_file.transact(str(self._copy), lambda db: _journal_file.select(db, ""))
        return {entry.ref: entry.state for entry in entries}

    def cuts(self):
        """Return where to cut: every byte at the ends of each frame and of its head, and some in between."""
        page = int.from_bytes(self.log[8:12], "big")
        edges = range(self.start, len(self.log) + 1, page + _FRAME_HEAD)
        near = {edge + step for edge in edges for step in (*range(-_FINE, _FINE), *range(_FRAME_HEAD, _FRAME_HEAD + 4))}
        return sorted(
            cut for cut in near | set(range(self.start, len(self.log), _COARSE)) if self.start <= cut <= len(self.log)
        )


@pytest.mark.parametrize(("last", "allowed"), LAST.values(), ids=LAST)
def test_journal_cut_at_any_byte_loses_nothing_but_its_last_step(tmp_path, last, allowed):
    """A log that ends anywhere in its last transaction has that one or has it not, and all that was before."""
    crashed = Crashed(tmp_path, last)
    seen = set()

    for cut in crashed.cuts():
        states = crashed.states_with(crashed.log[:cut])
        seen.add(states.get("last") if None in allowed else states["open"])
        assert {ref: state for ref, state in states.items() if ref not in {"open", "last"}} == {
            "placed": PLACED,
            "refused": REFUSED,
        }
        assert "open" in states

    assert seen == allowed


@pytest.mark.parametrize("fill", ["zeros", "noise", "ones"])
def test_journal_with_a_garbled_end_loses_nothing_but_its_last_step(tmp_path, fill):
    """A log whose last transaction was written in part, with anything behind it, is as if it had not begun."""
    crashed = Crashed(tmp_path, LAST["refused"][0])
    chance = random.Random(7)

    for cut in crashed.cuts()[:-1:3]:
        rest = len(crashed.log) - cut
        tail = {"zeros": b"\0" * rest, "noise": chance.randbytes(rest), "ones": b"\xff" * rest}[fill]
        states = crashed.states_with(crashed.log[:cut] + tail)
        assert states in (KNOWN, {**KNOWN, "open": REFUSED}) if tail == crashed.log[cut:] else states == KNOWN


def test_journal_without_its_log_has_what_was_taken_from_it(tmp_path):
    """A journal whose log is gone altogether opens with what had been taken into the file."""
    crashed = Crashed(tmp_path, LAST["begin"][0])

    assert crashed.states_with(b"") == {"placed": OPEN}


async def test_torn_journal_goes_on(tmp_path):
    """Behind a torn end orders are written down as before, and the open one is still in the way of a second."""
    crashed = Crashed(tmp_path, LAST["refused"][0])
    crashed.states_with(crashed.log[: crashed.start + 40])
    journal = smm.Journal(tmp_path / "copy.db")

    assert (await journal.begin("open", "add", FIELDS, attempt="2", within=60.0)).state is OPEN
    assert await journal.begin("new", "add", FIELDS, attempt="2", within=60.0) is None
    assert [entry.ref for entry in await journal.entries()] == ["placed", "refused", "open", "new"]
