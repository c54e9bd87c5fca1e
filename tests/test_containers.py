"""The recipes for containers hold: the same command line, as an unknown user, on a read-only root.

There is no container runtime here. What is not covered: building the image, what a cluster does
with exit codes and evictions, and its storage classes. The manifest is validated against the
schemas of Kubernetes where `kubernetes-validate` is installed (extra `peers`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import pytest

import modelslab_async
from modelslab_async.sandbox import Sandbox

from .support.batches import quick

PAGE = Path(modelslab_async.__file__).parent / "help" / "containers.md"
_NAMESPACE = """
set -e
if [ -n "$HIDDEN" ]; then  # the interpreter is below a directory that only root may enter
  mount --bind "$BASE" "$KEEP"
  mount -t tmpfs -o mode=755 tmpfs "$HIDDEN"
  mkdir -p "$BASE"
  mount --bind "$KEEP" "$BASE"
fi
mount --bind "$DATA" "$DATA"
mount -o remount,bind,ro /
exec setpriv --reuid "$RUN_AS" --regid "$GROUP" --groups "$FS_GROUP" \
  --inh-caps=-all --bounding-set=-all --no-new-privs "$@"
"""
_TRY_TO_WRITE = """
import os, sys
for place in sys.argv[1:]:
    try:
        open(os.path.join(place, "written"), "w").close()
        print("written")
    except OSError as error:
        print(error.strerror)
"""


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


@cache
def job() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load(block("yaml"))
    return found


def pod() -> dict[str, Any]:
    found: dict[str, Any] = job()["spec"]["template"]["spec"]
    return found


def entrypoint() -> list[str]:
    """The words of the image, as the interpreter here starts them."""
    found = re.search(r"^ENTRYPOINT (\[.*\])$", block("dockerfile"), re.MULTILINE)
    assert found
    assert json.loads(found[1]) == ["modelslab-async"]
    return [sys.executable, "-m", "modelslab_async"]


def hidden(path: Path) -> str:
    """The first directory above a path that only its owner may enter, if there is one."""
    above = reversed(path.parents)
    return next((str(one) for one in above if not one.stat().st_mode & 0o001), "")


def in_pod(tmp_path: Path, command: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command as the manifest says: its user, groups and root file system; no HOME."""
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None or shutil.which("setpriv") is None:
        pytest.skip("a read-only root needs root, unshare and setpriv")
    for needed in (Path(sys.executable), Path(modelslab_async.__file__)):
        if closed := hidden(needed):
            pytest.skip(f"no other user may enter {closed}")
    base = Path(sys.base_prefix).resolve()
    context, data, keep = pod()["securityContext"], tmp_path / "data", tmp_path / "keep"
    if not data.exists():
        data.mkdir()
        keep.mkdir()
        os.chown(data, 0, context["fsGroup"])
        data.chmod(0o2775)  # as fsGroup leaves a volume
    for one in (*tmp_path.parents, tmp_path):
        if one.stat().st_uid == 0 and not one.stat().st_mode & 0o001:
            one.chmod(one.stat().st_mode | 0o011)  # pytest keeps its directories to itself
    settings = {
        "HIDDEN": hidden(base),
        "BASE": str(base),
        "KEEP": str(keep),
        "DATA": str(data),
        "RUN_AS": str(context["runAsUser"]),
        "GROUP": str(context["runAsGroup"]),
        "FS_GROUP": str(context["fsGroup"]),
    }
    words = ["env", "-i", *(f"{name}={value}" for name, value in env.items()), *command]
    done = subprocess.run(
        [unshare, "--mount", "sh", "-c", _NAMESPACE, "sh", *words],
        env={**os.environ, **settings},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.splitlines()[0]}")
    return done


def test_a_pod_of_these_tests_can_write_to_its_volume_alone(tmp_path: Path) -> None:
    code = [sys.executable, "-c", _TRY_TO_WRITE, str(tmp_path / "data"), "/", "/tmp", str(tmp_path)]
    done = in_pod(tmp_path, code)
    assert done.stdout.splitlines() == ["written", *["Read-only file system"] * 3], done.stderr


@pytest.mark.anyio
async def test_the_command_of_the_manifest_runs_there_and_a_second_pod_pays_nothing(
    tmp_path: Path,
) -> None:
    (container,) = pod()["containers"]
    mounts = {one["mountPath"] for one in container["volumeMounts"]}
    assert mounts == {"/data", "/manifest"}
    manifest = tmp_path / "manifest"
    manifest.mkdir()
    (manifest / "prompts.jsonl").write_text('{"prompt": "waltz"}\n{"prompt": "tango"}\n')
    arguments = [
        str(tmp_path / word[1:]) if word.startswith(tuple(mounts)) else word
        for word in container["args"]
    ]
    (variable,) = container["env"]
    async with Sandbox(quick()) as box:
        env = {
            variable["name"]: box.key,
            "MODELSLAB_BASE_URL": box.url,
            "PYTHONPATH": str(Path(modelslab_async.__file__).parent.parent),
        }

        async def run() -> subprocess.CompletedProcess[str]:
            words = [*entrypoint(), *arguments]
            return await anyio.to_thread.run_sync(lambda: in_pod(tmp_path, words, **env))

        first = await run()
        assert first.returncode == 0, first.stderr
        again = await run()
        assert again.returncode == 0, again.stderr
        assert len(box.book.debits) == 2
    files = sorted((tmp_path / "data" / "album").glob("*.wav"))
    assert len(files) == 2
    assert {one.stat().st_uid for one in files} == {pod()["securityContext"]["runAsUser"]}


def test_the_manifest_gives_no_more_than_it_needs() -> None:
    (container,) = pod()["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["runAsNonRoot"]
    assert job()["spec"]["podReplacementPolicy"] == "Failed"  # never two of them at once
    assert job()["spec"].get("parallelism") == 1
    volumes = {one["name"] for one in pod()["volumes"]}
    assert {one["name"] for one in container["volumeMounts"]} == volumes
    assert "api-key" not in [name for one in container["env"] for name in one]


def test_the_final_exit_codes_are_those_that_no_new_pod_could_change() -> None:
    """And those of a signal, a crash and a lost network are not among them."""
    (rule,) = job()["spec"]["podFailurePolicy"]["rules"]
    assert not {*rule["onExitCodes"]["values"]} & {0, 1, 4, 7, 8, 10, 130, 137, 143}
    listed = re.findall(r"\| (\d+) (?=\|)", (PAGE.parent / "errors.md").read_text())
    assert {str(code) for code in rule["onExitCodes"]["values"]} <= {*listed}


def test_the_image_runs_as_the_user_of_the_manifest() -> None:
    context = pod()["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}\n" in block("dockerfile")


@pytest.mark.peers
def test_kubernetes_takes_the_manifest() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    validate.validate(job(), "1.31", strict=True)
