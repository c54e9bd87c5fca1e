"""Files of any origin are checked: flags, loudness where it can be measured, and marks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelslab_async import ConfigurationError, DownloadPolicy, MusicGen
from modelslab_async.sandbox import Sandbox
from modelslab_async.sound import Mark, Provenance, check_file, check_files, tag_file
from modelslab_async.sound import _check as checking

from ..cli.test_cli import against, command
from ..support.batches import quick, rows, run
from ..support.quick import client_of
from ..support.schemas import check
from ..support.sounds import still, tone, wav_of

WAV = wav_of(tone(2), tone(2))


def write(path: Path, data: bytes = WAV) -> Path:
    path.write_bytes(data)
    return path


def test_a_file_has_its_facts_flags_and_marks(tmp_path: Path) -> None:
    pytest.importorskip("loudness")
    found = check_file(write(tmp_path / "a.wav", wav_of([*tone(8), *still(2)])))
    assert (found.format, found.seconds, found.channels) == ("wav", 10.0, 1)
    assert (found.flags, found.peak_dbfs, found.marks) == (("dead_tail",), -6.02, ())
    assert found.lufs == pytest.approx(-9.0, abs=1.5)


def test_the_same_sound_in_two_files_names_the_first(tmp_path: Path) -> None:
    names = ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]
    files = [write(tmp_path / name) for name in names[:2]]
    files += [write(tmp_path / name, wav_of(still(2))) for name in names[2:4]]
    tag_file(files[0], tmp_path / "e.wav", Provenance(prompt="waltz"))
    flags = [found.flags for found in check_files([*files, tmp_path / "e.wav"])]
    assert flags == [(), ("same_as:a.wav",), ("silent",), ("silent",), ("same_as:a.wav",)]


@pytest.mark.parametrize("form", ["FLAC", "OGG", "MP3"])
def test_other_formats_are_decoded_where_the_libraries_are_there(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile, numpy = pytest.importorskip("soundfile"), pytest.importorskip("numpy")
    pytest.importorskip("loudness")
    path = tmp_path / f"a.{form.lower()}"
    soundfile.write(str(path), numpy.array([*tone(6), *still(2)]), 8000, format=form)
    found = check_file(path)
    assert (found.format, found.flags) == (form.lower(), ("dead_tail",))
    assert found.sound_sha256 is None
    monkeypatch.setattr(checking, "libraries", lambda: None)
    plain = check_file(path)
    assert plain.flags is None  # not checked, and not called faultless
    assert plain.format == ("" if form == "OGG" else form.lower())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("gone.wav", "cannot be read: No such file"),
        ("page.wav", "is no sound that is known here: HTML page"),
        ("pipe.wav", "is not a regular file"),
        ("short.wav", "ends before its header says"),
        ("nul\0.wav", "cannot be read"),
    ],
)
def test_what_is_no_sound_says_why(name: str, problem: str, tmp_path: Path) -> None:
    write(tmp_path / "page.wav", b"<html><body>504 Gateway Time-out")
    write(tmp_path / "short.wav", WAV[:-100])
    os.mkfifo(tmp_path / "pipe.wav")
    assert problem in check_file(tmp_path / name).problem


def test_a_copy_is_tagged_and_the_original_and_the_samples_stay(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav")
    assert tag_file(source, tmp_path / "b.wav", Provenance(prompt="waltz", model="music_gen")) == ""
    one, other = check_file(source), check_file(tmp_path / "b.wav")
    assert source.read_bytes() == WAV
    assert other.marks == (Mark.XMP_AI, Mark.INFO)
    assert one.sound_sha256 == other.sound_sha256
    with pytest.raises(ConfigurationError, match="exists already"):
        tag_file(source, tmp_path / "b.wav", Provenance(prompt="raga"))
    flac = write(tmp_path / "a.flac", b"fLaC" + bytes(50))
    assert tag_file(flac, tmp_path / "b.flac", Provenance()) == "only WAV files can be tagged"
    assert (tmp_path / "b.flac").read_bytes() == flac.read_bytes()
    assert not [*tmp_path.glob("*.part")]


@pytest.mark.anyio
async def test_a_batch_tags_its_files_on_request_and_keeps_the_hash_of_what_arrived(
    tmp_path: Path,
) -> None:
    async with Sandbox(quick()) as box:
        async with client_of(box) as client:
            await run(client, [MusicGen("calm waltz")], tmp_path / "plain")
        async with client_of(box, download=DownloadPolicy(tag=True)) as client:
            await run(client, [MusicGen("calm waltz")], tmp_path / "tagged")
            job = await client.submit(MusicGen("raga"))
            saved = await client.download(job, tmp_path)
        key = box.key
    [plain], [tagged] = rows(tmp_path / "plain"), rows(tmp_path / "tagged")
    assert plain.sha256 == plain.source_sha256
    assert tagged.sha256 != tagged.source_sha256
    data = (tmp_path / "tagged" / f"{tagged.path}").read_bytes()
    assert check_file(tmp_path / "tagged" / f"{tagged.path}").marks == (Mark.XMP_AI, Mark.INFO)
    for text in ("calm waltz", f"job {tagged.job_id}", tagged.source_sha256 or "", "music_gen"):
        assert text.encode() in data
    assert key.encode() not in data
    assert b"raga" in saved.path.read_bytes()


@pytest.mark.anyio
async def test_the_command_checks_what_the_command_has_tagged(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        made = await against(box, tmp_path, "generate", "waltz", "-o", "a.wav", "--tag")
        assert made.returncode == 0, made.stderr
    write(tmp_path / "quiet.wav", wav_of(still(2)))
    seen = command(tmp_path, "check", ".", "--fail-on", "silent")
    assert seen.returncode == 8
    assert "a.wav: ok; 5.1 s" in seen.stdout
    assert "marks: XMP that says made by a model, INFO" in seen.stdout
    assert "quiet.wav: silent; 2.0 s" in seen.stdout
    document = json.loads(command(tmp_path, "check", "a.wav", "--json").stdout)
    check(document, "check")
    assert document["files"][0]["marks"] == ["xmp_ai", "info"]
    assert command(tmp_path, "check", "gone.wav").returncode == 5
    write(tmp_path / "page.wav", b"<html></html> and more text to read")
    assert command(tmp_path, "check", "page.wav").returncode == 1
