"""The benchmarks measure what they say: each client does the same work, and it is compared."""

from __future__ import annotations

import http.client
import importlib.util
import io
import json
import wave
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from benchmarks import terminal
from benchmarks.__main__ import NAMES, main
from benchmarks.jobs import PEERS, Load, Run, compare, measure
from benchmarks.measuring import OURS, Figure, Goal, Result, quantile, rotated, serving
from benchmarks.picture import picture
from benchmarks.services_jobs import TRACK_BYTES, Pace, Track, Works, list_schedule


def test_the_picture_of_the_terminal_shows_what_the_commands_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.main()
    drawn = ET.fromstring(capsys.readouterr().out)  # noqa: S314  made here
    shown = "".join(drawn.itertext()).replace("\xa0", " ")
    assert "album/00003-sitar-tabla.wav" in shown
    assert "nothing to do: 3 of 3 rows are done" in shown


LOAD = Load(count=3, at_once=2, repeats=1, pace=Pace(0.2, 0.05))


@pytest.fixture(scope="module")
def runs() -> Iterator[dict[str, Future[Run]]]:
    """A run of each client that is installed, a few at the same time: none of them is measured."""
    with ThreadPoolExecutor(4) as pool:
        present = [name for name, peer in PEERS.items() if not peer.missing]
        yield {name: pool.submit(measure, name, LOAD) for name in present}


@pytest.mark.parametrize("name", PEERS)
def test_a_client_makes_all_jobs_and_every_byte_is_compared(
    name: str, runs: dict[str, Future[Run]]
) -> None:
    if name not in runs:
        pytest.skip(f"{' and '.join(PEERS[name].missing)} not installed (extra: bench)")
    run = runs[name].result()
    assert run.requests["submit"] == run.requests["file"] == len(run.lags) == LOAD.count
    assert min(run.lags) >= 0
    assert run.cpu > 0
    assert run.imported == ()
    assert run.makespan >= 1


def test_a_client_that_leaves_a_wrong_file_is_not_measured(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.wav").write_bytes(Track(number).whole())
    compare(tmp_path, 3)
    (tmp_path / "1.wav").write_bytes(Track(2).whole())
    with pytest.raises(RuntimeError, match=r"1\.wav"):
        compare(tmp_path, 3)


def test_a_client_that_leaves_another_file_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "0.wav").write_bytes(Track(0).whole())
    (tmp_path / "0.part").touch()
    with pytest.raises(RuntimeError, match=r"0\.part"):
        compare(tmp_path, 1)


def test_a_track_is_a_wav_file_with_sound_in_it() -> None:
    data = Track(7).whole()
    with wave.open(io.BytesIO(data)) as sound:
        frames = sound.readframes(sound.getnframes())
    assert len(data) == TRACK_BYTES
    assert len(frames) == TRACK_BYTES - 44
    assert max(frames) > 0


def test_no_two_jobs_make_the_same_track() -> None:
    assert len({Track(number).whole() for number in range(300)}) == 300


def test_the_bound_takes_each_place_as_soon_as_it_is_free() -> None:
    assert list_schedule([3, 1, 1, 1], at_once=2) == 3
    assert list_schedule([1, 1, 3], at_once=2) == 4


def test_workers_make_jobs_in_order_and_the_queue_takes_no_more_than_it_can() -> None:
    works = Works(Pace(10, 0), queue=2, workers=1)
    assert works.accept(0, now=0) is not None
    assert works.accept(1, now=1) is not None
    assert works.accept(2, now=2) is None
    assert works.accept(2, now=10) is not None
    assert [(job.started, job.finished) for job in works.jobs] == [(0, 10), (10, 20), (20, 30)]


class Service:
    """The benchmark server, asked by hand."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def post(self, path: str, **fields: Any) -> tuple[int, Any]:
        return self._ask("POST", path, json.dumps(fields))

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path, None)

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, Any]:
        self._connection.request(method, path, body)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read() or "null")


@contextmanager
def service(*options: object) -> Iterator[Service]:
    with serving("benchmarks.services", *options) as server:
        netloc = urlsplit(server["url"]).netloc
        with closing(http.client.HTTPConnection(netloc)) as connection:
            yield Service(connection)


def test_a_full_queue_refuses_in_the_words_of_each_service() -> None:
    with service("--queue", 1, "--mean", 60) as asked:
        assert asked.post("/api/v6/voice/music_gen", prompt="piece 0")[0] == 200
        status, refusal = asked.post("/api/v6/voice/music_gen", prompt="piece 1")
        assert (status, refusal["retry_after"]) == (429, 1)
        assert asked.post("/fal/fal-ai/x", prompt="piece 1")[0] == 429
        assert asked.post("/v1/models/a/b/predictions", input={"prompt": "piece 1"})[0] == 429
        assert asked.get("/files/1.wav")[0] == 404
        assert asked.get("/record")[1]["requests"] == {"submit": 1, "refused": 3, "file": 1}


@pytest.mark.parametrize("eta", ["right", "wrong", "absent"])
def test_an_eta_is_right_or_wrong_or_absent_as_asked(eta: str) -> None:
    with service("--eta", eta) as asked:
        _, ticket = asked.post("/api/v6/voice/music_gen", prompt="piece 5")
        job = asked.get("/record")[1]["jobs"][0]
    seconds = job["finished"] - job["submitted"]
    if eta == "absent":
        assert "eta" not in ticket
    else:
        assert (ticket["eta"] == pytest.approx(seconds, abs=0.001)) is (eta == "right")
        assert 0.3 * seconds - 0.001 <= ticket["eta"] <= 2 * seconds + 0.001


def test_a_server_that_does_not_start_is_told_of() -> None:
    with pytest.raises(RuntimeError, match="did not start"), serving("benchmarks.services", "--no"):
        raise AssertionError("it cannot have started")


def test_each_round_begins_with_another_client() -> None:
    assert list(rotated("abc", 2)) == [*"abc", *"bca"]


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert quantile([4, 1, 3, 2], 0.5) == 2
    assert quantile([4, 1, 3, 2], 0.95) == 4


def test_every_benchmark_that_is_named_is_there() -> None:
    assert [name for name in NAMES if importlib.util.find_spec(f"benchmarks.{name}") is None] == []


def test_a_benchmark_that_is_not_there_is_refused_before_any_is_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["jobs", "jobz"])
    assert "there is no benchmark jobz" in capsys.readouterr().err


RESULT = Result(
    "jobs",
    [
        Figure(OURS, "CPU a job", [1.0, 2.0, 3.0], "ms", Goal(2.5)),
        Figure("<others> & more", "CPU a job", [8.0], "ms"),
        Figure("1 GiB", "alone", [1.0]),
    ],
)
SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_has_a_bar_for_each_subject_beside_ours_and_says_how_many_times() -> None:
    drawn = ET.fromstring(picture([RESULT]))  # noqa: S314  our own text
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert texts == ["jobs: CPU a job", OURS, "2 ms", "<others> & more", "8 ms (4 x)"]
    background, ours, other = (float(bar.get("width", "")) for bar in drawn.iter(f"{SVG}rect"))
    assert background > other == pytest.approx(4 * ours, abs=0.5)
