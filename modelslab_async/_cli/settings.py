"""Decide where each setting comes from: flag, environment, project file, user's files, built in.

A project's own file (``.modelslab/config.toml`` in the current directory) may come with a foreign
repository, so it decides neither which key is used, nor to whom it is sent, nor on whose servers
jobs run, nor which addresses of this network may be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve, frozen

from modelslab_async import ConfigurationError

from .._protocol.urls import api_origin
from .._text import safe_text
from .console import INVOCATION
from .env_file import ENV_FILE, check_origin, key_and_origin
from .error_mapping import NoKey
from .help import nearest
from .keys import KEYRING, LONGEST_KEY, foreign_key, kept_key, without_key
from .known_settings import KNOWN, PRICE, amount_of, known_setting
from .places import PROJECT_FILE, is_reachable, own_files, user_files
from .textfiles import decoded, from_stdin, read_bytes, read_text

if TYPE_CHECKING:
    from decimal import Decimal

_PRICES_VARIABLE = "MODELSLAB_ASYNC_PRICE"
_BUILT_IN = "built in"
_NOWHERE = "nowhere"
_Layers = list[tuple[str, dict[str, Any]]]


@frozen
class Setting:
    """One value and where it was found, and the file that the command line named for it."""

    value: Any
    origin: str
    file: str | None = None

    @property
    def is_named(self) -> bool:
        """Whether this run's own command line or environment says it, and no file."""
        return self.origin == "flag" or self.origin.startswith("environment")


@frozen(kw_only=True)
class Flags:
    """What the command line itself says about the account."""

    api_key: str | None = None
    api_key_file: str | None = None
    api_key_stdin: bool = False
    profile: str | None = None
    base_url: str | None = None
    max_jobs: int | None = None
    timeout: float | None = None
    connect_timeout: float | None = None
    allow_addresses: str | None = None
    enterprise: bool | None = None
    price_per_job: Decimal | None = None
    price_per_second: Decimal | None = None
    prices: Sequence[tuple[str, Decimal]] = ()

    def given(self) -> dict[str, Any]:
        """The settings among them, the key read from where it is said to be."""
        found = {
            "api_key": self._key(),
            "profile": self.profile,
            "base_url": self.base_url,
            "max_jobs": self.max_jobs,
            "timeout": self.timeout,
            "connect_timeout": self.connect_timeout,
            "allow_addresses": self.allow_addresses,
            "enterprise": self.enterprise,
            "price_per_job": self.price_per_job,
            "price_per_second": self.price_per_second,
            **{f"{PRICE}{name}": price for name, price in self.prices},
        }
        return {name: value for name, value in found.items() if value is not None}

    def _key(self) -> str | None:
        ways = (self.api_key is not None, self.api_key_file is not None, self.api_key_stdin)
        if sum(ways) > 1:
            raise click.UsageError("pass the key in one way only")
        if self.api_key_file is not None:
            return read_text(Path(self.api_key_file), LONGEST_KEY).strip()
        if self.api_key_stdin:
            return from_stdin("--api-key-stdin", LONGEST_KEY).strip()
        return self.api_key


def read_settings(flags: Flags) -> dict[str, Setting]:
    """Every setting with its origin.

    Raises:
        ConfigurationError: a file is not TOML, or a value is of the wrong type.
    """
    local_key, local_origin = key_and_origin()
    named = [
        ("flag", flags.given()),
        *((f"environment, {name}", {key: value}) for name, key, value in _environment()),
        (ENV_FILE, local_key),
    ]
    files = [
        (str(PROJECT_FILE), _from_file(PROJECT_FILE, project=True)),
        *((str(path), _from_file(path)) for path in (*own_files(), *user_files())),
    ]
    layers = [*named, *files]
    prices = {name for _, values in layers for name in values if name.startswith(PRICE)}
    settings = {name: _first(name, layers) for name in (*KNOWN, *sorted(prices))}
    settings["api_key"] = evolve(_key(settings["profile"], named, files), file=flags.api_key_file)
    if settings["api_key"].origin == ENV_FILE:
        settings["base_url"] = _first("base_url", [*named, (ENV_FILE, local_origin), *files])
    return settings


def _key(profile: Setting, named: _Layers, files: _Layers) -> Setting:
    """The key. A profile that the command line names has its own key or none."""
    is_chosen = profile.origin == "flag"
    first = _first("api_key", named[:1] if is_chosen else named)
    if first.value is not None:
        return first
    kept, foreign = kept_key(profile.value), foreign_key(profile.value)
    if kept is not None:
        return Setting(*kept)
    configured = _first("api_key", [] if is_chosen else files)
    if configured.value is not None:
        return configured
    return Setting(None, _NOWHERE) if foreign is None else Setting(foreign[0], str(foreign[1]))


def built_in() -> dict[str, Setting]:
    """What holds when nobody says anything."""
    return {name: Setting(known.default, _BUILT_IN) for name, known in KNOWN.items()}


def key_of(settings: Mapping[str, Setting]) -> str:
    """The key, for a command that cannot do without.

    Raises:
        NoKey: there is none.
        ConfigurationError: the origin is that of a ``.env`` file, and the key is not.
    """
    key, profile = settings["api_key"].value, settings["profile"]
    check_origin(settings["api_key"].origin, settings["base_url"].origin)
    if key:
        return str(key)
    if settings["api_key"].origin.startswith(KEYRING):
        raise NoKey(
            f"the key of profile {profile.value!r} is in {settings['api_key'].origin}: unlock it, "
            f"set MODELSLAB_API_KEY, or run {INVOCATION} auth login again"
        )
    if profile.origin != _BUILT_IN:
        raise NoKey(without_key(profile.value))
    raise NoKey(
        "no API key: set MODELSLAB_API_KEY, name a file with --api-key-file, or keep one with "
        f"{INVOCATION} auth login"
    )


def own_prices(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """The prices of single endpoints, such as ``sfx.per_job``.

    Such a price stands in place of the one for all, and so a project's file could lower that one:
    where it alone names the endpoint, no part of the price is lower, and none makes a job free.
    """
    own = {name[len(PRICE) :]: one for name, one in settings.items() if name.startswith(PRICE)}
    users = {_endpoint(name) for name, one in own.items() if not _is_projects(one)}
    for endpoint in {_endpoint(name) for name in own} - users:
        for unit in ("per_job", "per_second"):
            name, for_all = f"{endpoint}.{unit}", settings[f"price_{unit}"]
            if for_all.value is not None and (name not in own or own[name].value < for_all.value):
                own[name] = for_all
    return {name: one for name, one in own.items() if one.value or not _is_projects(one)}


def _endpoint(name: str) -> str:
    return name.partition(".")[0]


def _is_projects(setting: Setting) -> bool:
    return setting.origin == str(PROJECT_FILE)


def _environment() -> list[tuple[str, str, Any]]:
    found: list[tuple[str, str, Any]] = [
        (variable, name, os.environ[variable])
        for name, known in KNOWN.items()
        for variable in known.env
        if os.environ.get(variable, "").strip()
    ]
    for text in os.environ.get(_PRICES_VARIABLE, "").replace(",", " ").split():
        name, _, price = text.partition("=")
        _check_price(name, f"environment, {_PRICES_VARIABLE}")
        found.append((_PRICES_VARIABLE, f"{PRICE}{name}", price))
    return found


def _check_price(name: str, origin: str) -> None:
    from ..batch import price_key

    try:
        price_key(name)
    except ValueError as error:
        raise ConfigurationError(f"{PRICE}{name} ({origin}): {error}") from None


def _from_file(path: Path, *, project: bool = False) -> dict[str, Any]:
    """The settings in a file. That of ``config set`` has them without tables, and holds no key."""
    document, is_own = _document(path), path in own_files()
    found = {
        name: _found(document, (name,) if is_own else known.keys)
        for name, known in KNOWN.items()
        if (known.from_project or not project) and not (is_own and name == "api_key")
    }
    prices = _dug(document, PRICE.strip(".") if is_own else "async.price")
    found |= _own_prices(prices, str(path))
    return {name: value for name, value in found.items() if value is not None}


def _document(path: Path) -> dict[str, Any]:
    import tomllib

    if not is_reachable(path):
        return {}
    try:
        return tomllib.loads(decoded(read_bytes(path)))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}; correct it") from None


# --- names of settings ----------------------------------------------------------------------------


def unknown_settings() -> list[str]:
    """What is wrong with names in configuration files, in words."""
    strange = [line for path in own_files() for line in _unknown(path, _document(path), "")]
    for path in (PROJECT_FILE, *user_files()):
        table = _document(path).get("async")
        strange += _unknown(path, table if isinstance(table, dict) else {}, "async.")
    return strange


def _unknown(path: Path, table: Mapping[str, Any], prefix: str) -> list[str]:
    keys = [key for one in KNOWN.values() for key in one.keys if key.startswith("async.")]
    names = [key.removeprefix(prefix) for key in keys] if prefix else settable()
    return [
        f"{path}: there is no setting {safe_text(f'{prefix}{name}', 60)}; "
        + nearest(name, names, f"there are {', '.join(names)}")
        for name in table
        if name not in (*names, PRICE.strip("."))
    ]


def settable() -> list[str]:
    """Names of the settings that ``config set`` takes, beside prices of endpoints."""
    return [name for name in KNOWN if name != "api_key"]


def value_of(name: str, text: str) -> Any:
    """A setting's value from text.

    Raises:
        ConfigurationError: there is no such setting, or it cannot have that value.
    """
    if name.startswith(PRICE):
        _check_price(name.removeprefix(PRICE), "config set")
    elif name not in settable():
        names = ", ".join((*settable(), f"{PRICE}ENDPOINT.UNIT"))
        raise ConfigurationError(
            f"there is no setting {safe_text(name, 60)!r}; "
            + nearest(name, settable(), f"there are {names}")
        )
    value = _typed(name, text, "config set")
    if name in ("max_jobs", "timeout") and not value > 0:
        raise ConfigurationError(f"{name} is {text!r:.40}, but must be more than 0")
    if name == "output" and value not in ("human", "json"):
        raise ConfigurationError(f"output is {text!r:.40}, but must be human or json")
    if name == "base_url":
        api_origin(value)
    return value


def _own_prices(table: Any, origin: str) -> dict[str, Any]:
    """The prices of endpoints in a file, where each has a table of its units."""
    found = {}
    for endpoint, units in ({} if table is None else _table("price", table, origin)).items():
        for unit, value in _table(f"{PRICE}{endpoint}", units, origin).items():
            _check_price(f"{endpoint}.{unit}", origin)
            found[f"{PRICE}{endpoint}.{unit}"] = value
    return found


def _table(name: str, value: Any, origin: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise ConfigurationError(
        f"{name} is {value!r:.40} ({origin}), but must be a table; write "
        f"{PRICE}text_to_speech.per_character = 0.00002, for instance"
    )


def _found(document: dict[str, Any], keys: Sequence[str]) -> Any:
    """The value of the first of these dotted keys that the document has."""
    values = (_dug(document, key) for key in keys)
    return next((value for value in values if value is not None), None)


def _dug(document: Any, key: str) -> Any:
    for part in key.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _first(name: str, layers: _Layers) -> Setting:
    known = known_setting(name)
    found = (
        Setting(_typed(name, values[name], origin), origin)
        for origin, values in layers
        if name in values
    )
    first = next(found, Setting(known.default, _BUILT_IN))
    if _is_projects(first) and known.safer is not None:
        # It may come with a foreign repository: it cannot spend what the user's own file saves.
        own = next(found, first)
        return own if known.safer(first.value, own.value) == own.value else first
    return first


def _typed(name: str, value: Any, origin: str) -> Any:
    known = known_setting(name)
    try:
        return known.kind(value)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        what = error if known.kind is amount_of else known.wanted
        raise ConfigurationError(
            f"{name} is {value!r:.40} ({origin}), but must be {what}"
        ) from None
