"""The commands that read: what they write, in which form, and with which exit code."""

import inspect
import io
import json
import os
import re
import sys
import threading
from decimal import Decimal

import pytest
import respx

import smm_async as smm
from smm_async import _cli_ids, _cli_lookups, _cli_output, _cli_watch
from smm_async._cli_output import Column, make_console, make_table
from smm_async.cli import main
from smm_async.testing import SERVICES, Fault, SimulatedPanel, SimulatedService
from tests.commands import KEY, URL, json_lines, panel, settings

__all__ = ["panel", "settings"]


def wire(panel, action):
    """Return the ids of each request with an action."""
    return [list(request.ids) for request in panel.requests if request.action == action]


def test_balance(panel, capsys):
    """The balance is a line for people, and digits in text for programs."""
    panel.balance = Decimal("12.25")

    assert main(["balance"]) == main(["balance", "--json"]) == main(["balance", "--csv"]) == 0
    assert capsys.readouterr().out == (
        '12.25 USD\n{"balance": "12.25", "currency": "USD", "extra": {}}\nbalance,currency\n12.25,USD\n'
    )


def test_services_are_a_table(panel, capsys):
    """All that the panel sells, without what nobody needs; rates keep their digits."""
    assert main(["services"]) == 0

    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["service", "name", "type", "category", "rate", "min", "max", "refill", "cancel"]
    assert len(rows) == len(SERVICES)
    assert rows[-1].split() == ["9", "Visitors", "Web", "Traffic", "Simulated", "0.1350", "100", "1000000", "no", "no"]


def test_services_are_searched(panel, capsys):
    """All words must be there, wherever and however they are written; none found is exit code 1."""
    assert main(["services", "--search", "LIKES simul", "--csv"]) == 0
    assert main(["services", "--search", "nothing like it"]) == 1

    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "service,name,type,category,rate,min,max,refill,cancel",
        '3,"Likes, drip-feed",Default,Simulated,0.25,10,10000,true,false',
        "5,Likes for new posts,Subscriptions,Simulated,1.2,1,10000,false,true",
    ]
    assert err == "No service was found.\n"


def test_what_changed_is_shown(panel, capsys, tmp_path):
    """A catalogue that was written down is compared with what the panel sells now."""
    assert main(["services", "--json"]) == 0
    rows = json_lines(capsys.readouterr().out)
    assert rows[0]["rate"] == "0.90"
    rows[2]["rate"], rows[1]["service"] = "0.30", "77"
    old = tmp_path / "old.json"
    old.write_text("\n".join(map(json.dumps, rows)))

    assert main(["services", "--diff", str(old), "--csv"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "change,service,name,field,before,after",
        "new,2,Comments,,,8",
        "gone,77,Comments,,8,",
        'changed,3,"Likes, drip-feed",rate,0.30,0.25',
    ]


def test_changes_are_searched(panel, capsys, tmp_path):
    """What is compared is all there was and is, so that a service with a new name has changed, and is not gone."""
    panel.fault(
        Fault.raw('[{"service": 1, "name": "B", "rate": 1}, {"service": 2, "rate": 1}, {"service": 4, "name": "A"}]'),
        action="services",
        times=2,
    )
    old = tmp_path / "old.json"
    old.write_text(
        '[{"service": 1, "name": "A"}, {"service": 2}, {"service": 3, "name": "A"}]'.replace("}", ', "rate": 1}')
    )

    for search in ("a", "b"):
        assert main(["services", "--diff", str(old), "--search", search, "--csv"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "change,service,name,field,before,after",
        "new,4,A,,,",
        "gone,3,A,,1,",
        "changed,1,B,name,A,B",
        "change,service,name,field,before,after",
        "changed,1,B,name,A,B",
    ]


def test_answer_of_a_panel_is_a_catalogue_too(panel, capsys, tmp_path):
    """What a panel answered, saved as it came, has not changed: neither has money in fields that nobody knows."""
    panel.fault(Fault.raw('[{"service": 1, "name": "A", "rate": 0.5, "bonus": 1.50}]'), action="services")
    old = tmp_path / "old.json"
    old.write_text('[{"service": "1", "name": "A", "rate": "0.5", "bonus": 1.50}]')

    assert main(["services", "--diff", str(old)]) == 0
    assert capsys.readouterr() == ("", "Nothing changed.\n")


def test_half_a_catalogue_is_not_trusted(panel, capsys, tmp_path):
    """Services that seem to be gone by the dozen are a fault until somebody says otherwise."""
    panel.fault(Fault.raw('[{"service": 1, "rate": 1}]'), action="services", times=2)
    old = tmp_path / "old.json"
    old.write_text('[{"service": 1, "rate": 1}, {"service": 2, "rate": 1}, {"service": 3, "rate": 1}]')

    assert main(["services", "--diff", str(old)]) == 1
    assert main(["services", "--diff", str(old), "--most-gone", "1"]) == 0
    out, err = capsys.readouterr()
    assert "or raise --most-gone" in err
    assert out.count("gone") == 2


@pytest.mark.parametrize("content", ["[1]", '{"extra": 3}', "{", '[{"name": "no id"}]', None], ids=repr)
def test_file_that_is_no_catalogue_is_refused(content, panel, capsys, tmp_path):
    """Nothing is asked for before the old catalogue is there."""
    old = tmp_path / "old.json"
    if content is not None:
        old.write_text(content)

    assert main(["services", "--diff", str(old)]) == 2
    assert panel.requests == []
    assert capsys.readouterr().err.count("\n") == 1


def test_status_is_in_the_order_of_the_question(panel, capsys):
    """Orders on the command line are asked for in one request, and shown as they were given; one was not found."""
    assert main(["status", "7", "999", "3", "--csv"]) == 1
    assert wire(panel, "status") == [["7", "999", "3"]]

    out = capsys.readouterr().out.splitlines()
    assert out[0] == "order,status,charge,currency,start_count,remains,error"
    assert [line.split(",")[0] for line in out[1:]] == ["7", "999", "3"]
    assert out[2] == "999,,,,,,Incorrect order ID"


def test_status_is_written_for_programs(panel, capsys):
    """Money is text; an error has its kind and its words, and what is known of an order has neither."""
    assert main(["status", "7", "999", "--json"]) == 1

    one, two = json_lines(capsys.readouterr().out)
    assert (one["order"], one["state"], one["charge"], one["error"]) == ("7", "Completed", "0.9", None)
    assert (two["order"], two["state"], two["error_type"]) == ("999", None, "UnknownOrderError")


@pytest.mark.parametrize("status", [503, 302])
def test_page_for_an_answer_is_no_word_of_the_panel(panel, capsys, status):
    """What is not the protocol is told of in a sentence, not shown as if the panel had said it."""
    panel.fault(Fault.html(status), action="status", times=None)

    assert main(["status", "7", "--csv", "--budget", "1"]) == 1
    out = capsys.readouterr().out
    assert "<html" not in out.lower()
    assert f"HTTP {status}" in out


@pytest.mark.parametrize("command", ["refill", "cancel"])
@pytest.mark.parametrize("fault", [Fault.html(503), Fault.error("Words that nobody knows")])
def test_write_of_which_nobody_knows_says_so(panel, capsys, command, fault):
    """The row and the standard error say it, not the exit code alone."""
    panel.fault(fault, action=command)

    assert main([command, "7", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json_lines(out)[0]["error"].startswith(f"Whether '{command}' was carried out is not known: ")
    assert err == "Where it is not known, it may have happened: look at the panel before you repeat it.\n"


@pytest.mark.parametrize(("seconds", "words"), [(90, "in 90 s"), (None, "in a minute")])
def test_rate_limit_says_for_how_long(panel, capsys, seconds, words):
    """A panel that says when to come again is believed."""
    panel.fault(Fault.rate_limited(retry_after=seconds), times=None)

    assert main(["balance", "--budget", "1"]) == 1
    assert f"Ask again {words}, and less often, with --rate." in capsys.readouterr().err


def test_status_of_a_file_is_streamed(panel, capsys, tmp_path, monkeypatch):
    """A file of any length is looked up as it is read, and written page by page."""
    monkeypatch.setattr(_cli_output, "_PAGE", 100)
    monkeypatch.setattr(_cli_ids, "_CHUNK", 64)
    file = tmp_path / "ids.txt"
    # The last line is longer than what is read at once.
    first = [*range(3, 150)]
    file.write_bytes(
        f"\ufeff1 2\r\n\r\n{chr(10).join(map(str, first))}\n{' '.join(map(str, range(150, 250)))}".encode()
    )

    assert main(["status", "250", "--file", str(file)]) == 0

    out = capsys.readouterr().out
    assert out.count("order") == 3
    assert out.count("Completed") == 250
    assert {int(id_) for ids in wire(panel, "status") for id_ in ids} == set(range(1, 251))
    assert len(wire(panel, "status")) < 30


def test_ids_come_through_a_pipe(panel, capsys, monkeypatch):
    """With - they are read from the standard input, and asked for while more come."""
    ours, theirs = os.pipe()
    monkeypatch.setattr(_cli_ids, "_STDIN", ours)

    def send():
        os.write(theirs, b"1\n2")
        os.write(theirs, b"3\n")
        os.close(theirs)

    thread = threading.Thread(target=send)
    thread.start()
    assert main(["status", "--file", "-", "--csv"]) == 0
    thread.join()
    os.close(ours)
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()] == ["order", "1", "23"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"1\n2,3\n", "Line 2: '2,3' is no order id"),
        (b"1" * 300, "Line 1: '111"),
        (None, "ids.txt cannot be read: there is no such file."),
    ],
    ids=["comma", "endless line", "no file"],
)
def test_file_without_ids_is_said(content, words, panel, capsys, tmp_path, monkeypatch):
    """What is no id is named with its line, and ends the command."""
    monkeypatch.setattr(_cli_ids, "_CHUNK", 64)
    file = tmp_path / "ids.txt"
    if content is not None:
        file.write_bytes(content)

    assert main(["status", "--file", str(file)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status", "refill", "watch"])
def test_folder_in_the_place_of_a_file_is_said(command, panel, capsys, tmp_path, monkeypatch):
    """What is no file of ids is one sentence, whatever name it has, and so is an input that is closed."""
    assert main([command, "--file", str(tmp_path)]) == 2
    folder = os.open(tmp_path, os.O_RDONLY)
    monkeypatch.setattr(_cli_ids, "_STDIN", folder)
    assert main([command, "--file", "-"]) == 2
    os.close(folder)
    monkeypatch.setattr(sys, "stdin", None)
    assert main([command, "--file", "-"]) == 2

    path, input_, closed = capsys.readouterr().err.splitlines()
    assert path == f"{tmp_path} cannot be read: it is a folder."
    assert input_ == "- cannot be read: Is a directory."
    assert closed == "There is no standard input to read ids from: it is closed."
    assert panel.requests == []


@pytest.mark.parametrize("command", ["status", "refill", "watch", "panel probe"])
def test_bad_ids_are_said(command, panel, capsys):
    """What cannot be an id is refused before anything is sent, as is none at all."""
    assert main([*command.split(), "1,2"]) == 2
    assert command == "panel probe" or main([command]) == 2

    assert "'1,2' is no order id" in capsys.readouterr().err
    assert panel.requests == []


def test_refill_status(panel, capsys, tmp_path):
    """Refills are looked up as orders are, few or many."""
    assert main(["status", "1", "2"]) == 0
    assert main(["refill", "1", "2", "--csv"]) == 0
    file = tmp_path / "ids.txt"
    file.write_text("2\n")
    capsys.readouterr()

    assert main(["refill-status", "1", "--csv"]) == main(["refill-status", "--file", str(file), "--csv"]) == 0
    assert main(["refill-status", "3"]) == 1
    assert "Incorrect refill ID" in capsys.readouterr().out


class Terminal(io.StringIO):
    """A stream that says that somebody looks at it."""

    def isatty(self):
        """Say so."""
        return True


@pytest.mark.parametrize("is_counted", [True, False], ids=["file", "pipe"])
def test_bar_is_on_the_terminal_alone(is_counted, panel, capsys, tmp_path, monkeypatch):
    """Many lookups show their rate, and the time left where their number is known; never on the standard output."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(_cli_lookups, "_REDRAW_SECONDS", 1e-9)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(map(str, range(1, 151))))
    with file.open() as opened:
        monkeypatch.setattr(_cli_ids, "_STDIN", opened.fileno())
        assert main(["status", "--file", str(file) if is_counted else "-", "--json"]) == 0

    out = capsys.readouterr().out
    assert len(json_lines(out)) == 150
    assert "150 looked up" in screen.getvalue()
    assert bool(re.search("[-0-9]{2}:[-0-9]{2}", screen.getvalue())) == is_counted


def test_pipe_that_has_a_path_is_not_counted(panel, capsys, monkeypatch):
    """What a shell puts in the place of `<(...)` is read once, so its ids are looked up on a terminal, too."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    ours, theirs = os.pipe()
    os.write(theirs, b"1\n2\n")
    os.close(theirs)

    assert main(["status", "--file", f"/dev/fd/{ours}", "--json"]) == 0
    os.close(ours)
    assert [row["order"] for row in json_lines(capsys.readouterr().out)] == ["1", "2"]


def test_watch_writes_a_line_for_each_change(panel, capsys):
    """Piped, every change is a line, until all orders have ended; one that is not there is exit code 1."""
    panel.place(duration=0.0)
    panel.set_status(1, "In progress", remains=300)

    ending = threading.Timer(0.15, panel.set_status, [1, "Partial"], {"remains": 10})
    ending.start()
    assert main(["watch", "1", "999", "--shortest", "0.05", "--longest", "0.05", "--lag", "0"]) == 1
    ending.join()
    assert sorted(capsys.readouterr().out.splitlines()) == [
        "1: In progress -> Partial, 0.891 USD, 10 remain",
        "1: In progress, 0.9 USD, 300 remain",
        "999: Incorrect order ID",
    ]


def test_watch_writes_for_programs(panel, capsys):
    """With --json, every change is what status would have shown."""
    assert main(["watch", "1", "2", "--json"]) == 0
    assert [row["order"] for row in json_lines(capsys.readouterr().out)] == ["1", "2"]


def test_watch_without_details(panel, capsys):
    """What the panel does not say is left out of the line."""
    panel.fault(Fault.raw('{"status": "Completed"}'), action="status")

    assert main(["watch", "1"]) == 0
    assert capsys.readouterr().out == "1: Completed\n"


def open_terminal(monkeypatch):
    """Put a terminal of 60 columns and 9 lines in the place of the standard output, for the rest of the test."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    for name, value in {"TERM": "xterm", "COLUMNS": "60", "LINES": "9"}.items():
        monkeypatch.setenv(name, value)
    return screen


def test_watch_is_live_on_a_terminal(panel, monkeypatch):
    """On a terminal there is one table, with no more orders than fit, and how many stand where."""
    terminal = open_terminal(monkeypatch)
    monkeypatch.setattr(_cli_watch, "_REDRAW_SECONDS", 0.001)

    assert main(["watch", *map(str, range(1, 8)), "999", "--shortest", "0.01", "--longest", "0.01", "--lag", "0"]) == 1
    shown = terminal.getvalue()
    assert "7 Completed, 1 not found" in shown
    assert max(len(line) for line in shown.replace("\x1b", "\n").splitlines()) <= 60 + len("[2K")


def test_watch_counts_what_the_panel_has_not_told_of(panel, monkeypatch):
    """An order that may be known later is not in the table, but somebody waits for it, and sees that."""
    screen = open_terminal(monkeypatch)
    monkeypatch.setattr(_cli_watch, "_REDRAW_SECONDS", 0.001)

    assert main(["watch", "1", "999", "999", "--shortest", "0.01", "--longest", "0.01", "--lag", "0.1"]) == 1
    shown = screen.getvalue()
    assert shown.index("2 not seen yet") < shown.index("1 Completed, 1 not seen yet")
    assert "1 Completed, 1 not found" in shown.rpartition("yet")[2]


def test_watch_that_fails_says_why(panel, capsys, monkeypatch):
    """An error that concerns all ends the table, and is said below it."""
    open_terminal(monkeypatch)
    panel.fault(Fault.error("Invalid API key"), action="status")

    assert main(["watch", "1"]) == 1
    assert capsys.readouterr().err.startswith("The panel refused 'status': Invalid API key. Check the key")


def test_watch_has_sensible_pauses(capsys):
    """Bounds in the wrong order are refused."""
    assert main(["watch", "1", "--shortest", "5", "--longest", "1"]) == 2
    assert "longest must be at least shortest" in capsys.readouterr().err


def test_watch_waits_for_a_lag_as_the_library_does():
    """Who says nothing of a lag gets the same on the command line and in a program."""
    defaults = [inspect.signature(watch).parameters["lag"].default for watch in (_cli_watch.watch, smm.Client.watch)]

    assert defaults == [600.0, 600.0]


@pytest.mark.parametrize("lag", ["inf", "nan"])
def test_watch_has_a_lag_that_ends(lag, panel, capsys):
    """No lag that never ends is taken."""
    assert main(["watch", "1", "--lag", lag]) == 2
    assert "--lag" in capsys.readouterr().err
    assert panel.requests == []


def probed(capsys, *arguments):
    """Return what a probe found out, by what was asked."""
    code = main(["panel", "probe", *arguments, "--json"])
    return code, {row["what"]: (row["supported"], row["detail"]) for row in json_lines(capsys.readouterr().out)}


def test_rate_holds_the_requests_of_a_command_apart(panel):
    """What is sent at once without a rate leaves one by one with it."""
    assert main(["status", *map(str, range(1, 251)), "--rate", "20/s", "--csv"]) == 0

    times = [request.at for request in panel.requests]
    assert [len(ids) for ids in wire(panel, "status")] == [100, 100, 50]
    # Half of what is asked for, which no machine is slow enough to miss.
    assert times[-1] - times[0] > 0.05


def test_probe_asks_for_several_where_one_is_said(panel, capsys):
    """One id does not tell whether several would be answered."""
    _, found = probed(capsys, "7")

    assert found["status, several ids"] == ("yes", "2 ids in one request, each answered")
    assert wire(panel, "status") == [["7"], ["7", "1"]]


def test_probe_fits_a_narrow_terminal(panel, settings, capsys):
    """No column is squeezed to a letter in 40 columns."""
    settings.setenv("COLUMNS", "40")

    assert main(["panel", "probe"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    assert len(lines) < 50


def test_probe_reads_only(panel, capsys):
    """What the panel supports is found out without a single write."""
    code, found = probed(capsys, "1", "2")

    assert code == 0
    assert {request.action for request in panel.requests} == {
        *("balance", "services", "status", "refill_status", "products"),
    }
    assert panel.executed == []
    assert found["status"] == ("yes", "Completed")
    assert found["status, several ids"] == ("yes", "2 ids in one request, each answered")
    assert found["refill_status"] == ("yes", "Incorrect refill ID")
    assert found["products"] == ("yes", "3 products")
    assert [found[action][0] for action in ("add", "refill", "cancel")] == ["not tried"] * 3
    assert "9 services: 2 Default" in found["services"][1]


def test_probe_of_a_poor_panel(panel, capsys):
    """What is refused is a no, and what cannot be told is unclear."""
    panel.fault(Fault.raw('[{"service": 1, "type": "Odd"}, {"service": 2}]'), action="services")
    panel.fault(Fault.raw("[]"), action="status", times=None)
    panel.fault(Fault.error("Incorrect request"), action="products")
    panel.fault(Fault.raw("[[1.5], 7]"), action="refill_status", times=None)

    _, found = probed(capsys)

    assert found["services"][1].endswith("unknown types: Odd")
    assert found["status"] == ("yes", "status was answered, but not about this id")
    assert found["status, several ids"][0] == "unclear"
    assert found["products"][0] in {"no", "unclear"}


def test_probe_that_is_not_answered(panel, capsys):
    """A read that is sent as a write is not described as one, and one service is not several."""
    panel.fault(Fault.raw('[{"service": 1, "type": "Default"}]'), action="services")
    panel.fault(Fault.raw("<html>"), action="status", times=None)

    _, found = probed(capsys)

    assert found["services"][1].startswith("1 service: 1 Default;")
    assert found["status, several ids"] == ("unclear", "<html>")


def test_probe_of_a_documented_panel(settings, panel, capsys):
    """What a panel's document leaves out is a no, for several ids or for all."""
    settings.setenv("SMM_KEY_D3MWORLD", KEY)
    respx.post("https://d3mworld.com/api/v2").mock(side_effect=panel.respond)

    _, found = probed(capsys, "--panel", "d3mworld")

    assert found["refill_status, several ids"] == ("no", "The panel documents it for one id at a time.")
    assert found["products"][0] == "no"


def test_probe_with_a_wrong_key_ends_at_once(panel, capsys):
    """Without the right key nothing can be found out."""
    panel.fault(Fault.error("Invalid API key"), times=None)

    assert main(["panel", "probe"]) == 1
    assert len(panel.requests) == 1
    assert capsys.readouterr().err.startswith("The panel refused 'balance': Invalid API key.")


def test_texts_of_a_panel_cannot_drive_the_terminal(capsys):
    """Neither escape codes nor markup in a name do anything."""
    service = SimulatedService(service=1, name="\x1b[2J[red]A[/red] :smile:\nB")
    panel = SimulatedPanel(key=KEY, services=[service])
    with respx.mock as router:
        router.post(URL).mock(side_effect=panel.respond)
        assert main(["services"]) == 0

    assert " [2J[red]A[/red] :smile: B " in capsys.readouterr().out


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_forms_for_programs_cannot_drive_the_terminal_either(form, capsys, monkeypatch):
    """On a terminal, what is for programs is as harmless as a table; a program gets it as it is."""
    name = "A\x1b[2J\x9b2J\u202eB"
    panel = SimulatedPanel(key=KEY, services=[SimulatedService(service=1, name=name)])
    with respx.mock as router:
        router.post(URL).mock(side_effect=panel.respond)
        assert main(["services", form]) == 0
        screen = open_terminal(monkeypatch)
        assert main(["services", form]) == 0

    assert "A" in screen.getvalue()
    assert all(line.isprintable() for line in screen.getvalue().splitlines())
    assert "\x9b2J\u202eB" in capsys.readouterr().out


def test_table_leaves_out_what_does_not_fit():
    """In a narrow terminal the least important columns go; ids and numbers are never cut."""
    columns = [Column("order"), Column("name", is_long=True), Column("charge", is_number=True), Column("note", rank=1)]
    row = {"order": "1" * 20, "name": "a long name " * 9, "charge": Decimal("0.12345678"), "note": "x" * 30}
    console = make_console()

    console.width = 50
    with console.capture() as capture:
        console.print(make_table(columns, [row], width=50))
    assert "note" not in capture.get()
    assert "1" * 20 in capture.get()
    assert "0.12345678" in capture.get()


def test_two_forms_at_once_are_refused(capsys):
    """A program reads JSON or CSV, not both."""
    assert main(["balance", "--json", "--csv"]) == 2
    assert "--json, --csv" in capsys.readouterr().err
