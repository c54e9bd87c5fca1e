"""Files are handed over: at one loudness and format, marked, once each, the originals untouched."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import ConfigurationError
from modelslab_async.batch import Decision, Verdict, write_decisions
from modelslab_async.batch import _transitions as changes
from modelslab_async.batch._rows import PlannedRow
from modelslab_async.batch._sqlite.store import Store
from modelslab_async.sound import Exported, Mark, Shape, check_file, export_batch
from modelslab_async.sound import _libraries as loading

from ..cli.test_cli import command
from ..support.certificates import certificates
from ..support.schemas import check
from ..support.sounds import still, tone, wav_of

numpy = pytest.importorskip("numpy")
soundfile = pytest.importorskip("soundfile")
for library in ("loudness", "mutagen", "soxr"):
    pytest.importorskip(library)

RATE = 8000
SOUND = wav_of(tone(3, 0.1), tone(3, 0.1))


def batch(out: Path, *sounds: bytes, suffix: str = ".wav") -> Path:
    """A batch whose rows are done, with these files."""
    store = Store.open(out)
    with store.transaction():
        store.plan(
            PlannedRow(f"r{seq}", {"prompt": f"piece {seq}"}, f"h{seq}", f"piece {seq}")
            for seq in range(1, len(sounds) + 1)
        )
        for seq, data in enumerate(sounds, 1):
            (out / f"r{seq}{suffix}").write_bytes(data)
            about: Any = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            store.apply(changes.intent(seq, seq, 1))
            store.apply(changes.finished_at_once(seq, f"job-{seq}", "{}"))
            about |= {"seconds": 1.0, "integrity": "exact"}
            store.apply(changes.done(seq, f"r{seq}{suffix}", **about))
    store.close()
    return out


def made(out: Path, to: Path, **settings: Any) -> list[Exported]:
    return [*export_batch(out, to, **settings)]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def samples(path: Path) -> tuple[Any, int]:
    found: tuple[Any, int] = soundfile.read(str(path), dtype="float32", always_2d=True)
    return found


def test_copies_are_marked_and_the_originals_stay(tmp_path: Path) -> None:
    out = batch(tmp_path / "a", SOUND, SOUND)
    before = {name: (out / name).read_bytes() for name in names(out)}
    done = made(out, tmp_path / "b")
    assert [(one.row, one.is_new, one.error, one.note) for one in done] == [
        (1, True, "", ""),
        (2, True, "", ""),
    ]
    assert names(tmp_path / "b") == ["index.jsonl", "r1.wav", "r2.wav"]
    assert check_file(tmp_path / "b" / "r1.wav").marks == (Mark.XMP_AI, Mark.INFO)
    assert b"piece 1" in (tmp_path / "b" / "r1.wav").read_bytes()
    assert (samples(tmp_path / "b" / "r1.wav")[0] == samples(out / "r1.wav")[0]).all()
    assert {name: (out / name).read_bytes() for name in names(out)} == before


def test_a_second_export_makes_only_what_is_new_or_different(tmp_path: Path) -> None:
    out, to = batch(tmp_path / "a", SOUND, SOUND), tmp_path / "b"
    made(out, to)
    assert [one.is_new for one in made(out, to)] == [False, False]
    (to / "r2.wav").unlink()
    assert [one.is_new for one in made(out, to)] == [False, True]
    assert [one.is_new for one in made(out, to, shape=Shape(lufs=-20))] == [True, True]
    (to / "r1.wav").write_bytes(b"mine")
    [mine, other] = made(out, to)
    assert "r1.wav is not as an export has made it: move it" in mine.error
    assert other.is_new
    assert (to / "r1.wav").read_bytes() == b"mine"


def test_one_export_at_a_time_removes_what_a_killed_one_has_left(tmp_path: Path) -> None:
    out, to = batch(tmp_path / "a", SOUND, SOUND), tmp_path / "b"
    to.mkdir()
    (to / ".r1.wav.0123456789abcdef.part").write_bytes(b"half")
    (to / ".mine.part").write_bytes(b"whole")
    first = export_batch(out, to)
    assert next(iter(first)).is_new
    with pytest.raises(ConfigurationError, match=r"another export to .* is under way"):
        made(out, to)
    assert [one.is_new for one in first] == [True]
    assert [one.is_new for one in made(out, to)] == [False, False]
    assert names(to) == [".mine.part", "index.jsonl", "r1.wav", "r2.wav"]


def test_only_files_that_were_kept_are_exported_on_request(tmp_path: Path) -> None:
    out = batch(tmp_path / "a", SOUND, tone_of(2), tone_of(1))
    digests = [hashlib.sha256((out / f"r{seq}.wav").read_bytes()).hexdigest() for seq in (1, 2, 3)]
    write_decisions(
        out,
        [
            Decision(row=1, sha256=digests[0], verdict=Verdict.REJECTED),
            Decision(row=2, sha256=digests[1], verdict=Verdict.KEPT),
            Decision(row=3, sha256=digests[0], verdict=Verdict.KEPT),  # of other bytes
        ],
    )
    assert [one.id for one in made(out, tmp_path / "b", kept=True)] == ["r2"]


def tone_of(seconds: float) -> bytes:
    return wav_of(tone(seconds, 0.3))


@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "opus", "mp3"])
def test_each_format_has_its_loudness_peak_and_tags(form: Any, tmp_path: Path) -> None:
    import mutagen

    out = batch(tmp_path / "a", SOUND)
    [one] = made(out, tmp_path / "b", format=form, shape=Shape(lufs=-16))
    assert (one.error, one.note) == ("", "")
    assert one.path is not None
    assert one.path.name == f"r1.{form}"
    found = check_file(one.path)
    assert found.lufs == pytest.approx(-16, abs=0.1 if form in ("wav", "flac") else 0.5)
    assert found.seconds == pytest.approx(3, abs=0.2)  # encoders add silence
    if form == "wav":
        assert found.marks == (Mark.XMP_AI, Mark.INFO)
        return
    assert (Mark.VORBIS_AI if form == "flac" else Mark.XMP_AI) in found.marks or form in (
        "ogg",
        "opus",
    )
    file = mutagen.File(str(one.path))
    assert "piece 1" in str(file.tags)
    assert "trainedAlgorithmicMedia" in str(file.tags)


@pytest.mark.parametrize("form", ["wav", "ogg", "mp3"])
def test_the_peak_limits_the_gain_also_after_encoding(form: Any, tmp_path: Path) -> None:
    from modelslab_async.sound._shape import true_peak

    bursts = [value for _ in range(6) for value in (*tone(0.02, 0.9), *tone(0.4, 0.02))]
    out = batch(tmp_path / "a", wav_of(bursts))
    [one] = made(out, tmp_path / "b", format=form, shape=Shape(lufs=-6, peak=-3))
    assert "for its peak" in one.note
    found, rate = samples(one.path)  # type: ignore[arg-type]
    assert true_peak(found, rate, loading.needed("")) <= -2.9


def test_a_loop_has_no_seam_and_says_where_it_is(tmp_path: Path) -> None:
    values = [0.4 * numpy.sin(0.031 * at) for at in range(4 * RATE)]
    out = batch(tmp_path / "a", wav_of(values))
    [one] = made(out, tmp_path / "b", shape=Shape(loop=1.0))
    found, _ = samples(one.path)  # type: ignore[arg-type]
    assert len(found) == 3 * RATE
    steps = numpy.abs(numpy.diff(found[:, 0]))
    assert abs(found[0, 0] - found[-1, 0]) <= numpy.percentile(steps, 99) * 1.5
    data = one.path.read_bytes()  # type: ignore[union-attr]
    at = data.index(b"smpl") + 8
    assert struct.unpack("<2I", data[at + 44 : at + 52]) == (0, 3 * RATE - 1)


def test_silence_is_trimmed_and_the_end_fades(tmp_path: Path) -> None:
    out = batch(tmp_path / "a", wav_of([*still(1), *tone(2), *still(1)]))
    [one] = made(out, tmp_path / "b", shape=Shape(trim=True, fade=0.5))
    found, _ = samples(one.path)  # type: ignore[arg-type]
    assert len(found) == pytest.approx(2.04 * RATE, abs=5)
    assert abs(found[-400:]).max() < 0.1 < abs(found[RATE:]).max()


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    out = batch(tmp_path / "a", wav_of(still(1)), tone_of(1))
    notes = [one.note for one in made(out, tmp_path / "b", shape=Shape(lufs=-16))]
    assert notes[0] == "loudness unchanged: it is silent, or shorter than 0.4 s"
    looped = made(out, tmp_path / "c", shape=Shape(loop=0.8))
    assert looped[1].note == "no loop: it is shorter than twice 0.8 s"
    with pytest.raises(ConfigurationError, match="cannot loop"):
        made(out, tmp_path / "d", shape=Shape(loop=1, fade=1))
    with pytest.raises(ConfigurationError, match="name another directory"):
        made(out, out)
    (out / "r1.wav").write_bytes(b"something else")
    [changed, _] = made(out, tmp_path / "e")
    assert "is not as it was saved" in changed.error


def test_a_c2pa_manifest_is_never_lost_silently(tmp_path: Path) -> None:
    manifest = b"C2PA" + struct.pack("<I", 4) + b"jumb"
    body = SOUND[8:] + manifest
    signed = b"RIFF" + struct.pack("<I", len(body)) + body
    out = batch(tmp_path / "a", signed)
    [kept] = made(out, tmp_path / "b")
    assert kept.note == "its C2PA manifest is kept, and no tag added"
    assert (tmp_path / "b" / "r1.wav").read_bytes() == signed
    [refused] = made(out, tmp_path / "c", format="flac")
    assert "has a C2PA manifest, which another format or loudness would lose" in refused.error
    assert names(tmp_path / "c") == ["index.jsonl"]
    [dropped] = made(out, tmp_path / "c", format="flac", drop_c2pa=True)
    assert dropped.error == ""


def test_without_the_extra_plain_copies_work_and_the_rest_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading.libraries.cache_clear()
    monkeypatch.setattr(loading, "import_module", _missing)
    out = batch(tmp_path / "a", SOUND)
    try:
        assert [one.error for one in made(out, tmp_path / "b")] == [""]
        with pytest.raises(ConfigurationError, match="needs the extra audio: pip install"):
            made(out, tmp_path / "c", format="ogg")
    finally:
        loading.libraries.cache_clear()
    assert not (tmp_path / "c").exists()


def _missing(name: str) -> Any:
    raise ImportError(name)


def test_the_command_exports_and_says_what_it_did(tmp_path: Path) -> None:
    out = batch(tmp_path / "a", SOUND, SOUND)
    first = command(tmp_path, "export", "a", "b", "--format", "flac", "--lufs", "-16")
    assert (first.returncode, first.stdout.split()) == (0, ["b/r1.flac", "b/r2.flac"])
    assert "2 files made, 0 there already" in first.stderr
    again = command(tmp_path, "export", "a", "b", "--format", "flac", "--lufs", "-16", "--json")
    document = json.loads(again.stdout)
    check(document, "exported")
    assert [one["is_new"] for one in document["exported"]] == [False, False]
    none = command(tmp_path, "export", "a", "c", "--kept")
    assert "no file is kept" in none.stderr
    (out / "r2.wav").unlink()
    failed = command(tmp_path, "export", "a", "d")
    assert failed.returncode == 8
    assert "row 2: a/r2.wav: No such file" in failed.stderr
    assert command(tmp_path, "export", "gone", "d").returncode == 5


def manifests(path: Path | None) -> list[Any]:
    import c2pa

    document = json.loads(c2pa.Reader(str(path)).json())
    assert document["validation_state"] == "Valid"
    return [*document["manifests"].values()]


def test_copies_are_signed_and_a_manifest_that_arrived_goes_into_the_new_one(
    tmp_path: Path,
) -> None:
    sign = certificates(tmp_path)
    out = batch(tmp_path / "a", SOUND)
    [one] = made(out, tmp_path / "b", sign=sign)
    assert (one.error, one.note) == ("", "")
    assert check_file(one.path or "").marks == (Mark.C2PA, Mark.XMP_AI, Mark.INFO)
    [manifest] = manifests(one.path)
    assert "trainedAlgorithmicMedia" in json.dumps(manifest["assertions"])
    assert [one.is_new for one in made(out, tmp_path / "b", sign=sign)] == [False]
    again = batch(tmp_path / "c", (one.path or Path()).read_bytes())
    [flac] = made(again, tmp_path / "d", format="flac", sign=sign)
    assert (flac.error, len(manifests(flac.path))) == ("", 2)
    [ogg] = made(again, tmp_path / "e", format="ogg", sign=sign)
    assert "would be lost: ogg files cannot hold a C2PA manifest" in ogg.error
    assert names(tmp_path / "e") == ["index.jsonl"]


def test_a_certificate_that_cannot_sign_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    certificate, key = certificates(tmp_path)
    out = batch(tmp_path / "a", SOUND)
    (tmp_path / "text.pem").write_text("-----BEGIN nothing")
    (tmp_path / "empty.pem").write_text("")
    for sign, reason in (
        ((certificate, tmp_path / "text.pem"), "cannot sign: "),
        ((certificate, tmp_path / "gone.pem"), "gone.pem cannot be read: No such file"),
        ((tmp_path / "empty.pem", key), "empty.pem is no PEM file"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            made(out, tmp_path / "b", sign=sign)
    assert not (tmp_path / "b").exists()
