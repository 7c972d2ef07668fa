"""Which panel and which key a command takes, and what it says where there is none."""

import sys
from pathlib import Path

import pytest

import smm_async as smm
from smm_async._cli_panel import Connection, SettingsError, find_panel, journal_path, make_client, take_key
from smm_async.cli import main
from tests.commands import KEY, URL, settings

__all__ = ["settings"]

PROFILES = """
default = "alpha"

[panels.alpha]
url = "https://alpha.example/api/v2"
key_env = "ALPHA"
batch_limit = 50

[panels.beta-2]
like = "1dg"
key_file = "{folder}/beta.key"

[panels.gamma]
url = "https://gamma.example/api/v2"
"""


@pytest.fixture
def profiles(settings, tmp_path):
    """Write the file of profiles where the platform has it."""
    folder = tmp_path / "smm-async"
    folder.mkdir()
    path = folder / "profiles.toml"
    (tmp_path / "beta.key").write_text("key-of-beta\n")
    (tmp_path / "beta.key").chmod(0o600)
    path.write_text(PROFILES.format(folder=tmp_path.as_posix()))
    path.chmod(0o600)
    settings.setenv("ALPHA", "key-of-alpha")
    return path


def found(**options):
    """Return the address of the panel that some options name, and the key for it."""
    connection = Connection(**options)
    return make_client(connection).panel.url, take_key(connection)


def test_address_and_key_are_in_the_environment():
    """Without options, the two variables decide."""
    assert found() == (URL, KEY)


def test_option_comes_before_the_environment():
    """An address on the command line has the key of the environment."""
    assert found(url="https://other.example/") == ("https://other.example/", KEY)


def test_built_in_panel_needs_no_profile(settings):
    """A panel that the library describes goes by its name; a key of its own comes first."""
    assert found(panel="1dg") == (smm.panels.ONE_DG.url, KEY)

    settings.setenv("SMM_KEY_1DG", "own-key")
    assert found(panel="1dg") == (smm.panels.ONE_DG.url, "own-key")


def test_profiles_have_panels_and_keys(profiles, settings):
    """A profile says where the panel is, what is special about it, and where its key is; never another's key."""
    assert found(panel="alpha") == ("https://alpha.example/api/v2", "key-of-alpha")
    assert found(panel="beta-2") == (smm.panels.ONE_DG.url, "key-of-beta")
    assert found(panel="gamma") == ("https://gamma.example/api/v2", KEY)
    assert make_client(Connection(panel="alpha")).panel.batch_limit == 50

    settings.setenv("SMM_KEY_BETA_2", "own-key")
    assert found(panel="beta-2")[1] == "own-key"
    settings.delenv("SMM_URL")
    assert found() == ("https://alpha.example/api/v2", "key-of-alpha")
    settings.delenv("ALPHA")
    with pytest.raises(SettingsError, match="the variable ALPHA, which is not set"):
        found()


def limits_of(monkeypatch, **options):
    """Return what the client is given that some options ask for."""
    given = {}
    monkeypatch.setattr(smm, "Client", lambda _, **settings: given.update(settings))
    make_client(Connection(**options))
    return given


@pytest.mark.parametrize(
    ("rate", "per"), [("120/m", 0.5), ("5/s", 0.2), ("3600/h", 1.0), ("1/m", 60.0), ("9000/s", 0.001)]
)
def test_rate_is_spread_evenly(rate, per, monkeypatch):
    """One request leaves at a time, so that commands one after the other keep to a rate, too."""
    given = limits_of(monkeypatch, rate=rate, max_in_flight=2)

    assert (given["rate_limit"].requests, given["rate_limit"].per) == (1, pytest.approx(per))
    # As many turns as there may be requests in the queue.
    assert (given["budget"], given["write_budget"]) == pytest.approx((30 + 5 * per, 60 + 5 * per))


def test_limits_are_in_the_profile(profiles, monkeypatch):
    """A profile says how often its panel may be asked; an option comes before it, and worker heeds the rate, too."""
    profiles.write_text(profiles.read_text() + 'rate = "30/m"\nmax_in_flight = 3\n')

    assert (given := limits_of(monkeypatch))["rate_limit"] is None
    assert (given["budget"], given["write_budget"], given["max_in_flight"]) == (30.0, 60.0, 8)
    given = limits_of(monkeypatch, panel="gamma")
    assert (given["rate_limit"].per, given["max_in_flight"], given["budget"]) == (2.0, 3, 30 + 7 * 2.0)
    given = limits_of(monkeypatch, panel="gamma", rate="1/s", max_in_flight=4)
    assert (given["rate_limit"].per, given["max_in_flight"]) == (1.0, 4)

    find_panel("gamma", "gamma", budget=9.0, max_in_flight=5)
    worker = {}
    monkeypatch.setattr(smm, "Client", lambda _, **settings: worker.update(settings))
    find_panel("gamma", "gamma", budget=9.0, max_in_flight=5)
    assert (worker["rate_limit"].per, worker["max_in_flight"], worker["budget"]) == (2.0, 5, 9.0)


def test_file_of_profiles_may_be_elsewhere(profiles, settings, tmp_path):
    """A variable names another file, in which a key may stand if nobody else may read it."""
    other = tmp_path / "other.toml"
    other.write_text('[panels.delta]\nurl = "https://delta.example/"\nkey = "key-of-delta"')
    other.chmod(0o600)
    settings.setenv("SMM_PROFILES", str(other))

    assert found(panel="delta") == ("https://delta.example/", "key-of-delta")


@pytest.mark.skipif(sys.platform == "win32", reason="files there have no such bits")
def test_keys_that_others_may_read_are_refused(profiles, settings, tmp_path):
    """As ssh does: a key in a file that others may read is not used, and the remedy is named."""
    (tmp_path / "beta.key").chmod(0o640)
    with pytest.raises(SettingsError, match=r"others on this machine may read: chmod 600 .*beta.key"):
        found(panel="beta-2")

    profiles.write_text('[panels.a]\nurl = "https://a.example/"\nkey = "key-of-a"')
    profiles.chmod(0o604)
    with pytest.raises(SettingsError, match=r"chmod 600 .*profiles.toml"):
        found(panel="a")

    settings.setattr(sys, "platform", "win32")
    assert found(panel="a")[1] == "key-of-a"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[panels", "is no TOML"),
        ("panels = 3", "is no file of profiles"),
        ("key = 'secret-part'", "is no file of profiles"),
        ("[panels.a]\nkey = 'secret-part'", "it has no url"),
        ("[panels.a]\nlike = 'secret-part'", "'like' is one of d3mworld, 1dg"),
        ("[panels.a]\nurl = 'https://a.example/'\npassword = 'secret-part'", "'password' is none of a profile's"),
        ("[panels.a]\nurl = 'https://a.example/'\nbatch_limit = 'secret-part'", "'batch_limit' is to be int"),
        ("[panels.a]\nurl = 'https://a.example/'\nbatch_limit = 0", "batch_limit must be a whole number"),
        ("[panels.a]\nurl = 'https://a.example/'\nrate = 'secret-part'", "'rate' is to be such as 120/m, 5/s or"),
        ("[panels.a]\nurl = 'https://a.example/'\nmax_in_flight = 0", "max_in_flight must be a whole number"),
        ("[panels.a]\nurl = 'https://a.example/'\nkey = 'secret-part'\nkey_env = 'A'", "more than one of"),
        ("[panels.a]\nurl = 'https://a.example/'\nkey_file = '/nowhere/key'", "/nowhere/key cannot be read: No such"),
        ("[panels.a]\nurl = 'https://a.example/'\nkey_file = '~nosuchuser/key'", "~nosuchuser/key cannot be found"),
        ("[panels.a]\nurl = 'https://a.example/'\nkey = ''", "The key is empty"),
        (b"\xff\xfe", "it is not UTF-8"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value and "\n" not in value else "",
)
def test_profile_that_is_wrong_is_said_in_a_sentence(content, words, profiles, capsys):
    """What is wrong in the file is named, but never what stands there: it may be a key in the wrong place."""
    profiles.write_bytes(content if isinstance(content, bytes) else content.encode())

    assert main(["balance", "--panel", "a"]) == 2

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert "secret-part" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rate", "120"], "--rate is to be such as 120/m, 5/s or 1000/h, not '120'."),
        (["--rate", "0/m"], "--rate is to be"),
        (["--rate", "5/fortnight"], "--rate is to be"),
        (["--rate", "9" * 400 + "/s"], "--rate is to be"),
        (["--max-in-flight", "0"], "--max-in-flight"),
        (["--panel", "omega"], "There is no panel 'omega', only 1dg, d3mworld"),
        (["--panel", "https://a.example/"], "an address goes to --url"),
        (["--panel", "1dg", "--url", URL], "not both"),
        (["--url", "panel.example"], "is not a panel's address"),
        (["--url", "http://panel.example/?key=secret-part"], "clear text"),
        (["--url", "https://me:secret-part@panel.example/"], "neither a user name"),
        (["--url", "https://panel.example/?key=secret-part"], "address holds no key"),
        (["--url", "https://panel.example/#secret-part"], "neither a user name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_cannot_be_are_said_in_a_sentence(arguments, words, capsys):
    """Nothing is sent; the exit code is 2, and no part of an address that may be a secret is shown."""
    assert main(["balance", *arguments]) == 2

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert "secret-part" not in err


def test_profiles_in_a_home_that_is_not_there(settings, capsys):
    """A path that starts with nobody's home is named."""
    settings.setenv("SMM_PROFILES", "~nosuchuser/profiles.toml")

    assert main(["balance", "--panel", "a"]) == 2
    assert capsys.readouterr().err.startswith("~nosuchuser/profiles.toml cannot be found")


def test_missing_settings_name_the_remedy(settings, capsys):
    """Who has said nothing is told where to say it."""
    settings.delenv("SMM_KEY")
    assert main(["balance"]) == 2
    assert main(["balance", "--panel", "1dg"]) == 2
    settings.delenv("SMM_URL")
    assert main(["balance"]) == 2

    unnamed, named, nothing = capsys.readouterr().err.splitlines()
    assert unnamed.startswith("There is no key: put it into the variable SMM_KEY, or into a profile in ")
    assert named.startswith("There is no key for panel '1dg': put it into the variable SMM_KEY_1DG, into SMM_KEY, or ")
    assert nothing.startswith("Which panel? Say --panel or --url, set SMM_URL, or name a default in ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["balance", "--key", "secret-part"],
        ["--key=secret-part", "balance"],
        ["status", "1", "--api-key=secret-part"],
        ["worker", "--TOKEN", "secret-part"],
        ["add", "1", "-key:secret-part"],
    ],
    ids=" ".join,
)
def test_key_on_the_command_line_is_refused(arguments, capsys):
    """There is no option for a key; who tries is told where it goes, and it is not repeated."""
    assert main(arguments) == 2

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "SMM_KEY" in err
    assert "secret-part" not in err


def test_journal_of_a_profile_comes_before_the_environment(profiles, settings, tmp_path):
    """Two accounts never share a journal by accident: the variable is for panels whose profile names none."""
    text = profiles.read_text().replace("[panels.gamma]", '[panels.gamma]\njournal = "/of/gamma.db"')
    profiles.write_text(text)
    gamma = Connection(panel="gamma")
    settings.setenv("SMM_JOURNAL", "/of/all.db")

    assert journal_path(Path("/given.db"), gamma) == Path("/given.db")
    assert journal_path(None, gamma) == Path("/of/gamma.db")
    assert journal_path(None, Connection(panel="alpha")) == Path("/of/all.db")


def test_files_of_a_profile_do_not_depend_on_the_folder_one_stands_in(profiles, settings, tmp_path):
    """A journal that is another one in another folder would let the same ref be placed once more."""
    text = profiles.read_text().replace(f'"{tmp_path.as_posix()}/beta.key"', '"../beta.key"\njournal = "beta.db"')
    profiles.write_text(text)
    settings.chdir(tmp_path)

    assert journal_path(None, Connection(panel="beta-2")) == profiles.parent / "beta.db"
    assert found(panel="beta-2")[1] == "key-of-beta"
