"""The command `smm-async track`: orders go into a store and can be seen there."""

import json
import os
import re
import sys
from decimal import Decimal

import pytest

import smm_async as smm
from smm_async import _cli_ids
from smm_async._track import _PAGE
from smm_async.cli import main
from smm_async.tracking import EndKind, News, SQLiteStore


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The address of a store that is not there yet, as the environment has it."""
    url = f"sqlite:///{tmp_path}/orders.db"
    monkeypatch.setenv("SMM_STORE", url)
    return url


def ended(row):
    """Return the news that an order has ended."""
    return News(row.id, row.claim, row.version, 0.0, status="Completed", state="Completed", end=EndKind.ENDED)


@pytest.fixture
def store(place):
    """An open store with orders 1 to 3, of which the first has ended, and the second is known."""
    store = SQLiteStore(place.removeprefix("sqlite:///"))
    store.open()
    store.add("alpha", ["1", "2", "3"])
    rows = store.claim("alpha", limit=9, batch=9, lease=60, ahead=0, horizon=60).rows
    one, two = (row for row in rows if row.order in {"1", "2"})
    end = ended(one)
    heard = News(two.id, two.claim, 1, 9.0, status="In progress", state="In progress", charge=Decimal("0.50"))
    store.record([end, heard])
    yield store
    store.close()


def test_orders_are_added_once(place, capsys):
    """Orders are given by their ids, and counted if they are new."""
    assert main(["track", "add", "alpha", "1", "2", "--store", place]) == 0
    assert main(["track", "add", "alpha", "2", "3", "--store", place]) == 0

    assert capsys.readouterr().out == "2 added\n1 added\n"


def test_orders_are_read_from_a_file_or_the_input(place, tmp_path, capsys, monkeypatch):
    """Very many orders come from a file or through a pipe, as for all commands; a bad one, and nothing is added."""
    file = tmp_path / "ids.txt"
    file.write_text("1\n2 3\n")
    assert main(["track", "add", "alpha", "3", "--file", str(file)]) == 0
    with file.open("a") as more:
        more.write("4\n5,6\n")
    assert main(["track", "add", "alpha", "--file", str(file)]) == 2
    file.write_text("3 4")
    with file.open("rb") as opened:
        monkeypatch.setattr(_cli_ids, "_STDIN", opened.fileno())
        assert main(["track", "add", "alpha", "--file", "-"]) == 0

    out, err = capsys.readouterr()
    assert out == "3 added\n1 added\n"
    assert err.startswith("Line 4: ")


def test_input_that_is_closed_is_said(place, capsys, monkeypatch):
    """Orders cannot come from an input that is not there."""
    monkeypatch.setattr(sys, "stdin", None)

    assert main(["track", "add", "alpha", "--file", "-"]) == 2
    assert capsys.readouterr().err == "There is no standard input to read ids from: it is closed.\n"


def test_no_orders_to_track_are_asked_for(place, capsys):
    """Whoever forgot the ids is told, and not that all went well; an input without any is one that is empty."""
    assert main(["track", "add", "alpha"]) == 2
    assert capsys.readouterr().err == "Which orders? Say their ids, --file PATH, or --journal PATH.\n"


def test_store_that_is_not_there_is_a_failure(capsys):
    """The arguments are right, and the place is not."""
    assert main(["track", "add", "alpha", "1", "--store", "sqlite:////nowhere/at/all.db"]) == 1
    assert "cannot be used for now" in capsys.readouterr().err


async def fill(journal):
    """Put one placed order into a journal."""
    await journal.begin("ref", "add", {}, attempt="a", within=1.0)
    await journal.finish("ref", smm.EntryState.PLACED, attempt="a", order="77")


def test_driver_that_is_missing_is_said(monkeypatch, capsys):
    """Without psycopg there is one sentence that says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)

    assert main(["track", "stats", "--store", "postgresql://somewhere/orders"]) == 1
    assert "pip install 'smm_async[postgres]'" in capsys.readouterr().err


def test_orders_of_a_journal_are_added(place, tmp_path, capsys):
    """A journal's orders need not be listed."""
    import anyio  # noqa: PLC0415  only here

    anyio.run(fill, smm.Journal(tmp_path / "journal.db"))

    assert main(["track", "add", "alpha", "--journal", str(tmp_path / "journal.db")]) == 0
    assert capsys.readouterr().out == "1 added\n"


def test_orders_are_listed(store, capsys):
    """A list shows the open orders, the ended ones, or all, up to a limit."""
    shown = []
    for options in ([], ["--which", "ended"], ["--which", "all", "--limit", "2"], ["--panel", "beta"]):
        assert main(["track", "list", *options]) == 0
        shown.append([line.split()[1] for line in capsys.readouterr().out.splitlines() if "alpha" in line])

    assert shown == [["2", "3"], ["1"], ["1", "2"], []]


def test_orders_are_exported(store, capsys):
    """An export has everything that is known, each order in a line of JSON."""
    assert main(["track", "export"]) == 0

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["key"] for row in rows] == ["alpha/1", "alpha/2", "alpha/3"]
    assert (rows[0]["state"], rows[0]["ended_at"][-6:]) == ("Completed", "+00:00")
    assert (rows[1]["charge"], rows[1]["ended_at"], rows[2]["status"]) == ("0.50", None, None)


def test_export_goes_page_by_page(place, capsys):
    """More orders than are read at a time are all there."""
    store = SQLiteStore(place.removeprefix("sqlite:///"))
    store.open()
    store.add("alpha", [str(number) for number in range(_PAGE + 1)])
    store.close()

    assert main(["track", "export", "--which", "open"]) == 0
    assert capsys.readouterr().out.count("\n") == _PAGE + 1


def test_who_reads_no_further_is_left_in_peace(place, capsys, monkeypatch):
    """Behind `| head` an export ends without a complaint."""
    store = SQLiteStore(place.removeprefix("sqlite:///"))
    store.open()
    store.add("alpha", [str(number) for number in range(50)])
    store.close()
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        code = main(["track", "export"])
    monkeypatch.undo()

    assert code == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("columns", "titles"), [(80, "panel order status charge changed ended"), (40, "panel order status charge")]
)
def test_list_cuts_nothing(columns, titles, store, capsys, monkeypatch):
    """In a narrow terminal the least important columns go, and what is shown is whole."""
    monkeypatch.setenv("COLUMNS", str(columns))

    assert main(["track", "list", "--which", "all"]) == 0

    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == titles.split()
    assert rows[0].split()[:3] == ["alpha", "1", "Completed"]
    assert "In progress" in rows[1]
    assert bool(re.search(r" 20\d\d-\d\d-\d\d \d\d:\d\d$", rows[0].rstrip())) == (columns == 80)


def test_nothing_to_show_is_said(place, capsys):
    """An empty store is no silence, which looks like a fault."""
    empty = SQLiteStore(place.removeprefix("sqlite:///"))
    empty.open()
    empty.close()

    assert main(["track", "list"]) == main(["track", "stats"]) == main(["track", "stats", "--json"]) == 0
    assert capsys.readouterr() == (
        "",
        "No such order is in this store.\n" + "Nothing is tracked in this store.\n" * 2,
    )


def test_list_goes_page_by_page(place, capsys, monkeypatch):
    """A long list has as many rows as there are, or as were asked for."""
    monkeypatch.setattr("smm_async._track._PAGE", 20)
    store = SQLiteStore(place.removeprefix("sqlite:///"))
    store.open()
    store.add("alpha", [str(number) for number in range(25)])
    store.close()
    shown = []
    for limit in (21, 29):
        assert main(["track", "list", "--limit", str(limit)]) == 0
        shown.append(capsys.readouterr().out.count("alpha"))

    assert shown == [21, 25]


def test_figures_are_shown(store, capsys):
    """Figures come as a table, or as lines of JSON."""
    store.pause("alpha", 100.0)
    assert main(["track", "stats"]) == 0
    assert main(["track", "stats", "--json"]) == 0

    *table, line = capsys.readouterr().out.splitlines()
    assert "alpha" in "".join(table)
    row = json.loads(line)
    assert (row["open"], row["due"], row["ended"], row["events"]) == (2, 0, 1, 1)
    assert 90 < row["paused"] <= 100


@pytest.mark.parametrize("command", ["list", "export", "stats", "prune --days 1", "reopen alpha 1"])
def test_looking_into_a_store_makes_none(command, place, tmp_path, capsys):
    """A mistyped address is said, and leaves no new and empty store behind."""
    assert main(["track", *command.split()]) == 2

    assert capsys.readouterr() == ("", f"There is no store {tmp_path}/orders.db.\n")
    assert list(tmp_path.iterdir()) == []


def test_orders_that_ended_long_ago_are_forgotten(store, capsys):
    """Forgetting is a line in a crontab; what nobody has acknowledged stays, unless that is asked for."""
    for options in (["--days", "0"], ["--days", "1", "--events"], ["--days", "0", "--events"]):
        assert main(["track", "prune", *options]) == 0

    assert capsys.readouterr().out == "0 forgotten\n0 forgotten\n1 forgotten\n"


@pytest.mark.parametrize("days", ["-1", "nan", "inf"])
def test_days_that_are_no_number_forget_nothing(days, store, capsys):
    """What is not a number of days is wrong usage."""
    assert main(["track", "prune", f"--days={days}", "--events"]) == 2
    assert store.find("alpha", ["1"])


def test_ended_orders_are_reopened(store, capsys):
    """After a refill, an order is tracked again; which one cannot be is said."""
    assert main(["track", "reopen", "alpha", "1", "2"]) == 1
    assert capsys.readouterr() == ("1 reopened\n", "Order 2 of panel 'alpha' has not ended, or is not tracked.\n")
    assert [tracked.version for tracked in store.find("alpha", ["1"])] == [2]

    store.record([ended(row) for row in store.claim("alpha", limit=9, batch=9, lease=60, ahead=0, horizon=60).rows])
    assert main(["track", "reopen", "alpha", "1"]) == 0
    assert capsys.readouterr() == ("1 reopened\n", "")


@pytest.mark.parametrize("ids", [[], ["1", "2,3"]], ids=["none", "comma"])
def test_nothing_is_reopened_for_ids_that_are_none(ids, store, capsys):
    """All ids are read before anything is written."""
    assert main(["track", "reopen", "alpha", *ids]) == 2
    assert [tracked.version for tracked in store.find("alpha", ["1"])] == [1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "alpha", "1,2"], "order id"),
        (["add", "", "1"], "name"),
        (["stats", "--store", "mysql://host"], "A store is"),
        (["add", "alpha", "--journal", "/nowhere/orders.db"], "There is no journal /nowhere/orders.db."),
        (["add", "alpha", "--journal", "/"], "Journal('/') cannot be read: unable to open database file. Look at"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_work_is_said_in_one_line(arguments, words, place, capsys):
    """A wrong argument ends with the exit code of all commands for it, and a sentence."""
    assert main(["track", *arguments]) == 2
    assert words in capsys.readouterr().err
