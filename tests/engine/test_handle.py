"""What is written down of a job says the same when it is read again, and nothing else is taken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async import RequestError
from modelslab_async._engine.handle import read_handle, write_handle
from modelslab_async._protocol.output import ENDINGS, Output
from modelslab_async._protocol.replies import Links
from modelslab_async._protocol.urls import FAMILIES

IDS = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
URLS = st.lists(st.text(), max_size=3).map(tuple)


@given(
    id=IDS,
    track_id=st.none() | st.integers() | st.text(),
    fetch_id=IDS,
    family=st.sampled_from(FAMILIES),
    links=st.builds(Links, output=URLS, proxy=URLS, future=URLS),
    gives=st.sampled_from(sorted(ENDINGS)),
)
def test_a_handle_is_read_as_it_was_written(
    id: str,  # noqa: A002
    track_id: int | str | None,
    fetch_id: str,
    family: str,
    links: Links,
    gives: Output,
) -> None:
    text = write_handle(
        id=id, track_id=track_id, path=f"{family}/{fetch_id}", links=links, gives=gives
    )
    assert read_handle(text) == {
        "id": id,
        "track_id": track_id,
        "path": family,
        "fetch_id": fetch_id,
        "links": links,
        "gives": gives,
    }


GOOD = {
    "version": 1,
    "id": "1",
    "path": "/api/v6/voice/fetch/1",
    "track_id": 1,
    "links": {"output": []},
}


def test_the_handle_that_the_next_test_spoils_is_good() -> None:
    assert read_handle(json.dumps(GOOD))["id"] == "1"


@pytest.mark.parametrize(
    "handle",
    [
        "",
        "../../buy_subscription",
        "{}",
        "[]",
        '{"version": 2}',
        json.dumps({**GOOD, "id": "../x"}),
        json.dumps({**GOOD, "id": "", "path": "/api/v6/voice/fetch/"}),
        json.dumps({**GOOD, "path": 5}),
        json.dumps({**GOOD, "path": "/api/v6/voice/fetch/.."}),
        json.dumps({**GOOD, "path": "//api/v6/voice/fetch/1"}),
        json.dumps({**GOOD, "path": "/api/v6/voice/music_gen/1"}),
        json.dumps({**GOOD, "path": "/api/v6/poetry/fetch/1"}),
        json.dumps({**GOOD, "path": "/api/v3/dreambooth/fetch/1"}),
        json.dumps({**GOOD, "gives": "poetry"}),
        json.dumps({**GOOD, "gives": []}),
        json.dumps({**GOOD, "links": []}),
        json.dumps({**GOOD, "links": {"x": []}}),
        json.dumps({**GOOD, "links": {"output": "u"}}),
        json.dumps({**GOOD, "track_id": []}),
        "[" * 100_000,
        -1,
    ],
    ids=lambda handle: str(handle)[:100],
)
def test_what_is_no_handle_is_refused(handle: str | int) -> None:
    with pytest.raises(RequestError, match="neither a job id nor a job handle"):
        read_handle(handle)
