"""What the engine asks a request: where it goes, where its job is asked about, what comes out."""

from __future__ import annotations

import pytest

from modelslab_async.endpoints import MusicGen, MusicGenV7, SoundEffect
from modelslab_async.endpoints.base import routed


def test_a_request_says_where_it_is_sent_where_its_job_is_asked_about_and_what_comes_out() -> None:
    for request, path in ((MusicGen("a"), "music_gen"), (SoundEffect("a"), "sfx")):
        assert request.path == f"/api/v6/voice/{path}"
        assert request.fetch == "/api/v6/voice/fetch"
        assert request.gives == "audio"


@pytest.mark.parametrize(
    ("own", "client", "routed_to"),
    [
        (None, False, None),
        (None, True, True),
        (False, True, False),
        (True, False, True),
    ],
)
def test_the_choice_of_a_request_wins_over_that_of_its_client(
    own: bool | None, client: bool, routed_to: bool | None
) -> None:
    assert routed(MusicGen("rain", enterprise=own), enterprise=client).enterprise is routed_to


def test_a_request_without_an_enterprise_twin_stays_where_it_is() -> None:
    request = MusicGenV7("rain", model_id="music_v1")
    assert routed(request, enterprise=True) is request
