"""Run a command's tracks to their end, report the results, and say how to continue the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import asdict

from .._text import plural
from .connection import Connection, opened
from .console import STOPPING, Console, fetch_command
from .error_mapping import BROKEN_PIPE, OK, as_json, error_shape, exit_code_of
from .piping import pour
from .signals import run
from .track_progress import hint_of, reporter_of
from .tracks import Keep, Reporter, State, Track, bring_all

if TYPE_CHECKING:
    from modelslab_async import ModelsLab, SavedFile

    from .after import AfterSaved
    from .kept_ids import KeptIds


def deliver(
    connection: Connection,
    tracks: Sequence[Track],
    console: Console,
    *,
    again: Sequence[str] = (),
    kept: KeptIds | None = None,
    programs: Sequence[tuple[str, ...]] = (),
) -> int:
    """Generate and download all tracks, report, and return the exit code.

    Args:
        connection: to what.
        tracks: which.
        console: where to report.
        again: arguments, besides the ids, of the command that continues unfinished jobs.
        kept: records the ids of jobs until they are done.
        programs: are run for each file, see `after`.
    """
    from .after import AfterSaved

    after = AfterSaved(programs, console)
    reporter = reporter_of(console, tracks)
    arguments = (*again, *connection.arguments)

    def first() -> None:
        reporter.close()
        console.warn(STOPPING)

    def last_words() -> None:
        if console.json:
            console.print_json(report(tracks))
        _warn_of_unknown(console, tracks)
        _say_how_to_resume(console, connection, tracks, arguments, OK)

    try:
        keep = partial(_keep, console, kept) if kept else None
        work = _work(connection, tracks, reporter, keep, after)
        code = run(work, first=first, last_words=last_words)
    except Exception:  # a bug of ours must not lose a job
        _say_how_to_resume(console, connection, tracks, arguments, OK)
        raise
    if kept:
        kept.close()
    if console.json:
        console.print_json(report(tracks))
    for note in (note for track in tracks if not track.handle for note in track.notes):
        console.warn(note)
    for track in (track for track in tracks if track.is_piped and track.saved):
        if code:
            console.always(f"not written to standard output; the file is {track.saved[0].path}")
        else:
            pour(console, track, again=not connection.sandbox)
    _say_how_to_resume(console, connection, tracks, arguments, code)
    errors = [track.error for track in tracks if track.error]
    code = code or exit_code_of(errors, asked=len(tracks))
    return code or _not_sent(console, tracks) or after.exit_code


def _not_sent(console: Console, tracks: Sequence[Track]) -> int:
    """Say which jobs were not sent although nothing failed, and the exit code of that."""
    unsent = [track for track in tracks if track.state is State.WAITING]
    if not unsent:
        return OK
    jobs = plural(len(unsent), "job was", "jobs were")
    console.info(f"the reader of standard output has gone: {jobs} not sent")
    return BROKEN_PIPE


async def _work(
    connection: Connection,
    tracks: Sequence[Track],
    reporter: Reporter,
    keep: Keep | None,
    after: AfterSaved,
) -> int:
    async with after:
        try:
            async with opened(connection, observer=reporter.waits.observe) as client:
                await bring_all(client, tracks, reporter, keep, after.saved)
        finally:
            reporter.close()
    return 0


def _keep(console: Console, kept: KeptIds, handle: str) -> None:
    """Record a job's id; the job goes on if that fails."""
    try:
        kept.add(handle)
    except OSError as error:
        console.warn(f"{kept.path} cannot be written: {error.strerror}")


def ask(connection: Connection, question: Callable[[ModelsLab], Awaitable[Any]]) -> Any:
    """The answer to one request, or the exit code of a signal."""
    answers: list[Any] = []

    async def work() -> int:
        async with opened(connection) as client:
            answers.append(await question(client))
        return 0

    code = run(work())
    return answers[0] if answers else code


def _warn_of_unknown(console: Console, tracks: Sequence[Track]) -> None:
    """Warn about requests without a reply, which may have made jobs whose ids are unknown."""
    unknown = [str(track.track_id) for track in tracks if track.is_open and not track.handle]
    if unknown:
        console.warn(
            f"no reply was received: jobs with track_id {', '.join(unknown)} may exist and be "
            "billed; look in your dashboard before you send them again"
        )


def _say_how_to_resume(
    console: Console,
    connection: Connection,
    tracks: Sequence[Track],
    arguments: Sequence[str],
    stopped: int,
) -> None:
    """Print the last line of a run that left jobs unfinished or was stopped by a signal."""
    ids = [track.resume_id for track in tracks if track.resume_id]
    command = fetch_command(ids, arguments) if ids and not connection.sandbox else ""
    if ids and connection.sandbox:
        jobs = f"job {ids[0]} is" if len(ids) == 1 else f"jobs {' '.join(ids)} are"
        text = f"{jobs} gone with the sandbox of this run"
    elif ids:
        text = f"resume with: {command}"
    else:
        text = "no unfinished jobs"
    if (ids or stopped) and not console.json:
        console.always(f"stopped; {text}" if stopped and (connection.sandbox or not ids) else text)
    elif stopped:
        console.error_json(error_shape("stopped", text, command, stopped))


def report(tracks: Sequence[Track]) -> dict[str, Any]:
    """All results as the one JSON object of a command."""
    return {
        "schema_version": 1,
        "files": [_file(track, saved) for track in tracks for saved in track.saved],
        "failed": [
            {"name": track.name, **as_json(track.error, hint=hint_of(track))}
            for track in tracks
            if track.error
        ],
        "unfinished": [track.resume_id for track in tracks if track.resume_id],
    }


_NOT_SHOWN = frozenset({"peaks", "sound_sha256"})


def _file(track: Track, saved: SavedFile) -> dict[str, Any]:
    return {
        "name": track.name,
        "job_id": (track.job.id or None) if track.job else None,
        "track_id": None
        if track.job is None or not track.job.track_id
        else f"{track.job.track_id}",
        **{name: value for name, value in asdict(saved).items() if name not in _NOT_SHOWN},
        "path": str(saved.path),
    }
