"""What users of the package write, with the types that a checker must see. It is never run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from modelslab_async import (
    Failed,
    Generation,
    Job,
    ModelsLab,
    MusicGen,
    RemoteFile,
    SavedFile,
    SoundEffect,
    Succeeded,
)
from modelslab_async.batch import (
    FileFault,
    Plan,
    Reader,
    Row,
    RowState,
    StateSummary,
    plan_batch,
    verify_batch,
)
from modelslab_async.webhooks import WebhookReceiver


def requests() -> None:
    assert_type(SoundEffect("door", duration=3).duration, int | None)
    MusicGen()  # type: ignore[call-arg]
    SoundEffect(duration=3)  # type: ignore[call-arg]
    MusicGen("waltz", duration="30")  # type: ignore[arg-type]


async def single(client: ModelsLab) -> None:
    job = await client.submit(MusicGen("sitar, tabla", max_new_token=512))
    assert_type(job, Job)
    assert_type(job.to_json(), str)
    generation = await client.job(job.to_json()).result(timeout=600)
    assert_type(generation, Generation)
    assert_type(generation.files, tuple[RemoteFile, ...])
    assert_type(await client.download(generation, to=Path("out")), SavedFile)
    assert_type(await client.generate(MusicGen("waltz")), Generation)


async def many(client: ModelsLab) -> None:
    async with client.batch(["waltz", "techno"], directory="out") as outcomes:
        async for outcome in outcomes:
            assert_type(outcome, Succeeded | Failed)
            match outcome:
                case Succeeded(saved=files):
                    assert_type(files, tuple[SavedFile, ...])
                case Failed(error=error):
                    raise error


def beside_a_batch(directory: Path) -> None:
    assert_type(plan_batch(directory), Plan)
    assert_type(list(verify_batch(directory, content=True)), list[FileFault])
    with Reader.open(directory) as reader:
        assert_type(reader.row(1), Row)
        assert_type(reader.summary(), dict[RowState, StateSummary])


def with_webhooks(receiver: WebhookReceiver) -> ModelsLab:
    assert_type(receiver.url_for(4711), str)
    return ModelsLab("key", webhook=receiver)
