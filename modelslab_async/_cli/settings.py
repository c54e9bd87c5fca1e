"""Decide where each setting comes from: flag, environment, project file, user file, built in.

A project's own file (``.modelslab/config.toml`` in the current directory) may come with a foreign
repository, so it decides neither which key is used, nor to whom it is sent, nor on whose servers
jobs run, nor which addresses of this network may be read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve, frozen

from modelslab_async import ConfigurationError

from .._protocol.addresses import address_ranges
from .error_mapping import NoKey
from .textfiles import decoded, from_stdin, read_bytes, read_text

if TYPE_CHECKING:
    from decimal import Decimal

PROJECT_FILE = Path(".modelslab/config.toml")
PRICE = "price."
"""What the names of the settings begin with that are prices of single endpoints."""

_PRICES_VARIABLE = "MODELSLAB_ASYNC_PRICE"
_BUILT_IN = "built in"
_LONGEST_KEY = 64 * 1024
_TRUTHS = {"true": True, "yes": True, "on": True, "1": True} | dict.fromkeys(
    ("false", "no", "off", "0"), False
)
_ENCODED = re.compile(r"^([a-z][a-z0-9+.-]*://)?[^/?#]*%.*", re.IGNORECASE | re.DOTALL)
_MORE = re.compile(r"[?#].*", re.DOTALL)
# Also the @ that an input method of East Asia types.
_USER = re.compile(r"^([a-z][a-z0-9+.-]*://)?.*[@\uff20\ufe6b]", re.IGNORECASE | re.DOTALL)
# No port, but what is left of a user and a password where the host was forgotten.
_NO_PORT = re.compile(
    r"^([a-z][a-z0-9+.-]*://)?[^/\[:]+:(?![0-9]*(?:/|$)).*", re.IGNORECASE | re.DOTALL
)


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
class _Known:
    """One setting: its names outside, its type, and what holds without any of them."""

    env: tuple[str, ...]
    keys: tuple[str, ...]
    default: Any = None
    kind: Callable[[Any], Any] = str
    wanted: str = "a number"
    from_project: bool = True
    safer: Callable[[Any, Any], Any] | None = None
    """Which of two values spends less; a project's file only ever moves ours that way."""


def _amount(value: Any) -> Decimal:
    from ..batch import amount

    return amount(value)


def _ranges(value: Any) -> str:
    """Address ranges, from one text or a list, with a comma between them."""
    texts = value.replace(",", " ").split() if isinstance(value, str) else list(value)
    return ",".join(map(str, address_ranges(texts)))


def _truth(value: Any) -> bool:
    return bool(_TRUTHS[str(value).strip().casefold()])


# MODELSLAB_* and the user's file mean what they mean to ModelsLab's own command line (its
# repository, internal/config); what only we know is MODELSLAB_ASYNC_* and a table of our own.
_KNOWN = {
    "api_key": _Known(
        env=("MODELSLAB_API_KEY", "MODELS_LAB_API_KEY"), keys=("api_key",), from_project=False
    ),
    "base_url": _Known(
        env=("MODELSLAB_BASE_URL",),
        keys=("base_url", "defaults.base_url"),
        default="https://modelslab.com",
        from_project=False,
    ),
    "profile": _Known(
        env=("MODELSLAB_PROFILE",),
        keys=("defaults.profile",),
        default="default",
        from_project=False,
    ),
    "output": _Known(env=("MODELSLAB_OUTPUT",), keys=("defaults.output",), default="human"),
    "max_jobs": _Known(
        env=("MODELSLAB_ASYNC_MAX_JOBS",),
        keys=("async.max_jobs",),
        default=5,
        kind=int,
        safer=min,
    ),
    "timeout": _Known(
        env=("MODELSLAB_ASYNC_TIMEOUT",), keys=("async.timeout",), default=900.0, kind=float
    ),
    "allow_addresses": _Known(
        env=("MODELSLAB_ASYNC_ALLOW_ADDRESSES",),
        keys=("async.allow_addresses",),
        default="",
        kind=_ranges,
        wanted="address ranges such as 198.18.0.0/15",
        from_project=False,
    ),
    "enterprise": _Known(
        env=("MODELSLAB_ASYNC_ENTERPRISE",),
        keys=("async.enterprise",),
        default=False,
        kind=_truth,
        wanted="true or false",
        from_project=False,
    ),
    "price_per_job": _Known(
        env=("MODELSLAB_ASYNC_PRICE_PER_JOB",),
        keys=("async.price_per_job",),
        kind=_amount,
        safer=max,
    ),
    "price_per_second": _Known(
        env=("MODELSLAB_ASYNC_PRICE_PER_SECOND",),
        keys=("async.price_per_second",),
        kind=_amount,
        safer=max,
    ),
}
_OWN_PRICE = _Known(env=(), keys=(), kind=_amount, safer=max)


def _known(name: str) -> _Known:
    return _OWN_PRICE if name.startswith(PRICE) else _KNOWN[name]


@frozen(kw_only=True)
class Flags:
    """What the command line itself says about the account."""

    api_key: str | None = None
    api_key_file: str | None = None
    api_key_stdin: bool = False
    base_url: str | None = None
    max_jobs: int | None = None
    timeout: float | None = None
    allow_addresses: str | None = None
    enterprise: bool | None = None
    price_per_job: Decimal | None = None
    price_per_second: Decimal | None = None
    prices: Sequence[tuple[str, Decimal]] = ()

    def given(self) -> dict[str, Any]:
        """The settings among them, the key read from where it is said to be."""
        found = {
            "api_key": self._key(),
            "base_url": self.base_url,
            "max_jobs": self.max_jobs,
            "timeout": self.timeout,
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
            return read_text(Path(self.api_key_file), _LONGEST_KEY).strip()
        if self.api_key_stdin:
            return from_stdin("--api-key-stdin", _LONGEST_KEY).strip()
        return self.api_key


def read_settings(flags: Flags) -> dict[str, Setting]:
    """Every setting with its origin.

    Raises:
        ConfigurationError: a file is not TOML, or a value is of the wrong type.
    """
    layers = [
        ("flag", flags.given()),
        *((f"environment, {name}", {key: value}) for name, key, value in _environment()),
        (str(PROJECT_FILE), _from_file(PROJECT_FILE, project=True)),
        *((str(path), _from_file(path)) for path in user_files()),
    ]
    prices = {name for _, values in layers for name in values if name.startswith(PRICE)}
    settings = {name: _first(name, layers) for name in (*_KNOWN, *sorted(prices))}
    if settings["api_key"].value is None:
        settings["api_key"] = _profile_key(settings["profile"].value)
    settings["api_key"] = evolve(settings["api_key"], file=flags.api_key_file)
    return settings


def built_in() -> dict[str, Setting]:
    """What holds when nobody says anything."""
    return {name: Setting(known.default, _BUILT_IN) for name, known in _KNOWN.items()}


def user_files() -> list[Path]:
    """Where the user's own configuration may be: ours, then that of ModelsLab's command line."""
    homes = (home for home in (_own_home(), _go_home()) if home is not None)
    return list(dict.fromkeys(home / "config.toml" for home in homes))


def masked(key: str | None) -> str | None:
    """A key as it may be shown: its last four characters, if it is long enough for that."""
    if key is None:
        return None
    return f"***{key[-4:]}" if len(key) >= 16 else "***"


def without_password(url: str) -> str:
    """A URL, or what a proxy is named by, as it may be shown: a host, and a path at most."""
    without_user = _USER.sub(r"\1***@", url)
    return _MORE.sub("***", _NO_PORT.sub(r"\1***", _ENCODED.sub(r"\1***", without_user)))


def key_of(settings: Mapping[str, Setting]) -> str:
    """The key, for a command that cannot do without.

    Raises:
        NoKey: there is none.
    """
    key = settings["api_key"].value
    if key:
        return str(key)
    raise NoKey("no API key: set MODELSLAB_API_KEY, or name a file with --api-key-file")


# A relative path, as of HOME=., would be looked for in whatever directory the command runs in, and
# what lies there may be foreign: it must not decide who gets the key.


def _own_home() -> Path | None:
    from platformdirs import user_config_path

    try:
        home = user_config_path("modelslab")
    except RuntimeError:  # a user without a name and without HOME, as in many containers
        return None
    return home if home.is_absolute() else None


def _go_home() -> Path | None:
    home = Path(os.path.expanduser("~/.config/modelslab"))  # noqa: PTH111  it never raises
    return home if home.is_absolute() else None


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
        for name, known in _KNOWN.items()
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
    import tomllib

    if not is_reachable(path):
        return {}
    try:
        document = tomllib.loads(decoded(read_bytes(path)))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}; correct it") from None
    found = {
        name: _found(document, known.keys)
        for name, known in _KNOWN.items()
        if known.from_project or not project
    }
    found |= _own_prices(_dug(document, "async.price"), str(path))
    return {name: value for name, value in found.items() if value is not None}


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


def is_reachable(path: Path) -> bool:
    """Whether there is something at a place where a file may be, and we may go there.

    Raises:
        OSError: the file system fails.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    return True


def _found(document: dict[str, Any], keys: Sequence[str]) -> Any:
    """The value of the first of these dotted keys that the document has."""
    values = (_dug(document, key) for key in keys)
    return next((value for value in values if value is not None), None)


def _dug(document: Any, key: str) -> Any:
    for part in key.split("."):
        document = document.get(part) if isinstance(document, dict) else None
    return document


def _first(name: str, layers: list[tuple[str, dict[str, Any]]]) -> Setting:
    known = _known(name)
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
    known = _known(name)
    try:
        return known.kind(value)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        what = error if known.kind is _amount else known.wanted
        raise ConfigurationError(
            f"{name} is {value!r:.40} ({origin}), but must be {what}"
        ) from None


def _profile_key(profile: str) -> Setting:
    """The key that ModelsLab's command line keeps in a file where there is no keyring."""
    home = _go_home()
    if home is None:
        return Setting(None, "nowhere")
    path = home / "profiles" / f"{profile}.json"
    try:
        key = json.loads(decoded(read_bytes(path))).get("apikey")
    except (OSError, ValueError, AttributeError):
        key = None
    return Setting(key, str(path)) if isinstance(key, str) and key else Setting(None, "nowhere")
