"""The commands that write: what is shown before, what is sent, what is said when nobody knows."""

import errno
import io
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import pytest
import respx

import smm_async as smm
from smm_async import _cli_ids, _cli_output, _cli_writes
from smm_async._cli_output import shown
from smm_async._cli_run import sentence_for
from smm_async.cli import main
from smm_async.errors import PanelError
from smm_async.testing import Fault, SimulatedPanel, SimulatedService
from tests.commands import KEY, URL, json_lines, panel, settings

__all__ = ["panel", "settings"]

FULL = Path("/dev/full")
ORDER = ["add", "1", "--link", "https://e.com/p", "--quantity", "100"]


class Typing(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self):
        """Say so."""
        return True


def at_terminal(monkeypatch, text):
    """Type a text, and return what is seen on the standard error."""
    screen = Typing()
    monkeypatch.setattr(sys, "stdin", Typing(text))
    monkeypatch.setattr(sys, "stderr", screen)
    return screen


def added(panel):
    """Return the fields of all orders that the panel got, without what is common to all."""
    return [
        {name: text for name, text in request.fields.items() if name not in {"key", "action"}}
        for request in panel.requests
        if request.action == "add"
    ]


@pytest.mark.parametrize("answer", ["y\n", "Yes\n"], ids=str.strip)
def test_order_is_placed_after_a_yes(answer, panel, capsys, monkeypatch):
    """The cost and what is left are shown, the order is sent once, and its id is all of the output."""
    screen = at_terminal(monkeypatch, answer)

    assert main(ORDER) == 0

    assert added(panel) == [{"service": "1", "link": "https://e.com/p", "quantity": "100"}]
    assert capsys.readouterr().out == "251\n"
    for words in (
        "1: Followers (Default, 50 to 10,000 at once)",
        "0.09 USD (0.90 per 1,000 x 100)",
        "999.91 USD after",
    ):
        assert words in screen.getvalue()


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yeah\n"], ids=repr)
def test_order_is_not_placed_without_a_yes(answer, panel, capsys, monkeypatch):
    """Anything but a yes is a no, the end of the input too."""
    screen = at_terminal(monkeypatch, answer)

    assert main(ORDER) == 1

    assert added(panel) == []
    assert screen.getvalue().endswith("[y/N] Nothing was ordered.\n")


def test_order_without_a_service_is_said(capsys):
    """What is missing goes by the name that the help has for it."""
    assert main(["add"]) == 2
    assert "SERVICE" in capsys.readouterr().err


def test_order_needs_a_journal_that_can_be_read(panel, tmp_path, capsys):
    """Also without a ref, a journal that is none is found before anything is asked for."""
    assert main([*ORDER, "--yes", "--journal", str(tmp_path)]) == 2
    assert "cannot be read: unable to open database file. Nothing was ordered" in capsys.readouterr().err
    assert panel.requests == []


def test_order_where_the_input_is_closed_needs_a_yes(panel, monkeypatch, capsys):
    """Nobody can answer there."""
    monkeypatch.setattr(sys, "stdin", None)

    assert main(ORDER) == 2
    assert "no terminal to ask on" in capsys.readouterr().err


def test_order_without_a_terminal_needs_a_yes(panel, capsys):
    """Where nobody can be asked, nothing at all is sent until somebody has said yes."""
    assert main(ORDER) == 2
    assert panel.requests == []
    assert capsys.readouterr().err == "This spends money, and there is no terminal to ask on: say --yes.\n"

    assert main([*ORDER, "--yes", "--json"]) == main([*ORDER, "-y", "--csv"]) == 0
    first, *second = capsys.readouterr().out.splitlines()
    assert json_lines(first) == [{"order": "251", "service": "1", "ref": None, "cost": "0.09", "currency": "USD"}]
    assert second == ["order,service,ref,cost,currency", "252,1,,0.09,USD"]


@pytest.mark.parametrize(
    ("arguments", "fields", "cost"),
    [
        (
            ["3", "--link", "l", "--quantity", "20", "--runs", "3", "--interval", "60"],
            {"service": "3", "link": "l", "quantity": "20", "runs": "3", "interval": "60"},
            "0.015 USD (0.25 per 1,000 x 60)",
        ),
        (["4", "--link", "l"], {"service": "4", "link": "l"}, "12.5 USD (the rate of one package)"),
        (
            ["2", "--link", "l", "--comments-file", "FILE"],
            {"service": "2", "link": "l", "comments": "one\ntwo"},
            "0.016 USD (8 per 1,000 x 2)",
        ),
        (
            ["6", "--link", "l", "--quantity", "10", "--field", "answer_number=2", "--field", "colour=red"],
            {"service": "6", "link": "l", "quantity": "10", "answer_number": "2", "colour": "red"},
            "0.0075 USD (0.75 per 1,000 x 10)",
        ),
        (
            [
                "5",
                *(
                    [
                        "--field",
                        "username=me",
                        "--field",
                        "min=1",
                        "--field",
                        "max=5",
                        "--field",
                        "delay=0",
                        "--field",
                        "expiry=01/02/2030",
                    ]
                ),
            ],
            {"service": "5", "username": "me", "min": "1", "max": "5", "delay": "0", "expiry": "01/02/2030"},
            "not known: 'Subscriptions' is a type without a quantity; the rate is 1.2",
        ),
    ],
    ids=["drip-feed", "package", "comments", "poll", "subscription"],
)
def test_orders_of_all_types(arguments, fields, cost, panel, capsys, tmp_path):
    """Each type takes its own fields, and its cost is computed as the panel will."""
    file = tmp_path / "comments.txt"
    file.write_text("one\n\ntwo\n")
    arguments = [str(file) if argument == "FILE" else argument for argument in arguments]

    assert main(["add", *arguments, "--yes"]) == 0
    assert added(panel) == [fields]
    assert cost in capsys.readouterr().err


def test_order_of_an_unknown_type(capsys):
    """All fields of a type that nobody knows go as they are, and its cost is not guessed; nor is it without a rate."""
    panel = SimulatedPanel(key=KEY, services=[SimulatedService(service=1, name="A", type="Odd")])
    with respx.mock as router:
        router.post(URL).mock(side_effect=panel.respond)
        assert main(["add", "1", "--link", "l", "--quantity", "10", "--yes"]) == 0
        panel.fault(Fault.raw('[{"service": 1, "type": "Default"}]'), action="services")
        assert main(["add", "1", "--link", "l", "--quantity", "10", "--yes"]) == 0

    err = capsys.readouterr().err
    assert added(panel) == [{"service": "1", "quantity": "10", "link": "l"}] * 2
    assert "not known: 'Odd' is an unknown type; the rate is 1" in err
    assert "not known: the panel names no rate" in err


def test_balance_that_is_too_small_is_said(panel, capsys, monkeypatch):
    """What the panel is going to refuse is seen before."""
    panel.balance = Decimal(0)
    at_terminal(monkeypatch, "n\n")

    assert main(ORDER) == 1
    assert "-0.09 USD after it; too little" in sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "99"], "The panel sells no service '99': see what there is with smm-async services\n"),
        (["add", "1"], "An order of type 'Default' needs --link, --quantity."),
        (["add", "6", "--link", "l", "--quantity", "1"], "needs --field answer_number=..."),
        (["add", "4", "--link", "l", "--quantity", "1"], "An order of type 'Package' has no quantity."),
        (["add", "6", "--link", "l", "--quantity", "1", "--field", "answer_number=x"], "must be a whole number"),
        ([*ORDER, "--runs", "2"], "needs runs and interval together"),
        ([*ORDER, "--field", "link=x"], "link is given twice"),
        ([*ORDER, "--field", "secret-part"], "--field takes NAME=VALUE"),
        ([*ORDER, "--field", "service=2"], "--field takes NAME=VALUE"),
        ([*ORDER, "--comments-file", "/nowhere/file"], "/nowhere/file cannot be read"),
        ([*ORDER, "--ref", "r-1"], "--ref needs a journal"),
        ([*ORDER, "--journal", ":memory:"], "A journal is a file"),
        ([*ORDER, "--ref", "\n", "--journal", "orders.db"], "ref"),
        ([*ORDER, "--ref", "r-1", "--journal", "/nowhere/orders.db"], "/nowhere/orders.db') cannot be read: unable"),
        ([*ORDER, "--ref", "r-1", "--journal", "text"], "text') cannot be read: file is not a database. Nothing was"),
        ([*ORDER, "--ref", "r-1", "--journal", "~nosuchuser/orders.db"], "there is no home"),
    ],
    ids=lambda value: " ".join(value).strip() if isinstance(value, list) else "",
)
def test_order_that_cannot_be_is_said(arguments, words, panel, capsys, tmp_path, monkeypatch):
    """What is wrong with an order is one sentence; nothing is ordered."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text("no database " * 100)

    assert main([*arguments, "--yes"]) == 2

    err = capsys.readouterr().err
    assert words in err
    assert "secret-part" not in err
    assert added(panel) == []


def test_ref_places_an_order_once(panel, capsys, tmp_path, settings):
    """Under a name of one's own an order is placed once, however often it is asked for; another order is refused."""
    settings.setenv("SMM_JOURNAL", str(tmp_path / "orders.db"))

    assert main([*ORDER, "--ref", "r-1", "--yes"]) == main([*ORDER, "--ref", "r-1", "--yes"]) == 0
    assert main([*ORDER[:-1], "200", "--ref", "r-1", "--yes"]) == 2

    out, err = capsys.readouterr()
    assert out == "251\n251\n"
    assert "r-1 was placed before: nothing was sent." in err
    assert len(added(panel)) == 1


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (Fault.lost_answer(), 3, "look at the panel before you repeat it"),
        (Fault.error("Duplicate order"), 3, "There is such an order, and it may be this one: look at the panel."),
        (Fault.error("Not enough funds on balance"), 1, "Top up the account."),
        (Fault.refuse(), 1, "Nothing was sent"),
    ],
    ids=["lost", "repeated", "refused", "not sent"],
)
def test_exit_code_says_whether_money_was_spent(fault, code, words, panel, capsys):
    """An order that may have been placed has an exit code of its own, and a sentence that keeps it from being repeated."""
    panel.fault(fault, action="add")

    assert main([*ORDER, "--yes"]) == code
    assert words in capsys.readouterr().err


def test_refills_and_cancellations(panel, capsys, tmp_path):
    """Many are asked for in few requests, each once; what was refused is exit code 1."""
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(map(str, range(1, 201))))
    assert main(["status", "--file", str(file), "--json"]) == 0
    capsys.readouterr()

    assert main(["refill", "--file", str(file), "--csv"]) == 0
    assert panel.ids_per_request("refill") == [100, 100]
    assert capsys.readouterr().out.splitlines()[:2] == ["order,refill,error", "1,1,"]

    assert main(["cancel", "1", "--json"]) == 1
    assert json_lines(capsys.readouterr().out)[0]["error_type"] == "CancelRefusedError"


def test_write_with_a_lost_answer(panel, capsys):
    """Whether a refill was asked for is not known: the exit code says so."""
    panel.fault(Fault.lost_answer(), action="refill")

    assert main(["refill", "1"]) == 3


@pytest.fixture
def ctrl_c_at():
    """Return what presses Ctrl-C as soon as a panel has got a request with an action."""
    threads = []

    def start(panel, action):
        def press():
            while not panel.count(action):
                time.sleep(0.005)
            os.kill(os.getpid(), signal.SIGINT)

        threads.append(threading.Thread(target=press))
        threads[0].start()

    yield start
    threads[0].join()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are other there")
@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (Fault.late(0.1), 130, ["was answered: 251", "Stopped."]),
        (Fault.lost_answer(), 3, ["service=1 link=https://e.com/p quantity=100 may have been carried out"]),
    ],
    ids=["answered", "lost"],
)
def test_ctrl_c_while_an_order_is_on_its_way(fault, code, words, panel, ctrl_c_at, capsys):
    """An order that was sent is waited for, and what came of it is said: nobody needs to guess."""
    panel.latency = 0.2
    panel.fault(fault, action="add")
    ctrl_c_at(panel, "add")

    assert main([*ORDER, "--yes"]) == code

    err = capsys.readouterr().err
    assert [word for word in words if word not in err] == []
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are other there")
def test_ctrl_c_in_a_lookup(panel, ctrl_c_at, capsys):
    """A lookup is ended at once, with one word."""
    panel.fault(Fault.stall(), action="status")
    ctrl_c_at(panel, "status")

    assert main(["status", "1"]) == 130
    # An older cyclopts ends the line of ^C first.
    assert capsys.readouterr().err.lstrip() == "Stopped.\n"


def test_sentences_end():
    """A panel's own words become a sentence."""
    assert sentence_for(PanelError("The panel refused 'add': no")) == "The panel refused 'add': no."
    assert shown("a\x1bb") == "a b"


@pytest.fixture
def closed_pipe(monkeypatch):
    """Return what makes a stream one that nobody reads."""

    def close(name):
        reading, writing = os.pipe()
        os.close(reading)
        monkeypatch.setattr(sys, name, streams.enter_context(os.fdopen(writing, "w", buffering=1)))

    with ExitStack() as streams:
        yield close


@pytest.mark.skipif(not FULL.exists(), reason="there is no device that is always full")
def test_number_of_an_order_is_not_lost_on_a_full_disk(panel, capsys, monkeypatch):
    """What a stream keeps back is written before the order is taken for done."""
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([*ORDER, "--yes"]) == 3

    assert capsys.readouterr().err.endswith("Order 251 was placed, but its number could not be written.\n")


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]], ids=str)
def test_number_of_an_order_that_cannot_be_written_is_said(form, panel, closed_pipe, capsys):
    """An order is paid for: where its number cannot be written, it is said, and the exit code is not that of a failure."""
    closed_pipe("stdout")

    assert main([*ORDER, "--yes", *form]) == 3

    assert len(added(panel)) == 1
    assert capsys.readouterr().err.endswith("Order 251 was placed, but its number could not be written.\n")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=str)
def test_answers_that_cannot_be_written_are_said(form, panel, closed_pipe, capsys):
    """What a refill was answered is not lost with the output."""
    assert main(["status", "1", "2"]) == 0
    closed_pipe("stdout")

    assert main(["refill", "1", "2", "999", *form]) == 3

    assert panel.count("refill") == 1
    assert capsys.readouterr().err.splitlines() == [
        "What was answered could not be written:",
        "refill order=1 was answered: 1",
        "refill order=2 was answered: 2",
        "refill order=999 was answered: Incorrect order ID",
    ]


async def test_error_that_is_not_of_the_output_is_not_taken_for_one():
    """Where all that was answered is written, what fails is something else."""

    class Broken:
        panel = smm.Panel(URL)

        async def refills(self, ids):
            raise OSError("something else")

    asking = _cli_writes._Asking("refill", _cli_ids.Ids(["1"], None), _cli_output.TABLE, debug=False)

    with pytest.raises(OSError, match="something else"):
        await asking.work(Broken())


def test_output_that_is_closed_before_anything_is_sent(panel, closed_pipe):
    """Where not even the head can be written, nothing is asked for, and it is a failure as any other."""
    closed_pipe("stdout")

    assert main(["refill", "1", "--csv"]) == 1
    assert panel.requests == []


def test_no_stream_is_left_to_say_it_on(panel, closed_pipe):
    """The exit code alone says it, where neither stream can be written to."""
    closed_pipe("stdout")
    closed_pipe("stderr")

    assert main(["refill", "1"]) == 3


def test_file_of_ids_that_breaks_is_not_taken_for_the_output(panel, tmp_path, monkeypatch, capsys):
    """A disk that fails while ids are read from it has nothing to do with answers."""
    file = tmp_path / "ids.txt"
    file.write_text("1 2")

    class Broken(io.FileIO):
        def read(self, _=-1):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(_cli_ids, "FileIO", Broken)
    assert main(["refill", "--file", str(file)]) == 2
    assert capsys.readouterr().err == f"{file} cannot be read any further: Input/output error.\n"


@pytest.fixture
def many_ids(panel, tmp_path, capsys):
    """Return a file with the ids of more orders than one request takes, all of which have ended."""
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(map(str, range(1, 121))))
    assert main(["status", "--file", str(file)]) == 0
    capsys.readouterr()
    return file


def test_bad_id_after_a_lost_answer(many_ids, panel, capsys):
    """That a refill may have been asked for is not forgotten over a bad id further down."""
    many_ids.write_text(many_ids.read_text() + "\nx/y\n")
    panel.fault(Fault.lost_answer(), action="refill")

    assert main(["refill", "--file", str(many_ids)]) == 3
    assert main(["refill", "--file", str(many_ids)]) == 2
    assert capsys.readouterr().err.count("Line 121: ") == 2


def test_refusal_after_a_lost_answer(many_ids, panel, capsys):
    """That a refill may have been asked for is not forgotten over a key that the panel takes no longer."""
    panel.fault(Fault.lost_answer(), action="refill")
    panel.fault(Fault.error("Invalid API key"), action="refill")

    assert main(["refill", "--file", str(many_ids)]) == 3
    assert "Check the key" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are other there")
@pytest.mark.parametrize(
    ("fault", "code", "lines"),
    [
        (
            Fault.late(0.1),
            130,
            ["refill order=1 was answered: 1", "refill order=999 was answered: The panel refused 'refill': Incorrect"],
        ),
        (
            Fault.raw('[{"order": 1, "refill": 1}]'),
            3,
            ["refill order=1 was answered: 1", "refill order=999 may have been carried out"],
        ),
        (Fault.lost_answer(), 3, ["refill orders=1,999 may have been carried out"]),
    ],
    ids=["answered", "left out", "lost"],
)
def test_ctrl_c_while_refills_are_on_their_way(fault, code, lines, many_ids, panel, ctrl_c_at, capsys):
    """Each order of the request has a line of its own, and one of which nobody knows decides the exit code."""
    panel.latency = 0.2
    panel.fault(fault, action="refill")
    ctrl_c_at(panel, "refill")

    assert main(["refill", "1", "999"]) == code

    err = capsys.readouterr().err
    assert [line for line in lines if line not in err] == []
    assert "{" not in err


def test_id_that_stands_in_a_file_twice(many_ids, panel, capsys):
    """A refill is asked for once, also where the id comes again after the first request."""
    many_ids.write_text(f"{many_ids.read_text()}\n1\n120\n")

    assert main(["refill", "1", "1", "--file", str(many_ids), "--csv"]) == 0

    assert panel.ids_per_request("refill") == [100, 20]
    assert len(capsys.readouterr().out.splitlines()) == 1 + 120
