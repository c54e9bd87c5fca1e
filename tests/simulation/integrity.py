"""Download each shape of body, in each framing, from either mirror or both, and judge what is kept.

The rule, in words: a file is published if either it says itself that it ends here, or the host had
announced just so many bytes, and if nothing speaks against it. A header that promises more does,
until a second whole transfer has given the same bytes. Where nothing speaks at all, a second
transfer of the same bytes does, if the framing has marked its end, or if whole frames end there. A
framing that shows a break is believed for ever, and so is packing without its end.
What is published is what was sent, to the byte, or what was packed in it, under a header that
others read; and nothing else stays in the folder.
"""

from __future__ import annotations

import asyncio
import enum
import tempfile
from contextvars import copy_context
from pathlib import Path
from random import Random
from zlib import crc32

from attrs import define, frozen

from modelslab_async import (
    DownloadError,
    DownloadPolicy,
    IncompleteDownload,
    NotAudio,
    RemoteFile,
    SavedFile,
)
from modelslab_async._policy.download import Integrity

from ..support.tracks import downloader
from .bodies import WHOLE, Shape, Tells
from .kills import MEMORY
from .network import LIFE, Mishap, Place
from .world import Script, World

_PIECES = (13, 100, 1460, 100_000)
_PLACES: tuple[Place, Place] = ("storage", "mirror")
_POLICY = DownloadPolicy(patience=10.0)
_GOOD = Shape(WHOLE, Tells.ALL)


class Framing(enum.Enum):
    """How a host says where a body ends."""

    LENGTH = "with a length"
    CHUNKED = "in chunks"
    CLOSED = "until the connection closes"


class Where(enum.Enum):
    """Which of the two mirrors gives the shape; the other gives the whole file."""

    FIRST = "first mirror"
    SECOND = "second mirror"
    BOTH = "both mirrors"


Verdict = Integrity | type[DownloadError]


@frozen
class Case:
    """A shape, its framing, and where it is met."""

    shape: Shape
    framing: Framing
    where: Where

    @property
    def mirrors(self) -> tuple[Shape, Shape]:
        first = _GOOD if self.where is Where.SECOND else self.shape
        second = _GOOD if self.where is Where.FIRST else self.shape
        return first, second


def right(shape: Shape, framing: Framing, *, again: bool) -> Verdict:
    """What a transfer is worth by the rule; ``again``: another has given the same bytes."""
    if shape.broken_off and framing is not Framing.CLOSED:
        return IncompleteDownload
    if not shape.data:  # it may not be written yet
        return IncompleteDownload
    if shape.tells is Tells.NO_SOUND:
        return NotAudio
    vouching = _vouching(shape, framing, again=again)
    if vouching is None:
        return IncompleteDownload
    return Integrity.MENDED if shape.mended else vouching


def _vouching(shape: Shape, framing: Framing, *, again: bool) -> Integrity | None:
    announced = framing is Framing.LENGTH
    match shape.tells:
        case Tells.CUT:
            return None
        case Tells.MORE:
            return Integrity.SOURCE_SHORT if announced and again else None
        case Tells.ALL if announced:
            return Integrity.EXACT
        case Tells.ALL:
            return Integrity.RIFF if shape.ending == ".wav" else Integrity.STRUCTURE
    if announced:
        return Integrity.LENGTH
    # The end of what it is packed in marks an end, too.
    marked = framing is Framing.CHUNKED or shape.unpacked or shape.tells is Tells.FRAMES
    return Integrity.REPEATED if again and marked else None


def expected(case: Case) -> tuple[Shape | None, Verdict]:
    """Which of the mirrors' files is published, and what vouches for it; or why none is."""
    first, second = case.mirrors
    at_once = right(first, case.framing, again=False)
    if isinstance(at_once, Integrity):
        return first, at_once
    then = right(second, case.framing, again=case.where is Where.BOTH)
    return (second if isinstance(then, Integrity) else None), then


# --- the hosts


def framed(shape: Shape, framing: Framing, dice: Random) -> bytes:
    """An answer with this body; what was broken off lacks what its framing promises."""
    if framing is Framing.LENGTH:
        size = max(len(WHOLE), len(shape.data) + 1) if shape.broken_off else len(shape.data)
        return _head(f"Content-Length: {size}") + shape.data
    if framing is Framing.CHUNKED:
        end = b"" if shape.broken_off else b"0\r\n\r\n"
        return _head("Transfer-Encoding: chunked") + _chunks(shape.data, dice) + end
    return _head() + shape.data


def _head(*headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: audio/wav", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def _chunks(data: bytes, dice: Random) -> bytes:
    made = bytearray()
    while data:
        piece, data = data[: (size := dice.choice(_PIECES))], data[size:]
        made += b"%x\r\n%b\r\n" % (len(piece), piece)
    return bytes(made)


@define(eq=False)
class _Host:
    """A mirror: what it says, and how often it was asked."""

    answer: bytes
    asked: int = 0

    def protocol(self) -> asyncio.Protocol:
        return _Answering(self)


class _Answering(asyncio.Protocol):
    def __init__(self, host: _Host) -> None:
        self._host = host
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._request += data
        if self._request.endswith(b"\r\n\r\n"):
            self._host.asked += 1
            self._transport.write(self._host.answer)
            self._transport.close()


# --- a run


@frozen
class Fetched:
    """What came of a download.

    Attributes:
        outcome: what the caller was given, or was told.
        files: all that is in the folder then.
        asked: how often each mirror was.
        left_behind: what a closed client must not leave.
    """

    outcome: SavedFile | DownloadError
    files: dict[str, bytes]
    asked: tuple[int, int]
    left_behind: list[str]


def fetch(case: Case, seed: int) -> Fetched:
    """Download a file from its two mirrors, in virtual time, in pieces that the seed draws."""
    own = f"{seed}|{case.framing.value}|{case.where.value}|{crc32(case.shape.data)}"
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        folder = Path(name)
        world = World(Script(id="integrity"), seed, folder)
        with world.time_and_chance(), asyncio.Runner(loop_factory=lambda: world.loop) as runner:
            return runner.run(_fetch(world, case, folder, Random(own)))


async def _fetch(world: World, case: Case, folder: Path, dice: Random) -> Fetched:
    world.network.arm(
        Mishap(on=place, kind="sliced", at=dice.choice(_PIECES), times=None) for place in _PLACES
    )
    hosts = [_Host(framed(shape, case.framing, dice)) for shape in case.mirrors]
    ports = [world.network.listen(host.protocol, 0).sockets[0].port for host in hosts]
    world.network.places.update(zip(ports, _PLACES, strict=True))
    file = RemoteFile(tuple(f"http://127.0.0.1:{port}/song" for port in ports), "song")
    context = copy_context()
    context.run(LIFE.set, 1)
    outcome = await world.loop.create_task(_download(file, folder), context=context)
    world.audit(1)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    asked = hosts[0].asked, hosts[1].asked
    return Fetched(outcome, files, asked, world.left_behind + world.broken)


async def _download(file: RemoteFile, folder: Path) -> SavedFile | DownloadError:
    async with downloader(_POLICY) as client:
        try:
            return await client.download(file, f"{folder}/")
        except DownloadError as error:
            return error


def findings(case: Case, seed: int) -> list[str]:
    """All that is wrong with a run; nothing, if it went by the rule."""
    fetched = fetch(case, seed)
    shape, verdict = expected(case)
    files = {f"song{shape.ending}": shape.file} if shape else {}
    outcome = fetched.outcome
    got = outcome.integrity if isinstance(outcome, SavedFile) else type(outcome)
    found = list(fetched.left_behind)
    if got is not verdict:
        found.append(f"{got} and not {verdict}: {outcome}")
    if fetched.files != files:
        sizes = {name: len(data) for name, data in fetched.files.items()}
        found.append(f"I4, I5: {sizes} lie about")
    at_once = right(case.mirrors[0], case.framing, again=False)
    if isinstance(at_once, Integrity) and fetched.asked != (1, 0):
        found.append(f"the first mirror had it, and they were asked {fetched.asked} times")
    return found
