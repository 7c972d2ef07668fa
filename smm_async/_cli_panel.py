"""Which panel a command talks to, and with which key: from options, the environment and a file of profiles.

The key is never an option: the shell would keep it in its history, and show it to everybody on the machine.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import attrs
from cyclopts import Parameter
from cyclopts.validators import Number
from platformdirs import user_config_path

import smm_async as smm
from smm_async import panels

__all__ = ["DEFAULTS", "Connection", "SettingsError", "find_panel", "journal_path", "make_client", "take_key"]

_KEY: Final = "SMM_KEY"
_URL: Final = "SMM_URL"
_PROFILES: Final = "SMM_PROFILES"
_BUILT_IN: Final = {"d3mworld": panels.D3MWORLD, "1dg": panels.ONE_DG}
_KEY_SOURCES: Final = ("key", "key_env", "key_file")
_RATE: Final = re.compile(r"([1-9][0-9]{0,8})/([smh])")
_PERIODS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_WANTED_RATE: Final = "is to be such as 120/m, 5/s or 1000/h"
_SHORTEST_GAP: Final = 0.001
# As the client's own.
_MAX_IN_FLIGHT: Final = 8
_WRITE_BUDGET: Final = 60.0
# What a line of TOML can say of a panel; words and actions take a program.
_PANEL_FIELDS: Final = {
    "action_field": str,
    "allow_http": bool,
    "batch_limit": int,
    "bearer": bool,
    "body": str,
    "key_field": str,
    "key_in_url": bool,
    "method": str,
    "user_agent": str,
}
_FIELDS: Final = {
    **dict.fromkeys(("url", "like", "journal", "rate", *_KEY_SOURCES), str),
    "max_in_flight": int,
    **_PANEL_FIELDS,
}


class SettingsError(Exception):
    """The options, the environment or the profiles are not what a command needs; nothing was sent."""


@Parameter(name="*")
@attrs.frozen
class Connection:
    """The options that all commands about a panel have."""

    panel: Annotated[str | None, Parameter(help="A profile's name, or d3mworld, or 1dg.")] = None
    url: Annotated[str | None, Parameter(help="The panel's complete address; by default SMM_URL.")] = None
    budget: Annotated[
        float, Parameter(validator=Number(gt=0), help="Seconds that a lookup may take, with repetition.")
    ] = 30.0
    rate: Annotated[
        str | None,
        Parameter(help="How many requests the panel allows: 120/m, 5/s or 1000/h. They leave evenly spread."),
    ] = None
    max_in_flight: Annotated[
        int | None, Parameter(validator=Number(gte=1), help="Requests on their way at the same time; by default 8.")
    ] = None
    debug: Annotated[bool, Parameter(negative="", help="Say more about what goes on, never the key.")] = False


DEFAULTS: Final = Connection()


@attrs.frozen
class _Found:
    """A panel, the name it goes by, and what its profile says, which may hold the key."""

    name: str | None
    panel: smm.Panel
    profile: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False)


def make_client(connection: Connection, **options: Any) -> smm.Client:
    """Return a client for the panel that the options name.

    Raises:
        SettingsError: there is no such panel or no key for it, or the client refuses something.
    """
    found = _find(connection)
    max_in_flight = connection.max_in_flight or found.profile.get("max_in_flight", _MAX_IN_FLIGHT)
    limit = _limit_of(found) if connection.rate is None else _read_rate(connection.rate)
    # Up to twice as many requests are made up as may be on their way, and each waits for its turn in its budget.
    waiting = 0.0 if limit is None else limit.per * (2 * max_in_flight + 1)
    budgets = {"budget": connection.budget, "write_budget": options.pop("write_budget", _WRITE_BUDGET)}
    longer = {name: seconds + waiting for name, seconds in budgets.items()}
    return _make_client(found, max_in_flight=max_in_flight, rate_limit=limit, **longer, **options)


def find_panel(name: str, address: str, *, budget: float, max_in_flight: int) -> smm.Client:
    """Return a client for a panel by its name and its address, which may be a name, too; its profile may have a rate.

    Raises:
        SettingsError: as `make_client()`.
    """
    found = _at(address) if "://" in address else _named(address)
    limits = {"budget": budget, "max_in_flight": max_in_flight, "rate_limit": _limit_of(found)}
    return _make_client(attrs.evolve(found, name=name), **limits)


def _limit_of(found: _Found) -> smm.RateLimit | None:
    return _read_rate(found.profile["rate"]) if "rate" in found.profile else None


def _read_rate(text: str) -> smm.RateLimit:
    """Return a rate as one request in each part of its period: commands one after the other keep to it, too.

    Raises:
        SettingsError: it is none.
    """
    if (read := _RATE.fullmatch(text)) is None:
        message = f"--rate {_WANTED_RATE}, not {text[:40]!r}."
        raise SettingsError(message)
    return smm.RateLimit(1, per=max(_SHORTEST_GAP, _PERIODS[read[2]] / int(read[1])))


def journal_path(given: Path | None, connection: Connection) -> Path | None:
    """Return where orders are written down: as given, or as the profile or SMM_JOURNAL says.

    The profile comes first: SMM_JOURNAL may be the journal of another account.

    Raises:
        SettingsError: there is no such panel, or no such user's home.
    """
    found = None if given else _look_for(connection)
    if found and (own := found.profile.get("journal")):
        return _beside_profiles(own)
    told = given or os.environ.get("SMM_JOURNAL")
    return _at_home(told) if told else None


def take_key(connection: Connection) -> str:
    """Return the key itself, for what blacks it out. Keep it in no variable.

    Raises:
        SettingsError: there is none.
    """
    found = _find(connection)
    return _read_key(found.name, found.profile)


def _make_client(found: _Found, **options: Any) -> smm.Client:
    try:
        return smm.Client(found.panel, key=_read_key(found.name, found.profile), **options)
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _find(connection: Connection) -> _Found:
    found = _look_for(connection)
    if found is None:
        message = f"Which panel? Say --panel or --url, set {_URL}, or name a default in {_profiles_path()}."
        raise SettingsError(message)
    return found


def _look_for(connection: Connection) -> _Found | None:
    """Return the panel, if anything names one."""
    if connection.panel is not None and connection.url is not None:
        message = "Say --panel or --url, not both: a panel has its own address."
        raise SettingsError(message)
    if connection.panel is not None:
        return _named(connection.panel)
    if url := connection.url or os.environ.get(_URL):
        return _at(url)
    if (default := _read_profiles().get("default")) is not None:
        return _named(default)
    return None


def _at(url: str) -> _Found:
    try:
        return _Found(None, smm.Panel(url))
    except ValueError as error:
        raise SettingsError(str(error)) from None


def _named(name: str) -> _Found:
    profiles = _read_profiles().get("panels", {})
    if name in profiles:
        return _Found(name, _describe(name, profiles[name]), profiles[name])
    if name in _BUILT_IN:
        return _Found(name, _BUILT_IN[name])
    if "://" in name:
        message = "--panel takes a name; an address goes to --url."
        raise SettingsError(message)
    known = ", ".join(sorted({*profiles, *_BUILT_IN}))
    message = f"There is no panel {name!r}, only {known}: add it to {_profiles_path()}, or give its address."
    raise SettingsError(message)


def _describe(name: str, profile: Mapping[str, Any]) -> smm.Panel:
    """Return the panel that a profile describes.

    Raises:
        SettingsError: the profile says something that nobody understands, or two things that contradict each other.
    """
    for field, value in profile.items():
        if type(value) is not _FIELDS.get(field):
            # Never the value: it may be a key in the wrong place.
            wanted = f"is to be {_FIELDS[field].__name__}" if field in _FIELDS else "is none of a profile's"
            raise _wrong(name, f"{field!r} {wanted}")
    if not _RATE.fullmatch(profile.get("rate", "1/s")):
        raise _wrong(name, f"'rate' {_WANTED_RATE}")
    if sum(source in profile for source in _KEY_SOURCES) > 1:
        raise _wrong(name, "it has more than one of key, key_env and key_file")
    like = profile.get("like")
    if like is not None and like not in _BUILT_IN:
        raise _wrong(name, f"'like' is one of {', '.join(_BUILT_IN)}")
    if like is None and "url" not in profile:
        raise _wrong(name, "it has no url")
    fields = {field: value for field, value in profile.items() if field == "url" or field in _PANEL_FIELDS}
    try:
        return smm.Panel(**fields) if like is None else attrs.evolve(_BUILT_IN[like], **fields)
    except ValueError as error:
        raise _wrong(name, str(error).rstrip(".")) from None


def _wrong(name: str, complaint: str) -> SettingsError:
    return SettingsError(f"Profile {name!r} in {_profiles_path()} is wrong: {complaint}.")


def _read_key(name: str | None, profile: Mapping[str, Any]) -> str:
    """Return the key: SMM_KEY_NAME comes before the profile, which comes before SMM_KEY.

    Raises:
        SettingsError: there is none.
    """
    own = None if name is None else f"{_KEY}_{re.sub('[^A-Z0-9]', '_', name.upper())}"
    if own is not None and os.environ.get(own):
        return os.environ[own]
    if not profile.keys().isdisjoint(_KEY_SOURCES):
        # Not SMM_KEY: it may be the key of another panel.
        return _key_in(name, profile)
    if os.environ.get(_KEY):
        return os.environ[_KEY]
    places = f"{_KEY}" if own is None else f"{own}, into {_KEY}"
    whose = "" if name is None else f" for panel {name!r}"
    message = f"There is no key{whose}: put it into the variable {places}, or into a profile in {_profiles_path()}."
    raise SettingsError(message)


def _key_in(name: str | None, profile: Mapping[str, Any]) -> str:
    if "key" in profile:
        return str(profile["key"])
    if "key_file" in profile:
        path = _beside_profiles(profile["key_file"])
        _check_private(path)
        return _read_text(path).strip()
    variable = profile["key_env"]
    if not os.environ.get(variable):
        message = f"Profile {name!r} takes its key from the variable {variable}, which is not set."
        raise SettingsError(message)
    return os.environ[variable]


def _profiles_path() -> Path:
    told = os.environ.get(_PROFILES)
    return _at_home(told) if told else user_config_path("smm-async", appauthor=False) / "profiles.toml"


def _beside_profiles(path: str) -> Path:
    # Whatever folder a command is run in: the same ref in another journal would be another order.
    return _profiles_path().absolute().parent / _at_home(path)


def _at_home(path: str | Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        message = f"{path} cannot be found: there is no home of that user. Write the whole path."
        raise SettingsError(message) from None


def _read_profiles() -> Mapping[str, Any]:
    """Return what is in the file of profiles; nothing, where there is none.

    Raises:
        SettingsError: it is no such file, or others may read keys in it.
    """
    path = _profiles_path()
    if not path.exists() and _PROFILES not in os.environ:
        return {}
    try:
        content = tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as error:
        message = f"{path} is no TOML: {error}."
        raise SettingsError(message) from None
    if not _is_shaped(content):
        message = f'{path} is no file of profiles: it holds default = "NAME" and tables [panels.NAME].'
        raise SettingsError(message)
    if any("key" in profile for profile in content.get("panels", {}).values()):
        _check_private(path)
    return content


def _is_shaped(content: Mapping[str, Any]) -> bool:
    profiles = content.get("panels", {})
    return (
        content.keys() <= {"default", "panels"}
        and isinstance(content.get("default", ""), str)
        and isinstance(profiles, dict)
        and all(isinstance(profile, dict) for profile in profiles.values())  # pyright: ignore[reportUnknownVariableType]
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        message = f"{path} cannot be read: {why}."
        raise SettingsError(message) from None


def _check_private(path: Path) -> None:
    if sys.platform == "win32" or not path.exists():
        return
    if stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"{path} holds a key that others on this machine may read: chmod 600 {path}"
        raise SettingsError(message)
