"""What settings there are: their names outside the command line, their types and defaults."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from .._protocol.addresses import address_ranges
from .keys import check_profile

if TYPE_CHECKING:
    from decimal import Decimal

PRICE = "price."
"""What the names of the settings begin with that are prices of single endpoints."""

_TRUTHS = {"true": True, "yes": True, "on": True, "1": True} | dict.fromkeys(
    ("false", "no", "off", "0"), False
)


@frozen(kw_only=True)
class Known:
    """One setting: its names outside, its type, and what holds without any of them."""

    env: tuple[str, ...]
    keys: tuple[str, ...]
    default: Any = None
    kind: Callable[[Any], Any] = str
    wanted: str = "a number"
    from_project: bool = True
    safer: Callable[[Any, Any], Any] | None = None
    """Which of two values spends less; a project's file only ever moves ours that way."""


def amount_of(value: Any) -> Decimal:
    """A price that a file or a variable says."""
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
KNOWN = {
    "api_key": Known(
        env=("MODELSLAB_API_KEY", "MODELS_LAB_API_KEY"), keys=("api_key",), from_project=False
    ),
    "base_url": Known(
        env=("MODELSLAB_BASE_URL",),
        keys=("base_url", "defaults.base_url"),
        default="https://modelslab.com",
        from_project=False,
    ),
    "profile": Known(
        env=("MODELSLAB_PROFILE",),
        keys=("defaults.profile",),
        default="default",
        kind=check_profile,
        wanted="letters, digits and . _ -, up to 64",
        from_project=False,
    ),
    "output": Known(env=("MODELSLAB_OUTPUT",), keys=("defaults.output",), default="human"),
    "max_jobs": Known(
        env=("MODELSLAB_ASYNC_MAX_JOBS",),
        keys=("async.max_jobs",),
        default=5,
        kind=int,
        safer=min,
    ),
    "timeout": Known(
        env=("MODELSLAB_ASYNC_TIMEOUT",), keys=("async.timeout",), default=900.0, kind=float
    ),
    "connect_timeout": Known(
        env=("MODELSLAB_ASYNC_CONNECT_TIMEOUT",),
        keys=("async.connect_timeout",),
        default=30.0,
        kind=float,
    ),
    "allow_addresses": Known(
        env=("MODELSLAB_ASYNC_ALLOW_ADDRESSES",),
        keys=("async.allow_addresses",),
        default="",
        kind=_ranges,
        wanted="address ranges such as 198.18.0.0/15",
        from_project=False,
    ),
    "enterprise": Known(
        env=("MODELSLAB_ASYNC_ENTERPRISE",),
        keys=("async.enterprise",),
        default=False,
        kind=_truth,
        wanted="true or false",
        from_project=False,
    ),
    "price_per_job": Known(
        env=("MODELSLAB_ASYNC_PRICE_PER_JOB",),
        keys=("async.price_per_job",),
        kind=amount_of,
        safer=max,
    ),
    "price_per_second": Known(
        env=("MODELSLAB_ASYNC_PRICE_PER_SECOND",),
        keys=("async.price_per_second",),
        kind=amount_of,
        safer=max,
    ),
}
_OWN_PRICE = Known(env=(), keys=(), kind=amount_of, safer=max)


def known_setting(name: str) -> Known:
    """What is known of a setting, or of the price of an endpoint."""
    return _OWN_PRICE if name.startswith(PRICE) else KNOWN[name]
