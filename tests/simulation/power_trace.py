"""Read what strace wrote down: the calls of a program to the kernel, in their one order.

Only calls of which the text names a folder, or that send to a socket, are kept. Strings must be
in hex (``-xx``), so that no byte of them looks like the text around them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import evolve, frozen

CALLS: Final = (
    "openat,write,pwrite64,writev,pwritev,ftruncate,fallocate,fsync,fdatasync,rename,renameat,"
    "renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,sendto,sendmsg"
)
MISSING: Final = "strace is missing or may not trace: apt-get install strace"

_FLAGS: Final = ("-f", "-y", "-xx", "--seccomp-bpf", "-qq", "-s", "8388608", "-e", "signal=none")
_SENDS: Final = ("sendto(", "sendmsg(", "writev(")
_WITH_DATA: Final = ("write", "pwrite64", "writev", "pwritev", "sendto", "sendmsg")
_WHOLE: Final = re.compile(r"(\w+)\((.*)\) += (-?\d+)(.*)", re.DOTALL)
_OPEN: Final = " <unfinished ...>"
_RESUMED: Final = re.compile(r"<\.\.\. \w+ resumed>(.*)", re.DOTALL)
_QUOTED: Final = re.compile(r'"([^"]*)"')
_DESCRIPTORS: Final = Path("/proc/self/fd")
_NAMED: Final = re.compile(r"<([^<>]*)>")


def can_trace() -> bool:
    """Whether strace is here and may look at a process."""
    strace = shutil.which("strace")
    return (
        strace is not None
        and not subprocess.run([strace, "-qq", "-o", "/dev/null", "true"]).returncode
    )


@frozen
class Call:
    """One call that went well.

    Attributes:
        begun: when it was entered, as a line of the trace.
        ended: when it came back.
        name: of the system call.
        args: as strace shows them.
        result: what it returned.
    """

    begun: int
    ended: int
    name: str
    args: str
    result: int

    @property
    def is_send(self) -> bool:
        """Whether bytes leave through a socket."""
        return f"{self.name}(" in _SENDS

    @property
    def data(self) -> bytes:
        """All that is in quotes."""
        return b"".join(map(_bytes, _QUOTED.findall(self.args)))

    @property
    def file(self) -> Path:
        """What the first file descriptor stands for."""
        return _path(_NAMED.findall(self.args)[0])

    @property
    def paths(self) -> list[Path]:
        """The paths that are given as strings."""
        return [_path(text) for text in _QUOTED.findall(self.args)]

    @property
    def last_number(self) -> int:
        """The last argument: an offset, or a length."""
        return int(self.args.rpartition(", ")[2])


def record(command: Sequence[str], trace: Path) -> None:
    """Run a command to its end and have its calls written down."""
    strace = shutil.which("strace") or "strace"
    subprocess.run([strace, *_FLAGS, "-e", f"trace={CALLS}", "-o", trace, *command], check=True)


def calls(trace: Path, folder: Path) -> Iterator[Call]:
    """The calls on files in a folder and to sockets, in the order in which they came back."""
    marks = (_hex(folder), _hex(_DESCRIPTORS), *_SENDS)
    directories: dict[Path, Path] = {}
    entered: dict[str, tuple[int, str]] = {}
    with trace.open() as lines:
        for number, line in enumerate(lines):
            pid, _, text = line.rstrip("\n").partition(" ")
            text = text.lstrip()
            if text.endswith(_OPEN):
                entered[pid] = (number, text.removesuffix(_OPEN))
                continue
            resumed = _RESUMED.fullmatch(text)
            begun, before = entered.pop(pid) if resumed else (number, "")
            whole = before + (resumed[1] if resumed else text)
            if any(mark in whole for mark in marks):
                for call in _call(begun, number, whole):
                    yield _through_descriptors(call, directories)


def _through_descriptors(call: Call, directories: dict[Path, Path]) -> Call:
    """The same call, with paths that lead through the descriptor of a directory spelled out."""

    def spelled_out(match: re.Match[str]) -> str:
        path = _path(match[1])
        for open_one, directory in directories.items():
            if path.is_relative_to(open_one):
                return f'"{_hex(directory / path.relative_to(open_one))}"'
        return match[0]

    if call.name in _WITH_DATA:
        return call
    call = evolve(call, args=_QUOTED.sub(spelled_out, call.args))
    if call.name == "openat" and "O_DIRECTORY" in call.args:
        directories[_DESCRIPTORS / f"{call.result}"] = call.paths[-1]
    return call


def _hex(path: Path) -> str:
    return "".join(f"\\x{byte:02x}" for byte in bytes(path))


def _call(begun: int, ended: int, text: str) -> Iterator[Call]:
    match = _WHOLE.fullmatch(text)
    assert match is not None, text[:200]
    assert '"...' not in text, f"strace cut a string: {text[:200]}"
    name, args, result = match[1], match[2], int(match[3])
    if result >= 0:
        yield Call(begun, ended, name, args, result)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _path(text: str) -> Path:
    return Path(_bytes(text).decode()) if text.startswith("\\x") else Path(text)
