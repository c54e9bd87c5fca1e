"""What the engine asks a request: where it goes, where its job is asked about, what comes out."""

from __future__ import annotations

from modelslab_async.endpoints import MusicGen, SoundEffect


def test_a_request_says_where_it_is_sent_where_its_job_is_asked_about_and_what_comes_out() -> None:
    for request, path in ((MusicGen("a"), "music_gen"), (SoundEffect("a"), "sfx")):
        assert request.path == f"/api/v6/voice/{path}"
        assert request.fetch == "/api/v6/voice/fetch"
        assert request.gives == "audio"
