"""``--fail-on`` and ``--retry flagged=``: what a script does about sounds with flags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelslab_async.sandbox import Sandbox

from ..support.batches import quick
from ..support.manifests import manifest
from .test_cli import against

pytestmark = pytest.mark.anyio


async def test_a_script_fails_on_a_flag_and_pays_again_with_the_printed_command(
    tmp_path: Path,
) -> None:
    rows = manifest(tmp_path, "waltz", "raga")
    async with Sandbox(quick(wav="silent")) as box:
        plain = await against(box, tmp_path, "batch", rows, "-o", "out")
        assert plain.returncode == 0
        assert "00001-waltz.wav contains only silence" in plain.stderr
        status = await against(box, tmp_path, "status", "out")
        assert "2 flagged: silent 2; listen to them; " in status.stdout
        assert "resume out --retry flagged=silent pays for new ones" in status.stdout
        other = await against(box, tmp_path, "batch", rows, "-o", "out", "--fail-on", "dc,gap")
        assert other.returncode == 0
        failed = await against(box, tmp_path, "batch", rows, "-o", "out", "--fail-on", "silent")
        assert failed.returncode == 8
        assert "row 2: 00002-raga.wav: silent" in failed.stderr
        assert "modelslab-async resume out --retry flagged=silent makes them" in failed.stderr
        assert len(box.book.debits) == 2
        seen = await against(box, tmp_path, "resume", "out", "--retry", "flagged=silent", "-n")
        assert "2 jobs" in seen.stdout
    async with Sandbox(quick(), seed=9) as box:
        again = ("resume", "out", "--same-account", "--retry", "flagged=silent")
        made = await against(box, tmp_path, *again, "--yes", "--json", "--fail-on", "silent")
        assert made.returncode == 0, made.stderr
        first = json.loads(made.stdout.splitlines()[0])
        assert (first["event"], first["flags"]) == ("succeeded", [])
        assert len(box.book.debits) == 2
    assert {path.name for path in (tmp_path / "out").glob("*.wav")} == {
        *("00001-waltz.wav", "00002-raga.wav", "00001-waltz~2.wav", "00002-raga~2.wav"),
    }


async def test_a_flag_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path) -> None:
    rows = manifest(tmp_path, "waltz")
    async with Sandbox(quick()) as box:
        for option in (["--fail-on", "silnt"], ["--retry", "flagged=silnt"]):
            wrong = await against(box, tmp_path, "batch", rows, *option)
            assert wrong.returncode == 2
            assert "'silnt' is no flag of a sound; did you mean silent?" in wrong.stderr
        assert not box.book.debits
