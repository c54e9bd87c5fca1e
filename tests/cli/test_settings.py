"""Where settings come from, what of them is shown, and what is never shown."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import ConfigurationError
from modelslab_async._cli import settings, textfiles
from modelslab_async._cli.error_mapping import NotThere
from modelslab_async.sandbox import Sandbox

from .test_cli import COMMAND, QUICK, against, command, environment, started

KEY = "a-key-of-nobody-0123456789-tail"


def shown(tmp_path: Path, *arguments: str, **more: str) -> dict[str, Any]:
    done = command(tmp_path, "config", "show", "--json", *arguments, **more)
    settings: dict[str, Any] = json.loads(done.stdout)["settings"]
    return settings


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_env_file_gives_the_key_and_the_origin_for_that_key_alone(tmp_path: Path) -> None:
    """It may come with a foreign repository: no other key is sent to its origin."""
    origin = "https://evil.example"
    write(
        tmp_path / ".env",
        f"export MODELSLAB_API_KEY='{KEY}'\nMODELSLAB_BASE_URL={origin}\n"
        "MODELSLAB_PROFILE=work\nMODELSLAB_ASYNC_MAX_JOBS=99\n",
    )
    found = shown(tmp_path, MODELSLAB_API_KEY="")
    assert (found["api_key"]["origin"], found["api_key"]["value"][-4:]) == (".env", KEY[-4:])
    assert found["base_url"] == {"value": origin, "origin": ".env"}
    assert [found[name]["origin"] for name in ("profile", "max_jobs")] == ["built in"] * 2
    own = shown(tmp_path, MODELSLAB_API_KEY="k" * 30)
    assert own["api_key"]["origin"] == "environment, MODELSLAB_API_KEY"
    assert own["base_url"]["origin"] == "built in"
    profile = shown(tmp_path, "--profile", "work", MODELSLAB_API_KEY="")
    assert (profile["api_key"]["value"], profile["base_url"]["origin"]) == (None, "built in")


def test_a_env_file_that_is_none_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert shown(tmp_path, MODELSLAB_API_KEY="")["api_key"]["origin"] == "nowhere"
    (tmp_path / ".env").rmdir()
    (tmp_path / ".env").write_bytes(b"\xff\xfe\xff" * 9)
    assert shown(tmp_path, MODELSLAB_API_KEY="")["api_key"]["origin"] == "nowhere"


def test_a_env_file_takes_nothing_from_the_environment(tmp_path: Path) -> None:
    write(tmp_path / ".env", "MODELSLAB_API_KEY=k12345678\nMODELSLAB_BASE_URL=https://a/${HOME}\n")
    found = shown(tmp_path, MODELSLAB_API_KEY="")
    assert found["base_url"]["value"] == "https://a/${HOME}"


def test_flag_then_environment_then_project_then_user_then_built_in(tmp_path: Path) -> None:
    assert shown(tmp_path)["timeout"] == {"value": 900.0, "origin": "built in"}
    user = tmp_path / "home/.config/modelslab/config.toml"
    write(user, "[async]\ntimeout = 10\n")
    assert shown(tmp_path)["timeout"] == {"value": 10.0, "origin": str(user)}
    write(tmp_path / ".modelslab/config.toml", "[async]\ntimeout = 20\n")
    assert shown(tmp_path)["timeout"] == {"value": 20.0, "origin": ".modelslab/config.toml"}
    env = {"MODELSLAB_ASYNC_TIMEOUT": "30"}
    assert shown(tmp_path, **env)["timeout"]["value"] == 30.0
    assert shown(tmp_path, **env)["timeout"]["origin"] == "environment, MODELSLAB_ASYNC_TIMEOUT"
    told = shown(tmp_path, "--timeout", "40", **env)["timeout"]
    assert told == {"value": 40.0, "origin": "flag"}


def test_a_projects_file_decides_neither_the_key_nor_who_gets_it(tmp_path: Path) -> None:
    write(
        tmp_path / ".modelslab/config.toml",
        'api_key = "theirs"\nbase_url = "https://theirs.example"\n'
        '[defaults]\nbase_url = "https://theirs.example"\nprofile = "theirs"\n',
    )
    settings = shown(tmp_path)
    assert settings["api_key"]["value"] is None
    assert settings["base_url"]["value"] == "https://modelslab.com"
    assert settings["profile"]["value"] == "default"


def test_t40_ranges_of_addresses_come_from_flag_environment_and_the_users_file(
    tmp_path: Path,
) -> None:
    assert shown(tmp_path)["allow_addresses"] == {"value": "", "origin": "built in"}
    write(tmp_path / ".modelslab/config.toml", '[async]\nallow_addresses = "10.0.0.0/8"\n')
    assert shown(tmp_path)["allow_addresses"]["value"] == ""  # a foreign repository's wish
    user = tmp_path / "home/.config/modelslab/config.toml"
    write(user, '[async]\nallow_addresses = ["198.18.0.0/15", "fd00::1/8"]\n')
    assert shown(tmp_path)["allow_addresses"]["value"] == "198.18.0.0/15,fd00::/8"
    env = {"MODELSLAB_ASYNC_ALLOW_ADDRESSES": "100.64.0.0/10 10.1.2.3"}
    assert shown(tmp_path, **env)["allow_addresses"]["value"] == "100.64.0.0/10,10.1.2.3/32"
    told = shown(tmp_path, "--allow-addresses", "172.16.0.0/12", **env)["allow_addresses"]
    assert told == {"value": "172.16.0.0/12", "origin": "flag"}


@pytest.mark.parametrize("ranges", ["10.0.0.0/33", "mine", "10.0.0.1-10.0.0.9"])
def test_t40_what_is_no_range_of_addresses_is_refused(tmp_path: Path, ranges: str) -> None:
    done = command(tmp_path, "config", "show", "--allow-addresses", ranges)
    assert done.returncode == 2
    assert "must be address ranges such as 198.18.0.0/15" in done.stderr


@pytest.mark.parametrize("name", ["MODELSLAB_API_KEY", "MODELS_LAB_API_KEY"])
def test_the_key_comes_from_the_environment_and_is_masked(tmp_path: Path, name: str) -> None:
    setting = shown(tmp_path, **{name: KEY})["api_key"]
    assert setting == {"value": "***tail", "origin": f"environment, {name}"}


def test_the_files_of_modelslabs_own_command_are_read(tmp_path: Path) -> None:
    home = tmp_path / "home/.config/modelslab"
    write(home / "config.toml", '[defaults]\nprofile = "work"\nbase_url = "https://eu.example"\n')
    write(home / "profiles/work.json", json.dumps({"apikey": KEY}))
    settings = shown(tmp_path)
    assert settings["api_key"]["origin"] == str(home / "profiles/work.json")
    assert settings["base_url"]["value"] == "https://eu.example"
    write(home / "profiles/other.json", json.dumps({"token": "no key"}))
    assert shown(tmp_path, MODELSLAB_PROFILE="other")["api_key"]["value"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [("timeout = ", "is not TOML"), ('[async]\ntimeout = "soon"', "must be a number")],
    ids=["broken", "mistyped"],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path / ".modelslab/config.toml", text)
    done = started(tmp_path, "config", "show")
    assert done.returncode == 2
    assert says in done.stderr
    assert ".modelslab/config.toml" in done.stderr


# --- the key --------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_key_comes_from_a_file_or_from_stdin(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        write(tmp_path / "key", f"{box.key}\n")
        env = {"MODELSLAB_API_KEY": "", "MODELSLAB_BASE_URL": box.url}
        by_file = await against(box, tmp_path, "balance", "--api-key-file", "key", **env)
        by_stdin = await against(
            box, tmp_path, "balance", "--api-key-stdin", stdin=f"{box.key}\n", **env
        )
    assert (by_file.returncode, by_stdin.returncode) == (0, 0)
    assert by_file.stdout == by_stdin.stdout


def test_a_key_comes_from_a_pipe_as_of_process_substitution(tmp_path: Path) -> None:
    """As by ``--api-key-file <(pass show modelslab)``, in pieces, and begun late."""
    script = f'"$@" --api-key-file <(sleep 0.3; printf %s {KEY[:5]}; sleep 0.3; echo {KEY[5:]})'
    done = subprocess.run(
        ["/bin/bash", "-c", script, "bash", *COMMAND, "config", "show", "--json"],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["settings"]["api_key"]["value"] == f"***{KEY[-4:]}"


@pytest.mark.parametrize("option", ["--api-key-file", "--api-key-stdin"])
def test_a_key_without_an_end_is_refused_in_words(tmp_path: Path, option: str) -> None:
    named = ["/dev/zero"] if option == "--api-key-file" else []
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run(
            [*COMMAND, "config", "show", option, *named],
            cwd=tmp_path,
            env=environment(tmp_path),
            stdin=endless,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 5
    assert "it is longer than 65536 bytes" in done.stderr


def writes_nothing(path: Path) -> int:
    return os.open(path, os.O_RDWR)


@pytest.mark.parametrize("writer", [None, writes_nothing], ids=["nobody", "a silent one"])
@pytest.mark.parametrize("name", ["key", ".modelslab/config.toml"])
def test_a_pipe_that_does_not_end_is_refused_in_words(
    tmp_path: Path,
    name: str,
    writer: Callable[[Path], int] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(textfiles, "_PATIENCE", 0.01)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    held = writer(path) if writer is not None else None
    flags = settings.Flags(api_key_file="key" if name == "key" else None)
    with pytest.raises((NotThere, ConfigurationError), match="it does not end within"):
        settings.read_settings(flags)
    if held is not None:
        os.close(held)


def test_a_key_among_the_arguments_is_warned_about(tmp_path: Path) -> None:
    done = command(tmp_path, "config", "show", "--api-key", KEY)
    assert "warning: --api-key shows the key to every user" in done.stderr
    assert KEY not in done.stdout + done.stderr


def test_two_ways_to_give_the_key_are_one_too_many(tmp_path: Path) -> None:
    done = command(tmp_path, "config", "show", "--api-key-file", "x", "--api-key-stdin")
    assert done.returncode == 2


@pytest.mark.anyio
async def test_the_key_is_in_no_output_however_much_is_said(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        done = await against(box, tmp_path, "generate", "a", "-vv", "-o", "a.wav")
        as_json = await against(box, tmp_path, "generate", "b", "-vv", "--json")
    for text in (done.stdout, done.stderr, as_json.stdout, as_json.stderr):
        assert box.key not in text


# --- network --------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        process = subprocess.Popen(
            [sys.executable, "-m", "modelslab_async", "balance"],
            env=environment(
                tmp_path,
                HTTPS_PROXY=f"http://127.0.0.1:{proxy.getsockname()[1]}",
                MODELSLAB_API_KEY=KEY,
                MODELSLAB_BASE_URL="https://nowhere.invalid",
            ),
            stderr=subprocess.DEVNULL,
        )
        connection, _ = proxy.accept()
        with connection:
            assert connection.recv(4096).startswith(b"CONNECT nowhere.invalid:443 ")
        assert process.wait(30) == 10


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["socks5://me:hidden@127.0.0.1:9", "http://me:hidden@h:99999"])
def test_t08_a_proxy_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, name: str, proxy: str
) -> None:
    secret = {"MODELSLAB_API_KEY": KEY, "MODELSLAB_BASE_URL": "https://nowhere.invalid"}
    done = command(tmp_path, "balance", **secret, **{name: proxy})
    assert done.returncode == 2
    assert f"error: {name} is " in done.stderr
    assert "hidden" not in done.stderr


@pytest.mark.anyio
async def test_this_machine_is_reached_without_a_proxy(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        done = await against(box, tmp_path, "balance", HTTP_PROXY="http://127.0.0.1:1")
    assert done.returncode == 0


# --- doctor and completion ------------------------------------------------------------------------


def test_doctor_looks_everywhere_and_shows_no_secret(tmp_path: Path) -> None:
    done = command(
        tmp_path,
        *("doctor", "--json"),
        MODELSLAB_API_KEY=KEY,
        HTTPS_PROXY="http://me:hid/d@en@proxy.example:1",
        ALL_PROXY="me:hidden@proxy.example:2",
        NO_PROXY="localhost,h:80,2001:db8::/32",
        MODELSLAB_BASE_URL="https://me:hidden@example.com",
    )
    found = json.loads(done.stdout)
    assert (done.returncode, found["healthy"]) == (1, False)
    assert found["network"]["ok"] is False
    assert "base_url is not a plain URL of a host" in found["network"]["error"]
    assert found["self_test"]["integrity"] == "exact"
    assert {"python", "modelslab_async", "aiohttp", "sqlite", "click"} <= set(found["versions"])
    assert found["settings"]["api_key"]["value"] == "***tail"
    assert found["proxy"] == {
        "HTTPS_PROXY": "http://***@proxy.example:1",
        "ALL_PROXY": "***@proxy.example:2",
        "NO_PROXY": "localhost,h:80,2001:db8::/32",
    }
    assert found["settings"]["base_url"]["value"] == "https://***@example.com"
    assert KEY not in done.stdout + done.stderr
    assert "hidden" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://me:hidden@example.com", "https://***@example.com"),
        ("https://me:hid/den@x@example.com", "https://***@example.com"),
        ("me:hidden@example.com", "***@example.com"),
        ("https://example.com/?token=hidden", "https://example.com/***"),
        ("https://me:hidden%40example.com", "https://***"),
        ("https://example.com#hidden", "https://example.com***"),
        ("https://me:hidden\uff20example.com", "https://***@example.com"),
        ("https://example.com:hidden", "https://***"),
        ("https://hidden:hidden/", "https://***"),
        ("me:hidden", "***"),
        ("https://me:9hidden", "https://***"),
        ("https://example.com:8443/v1", "https://example.com:8443/v1"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_t45_a_secret_in_an_origin_is_not_shown(tmp_path: Path, url: str, masked: str) -> None:
    assert shown(tmp_path, MODELSLAB_BASE_URL=url)["base_url"]["value"] == masked


def test_an_origin_with_a_password_is_refused_before_it_is_shown(tmp_path: Path) -> None:
    secret = {"MODELSLAB_API_KEY": KEY, "MODELSLAB_BASE_URL": "https://me:hidden@example.com"}
    for arguments in (["balance"], ["fetch", "1"], ["generate", "a"]):
        done = command(tmp_path, *arguments, **secret)
        assert done.returncode == 2
        assert "hidden" not in done.stderr


@pytest.mark.anyio
async def test_doctor_asks_the_api_for_free(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        done = await against(
            box, tmp_path, "doctor", "--json", NO_PROXY="", HTTP_PROXY="http://h:1"
        )
        found = json.loads(done.stdout)
        assert (done.returncode, found["network"]["ok"]) == (0, True)
        assert (found["network"]["origin"], found["network"]["proxy"]) == (box.url, "none")
        wrong = await against(box, tmp_path, "doctor", "--json", MODELSLAB_API_KEY=KEY)
        assert (wrong.returncode, json.loads(wrong.stdout)["network"]["ok"]) == (1, False)
        assert not box.book.debits
    gone = await against(box, tmp_path, "doctor", "--json")
    assert (gone.returncode, json.loads(gone.stdout)["healthy"]) == (1, False)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, "none"),
        ({"HTTPS_PROXY": "http://me:hidden@h:1"}, "http://***@h:1 (HTTPS_PROXY)"),
        ({"all_proxy": "h:1", "NO_PROXY": "other.example"}, "h:1 (all_proxy)"),
        ({"HTTPS_PROXY": "http://h:1", "NO_PROXY": "eu.example"}, "none"),
        ({"HTTP_PROXY": "http://h:1"}, "none"),
        ({"HTTPS_PROXY": "socks5://h:1"}, "cannot be used: "),
    ],
)
def test_doctor_says_which_proxy_and_certificates_are_used(
    tmp_path: Path, environ: dict[str, str], proxy: str
) -> None:
    url = {"MODELSLAB_BASE_URL": "https://eu.example"}
    certificates = {"SSL_CERT_FILE": str(tmp_path / "ours.pem")}
    done = command(tmp_path, "doctor", "--json", **url, **environ, **certificates)
    network = json.loads(done.stdout)["network"]
    assert network["proxy"].startswith(proxy)
    assert network["certificates"] == f"{tmp_path}/ours.pem (SSL_CERT_FILE): no such file"
    assert (network["ok"], network["error"]) == (None, "not asked: there is no key")
    assert "hidden" not in done.stdout + done.stderr


def test_doctor_is_for_people_too(tmp_path: Path) -> None:
    done = command(tmp_path, "doctor")
    assert "self test\n  ok: True" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_prints_a_script_that_asks_this_command(tmp_path: Path, shell: str) -> None:
    done = started(tmp_path, "completion", shell)
    assert done.returncode == 0
    assert "_MODELSLAB_ASYNC_COMPLETE" in done.stdout


@pytest.mark.parametrize(
    ("words", "incomplete", "suggestion"),
    [
        ("modelslab-async\ngen", "gen", "generate\t"),
        ("modelslab-async\ndemo\n--js", "--js", "--json"),
    ],
    ids=["command", "option"],
)
def test_completion_for_powershell_answers_with_words_and_help(
    tmp_path: Path, words: str, incomplete: str, suggestion: str
) -> None:
    done = command(
        tmp_path,
        _MODELSLAB_ASYNC_COMPLETE="powershell_complete",
        COMP_WORDS=words,
        COMP_INCOMPLETE=incomplete,
    )
    assert done.stdout.startswith(suggestion)


def test_prices_of_endpoints_are_shown_where_they_are_set(tmp_path: Path) -> None:
    user = tmp_path / "home/.config/modelslab/config.toml"
    write(user, "[async.price]\ntext_to_speech.per_character = 0.00002\n")
    told = shown(tmp_path, MODELSLAB_ASYNC_PRICE="sfx.per_job=0.1")
    assert told["price.text_to_speech.per_character"] == {"value": 2e-05, "origin": str(user)}
    origin = "environment, MODELSLAB_ASYNC_PRICE"
    assert told["price.sfx.per_job"] == {"value": 0.1, "origin": origin}
    plain = command(tmp_path, "config", "show").stdout
    assert "price.text_to_speech.per_character = 0.00002  (" in plain
