"""The journal on the command line: what is open in it, what evidence there is, and how it is settled."""

import shlex
import sqlite3
from decimal import Decimal

import pytest

from smm_async.cli import main
from smm_async.journal import Journal
from smm_async.testing import Fault
from tests.commands import URL, json_lines, panel, settings
from tests.test_cli_add import ORDER, added

__all__ = ["panel", "settings"]

WRITES = {"add", "add_product_order", "refill", "cancel"}


@pytest.fixture
def journal(settings, tmp_path):
    """The path of the journal that the environment names, with a blank in it."""
    path = tmp_path / "my orders.db"
    settings.setenv("SMM_JOURNAL", str(path))
    return path


@pytest.fixture
def lose(panel, journal, capsys):
    """Return what has the answer to an order be lost, and gives what was said of that."""

    def lose(ref, *options, executed=True):
        panel.fault(Fault.lost_answer(executed=executed), action="add")
        assert main([*ORDER, "--ref", ref, "--yes", *options]) == 3
        return capsys.readouterr().err

    return lose


def command_in(text):
    """Return the arguments of the last command line that a text names."""
    return shlex.split(text[text.rindex("smm-async ") :])[1:]


def test_lost_order_names_the_next_command_until_it_is_settled(panel, lose, journal, settings, capsys):
    """From the exit code 3 on, what is said leads to the end, by copying it, and the order is placed once."""
    settings.delenv("SMM_JOURNAL")
    said = lose("r 1", "--journal", str(journal))
    assert command_in(said) == ["journal", "reconcile", "r 1", "--journal", str(journal)]
    writes = [request.action for request in panel.requests if request.action in WRITES]

    assert main([*command_in(said), "--settle", "0", "--json"]) == 0
    out, err = capsys.readouterr()
    (found,) = json_lines(out)
    assert (found["ref"], found["verdict"], found["order"]) == ("r 1", "placed", None)
    assert "by exactly the order's price of 0.09" in found["evidence"][0]
    assert command_in(err)[:5] == ["journal", "settle", "r 1", "--order", "NUMBER"]
    assert "r 1 was placed. If you agree, write it down with the panel's number: " in err

    words = ["251" if word == "NUMBER" else word for word in command_in(err)]
    assert main([*words, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("r 1,placed,251,")
    assert main([*ORDER, "--ref", "r 1", "--yes", "--journal", str(journal)]) == 0
    assert capsys.readouterr().out == "251\n"
    assert [request.action for request in panel.requests if request.action in WRITES] == writes == ["add"]


def test_commands_to_copy_run_where_an_address_was_given(panel, lose, settings, capsys):
    """The address goes to the command that asks the panel, and not to those that look into the journal alone."""
    settings.delenv("SMM_URL")
    said = lose("r-1", "--url", URL)
    assert command_in(said) == ["journal", "reconcile", "r-1", "--url", URL]

    assert main([*command_in(said), "--settle", "0"]) == 0
    settle = command_in(capsys.readouterr().err)
    assert main([word.replace("NUMBER", "251") for word in settle]) == 0

    assert main(["journal", "reconcile", "r-9", "--url", URL]) == 2
    assert main(command_in(capsys.readouterr().err)) == 0


def test_order_that_was_not_placed_may_be_placed_again(panel, lose, capsys):
    """What the balance shows not to have been bought is settled as that, and bought under the same ref."""
    panel.balance = Decimal("1000.005")
    lose("r-1", executed=False)

    assert main(["journal", "reconcile", "--settle", "0"]) == 0
    out, err = capsys.readouterr()
    assert "not placed" in out
    assert command_in(err) == ["journal", "settle", "r-1", "--not-placed"]
    assert main(command_in(err)) == 0
    assert "not sent" in capsys.readouterr().out

    assert main([*ORDER, "--ref", "r-1", "--yes"]) == 0
    assert len(added(panel)) == 2


def test_neighbours_find_the_number(panel, lose, capsys):
    """Where the next ids may be looked up, the command that settles the order has its number."""
    assert main([*ORDER, "--ref", "r-1", "--yes"]) == 0
    lose("r-2")

    assert main(["journal", "reconcile", "r-2", "--settle", "0", "--neighbours", "5"]) == 0
    assert command_in(capsys.readouterr().err) == ["journal", "settle", "r-2", "--order", "252"]


def test_order_of_which_nothing_is_known_is_exit_code_3(panel, lose, capsys):
    """A balance that something else has moved proves nothing; both ways to settle it are named."""
    lose("r-1")
    panel.balance -= 1

    assert main(["journal", "reconcile", "r-1", "--settle", "0"]) == 3
    err = capsys.readouterr().err
    assert "smm-async journal settle r-1 --order NUMBER or smm-async journal settle r-1 --not-placed" in err


def test_reconcile_has_nothing_to_say_of_what_is_known(panel, lose, capsys):
    """A settled order shows what the journal says, and without a ref nothing is asked for."""
    lose("r-1")
    assert main(["journal", "settle", "r-1", "--order", "251"]) == 0
    capsys.readouterr()
    asked = panel.count()

    assert main(["journal", "reconcile", "r-1", "--csv"]) == main(["journal", "reconcile"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1] == "r-1,placed,251,The journal says that it was placed."
    assert err == "What became of every order is known.\n"
    assert panel.count() == asked


def test_reconcile_says_for_how_long_it_waits(lose, capsys, monkeypatch):
    """Panels book late: whoever looks at once is told why nothing happens."""
    lose("r-1")

    async def age(*_):
        return 119.99

    monkeypatch.setattr(Journal, "age", age)
    assert main(["journal", "reconcile", "--csv"]) == 0
    assert "panels book late: waiting for 1 s.\n" in capsys.readouterr().err


def test_list_shows_what_is_open_or_all(lose, journal, settings, capsys):
    """By default only what nobody knows is shown; no panel needs to be named, and none is asked."""
    assert main([*ORDER, "--ref", "r-1", "--yes"]) == 0
    lose("r-2")
    settings.delenv("SMM_URL")
    settings.setenv("COLUMNS", "40")

    assert main(["journal", "list"]) == main(["journal", "list", "--all", "--csv"]) == 0
    assert main(["journal", "list", "--all", "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table, lines = lines[:-5], lines[-5:]
    assert (table[0].split(), table[2].split()) == (["ref", "state", "fields"], ["r-2", "open", "service=1"])
    assert [line.split(",")[:3] for line in lines[:3]] == [
        ["ref", "state", "order"],
        ["r-1", "placed", "251"],
        ["r-2", "open", ""],
    ]
    first, second = json_lines("\n".join(lines[3:]))
    assert first["fields"] == {"service": "1", "link": "https://e.com/p", "quantity": "100"}
    assert (first["balance"], second["balance"]) == ("1000", "999.91")


def test_list_has_no_empty_column(journal, panel, capsys):
    """Where nothing was noted, no column says so."""
    assert main([*ORDER, "--ref", "r-1", "--yes"]) == main(["journal", "list", "--all"]) == 0

    assert capsys.readouterr().out.splitlines()[1].split() == [
        "ref",
        "state",
        "order",
        "opened",
        "at",
        "action",
        "fields",
    ]


def test_list_of_nothing_says_so(lose, capsys):
    """An empty list is a sentence."""
    lose("r-1")
    assert main(["journal", "settle", "r-1", "--not-placed"]) == 0
    capsys.readouterr()

    assert main(["journal", "list"]) == 0
    assert capsys.readouterr() == ("", "What became of every order is known.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["settle", "r-1"], 2, "Say either --order with the panel's number, or --not-placed."),
        (["settle", "r-1", "--order", "7", "--not-placed"], 2, "Say either"),
        (["settle", "r-1", "--order", "7 8"], 2, "'7 8' is no order id"),
        (["settle", "r-0", "--order", "7"], 2, "is not open, but placed"),
        (["settle", "r-9", "--order", "7"], 2, "no order under ref 'r-9': see what there is with smm-async journal list --all"),
        (["reconcile", "r-1", "r-9"], 2, "no order under ref 'r-9': see what there is with smm-async journal list --all"),
        (["reconcile", "--settle", "inf"], 2, "--settle"),
        (["reconcile", "--neighbours", "1001"], 2, "--neighbours"),
        (["list", "--journal", "nowhere.db"], 2, "There is no journal nowhere.db."),
        (["list", "--journal", "."], 2, "cannot be read: unable to open database file. Look at that file, or"),
        (["settle", "r-1", "--order", "7", "--journal", "text"], 2, "text') cannot be read: file is not a database."),
        (["reconcile", "--journal", "text"], 2, "text') cannot be read: file is not a database."),
        (["list", "--panel", "nobody"], 2, "There is no panel 'nobody'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_the_journal_does_not_take_is_said(arguments, code, words, panel, lose, capsys, tmp_path, monkeypatch):
    """One sentence, nothing is changed, and no write is sent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("no database " * 100)
    assert main([*ORDER, "--ref", "r-0", "--yes"]) == 0
    lose("r-1")
    before = panel.count()

    assert main(["journal", *arguments]) == code

    out, err = capsys.readouterr()
    assert words in err
    assert (out, err.count("\n"), panel.count()) == ("", 1, before)
    assert not (tmp_path / "nowhere.db").exists()


def test_no_journal_is_named(settings, capsys):
    """Where nothing says which journal, nothing is guessed."""
    settings.delenv("SMM_URL")

    assert main(["journal", "list"]) == 2
    assert capsys.readouterr().err == "Which journal? Say --journal PATH, or set SMM_JOURNAL.\n"


def test_journal_that_is_locked_while_it_is_looked_into(lose, journal, settings, capsys, monkeypatch):
    """A database that fails later ends the command in one sentence, too."""
    lose("r-1")

    async def broken(*_):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Journal, "age", broken)
    assert main(["journal", "reconcile"]) == 2
    assert "disk I/O error. Look at that file" in capsys.readouterr().err


def test_repetition_without_a_ref_of_its_own_names_the_list(panel, journal, capsys):
    """An order that the panel takes for a repetition is in the journal, under a name that nobody has seen."""
    panel.fault(Fault.error("Duplicate order"), action="add")

    assert main([*ORDER, "--yes"]) == 3
    assert command_in(capsys.readouterr().err) == ["journal", "list"]


def test_without_a_journal_the_balance_is_named(panel, settings, capsys):
    """Where nothing was written down, what is left on the account is what can be looked at."""
    panel.fault(Fault.lost_answer(), action="add")

    assert main([*ORDER, "--yes"]) == 3
    assert command_in(capsys.readouterr().err) == ["balance"]
