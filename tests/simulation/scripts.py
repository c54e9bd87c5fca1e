"""All scripts by their names, and scripts as files: dice change, and a file stays what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import attrs
import cattrs
from attrs import evolve

from modelslab_async.sandbox import Scenario
from modelslab_async.sandbox._loading import load_scenario

from . import downloads, named, polls, processes, submits, webhooks
from .disk import DiskFault
from .families import family_of
from .network import Mishap
from .swarm import drawn
from .world import Script

REGRESSIONS = Path(__file__).parent / "regressions"

_ROOMS: tuple[tuple[Script, ...], ...] = (
    submits.SCRIPTS,
    polls.SCRIPTS,
    named.SCRIPTS,
    downloads.SCRIPTS,
    webhooks.SCRIPTS,
    processes.SCRIPTS,
)
SCRIPTS: Mapping[str, Script] = {script.id: script for room in _ROOMS for script in room}

_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
_CONVERTER.register_structure_hook(Scenario, lambda value, _: load_scenario(value))
_NOT_DATA = ("visitor", "around", "expects")


def script_named(name: str, seed: int) -> Script:
    """A script of the matrix, of a file, or ``swarm``, which the seed draws.

    What a file does not say of its family is as usual; that of the others follows from the seed.

    Raises:
        KeyError: there is no such script.
    """
    if name == "swarm":
        return evolve(drawn(seed), family=family_of(name, seed))
    if name in SCRIPTS:
        return evolve(SCRIPTS[name], family=family_of(name, seed))
    path = Path(name) if name.endswith(".json") else REGRESSIONS / f"{name}.json"
    if not path.is_file():
        raise KeyError(f"there is no script {name!r}; there are swarm, {', '.join(SCRIPTS)}")
    return read(path)


def read(path: Path) -> Script:
    """The script that a file holds."""
    return _CONVERTER.structure(json.loads(path.read_text()), Script)


def text_of(script: Script) -> str:
    """A script as JSON: only what is not as usual."""
    plain = evolve(script, visitor=None, around=None, expects=None)
    usual = attrs.asdict(Script(id=""))
    fields = {
        name: value
        for name, value in attrs.asdict(plain).items()
        if name not in _NOT_DATA and value != usual[name]
    }
    fields["scenario"] = _changed(attrs.asdict(plain.scenario), Scenario())
    fields["mishaps"] = [
        _changed(one, Mishap(on="api", kind="late")) for one in fields.get("mishaps", ())
    ]
    fields["disk"] = [
        _changed(one, DiskFault(call="open", name="")) for one in fields.get("disk", ())
    ]
    return json.dumps(fields, indent=1) + "\n"


def _changed(fields: Mapping[str, object], usual: object) -> dict[str, object]:
    return {
        name: value
        for name, value in fields.items()
        if name in ("on", "kind", "call", "name") or value != getattr(usual, name)
    }
