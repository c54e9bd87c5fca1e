"""Show the progress of tracks: bars on a terminal, one line per step elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._text import safe_text, size_text
from .console import Console, fetch_command, operand
from .error_mapping import explain
from .streams import Region
from .tracks import Reporter, State, Track
from .waiting import Waits
from .waiting import told as wait_told

if TYPE_CHECKING:
    from modelslab_async import SavedFile

    from .bars import Line

_MOST_ROWS = 12


def reporter_of(console: Console, tracks: Sequence[Track]) -> Reporter:
    """The reporter for this kind of stderr."""
    return Bars(console, tracks) if console.animated else Lines(console, tracks)


def told(saved: SavedFile) -> str:
    """Describe a file in one line."""
    seconds = "" if saved.seconds is None else f"{saved.seconds:.1f} s, "
    if saved.channels is None:
        return f"{seconds}{size_text(saved.size)}"
    channels = {1: "mono", 2: "stereo"}.get(saved.channels, f"{saved.channels} channels")
    return f"{seconds}{saved.sample_rate} Hz, {channels}, {size_text(saved.size)}"


def warn_of(console: Console, saved: SavedFile) -> None:
    """Warn about a file that is kept although something is wrong with it."""
    if saved.silent:
        console.warn(f"{saved.path} contains only silence")
    elif saved.flags:
        console.warn(f"{saved.path}: {', '.join(saved.flags)}")
    if saved.integrity == "source_short":
        console.warn(
            f"{saved.path} is shorter than its header says, on the server too; listen to it"
        )


class Lines:
    """One line per step of a track, and a summary every ten seconds."""

    interval = 10.0

    def __init__(self, console: Console, tracks: Sequence[Track]) -> None:
        self._console = console
        self._tracks = tracks
        self.waits = Waits(lambda event: console.info(wait_told(event)))

    def changed(self, track: Track) -> None:
        """Print the track's new state."""
        if track.state is State.GENERATING:
            self._console.info(f"{track.name}: {_accepted(track)}")
        elif track.state is State.DOWNLOADING:
            self._console.info(f"{track.name}: finished, downloading")
        else:
            settled(self._console, track)

    def tick(self) -> None:
        """Print the summary."""
        self._console.info(summary(self._tracks))

    def close(self) -> None:
        """Nothing is open."""


class Bars:
    """A bar per track in progress and one for all; finished tracks scroll up above them."""

    interval = 0.1

    def __init__(self, console: Console, tracks: Sequence[Track]) -> None:
        self._console = console
        self._tracks = tracks
        self.waits = Waits(lambda event: None)
        self._region = Region()
        self._closed = False
        self.tick()

    def changed(self, track: Track) -> None:
        """Print the result; the bars show the rest."""
        if track.state in (State.SAVED, State.FAILED):
            settled(self._console, track)
            self.tick()

    def tick(self) -> None:
        """Redraw the bars."""
        if self._closed:
            return
        from .bars import Line, shown

        done = _count(self._tracks, State.SAVED)
        whole = Line("all", done / max(len(self._tracks), 1), f"{done} of {len(self._tracks)}")
        words = "; ".join(filter(None, (summary(self._tracks), self.waits.words)))
        size = self._region.size
        self._region.draw(shown(whole, words, self._rows(), size, colored=self._console.colored))

    def close(self) -> None:
        """Remove the bars."""
        self._closed = True
        self._region.close()

    def _rows(self) -> list[Line]:
        from .bars import Line

        rows: list[Line] = []
        waiting = 0
        for track in self._tracks:
            waiting += track.state is State.WAITING
            if track.is_open and len(rows) < _MOST_ROWS:
                done, total, about = _figures(track, waiting)
                rows.append(Line(track.name, done / total if total else None, about))
        return rows


def _figures(track: Track, place: int) -> tuple[float, float | None, str]:
    """Done, total, and both as text."""
    if track.state is State.DOWNLOADING:
        total = "" if track.total is None else f" of {size_text(track.total)}"
        return track.received, track.total, f"{size_text(track.received)}{total}"
    if track.job is None:
        return 0, 1, f"waiting, number {place}"
    snapshot = track.job.snapshot
    eta = "" if snapshot.eta is None else f", eta {snapshot.eta:.0f} s"
    return snapshot.elapsed, snapshot.eta, f"{snapshot.elapsed:.0f} s{eta}"


def _accepted(track: Track) -> str:
    if track.job is None or isinstance(track.order, str):
        return "looking up the job"
    eta = track.job.snapshot.eta
    return f"job {track.job.id} accepted" + ("" if eta is None else f", eta {eta:.0f} s")


def settled(console: Console, track: Track) -> None:
    """Print how a track ended; its path goes to stdout, unless its bytes do."""
    if track.error is not None:
        explain(console, track.error, hint_of(track))
    for saved in track.saved:
        console.info(f"{track.name}: saved, {told(saved)}")
        warn_of(console, saved)
        if not console.json and not track.is_piped:
            console.print(operand(saved.path))


def hint_of(track: Track) -> str:
    """The command that continues a track that failed after it was accepted, or an empty text."""
    if known := track.resume_id or track.hinted_id:
        return fetch_command([known])
    if track.links and not track.saved:
        return f"the job has no id; its file is at {safe_text(track.links[0], 2048)}"
    return ""


def _count(tracks: Sequence[Track], state: State) -> int:
    return sum(track.state is state for track in tracks)


def summary(tracks: Sequence[Track]) -> str:
    """How many tracks are in which state."""
    counts = ((_count(tracks, state), state.value) for state in State)
    return ", ".join(f"{count} {word}" for count, word in counts if count)
