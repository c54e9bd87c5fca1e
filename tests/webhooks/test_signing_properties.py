"""What a webhook's URL proves and what its body may say, whatever is in them."""

from __future__ import annotations

from urllib.parse import unquote

from hypothesis import assume, given
from hypothesis import strategies as st

from modelslab_async.errors import RequestError
from modelslab_async.webhooks._signing import MAX_BODY, Head, Signer, reject_status

OURS = Signer({"v2": "0123456789abcdef", "v1": "fedcba9876543210"})
EARLIER = Signer({"v1": "fedcba9876543210"})
OTHER = Signer({"v2": "another-secret-it-is"})
track_ids = st.integers(-(10**9), 10**18) | st.text("ab1/.% ?#é音~", min_size=1, max_size=40)


def signed(signer: Signer, track_id: int | str) -> str:
    try:
        return unquote(signer.path(track_id))
    except RequestError:
        assume(False)
        raise


@given(track_ids, st.sampled_from(["", "/", "hooks/", "/a/v2/", "a//"]))
def test_a_url_that_we_signed_names_its_job_wherever_it_is_mounted(
    track_id: int | str, prefix: str
) -> None:
    for signer in (OURS, EARLIER):
        assert OURS.track_id(prefix + signed(signer, track_id)) == str(track_id)
    assert OURS.track_id(prefix + signed(OTHER, track_id)) is None


@given(track_ids, st.integers(0, 400), st.sampled_from("v12/a0_-%."))
def test_no_letter_of_a_signed_url_can_be_changed(
    track_id: int | str, place: int, letter: str
) -> None:
    path = signed(OURS, track_id)
    at = place % len(path)
    assume(path[at] != letter)
    changed = path[:at] + letter + path[at + 1 :]
    for forged in (changed, path[:-1], path + letter, path[1:]):
        assert OURS.track_id(forged) is None


@given(st.text(max_size=12), st.text("0123456789 +-.٣", max_size=12))
def test_a_body_is_refused_unread_only_when_packed_or_announced_too_long(
    encoding: str, length: str
) -> None:
    status = reject_status(Head("POST", "/", encoding, length))
    plain = encoding.strip().lower() in ("", "identity")
    assert (status == 415) == (not plain)
    if status == 413:
        assert int(length) > MAX_BODY
