"""What a webhook URL proves, what a body hints at, and what may be kept of either."""

from __future__ import annotations

import copy
import logging
import pickle
import string
from random import Random
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslab_async import ConfigurationError, RequestError, WebhookError
from modelslab_async._protocol.replies import Failed, Finished, Links, Pending, Refused, Ticket
from modelslab_async.webhooks import Delivery, HideTokens, WebhookReceiver
from modelslab_async.webhooks._signing import Head, Signer, read_hint, reject_status

SECRET = "sixteen bytes or more"
OTHER = "another one of that length"
TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1)


def walks(text: str) -> bool:
    return bool({"", ".", ".."} & set(text.split("/")))


# --- tokens


@given(TEXT.filter(lambda text: len(text) <= 191 and text.isprintable() and not walks(text)))
def test_every_track_id_comes_back_from_its_path(track_id: str) -> None:
    signer = Signer(SECRET)
    assert signer.track_id(unquote(signer.path(track_id))) == track_id


@given(st.text())
def test_no_path_at_all_makes_the_check_fail(path: str) -> None:
    assert Signer(SECRET).track_id(path) is None
    assert Signer(SECRET).track_id(f"v1/5/{path}") is None
    assert Signer(SECRET).track_id(f"v1/{path}/x") is None


def test_a_number_and_its_text_have_one_url() -> None:
    assert Signer(SECRET).path(57) == Signer(SECRET).path("57")


def test_a_token_is_a_keyed_hash_in_characters_that_urls_leave_alone() -> None:
    version, track_id, token = Signer(SECRET).path(57).split("/")
    assert (version, track_id, len(token)) == ("v1", "57", 43)
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")


def test_a_token_is_not_that_of_another_job_version_or_secret() -> None:
    paths = [
        Signer(SECRET).path(57),
        Signer(SECRET).path(58),
        Signer({"v2": SECRET}).path(57),
        Signer(OTHER).path(57),
    ]
    assert len({path.rpartition("/")[2] for path in paths}) == 4


@pytest.mark.parametrize("ending", ["", "A", "=", "\u00e9", "\udcff", "\0", "a" * 5000])
def test_w07_a_token_of_another_length_or_alphabet_is_none(ending: str) -> None:
    head, _, token = Signer(SECRET).path(57).rpartition("/")
    assert Signer(SECRET).track_id(f"{head}/{token[:-1]}{ending}") is None


def test_w07_no_other_spelling_of_a_token_is_taken() -> None:
    """The last of 43 characters holds two bits that base64 would ignore."""
    path = Signer(SECRET).path(57)
    alphabet = string.ascii_letters + string.digits + "-_"
    taken = [end for end in alphabet if Signer(SECRET).track_id(path[:-1] + end)]
    assert taken == [path[-1]]


def test_w07_ten_thousand_forged_paths_name_no_job() -> None:
    dice = Random(7)
    signer = Signer({"v1": SECRET, "v0": OTHER})
    path = signer.path(57)
    for _ in range(10_000):
        at = dice.randrange(len(path))
        char = chr(dice.choice([dice.randrange(32, 127), dice.randrange(0x110000)]))
        forged = path[:at] + char + path[at + dice.randrange(2) :]
        if forged not in (path, f"/{path}"):
            assert signer.track_id(forged) is None


def test_a_path_is_read_below_any_prefix() -> None:
    signer = Signer(SECRET)
    for prefix in ("", "/", "/hooks/", "/v1/v1/hooks/v1/"):
        assert signer.track_id(prefix + signer.path(57)) == "57"


def test_w21_secrets_rotate_the_first_signs_and_all_verify() -> None:
    old, new = Signer({"v1": OTHER}), Signer({"v2": SECRET, "v1": OTHER})
    assert new.path(57).startswith("v2/")
    assert new.track_id(old.path(57)) == "57"
    assert old.track_id(new.path(57)) is None
    assert Signer({"v2": SECRET}).track_id(old.path(57)) is None


@pytest.mark.parametrize("track_id", ["", ".", "a/../b", "a//b", "/a", "a\nb", "\udcff", "x" * 192])
def test_a_track_id_that_no_url_carries_is_refused(track_id: str) -> None:
    with pytest.raises(RequestError, match="cannot be used in a webhook URL"):
        Signer(SECRET).path(track_id)


@pytest.mark.parametrize("secret", ["", "short", b"fifteen bytes..", {}, {"v/1": SECRET}, None])
def test_a_secret_that_is_none_is_refused(secret: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebhookReceiver(secret, "https://music.example.com")
    assert not secret or str(secret) not in str(caught.value)


def test_t18_the_secret_is_nowhere_to_be_seen() -> None:
    receiver = WebhookReceiver({"v2": SECRET, "v1": OTHER}, "https://music.example.com/hooks")
    assert repr(receiver) == "<WebhookReceiver https://music.example.com/hooks, signs with v2>"
    signer = Signer({"v2": SECRET})
    assert SECRET not in f"{signer!r} {signer}"
    for spread in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            spread(signer)
    with pytest.raises(TypeError):
        pickle.dumps(receiver)


# --- where the receiver is reached


@pytest.mark.parametrize(
    "url", ["https://a.example", "https://a.example:8443/x/y", "http://127.0.0.1:8787/hooks"]
)
def test_a_url_is_signed_below_the_public_one(url: str) -> None:
    for public_url in (url, f"{url}/"):
        made = WebhookReceiver(SECRET, public_url).url_for(57)
        assert made.startswith(f"{url}/v1/57/")
        assert urlsplit(made).path.count("//") == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "music.example.com",
        "http://music.example.com",
        "ftp://music.example.com",
        "https://user:password@music.example.com",
        "https://music.example.com/?key=password",
        "https://music.example.com/#password",
        "https://music.example.com/a//password",
        "https://music.example.com/../password",
        "https://music.example.com/a b",
    ],
)
def test_t33_a_public_url_of_another_kind_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        WebhookReceiver(SECRET, url)
    assert "password" not in str(caught.value)


# --- heads and bodies


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (Head("POST", ""), None),
        (Head("POST", "", encoding="Identity"), None),
        (Head("POST", "", encoding="gzip"), 415),
        (Head("POST", "", length="65536"), None),
        (Head("POST", "", length="65537"), 413),
        (Head("POST", "", length="9" * 5000), 413),
        (Head("POST", "", length="\u0663"), None),
        (Head("POST", "", length="-1"), None),
    ],
)
def test_w08_a_body_is_refused_unread_by_its_head(head: Head, status: int | None) -> None:
    assert reject_status(head) == status


LINKS = '"output":["https://evil.example/a"],"proxy_links":["https://evil.example/b"]'
META = '"meta":{"webhook":"https://music.example.com/hooks/v1/57/token"}'


@pytest.mark.parametrize("status", ["success", "processing", "queued", "error", "failed"])
def test_w18_a_hint_holds_no_url_that_only_a_webhook_named(status: str) -> None:
    more = f'{LINKS},{META},"future_links":["http://evil.example"],"fetch_result":"http://evil.e"'
    reply = read_hint(f'{{"status":"{status}","id":7,"track_id":57,{more}}}'.encode())
    assert reply is not None
    text = Delivery("57", reply, 0.0).to_json()
    assert "evil" not in text
    assert "token" not in text
    assert '"7"' in text


@given(st.binary(max_size=300))
def test_any_bytes_are_a_hint_or_none(body: bytes) -> None:
    reply = read_hint(body)
    assert reply is None or Delivery.from_json(Delivery("1", reply, 0.0).to_json()).reply == reply


def test_t22_an_id_is_taken_only_from_a_body_about_the_same_job() -> None:
    def job_id(text: str) -> str | None:
        reply = read_hint(f'{{"status":"success","id":7{text}}}'.encode())
        assert reply is not None
        return Delivery("57", reply, 0.0).job_id

    assert [job_id(""), job_id(',"track_id":57.0'), job_id(',"track_id":"57"')] == ["7"] * 3
    assert job_id(',"track_id":58') is None


@pytest.mark.parametrize(
    "body",
    [
        '{"status":"success","id":7,"output":[],"generationTime":3.5}',
        '{"status":"processing","id":"7","eta":2}',
        '{"status":"processing","eta":0.5}',
        '{"status":"failed","id":7,"message":"Processing failed: out of memory"}',
        '{"status":"error","message":"Request not found"}',
        '{"status":"error","message":"Rate limit exceeded","retry_after":30}',
    ],
)
def test_a_delivery_is_the_same_after_a_stay_in_an_inbox(body: str) -> None:
    reply = read_hint(body.encode())
    assert isinstance(reply, Finished | Ticket | Pending | Failed | Refused)
    delivery = Delivery("57", reply, 1_700_000_000.25, "digest")
    assert Delivery.from_json(delivery.to_json()) == delivery
    assert pickle.loads(pickle.dumps(delivery)) == delivery


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"track_id":"1","reply":{"kind":"Evil"}}',
        '{"track_id":"1","reply":{"kind":"Finished","links":{}},"received_at":NaN}',
    ],
)
def test_a_text_that_is_no_delivery_is_an_error(text: str) -> None:
    with pytest.raises(WebhookError, match="cannot be read"):
        Delivery.from_json(text)


def test_a_delivery_shows_no_body() -> None:
    shown = repr(Delivery("57", Finished(id="7", links=Links(), raw={"x": "secret"}), 0.0, "abc"))
    assert "secret" not in shown
    assert "abc" not in shown


# --- logs and limits


def test_t24_the_log_filter_hides_tokens_and_leaves_the_rest() -> None:
    path = f"/hooks/{Signer(SECRET).path(57)}"
    token = path.rpartition("/")[2]
    first = logging.LogRecord("x", 20, "", 0, f'"POST {path} HTTP/1.1" 200', None, None)
    second = logging.LogRecord("x", 20, "", 0, "%s %d", (path, 200), None)
    first.first_request_line = f"POST {path} HTTP/1.1"
    for record in (first, second):
        assert HideTokens().filter(record)
        assert token not in f"{record.getMessage()} {vars(record)}"
    assert first.getMessage() == '"POST /hooks/v1/57/... HTTP/1.1" 200'
    assert second.getMessage() == "/hooks/v1/57/... 200"


@pytest.mark.parametrize("error", [ValueError("/a"), ValueError(), None])
def test_t24_the_log_filter_leaves_tracebacks_without_a_token_as_they_are(
    error: Exception | None,
) -> None:
    raised = (type(error), error, None) if error is not None else (None, None, None)
    record = logging.LogRecord("x", 40, "", 0, "broke", None, raised)
    assert HideTokens().filter(record)
    assert record.exc_info is raised


def test_t24_the_log_filter_hides_tokens_in_tracebacks() -> None:
    path = f"/hooks/{Signer(SECRET).path(57)}"
    try:
        raise ValueError(path) from OSError(f"POST {path}")
    except ValueError as error:
        raised = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", 40, "", 0, "broke", None, raised)
    assert HideTokens().filter(record)
    shown = logging.Formatter().format(record)
    assert path.rpartition("/")[2] not in f"{shown} {vars(record)}"
    assert "ValueError: /hooks/v1/57/...\n" in f"{shown}\n"
