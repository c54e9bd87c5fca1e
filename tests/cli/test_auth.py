"""Keys of profiles: kept for their owner alone, chosen by name, shown nowhere."""

from __future__ import annotations

import json
import os
import pty
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from modelslab_async import ConfigurationError
from modelslab_async._cli import keys, places
from modelslab_async._cli.config_file import own_path
from modelslab_async.sandbox import Sandbox

from ..support.forking import fork
from .test_cli import QUICK, against, command, environment
from .test_settings import KEY, shown, write

pytestmark = pytest.mark.anyio

OTHER = "another-key-0123456789-last"


def key_files(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home/.config/modelslab/async-keys"
    return {path.name: path.read_text() for path in sorted(home.iterdir())} if home.exists() else {}


async def test_a_key_is_kept_for_its_owner_alone_once_the_api_accepts_it(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        url = {"MODELSLAB_BASE_URL": box.url, "MODELSLAB_API_KEY": ""}
        wrong = await against(box, tmp_path, "auth", "login", stdin=f"{KEY}\n", **url)
        assert (wrong.returncode, key_files(tmp_path)) == (3, {})
        done = await against(box, tmp_path, "auth", "login", stdin=f"{box.key}\n", **url)
        assert (done.returncode, key_files(tmp_path)) == (0, {"default": f"{box.key}\n"})
        assert box.key not in done.stdout + done.stderr
        assert box.key[-4:] in done.stdout
        used = await against(box, tmp_path, "balance", **url)
        assert used.returncode == 0, used.stderr
        assert not box.book.debits
    home = tmp_path / "home/.config/modelslab/async-keys"
    assert stat.S_IMODE((home / "default").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


async def test_a_key_that_cannot_be_checked_is_kept_with_a_warning(tmp_path: Path) -> None:
    url = {"MODELSLAB_BASE_URL": "http://127.0.0.1:1"}
    done = command(tmp_path, "auth", "login", "--profile", "work", stdin=KEY, **url)
    assert (done.returncode, key_files(tmp_path)) == (0, {"work": f"{KEY}\n"})
    assert "warning: the key was not checked" in done.stderr


async def test_a_key_typed_on_a_terminal_is_not_shown(tmp_path: Path) -> None:
    env = environment(tmp_path, TERM="xterm", MODELSLAB_BASE_URL="http://127.0.0.1:1")
    master, slave = pty.openpty()
    with fork(["auth", "login"], tmp_path, env, (slave, slave, slave)) as process:
        os.close(slave)
        shown = b""
        while b"API key" not in shown:
            shown += os.read(master, 4096)
        os.write(master, f"{KEY}\n".encode())
        assert process.wait() == 0
        with suppress(OSError):  # so Linux says that the other end has closed
            while part := os.read(master, 4096):
                shown += part
    os.close(master)
    assert key_files(tmp_path) == {"default": f"{KEY}\n"}
    assert KEY not in shown.decode()


async def test_a_key_is_never_given_on_the_command_line(tmp_path: Path) -> None:
    done = command(tmp_path, "auth", "login", "--api-key", KEY)
    assert (done.returncode, key_files(tmp_path)) == (2, {})
    assert "never given on the command line" in done.stderr
    assert KEY not in done.stdout + done.stderr


async def test_no_key_is_kept_from_an_empty_pipe(tmp_path: Path) -> None:
    done = command(tmp_path, "auth", "login", stdin=" \n")
    assert (done.returncode, key_files(tmp_path)) == (2, {})


def keep(tmp_path: Path, profile: str, key: str) -> Path:
    path = tmp_path / "home/.config/modelslab/async-keys" / profile
    write(path, f"{key}\n")
    return path


async def test_a_profile_that_is_named_has_its_own_key_or_none(tmp_path: Path) -> None:
    keep(tmp_path, "work", OTHER)
    write(tmp_path / "home/.config/modelslab/config.toml", f'api_key = "{KEY}"\n')
    env = {"MODELSLAB_API_KEY": KEY}
    assert shown(tmp_path, "--profile", "work", **env)["api_key"]["value"] == "***last"
    assert shown(tmp_path, MODELSLAB_PROFILE="work")["api_key"]["value"] == "***last"
    assert shown(tmp_path, MODELSLAB_PROFILE="work", **env)["api_key"]["value"] == "***tail"
    assert shown(tmp_path, "--profile", "home", **env)["api_key"]["value"] is None
    refused = command(tmp_path, "generate", "waltz", "--profile", "wrok", **env)
    assert refused.returncode == 3
    assert "profile 'wrok' has no key; did you mean work?" in refused.stderr


@pytest.mark.parametrize("name", ["../work", "", ".hidden", "a/b", "x" * 65])
async def test_a_profile_is_no_path(tmp_path: Path, name: str) -> None:
    done = command(tmp_path, "auth", "status", "--profile", name)
    assert done.returncode == 2
    assert "must be letters, digits and . _ -" in done.stderr


async def test_a_printed_command_names_the_profile_again(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        keep(tmp_path, "work", box.key)
        write(tmp_path / "rows.txt", "waltz\nraga\n")
        done = await against(
            box, tmp_path, "batch", "rows.txt", "-o", "out", "--limit", "0", "--profile", "work"
        )
    assert done.stderr.splitlines()[-1] == (
        "resume with: modelslab-async resume out --profile work"
    )


async def test_others_lose_the_right_to_read_a_kept_key(tmp_path: Path) -> None:
    path = keep(tmp_path, "default", KEY)
    path.chmod(0o644)
    assert shown(tmp_path)["api_key"]["value"] == "***tail"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_status_says_which_key_counts_and_logout_removes_one(tmp_path: Path) -> None:
    assert command(tmp_path, "auth", "status").returncode == 3
    keep(tmp_path, "default", KEY)
    keep(tmp_path, "work", OTHER)
    told = json.loads(command(tmp_path, "auth", "status", "--json").stdout)
    assert (told["key"], told["profiles"]) == ("***tail", ["default", "work"])
    assert command(tmp_path, "auth", "logout").returncode == 0
    assert key_files(tmp_path) == {"work": f"{OTHER}\n"}
    again = command(tmp_path, "auth", "logout")
    assert again.returncode == 5
    assert "no key is kept for profile 'default'" in again.stderr


async def test_a_user_without_a_home_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "own_home", lambda: None)
    with pytest.raises(ConfigurationError, match="no home directory to keep settings in"):
        own_path()
    monkeypatch.setattr(keys, "key_file", lambda _: None)
    with pytest.raises(ConfigurationError, match="no home directory to keep a key in"):
        keys.keep_key("default", KEY)
    assert keys.kept_key("default") is None


async def test_no_key_but_its_own_is_sent_to_the_origin_of_a_env_file(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as evil:
        text = f"MODELSLAB_API_KEY={evil.key}\nMODELSLAB_BASE_URL={evil.url}\n"
        write(tmp_path / ".env", text)
        nowhere = {"MODELSLAB_API_KEY": "", "MODELSLAB_BASE_URL": ""}
        assert (await against(evil, tmp_path, "balance", **nowhere)).returncode == 0
        asked = len(evil.book.requests)
        login = await against(evil, tmp_path, "auth", "login", stdin=KEY, **nowhere)
        assert (login.returncode, key_files(tmp_path)) == (2, {})
        assert "which is for its own key only" in login.stderr
        assert len(evil.book.requests) == asked


# --- the system's keyring -------------------------------------------------------------------------


async def test_a_key_is_kept_in_the_keyring_where_there_is_one(tmp_path: Path) -> None:
    async with Sandbox(QUICK) as box:
        ring = keyring_in(tmp_path) | {"MODELSLAB_BASE_URL": box.url, "MODELSLAB_API_KEY": ""}
        done = await against(box, tmp_path, "auth", "login", stdin=box.key, **ring)
        assert (done.returncode, key_files(tmp_path)) == (0, {"default": "in the keyring\n"})
        assert json.loads((tmp_path / "ring").read_text()) == {"modelslab-async default": box.key}
        assert "(the system's keyring)" in done.stdout
        assert (await against(box, tmp_path, "balance", **ring)).returncode == 0
        gone = await against(box, tmp_path, "auth", "logout", **ring)
        assert (gone.returncode, key_files(tmp_path)) == (0, {})
        assert json.loads((tmp_path / "ring").read_text()) == {}


async def test_a_keyring_that_does_not_give_the_key_is_named_and_can_be_filled_again(
    tmp_path: Path,
) -> None:
    ring = keyring_in(tmp_path) | {"MODELSLAB_BASE_URL": "http://127.0.0.1:1"}
    assert command(tmp_path, "auth", "login", stdin=KEY, **ring).returncode == 0
    (tmp_path / "ring").unlink()
    lost = command(tmp_path, "balance", **ring)
    assert lost.returncode == 3
    assert "the system's keyring, which has it no more" in lost.stderr
    assert "auth login again" in lost.stderr
    (tmp_path / "ring").mkdir()
    locked = command(tmp_path, "balance", **ring)
    assert locked.returncode == 3
    assert "which does not give it (it is locked)" in locked.stderr
    stays = command(tmp_path, "auth", "logout", **ring)
    assert (stays.returncode, key_files(tmp_path)) == (2, {"default": "in the keyring\n"})
    assert "is still in the system's keyring (it is locked)" in stays.stderr
    again = command(tmp_path, "auth", "login", stdin=KEY, **ring)
    assert (again.returncode, key_files(tmp_path)) == (0, {"default": f"{KEY}\n"})


def keyring_in(tmp_path: Path) -> dict[str, str]:
    backend = "tests.support.file_keyring.FileKeyring"
    return {"PYTHON_KEYRING_BACKEND": backend, "KEYRING_FILE": str(tmp_path / "ring")}
