"""What a download does when a link, a host or a body fails it (D01 to D23, D30, D37 to D40).

Whatever happens, a file is published whole or not at all, and nothing else is left in the folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from modelslab_async import (
    DownloadError,
    DownloadPolicy,
    Generation,
    IncompleteDownload,
    NotAudio,
    OutputLost,
    RemoteFile,
)
from modelslab_async.sandbox import Fault

from ..support.tracks import (
    NO_PATIENCE,
    QUICK,
    SHORT,
    Host,
    done,
    downloader,
    names,
    says,
    track,
    wav,
)

pytestmark = pytest.mark.anyio


def on(kind: Any, **settings: Any) -> Fault:
    """A fault of the link in `output`, unless told otherwise."""
    return Fault(on="download", kind=kind, **{"host": "primary", **settings})


BROKEN = {
    "d02_reset": on("reset"),
    "d02_reset_after_the_headers": on("reset_body", at=0.0),
    "d03_reset_in_the_middle": on("reset_body"),
    "d03_reset_before_the_last_byte": on("reset_body", at=-1),
    "d04_silent": on("silent"),
    "d04_stalled_before_the_first_byte": on("stall_body", at=0.0),
    "d04_stalled_in_the_middle": on("stall_body", at=-1000),
    "d04_stalled_before_the_last_byte": on("stall_body", at=-1),
    "d05_longer_length": on("long_length"),
    "d05_cut_in_the_headers": on("cut_headers"),
    "d05_cut_after_the_headers": on("cut_body", at=0.0),
    "d05_cut_in_the_middle": on("cut_body"),
    "d05_cut_before_the_last_byte": on("cut_body", at=-1),
    "d06_shorter_length": on("short_length"),
    "d08_cut_without_length": on("close_delimited_cut"),
    "d09_http10_cut": on("http10_cut"),
    "d10_chunks_without_end": on("chunked_cut"),
    "d10_all_chunks_but_the_end": on("chunked_cut", at=1.0),
    "d10_broken_chunk": on("bad_chunk"),
    "d11_chunks_ended_early": on("chunked_early_end"),
    "d12_gzip_cut": on("gzip_cut"),
    "d13_empty": on("empty"),
    "d13_204": on("empty", status=204),
    "d13_206_unasked": on("partial_unasked"),
    "d13_304": on("empty", status=304),
    "d14_html": on("html"),
    "d14_xml": on("xml"),
    "d14_json": on("json"),
    "d14_base64": on("base64"),
    "d18_404": on("xml", status=404),
    "d19_403": on("xml", status=403),
    "d19_410": on("xml", status=410),
    "d20_429": on("answer", status=429, headers={"Retry-After": "0"}),
    "d20_500": on("runtime", status=500),
    "d20_502": on("edge", status=502),
    "d20_503": on("edge", status=503, headers={"Retry-After": "soon"}),
    "d20_524": on("edge", status=524),
    "t13_garbage": on("garbage"),
    "t13_two_lengths": on("two_lengths"),
    "t13_negative_length": on("negative_length"),
    "t13_length_and_chunks": on("length_and_chunked"),
}


def patient_with(fault: Fault) -> DownloadPolicy:
    """A link that says nothing is not waited for long; others are, for a busy machine's sake."""
    return evolve(QUICK, timeout=0.1 if fault.kind in ("silent", "stall_body") else 5.0)


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())
async def test_a_link_that_fails_once_gives_the_file_when_tried_again(
    fault: Fault, tmp_path: Path
) -> None:
    scenario = done(fault, proxy_links="absent")
    async with track(tmp_path, scenario, policy=patient_with(fault)) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert names(tmp_path) == [f"{it.made.id}.wav"]
        assert it.box.book.count("storage") > 1
        assert len(it.box.book.debits) == 1


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())
async def test_a_mirror_gives_the_file_when_the_first_link_always_fails(
    fault: Fault, tmp_path: Path
) -> None:
    scenario = done(evolve(fault, times=None))
    async with track(tmp_path, scenario, policy=patient_with(fault)) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert names(tmp_path) == [f"{it.made.id}.wav"]
        assert it.statuses("mirror")[-1] == 200


async def test_d01_a_mirror_gives_the_file_when_the_first_host_is_not_there(
    tmp_path: Path,
) -> None:
    async with track(tmp_path, done()) as it:
        saved = await it.save("http://127.0.0.1:9/a.wav", *it.links)
        assert saved.path.read_bytes() == it.whole


async def test_d01_links_are_tried_in_the_order_output_proxy_future(tmp_path: Path) -> None:
    scenario = done(
        on("html", times=None, host="primary"),
        on("html", times=None, host="mirror"),
        mode="async",
        generation_seconds=0.02,
        eta="float",
        future_differs=True,
    )
    async with track(tmp_path, scenario) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        tried = [record.host for record in it.box.book.requests if record.method == "GET"]
        assert tried == ["storage", "mirror", "storage"]


FOR_EVER = {
    "d02_reset": (on("reset"), IncompleteDownload, "the connection failed"),
    "d05_cut": (on("cut_body"), IncompleteDownload, "file is incomplete"),
    "d08_cut_without_length": (on("close_delimited_cut"), IncompleteDownload, "file is incomplete"),
    "d12_gzip_cut": (on("gzip_cut"), IncompleteDownload, "gzip data end early"),
    "d13_empty": (on("empty"), IncompleteDownload, "empty"),
    "d14_html": (on("html"), NotAudio, "HTML"),
    "d19_gone": (on("xml", status=410), OutputLost, "is dead"),
    "d20_busy": (on("edge"), IncompleteDownload, "busy"),
    "d21_forbidden": (on("redirect", location="ftp://x/"), OutputLost, "link is not allowed"),
}


@pytest.mark.parametrize(
    ("fault", "kind", "words"), FOR_EVER.values(), ids=[f"{name}_for_ever" for name in FOR_EVER]
)
async def test_a_file_that_never_comes_is_an_error_that_says_why_and_leaves_nothing(
    fault: Fault, kind: type[DownloadError], words: str, tmp_path: Path
) -> None:
    scenario = done(evolve(fault, times=None, host=None))
    async with track(tmp_path, scenario, policy=NO_PATIENCE) as it:
        with pytest.raises(kind, match=words) as caught:
            await it.save()
        assert caught.value.job_id == it.made.id
        assert caught.value.retryable
        assert it.made.id in str(caught.value)
        assert "client.download" in str(caught.value)
        assert names(tmp_path) == []


async def test_d20_a_host_that_asks_for_a_year_does_not_get_it(tmp_path: Path) -> None:
    busy = on("edge", status=503, headers={"Retry-After": "31536000"}, times=None, host=None)
    async with track(tmp_path, done(busy), policy=NO_PATIENCE) as it:
        with pytest.raises(IncompleteDownload, match="busy"):
            await it.save()


@pytest.mark.parametrize("kind", ["close_delimited", "http10", "chunked"])
async def test_d07_a_whole_wav_without_a_length_is_vouched_for_by_its_header(
    kind: str, tmp_path: Path
) -> None:
    async with track(tmp_path, done(on(kind))) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert saved.integrity == "riff"
        assert it.statuses() == [200]


@pytest.mark.parametrize("form", ["mp3", "flac"])
@pytest.mark.parametrize("kind", ["close_delimited", "http10", "chunked"])
async def test_d51_frames_that_are_counted_vouch_for_a_file_without_a_length(
    kind: str, form: Any, tmp_path: Path
) -> None:
    request = evolve(SHORT, output_format=form)
    async with track(tmp_path, done(on(kind)), request) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert saved.integrity == "structure"
        assert it.statuses() == [200]


@pytest.mark.parametrize("form", ["mp3", "flac"])
@pytest.mark.parametrize("kind", ["close_delimited_cut", "http10_cut", "chunked_early_end"])
async def test_d51_a_file_of_frames_that_is_cut_without_a_length_is_not_published(
    kind: str, form: Any, tmp_path: Path
) -> None:
    request = evolve(SHORT, output_format=form)
    scenario = done(on(kind, times=None, host=None))
    async with track(tmp_path, scenario, request, policy=NO_PATIENCE) as it:
        with pytest.raises(IncompleteDownload, match="file is incomplete"):
            await it.save()
        assert names(tmp_path) == []


OPEN = wav()[:4] + b"\xff" * 4 + wav()[8:40] + b"\xff" * 4 + wav()[44:]
FRAMES = (b"\xff\xfb\x90\x64" + b"\x55" * 413) * 100
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"


def in_chunks(body: bytes) -> bytes:
    return CHUNKED.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def until_closed(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


@pytest.mark.parametrize(
    ("answer", "integrity", "published"),
    [
        (in_chunks(OPEN), "mended", wav()),
        (in_chunks(FRAMES), "repeated", FRAMES),
        (until_closed(FRAMES), "repeated", FRAMES),
        (in_chunks(wav() + b"<html>"), "repeated", wav() + b"<html>"),
    ],
    ids=["open_sizes", "frames", "frames_until_closed", "something_behind"],
)
async def test_d51_a_second_transfer_of_the_same_bytes_vouches_for_a_file_that_says_nothing(
    answer: bytes, integrity: str, published: bytes, tmp_path: Path
) -> None:
    async with Host(answer) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
    assert saved.integrity == integrity
    assert saved.path.read_bytes() == published
    assert host.accepted == 2


@pytest.mark.parametrize(
    "answers",
    [
        [until_closed(OPEN)],
        [until_closed(OPEN[:-1000])],
        [in_chunks(OPEN[:-number]) for number in range(1, 200)],
        [in_chunks(FRAMES[:-9]), in_chunks(FRAMES[:-9])],
        [until_closed(FRAMES[: -417 * number]) for number in range(1, 90)],
        [until_closed(wav() + b"<html>")],
    ],
    ids=["closed", "closed_early", "never_the_same", "half_a_frame", "fewer_frames", "behind"],
)
async def test_d51_without_a_mark_of_the_end_or_the_same_bytes_twice_nothing_is_published(
    answers: list[bytes], tmp_path: Path
) -> None:
    async with Host(*answers) as host, downloader(NO_PATIENCE) as client:
        with pytest.raises(IncompleteDownload):
            await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("container", "integrity"),
    [
        ("pcm16", "exact"),
        ("pcm24", "exact"),
        ("float32", "exact"),
        ("extensible", "mended"),
        ("extensible_float", "exact"),
        ("extra_chunks", "exact"),
        ("odd_chunk", "exact"),
        ("rf64", "mended"),
        ("silent", "exact"),
        ("bad_list", "mended"),
        ("streaming_size", "mended"),
        ("zero_size", "mended"),
        ("size_too_small", "mended"),
        ("size_too_big", "source_short"),
        ("data_past_end", "source_short"),
    ],
)
async def test_d15_every_kind_of_wav_is_published_with_what_vouches_for_it(
    container: str, integrity: str, tmp_path: Path
) -> None:
    async with track(tmp_path, done(wav=container)) as it:
        saved = await it.save()
        data = saved.path.read_bytes()
        assert saved.integrity == integrity
        assert saved.size == len(data)
        assert saved.sha256 == hashlib.sha256(data).hexdigest()
        assert saved.source_sha256 == hashlib.sha256(it.whole).hexdigest()
        assert (data == it.whole) == (integrity != "mended")
        assert data.partition(b"data")[2][4:] == it.whole.partition(b"data")[2][4:]
        assert saved.seconds == pytest.approx(5.06, abs=0.01)
        assert (saved.sample_rate, saved.channels) == (10_000, 2)
        assert saved.silent == (container == "silent")


async def test_d15_one_link_gives_a_source_that_is_short_after_a_second_look(
    tmp_path: Path,
) -> None:
    async with track(tmp_path, done(wav="size_too_big", proxy_links="absent")) as it:
        saved = await it.save()
        assert saved.integrity == "source_short"
        assert it.statuses() == [200, 200]


async def test_d15_a_short_source_that_is_never_the_same_is_not_published(tmp_path: Path) -> None:
    answers = [says(wav(seed=seed)[:-1000]) for seed in range(200)]
    async with Host(*answers) as host, downloader(NO_PATIENCE) as client:
        with pytest.raises(IncompleteDownload):
            await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
    assert names(tmp_path) == []


@pytest.mark.parametrize("kind", ["mp3", "flac"])
async def test_d16_a_file_gets_the_ending_of_what_it_is(kind: str, tmp_path: Path) -> None:
    async with track(tmp_path, done(on(kind))) as it:
        saved = await it.save(to="song.wav")
        assert names(tmp_path) == [f"song.{kind}"]
        assert saved.integrity == "exact"


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac"])
async def test_d16_every_format_that_can_be_asked_for_arrives_whole(
    kind: Any, tmp_path: Path
) -> None:
    async with track(tmp_path, done(), evolve(SHORT, output_format=kind)) as it:
        saved = await it.save()
        assert saved.path.name == f"{it.made.id}.{kind}"
        assert saved.path.read_bytes() == it.whole
        assert saved.seconds is not None
        assert saved.sample_rate


async def test_d17_a_wrong_song_cannot_be_told_but_its_hash_is_recorded(tmp_path: Path) -> None:
    async with track(tmp_path, done(on("other_wav"))) as it:
        saved = await it.save()
        data = saved.path.read_bytes()
        assert data != it.whole
        assert saved.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("status", [404, 403])
@pytest.mark.parametrize("hosts", ["primary", "both"])
async def test_d18_a_file_that_the_cdn_does_not_have_yet_is_waited_for(
    status: int, hosts: str, tmp_path: Path
) -> None:
    scenario = done(
        cdn_lag_seconds=60.0, cdn_lag_on=hosts, cdn_lag_status=status, proxy_links="absent"
    )
    async with track(tmp_path, scenario) as it:
        download = asyncio.ensure_future(it.save())
        while not it.statuses():
            await asyncio.sleep(0)
        it.box.advance(60)
        saved = await download
        assert saved.path.read_bytes() == it.whole
        assert it.statuses()[0] == status
        assert it.statuses()[-1] == 200


async def test_d19_expired_links_are_asked_for_anew_once(tmp_path: Path) -> None:
    async with track(tmp_path, done(link_seconds=60.0, proxy_links="absent")) as it:
        it.box.advance(61)
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert it.statuses() == [403, 403, 200]
        assert it.box.book.count("api", "/api/v6/voice/fetch/") == 1
        assert len(it.box.book.debits) == 1


@pytest.mark.parametrize(
    "link",
    ["http://127.0.0.1:1/a.wav", "http://storage.invalid/a.wav", "http://10.0.0.1/a.wav"],
    ids=["no such port", "no such host", "guarded"],
)
async def test_d19_links_that_lead_nowhere_any_more_are_asked_for_anew(
    link: str, tmp_path: Path
) -> None:
    async with track(tmp_path, done(), policy=NO_PATIENCE) as it:
        stored = RemoteFile((link,), it.made.id)
        saved = await it.client.download(stored, tmp_path / "track")
        assert saved.path.read_bytes() == it.whole
        assert it.box.book.count("api", "/api/v6/voice/fetch/") == 1


@pytest.mark.parametrize(
    "fault",
    [None, "reset", "html", "edge", "silent"],
)
async def test_d19_a_file_whose_links_stay_dead_is_lost_and_the_api_was_asked_once(
    fault: Any, tmp_path: Path
) -> None:
    faults = [Fault(on="fetch", kind=fault, times=None, seconds=0.01)] if fault else []
    scenario = done(*faults, temp_link_seconds=60.0)
    async with track(tmp_path, scenario, evolve(SHORT, temp=True), policy=NO_PATIENCE) as it:
        it.box.advance(61)
        with pytest.raises(OutputLost, match="is dead"):
            await it.save()
        assert it.box.book.count("api", "/api/v6/voice/fetch/") == 1
        assert names(tmp_path) == []


REDIRECTS = {
    "to_a_mirror": ("{mirror}{path}", 1, True),
    "to_a_path": ("{path}", 1, True),
    "three_times": ("{storage}{path}", 3, True),
    "four_times": ("{storage}{path}", 4, False),
    "for_ever": ("{path}", None, False),
    "to_plain_http": ("http://cdn.example.com/a.wav", 1, False),
    "to_a_private_address": ("https://10.1.2.3/a.wav", 1, False),
    "to_the_cloud_metadata": ("http://169.254.169.254/latest/meta-data/", 1, False),
    "to_a_file": ("file:///etc/passwd", 1, False),
    "to_data": ("data:audio/wav;base64,UklGRg==", 1, False),
    "to_a_user": ("http://user:word@127.0.0.1/a.wav", 1, False),
    "to_no_host": ("https://", 1, False),
    "to_no_port": ("http://127.0.0.1:99999/a.wav", 1, False),
    "to_nothing": ("", 1, False),
    "without_a_location": (None, 1, False),
}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_d21_every_kind_of_redirect_is_followed(status: int, tmp_path: Path) -> None:
    fault = on("redirect", location="{mirror}{path}", status=status)
    async with track(tmp_path, done(fault)) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert it.statuses() == [status]


@pytest.mark.parametrize(
    ("location", "times", "followed"),
    REDIRECTS.values(),
    ids=[f"d21_{name}" for name in REDIRECTS],
)
async def test_a_redirect_is_followed_three_times_to_where_a_link_may_lead(
    location: str | None, times: int | None, followed: bool, tmp_path: Path
) -> None:
    fault = on("redirect", location=location, times=times)
    async with track(tmp_path, done(fault)) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        tried_mirror = it.statuses("mirror") == [200]
        assert tried_mirror == (not followed or "{mirror}" in (location or ""))
        assert it.box.book.key_seen_on() == {"api"}


async def test_d22_a_link_that_trickles_is_given_up_for_the_next(tmp_path: Path) -> None:
    policy = evolve(QUICK, timeout=0.05, min_rate=5000.0)
    drip = on("drip", at=20, seconds=0.01, times=None)
    async with track(tmp_path, done(drip), policy=policy) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert it.statuses("mirror") == [200]


async def test_d22_a_host_whose_headers_trickle_is_given_up_for_the_next(tmp_path: Path) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    good = says(wav(), "Content-Type: audio/wav")
    policy = evolve(QUICK, timeout=0.1)
    async with Host(drip) as slow, Host(good) as mirror, downloader(policy) as client:
        saved = await client.download(RemoteFile((slow.url, mirror.url), "7"), to=tmp_path)
        assert saved.path.read_bytes() == wav()


@pytest.mark.parametrize("kind", ["long_length", "endless", "chunked"])
async def test_d23_a_body_over_the_limit_is_refused_by_its_length_or_when_it_gets_there(
    kind: str, tmp_path: Path
) -> None:
    policy = evolve(NO_PATIENCE, max_bytes=150_000)
    fault = on(kind, times=None, host=None)
    async with track(tmp_path, done(fault), policy=policy) as it:
        with pytest.raises(NotAudio, match="over 150000 bytes"):
            await it.save()
        assert names(tmp_path) == []


async def test_d22_a_link_that_is_slow_but_not_too_slow_is_kept(tmp_path: Path) -> None:
    policy = evolve(QUICK, timeout=0.5, min_rate=1.0)
    drip = on("drip", at=20_000, seconds=0.06)
    async with track(tmp_path, done(drip), policy=policy) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert it.statuses("mirror") == []


async def test_d22_a_file_that_only_trickles_is_given_up(tmp_path: Path) -> None:
    policy = evolve(NO_PATIENCE, timeout=0.05, min_rate=5000.0)
    drip = on("drip", at=20, seconds=0.01, times=None, host=None)
    async with track(tmp_path, done(drip), policy=policy) as it:
        with pytest.raises(IncompleteDownload, match=r"too slow .*min_rate"):
            await it.save()
        assert names(tmp_path) == []


async def test_d23_an_endless_body_does_not_keep_the_mirror_from_being_tried(
    tmp_path: Path,
) -> None:
    policy = evolve(QUICK, max_bytes=250_000)
    async with track(tmp_path, done(on("endless", times=None)), policy=policy) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole


RESUMED = {
    "the_rest": ((), [200, 206]),
    "other_offset": ((on("wrong_offset", at=10),), [200, 206, 200]),
    "the_whole": ((on("ignores_range"),), [200, 200]),
    "changed_file": ((on("new_etag"),), [200, 200]),
    "other_etag": ((on("other_etag"),), [200, 206, 200]),
    "refused_range": ((on("range_refused"),), [200, 416, 200]),
    "cut_again": ((on("cut_body"), on("cut_body")), [200, 206, 206, 206]),
    "cut_at_the_same_byte": ((on("cut_body", at=0.0),), [200, 206, 206]),
    "404_in_between": ((on("xml", status=404),), [200, 404, 206]),
}


@pytest.mark.parametrize(
    ("then", "statuses"), RESUMED.values(), ids=[f"d30_{name}" for name in RESUMED]
)
async def test_a_cut_file_is_gone_on_with_where_that_is_safe_and_begun_again_where_not(
    then: tuple[Fault, ...], statuses: list[int], tmp_path: Path
) -> None:
    async with track(tmp_path, done(on("cut_body"), *then, proxy_links="absent")) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert it.statuses() == statuses
        assert saved.integrity == "exact"


WHOLE = wav()
HALF = len(WHOLE) // 2
REST = f"Content-Range: bytes {HALF}-{len(WHOLE) - 1}/{len(WHOLE)}"
ETAG = 'ETag: "one"'
DATE = "Last-Modified: Wed, 01 Jul 2026 10:00:00 GMT"
LATER = "Date: Wed, 01 Jul 2026 10:01:00 GMT"
LONGER = f"Content-Range: bytes {HALF}-{len(WHOLE) + 8}/{len(WHOLE) + 9}"
PART = "206 Partial Content"


@pytest.mark.parametrize(
    ("header", "asks"),
    [
        (ETAG, '"one"'),
        (f"{DATE}\r\n{LATER}", "Wed, 01 Jul 2026 10:00:00 GMT"),
        (f'{DATE}\r\n{LATER}\r\nETag: W/"weak"', None),
        (f"{DATE}\r\nDate: Wed, 01 Jul 2026 10:00:01 GMT", None),
        (DATE, None),
        ('ETag: W/"weak"', None),
        ("X-Nothing: 1", None),
    ],
    ids=["strong_tag", "date", "weak_tag_and_date", "young", "date_alone", "weak_tag", "nothing"],
)
async def test_d30_only_what_tells_the_very_bytes_lets_a_file_be_gone_on_with(
    header: str, asks: str | None, tmp_path: Path
) -> None:
    first = says(WHOLE[:HALF], header, length=len(WHOLE))
    second = says(WHOLE[HALF:], header, REST, status=PART) if asks else says(WHOLE, header)
    async with Host(first, second) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == WHOLE
        assert host.header("if-range") == asks
        assert host.header("range") == (f"bytes={HALF}-" if asks else None)
        assert host.header("accept-encoding") == "identity"


@pytest.mark.parametrize(
    "part",
    [
        says(WHOLE[HALF:], ETAG, status=PART),
        says(WHOLE[HALF:], ETAG, "Content-Range: bytes */1", status=PART),
        says(WHOLE[HALF:], ETAG, "Content-Range: nonsense", status=PART),
        says(WHOLE[HALF : HALF + 9], ETAG, REST, status=PART),
        says(WHOLE[HALF:], 'ETag: W/"one"', REST, DATE, status=PART),
        says(wav(seed=1)[HALF:], REST, status=PART),
        says(wav(seed=1)[HALF:], DATE, REST, status=PART),
        says(WHOLE[HALF:] + bytes(9), ETAG, LONGER, status=PART),
        says(WHOLE[HALF:], ETAG, REST, "Content-Encoding: gzip", status=PART),
        says(b"--x\r\n\r\n", ETAG, "Content-Type: multipart/byteranges", status=PART),
    ],
    ids=[
        "no_range",
        "unsatisfied",
        "nonsense",
        "ends_too_early",
        "weak_tag",
        "no_tag",
        "only_a_date",
        "a_longer_file",
        "another_coding",
        "several_parts",
    ],
)
async def test_d30_a_part_that_is_not_the_rest_of_this_file_is_not_used(
    part: bytes, tmp_path: Path
) -> None:
    first = says(WHOLE[:HALF], ETAG, length=len(WHOLE))
    async with Host(first, part, says(WHOLE)) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == WHOLE
        assert host.header("range") is None


@pytest.mark.parametrize("rest", [REST, f"Content-Range: bytes {HALF}-{len(WHOLE) - 1}/*"])
async def test_d30_a_part_is_one_under_status_200_too(rest: str, tmp_path: Path) -> None:
    first = says(WHOLE[:HALF], ETAG, length=len(WHOLE))
    async with Host(first, says(WHOLE[HALF:], ETAG, rest)) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == WHOLE
        assert host.accepted == 2


def chunked_says(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """An answer in one chunk, properly ended."""
    head = says(b"", "Transfer-Encoding: chunked", *headers, status=status)
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    return b"\r\n".join(lines) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


# MP3 has no size of its own: half of it is a file that plays, so only what HTTP says shows the cut.
SOUND = b"".join(b"\xff\xfb\x90\x00" + bytes([number % 200]) * 413 for number in range(400))
MIDDLE = len(SOUND) // 2
LAST = len(SOUND) - 1
LATER_PART = f"{MIDDLE}-{LAST}/{len(SOUND)}"
QUARTER = f"Content-Range: bytes {MIDDLE}-{MIDDLE + 999}/"


@pytest.mark.parametrize(
    "part",
    [
        says(SOUND[MIDDLE:], ETAG, f"Content-Range: Bytes {LATER_PART}"),
        says(SOUND[MIDDLE:], ETAG, f"Content-Range: bytes={LATER_PART}"),
        says(SOUND[MIDDLE:], ETAG, f"Content-Range: bytes {MIDDLE}-{LAST}"),
        says(SOUND[MIDDLE:], ETAG, f"Content-Range: Bytes {LATER_PART}", status=PART),
        chunked_says(SOUND[MIDDLE:], ETAG, f"Content-Range: bytes {LATER_PART}", status=PART),
    ],
    ids=["unit_in_capitals", "equals_sign", "no_total", "206_in_capitals", "206_in_chunks"],
)
async def test_d30_a_part_is_joined_however_its_range_is_spelled(
    part: bytes, tmp_path: Path
) -> None:
    first = says(SOUND[:MIDDLE], ETAG, length=len(SOUND))
    async with Host(first, part) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == SOUND
        assert (host.accepted, saved.integrity) == (2, "length")


@pytest.mark.parametrize(
    "part",
    [
        says(SOUND[MIDDLE : MIDDLE + 1000], ETAG, f"{QUARTER}{len(SOUND)}", status=PART),
        says(SOUND[MIDDLE : MIDDLE + 1000], ETAG, f"{QUARTER}*", status=PART),
        chunked_says(SOUND[MIDDLE : MIDDLE + 1000], ETAG, f"{QUARTER}{len(SOUND)}", status=PART),
        chunked_says(SOUND[MIDDLE : MIDDLE + 1000], ETAG, f"{QUARTER}*", status=PART),
    ],
    ids=["of_a_length", "of_no_total", "in_chunks", "in_chunks_of_no_total"],
)
async def test_d54_a_part_that_ends_before_the_file_does_is_gone_on_with(
    part: bytes, tmp_path: Path
) -> None:
    """RFC 9110 lets a server send less than was asked for; some send fixed blocks."""
    first = says(SOUND[:MIDDLE], ETAG, length=len(SOUND))
    place = f"Content-Range: bytes {MIDDLE + 1000}-{LAST}/{len(SOUND)}"
    rest = says(SOUND[MIDDLE + 1000 :], ETAG, place, status=PART)
    async with Host(first, part, rest) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == SOUND
        assert host.header("range") == f"bytes={MIDDLE + 1000}-"


@pytest.mark.parametrize("status", ["200 OK", PART])
@pytest.mark.parametrize("total", [str(len(SOUND)), "*"])
async def test_d54_the_beginning_of_a_file_is_not_published_whatever_its_status(
    status: str, total: str, tmp_path: Path
) -> None:
    place = f"Content-Range: bytes 0-{MIDDLE - 1}/{total}"
    beginning = says(SOUND[:MIDDLE], place, status=status)
    async with Host(beginning, says(SOUND)) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == SOUND


@pytest.mark.parametrize("status", ["200 OK", PART])
async def test_d54_a_host_that_calls_every_file_a_part_gives_the_whole(
    status: str, tmp_path: Path
) -> None:
    whole = says(SOUND, f"Content-Range: bytes 0-{LAST}/{len(SOUND)}", status=status)
    async with Host(whole) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == SOUND
        assert (host.accepted, saved.integrity) == (1, "length")


@pytest.mark.parametrize(
    "answer",
    [
        says(SOUND[:1000], f"Content-Range: bytes 0-1999/{len(SOUND)}", status=PART),
        chunked_says(SOUND, f"Content-Range: bytes 0-{MIDDLE - 1}/{MIDDLE}", status=PART),
    ],
    ids=["less_than_its_range", "more_than_its_size"],
)
async def test_d54_a_part_that_contradicts_its_range_is_not_used(
    answer: bytes, tmp_path: Path
) -> None:
    async with Host(answer, says(SOUND)) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == SOUND


@pytest.mark.parametrize(
    "not_yet",
    [
        says(b"preparing", status="202 Accepted"),
        says(b"", status="423 Locked"),
        says(b"", status="409 Conflict"),
        says(b""),
    ],
    ids=["202", "423", "409", "empty"],
)
async def test_d54_a_file_that_is_not_there_yet_is_waited_for(
    not_yet: bytes, tmp_path: Path
) -> None:
    """Nothing that arrived is wrong content, so it does not count as three wrong rounds."""
    async with Host(*[not_yet] * 5, says(WHOLE)) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == WHOLE
        assert host.accepted == 6


async def test_d30_a_part_that_looks_like_a_file_is_no_file(tmp_path: Path) -> None:
    end = wav(seed=1)
    named = f"Content-Range: bytes 100-{len(end) + 99}/{len(end) + 100}"
    async with Host(says(end, named), says(WHOLE)) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == WHOLE


async def test_d30_all_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    first = says(WHOLE[:HALF], ETAG, length=len(WHOLE))
    second = says(WHOLE, ETAG, f"Content-Range: bytes 0-{len(WHOLE) - 1}/{len(WHOLE)}")
    async with Host(first, second) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == WHOLE


async def test_d30_a_part_that_is_cut_is_gone_on_with_like_the_whole(tmp_path: Path) -> None:
    first = says(WHOLE[:HALF], ETAG, length=len(WHOLE))
    second = says(WHOLE[HALF:-10], ETAG, REST, status=PART, length=len(WHOLE) - HALF)
    rest = f"Content-Range: bytes {len(WHOLE) - 10}-{len(WHOLE) - 1}/{len(WHOLE)}"
    third = says(WHOLE[-10:], ETAG, rest, status=PART)
    async with Host(first, second, third) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == WHOLE
        assert host.header("range") == f"bytes={len(WHOLE) - 10}-"


async def test_d30_a_host_that_refuses_every_range_is_asked_from_the_start(tmp_path: Path) -> None:
    cut = says(WHOLE[:HALF], ETAG, length=len(WHOLE))
    refused = says(b"", "Content-Range: bytes */9", status="416 Range Not Satisfiable")
    async with Host(cut, refused, cut, refused, says(WHOLE)) as host, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((host.url,)), f"{tmp_path}/")
        assert saved.path.read_bytes() == WHOLE


async def test_a_link_that_always_breaks_at_the_same_byte_is_given_up(tmp_path: Path) -> None:
    cut = says(WHOLE[:HALF], "X-Nothing: 1", length=len(WHOLE))
    async with Host(cut) as host, downloader(NO_PATIENCE) as client:
        with pytest.raises(IncompleteDownload, match="file is incomplete"):
            await client.download(RemoteFile((host.url,)), f"{tmp_path}/")


async def test_d37_a_dead_output_does_not_cost_the_others(tmp_path: Path) -> None:
    gone = says(b"", status="404 Not Found")
    async with Host(says(WHOLE)) as good, Host(gone) as bad, downloader(NO_PATIENCE) as client:
        files = (RemoteFile((good.url,), "7", 0), RemoteFile((bad.url,), "", 1))
        with pytest.raises(OutputLost):
            await client.download_all(Generation(id="7", track_id=None, files=files), tmp_path)
    assert names(tmp_path) == ["7.wav"]


async def test_d37_a_job_of_several_files_wants_one_of_them_named(tmp_path: Path) -> None:
    files = (RemoteFile(("https://a.example/1",), "7"), RemoteFile(("https://a.example/2",), "7"))
    made = Generation(id="7", track_id=None, files=files)
    async with downloader() as client:
        with pytest.raises(DownloadError, match="made 2 files"):
            await client.download(made, tmp_path)


async def test_d38_two_outputs_with_one_link_are_two_files(tmp_path: Path) -> None:
    async with Host(says(WHOLE)) as host, downloader() as client:
        files = tuple(RemoteFile((host.url,), "7", index) for index in (0, 1))
        made = Generation(id="7", track_id=None, files=files)
        saved = await client.download_all(made, tmp_path)
    assert [one.path.name for one in saved] == ["7.wav", "7-2.wav"]
    assert all(one.path.read_bytes() == WHOLE for one in saved)


async def test_d39_two_mirrors_that_differ_are_never_mixed(tmp_path: Path) -> None:
    other = wav(seed=1)
    cut = says(WHOLE[:HALF], ETAG, length=len(WHOLE))
    gone = says(b"", status="404 Not Found")
    async with Host(cut, gone) as one, Host(says(other, ETAG)) as two, downloader(QUICK) as client:
        saved = await client.download(RemoteFile((one.url, two.url)), f"{tmp_path}/")
    assert saved.path.read_bytes() == other


async def test_d40_a_jump_of_the_wall_clock_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    years = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: 31_536_000.0 * next(years))
    faults = [on("edge", headers={"Retry-After": "0"}), on("cut_body")]
    async with track(tmp_path, done(*faults, proxy_links="absent")) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert it.statuses() == [502, 200, 206]


@pytest.mark.parametrize("output", ["data_uri", "base64", "chunk"])
async def test_an_answer_that_holds_the_file_itself_needs_no_download(
    output: str, tmp_path: Path
) -> None:
    async with track(tmp_path, done(output=output)) as it:
        saved = await it.save()
        assert saved.path.read_bytes() == it.whole
        assert saved.integrity == "exact"
        assert it.box.book.count("storage") == it.box.book.count("mirror") == 0


@pytest.mark.parametrize(
    "broken",
    [
        "data:audio/wav;base64,UklGRi@@",
        "data:audio/wav;base64,UklGRg==",
        "data:audio/wav;base64,UklGRg",
        "data:audio/wav;base64,\u00e4\u00f6",
        "data:audio/wav,RIFF",
        "data:",
    ],
)
async def test_a_broken_data_link_gives_way_to_the_next(broken: str, tmp_path: Path) -> None:
    async with track(tmp_path, done()) as it:
        saved = await it.save(broken, *it.links)
        assert saved.path.read_bytes() == it.whole


async def test_d14_links_that_all_give_base64_text_are_not_audio(tmp_path: Path) -> None:
    async with track(tmp_path, done(output="base64_body")) as it:
        with pytest.raises(NotAudio):
            await it.save()
        assert names(tmp_path) == []


async def test_progress_is_told_in_bytes_up_to_the_whole(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    async with track(tmp_path, done(on("cut_body"), proxy_links="absent")) as it:
        await it.save(progress=lambda received, total: told.append((received, total)))
        size = len(it.whole)
    assert told[-1] == (size, size)
    assert told == sorted(told)


async def test_a_progress_that_raises_costs_a_log_line_and_not_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def progress(received: int, total: int | None) -> None:
        calls.append(received)
        raise RuntimeError("no terminal")

    async with track(tmp_path, done()) as it:
        saved = await it.save(progress=progress)
        assert saved.path.read_bytes() == it.whole
    assert len(calls) == 1
    assert "not called again" in caplog.text


async def test_why_a_download_waits_is_logged_with_its_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelslab_async.events")
    async with track(tmp_path, done(on("html"))) as it:
        await it.save()
        waits = [r for r in caplog.records if "waiting" in r.getMessage()]
        assert [record.__dict__["job_id"] for record in waits] == [it.made.id]
        assert "not what was requested" in caplog.text


async def test_more_downloads_than_places_wait_their_turn(tmp_path: Path) -> None:
    most = current = 0
    together = asyncio.Barrier(3)

    async def count(writer: asyncio.StreamWriter) -> None:
        nonlocal most, current
        current += 1
        most = max(most, current)
        await together.wait()
        current -= 1
        writer.write(says(WHOLE))

    async with (
        Host(count) as host,
        downloader(max_downloads=3) as client,
        asyncio.TaskGroup() as group,
    ):
        for number in range(12):
            link = RemoteFile((host.url,), str(number))
            group.create_task(client.download(link, f"{tmp_path}/"))
    assert len(names(tmp_path)) == 12
    assert most <= 3


@pytest.mark.parametrize(
    "job_id", ["../../etc/passwd", "", ".bashrc", "-rf", "a\0b\r\n", "\u202egnp"]
)
async def test_t14_no_text_of_a_server_becomes_a_path(job_id: str, tmp_path: Path) -> None:
    named = says(WHOLE, 'Content-Disposition: attachment; filename="../../evil.sh"')
    folder = tmp_path / "in"
    async with Host(named) as host, downloader() as client:
        url = f"{host.url}/..%2f..%2fevil.sh"
        saved = await client.download(RemoteFile((url,), job_id), f"{folder}/")
    assert names(tmp_path) == ["in"]
    assert names(folder) == [saved.path.name]
    assert saved.path.name[0] not in ".-"
    assert saved.path.suffix == ".wav"


async def test_without_patience_each_link_is_tried_once(tmp_path: Path) -> None:
    policy = DownloadPolicy(patience=0.0)
    async with track(tmp_path, done(on("html", times=None, host=None)), policy=policy) as it:
        with pytest.raises(NotAudio):
            await it.save()
        assert it.box.book.count("storage") == it.box.book.count("mirror") == 1
