"""What the tools pay for, refuse and tell, with the SDK's own client in this process."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra mcp is not installed")

import aiohttp
from mcp import Client

from modelslab_async import LimitReached, Limits, ModelsLab, PollPolicy
from modelslab_async.batch import Reader
from modelslab_async.mcp import _pages, opened_server
from modelslab_async.sandbox import Fault, Sandbox, Scenario

from ..support.batches import quick, run_until_stopped
from .servers import Person, links, numbered, refused, told, tracks

pytestmark = pytest.mark.anyio

POLL = PollPolicy(first=0.02, min_interval=0.02)
PRICE = Limits(price_per_job="0.05")
WALTZES = {"batch": "waltzes", "tracks": tracks("slow waltz", "fast waltz")}


@asynccontextmanager
async def served(
    box: Sandbox,
    root: Path,
    *,
    limits: Limits = PRICE,
    ask_above: str | None = "0",
    person: Person | None = None,
    mode: str = "auto",
) -> AsyncIterator[Client]:
    async with ModelsLab(box.key, base_url=box.url, poll=POLL) as client:
        server = opened_server(client, root, limits=limits, ask_above=ask_above, grace=0)
        async with server as ready, Client(ready, elicitation_callback=person, mode=mode) as found:
            yield found


async def test_only_tools_that_write_nothing_are_called_read_only(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, served(box, tmp_path) as client:
        tools = (await client.list_tools()).tools
    hints = {tool.name: tool.annotations and tool.annotations.read_only_hint for tool in tools}
    writing = dict.fromkeys(("make_music", "wait_music", "listen_music"), False)
    reading = ("price_music", "list_music", "check_music", "reconcile_music")
    assert hints == writing | dict.fromkeys(reading, True)
    make = next(tool for tool in tools if tool.name == "make_music")
    assert set(make.input_schema["properties"]) == {"batch", "tracks", "wait"}  # no yes of its own


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_call_that_is_repeated_is_asked_and_paid_for_once(
    mode: str, tmp_path: Path
) -> None:
    person = Person()
    async with Sandbox(quick()) as box:
        async with served(box, tmp_path, person=person, mode=mode) as client:
            price = told(await client.call_tool("price_music", WALTZES))
            assert (price["new_tracks"], price["price"]) == (2, "0.1")
            assert not box.book.requests
            first = await client.call_tool("make_music", WALTZES)
            again = await client.call_tool("make_music", WALTZES)
        async with served(box, tmp_path, person=person, mode=mode) as client:
            after = await client.call_tool("make_music", WALTZES)
        assert len(box.book.debits) == 2
    assert told(first) == told(again) == told(after)
    assert [one["state"] for one in told(first)["tracks"]] == ["done", "done"]
    files = sorted((tmp_path / "waltzes").glob("*.wav"))
    assert sorted(links(first)) == [file.as_uri() for file in files]
    assert len(files) == 2
    question = "Pay for 2 new tracks, 60 s of music? Price: 0.1. Batch: waltzes. The prompts: "
    assert person.questions == [question + '"slow waltz", "fast waltz"']


async def test_another_take_is_another_payment_and_the_question_names_it(tmp_path: Path) -> None:
    person = Person()
    async with Sandbox(quick()) as box, served(box, tmp_path, person=person) as client:
        await client.call_tool("make_music", WALTZES)
        both = {"batch": "waltzes", "tracks": [*WALTZES["tracks"], *tracks("slow waltz", take=2)]}
        told(await client.call_tool("make_music", both))
        twice = {"batch": "waltzes", "tracks": tracks("slow waltz", "slow waltz")}
        assert "take" in refused(await client.call_tool("make_music", twice))
        assert len(box.book.debits) == 3
    assert person.questions[1].startswith("Pay for 1 new track, ")
    assert person.questions[1].endswith('prompts: "slow waltz" (take 2)')


@pytest.mark.parametrize(
    "person",
    [Person(pays=False), Person(action="decline"), Person(action="cancel")],
    ids=["no", "decline", "cancel"],
)
async def test_nothing_is_sent_without_a_yes(person: Person, tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, served(box, tmp_path, person=person) as client:
        assert "not agree" in refused(await client.call_tool("make_music", WALTZES))
        assert not box.book.requests
    assert len(person.questions) == 1


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_client_that_cannot_ask_pays_nothing_above_the_limit(
    mode: str, tmp_path: Path
) -> None:
    one = {"batch": "waltzes", "tracks": tracks("slow waltz")}
    async with Sandbox(quick()) as box:
        async with served(box, tmp_path, ask_above="0.05", mode=mode) as client:
            assert "cannot ask" in refused(await client.call_tool("make_music", WALTZES))
            assert not box.book.requests
            told(await client.call_tool("make_music", one))
        async with served(box, tmp_path, limits=Limits(), ask_above="9", mode=mode) as client:
            text = refused(await client.call_tool("make_music", WALTZES))
            assert "price unknown" in text
        assert len(box.book.debits) == 1


async def test_many_small_calls_do_not_get_round_the_question(tmp_path: Path) -> None:
    person = Person()
    async with Sandbox(quick()) as box:
        async with served(box, tmp_path, ask_above="0.1", person=person) as client:
            for number in range(1, 6):
                one = {"batch": "a", "tracks": tracks("waltz", take=number)}
                told(await client.call_tool("make_music", one))
                assert len(person.questions) == (number >= 3)
        async with served(box, tmp_path, ask_above="0.1") as client:
            calls: list[dict[str, Any]] = [
                {"batch": name, "tracks": tracks("tango")} for name in "bcd"
            ]
            made = [client.call_tool("make_music", one) for one in calls]
            refusals = [answer.is_error for answer in await asyncio.gather(*made)]
            assert sorted(refusals) == [False, False, True]
            made = [client.call_tool("make_music", one) for one in calls]
            again = [answer.is_error for answer in await asyncio.gather(*made)]
            assert again == refusals  # what is paid for needs no question
        assert len(box.book.debits) == 7


async def test_a_budget_holds_over_batches_and_restarts(tmp_path: Path) -> None:
    limits, person = Limits(price_per_job="0.05", max_cost="0.1"), Person()
    other = {"batch": "tangos", "tracks": tracks("tango")}
    async with Sandbox(quick()) as box:
        async with served(box, tmp_path, limits=limits, person=person) as client:
            assert told(await client.call_tool("make_music", WALTZES))["left"] == "0"
        async with served(box, tmp_path, limits=limits, person=person) as client:
            assert "over budget" in refused(await client.call_tool("make_music", other))
            told(await client.call_tool("make_music", WALTZES))
        async with served(box, tmp_path, limits=Limits(max_jobs_total=2), person=person) as client:
            assert "over the limit" in refused(await client.call_tool("make_music", other))
        none = Limits(max_jobs_total=1)
        async with served(box, tmp_path, limits=none, person=person) as client:
            told(await client.call_tool("make_music", WALTZES))  # made already, so it costs nothing
        assert len(box.book.debits) == 2
    assert len(person.questions) == 1  # nobody is asked about what is refused anyway


async def test_two_servers_of_one_root_do_not_exceed_its_budget_together(tmp_path: Path) -> None:
    limits = Limits(price_per_job="0.05", max_cost="0.1")
    slow = Scenario(generation_seconds=60)
    first, other = ({"batch": name, "tracks": tracks(*numbered(2)), "wait": 0} for name in "ab")
    async with (
        Sandbox(slow) as box,
        served(box, tmp_path, limits=limits, ask_above=None) as one,
        served(box, tmp_path, limits=limits, ask_above=None) as two,
    ):
        assert told(await one.call_tool("make_music", first))["next"].startswith("wait_music")
        # Nothing of the first need be in its ledger yet: what it may still pay counts.
        assert "over budget" in refused(await one.call_tool("make_music", other))
        text = refused(await two.call_tool("make_music", other))
        assert "another server is paying" in text or "over budget" in text
        assert not (tmp_path / "b").exists()
        assert told(await one.call_tool("make_music", first))["next"].startswith("wait_music")
        while len(box.book.debits) < 2:
            await asyncio.sleep(0.01)
        assert told(await two.call_tool("wait_music", {"batch": "a", "wait": 0}))["batch"] == "a"
        assert len(box.book.debits) == 2


async def test_two_servers_do_not_work_on_one_batch(tmp_path: Path) -> None:
    calls = [
        {"batch": "a", "tracks": tracks(*numbered(count)), "wait": wait}
        for count, wait in ((1, 0), (2, 45))
    ]
    async with (
        Sandbox(Scenario(generation_seconds=60)) as box,
        served(box, tmp_path, ask_above=None) as one,
        served(box, tmp_path, ask_above=None) as two,
    ):
        same = [one.call_tool("make_music", calls[0]) for _ in range(3)]
        assert not any(answer.is_error for answer in await asyncio.gather(*same))
        while not box.book.debits:
            await asyncio.sleep(0.01)
        answer = told(await two.call_tool("make_music", calls[1]))
        assert "another process" in answer["stopped"]
        assert len(box.book.debits) == 1
        assert "being worked on" in refused(await one.call_tool("make_music", calls[1]))


async def test_waiting_sends_nothing_that_was_only_planned(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        async with ModelsLab(box.key, base_url=box.url, poll=POLL) as client:
            rows = [{"prompt": prompt} for prompt in numbered(3)]
            await run_until_stopped(client, rows, tmp_path / "a", LimitReached, max_new_jobs=1)
        async with served(box, tmp_path, ask_above=None) as server:
            answer = told(await server.call_tool("wait_music", {"batch": "a"}))
            one = {"batch": "a", "tracks": tracks("tango")}
            assert "stopped" not in told(await server.call_tool("make_music", one))
            after = told(await server.call_tool("list_music", {"batch": "a"}))
        assert len(box.book.debits) == 2
    assert answer["states"] == {"planned": 2, "done": 1}
    assert answer["next"].startswith("2 not sent yet")
    assert after["states"] == {"planned": 2, "done": 2}


async def test_a_call_that_is_cut_off_goes_on_and_pays_once(tmp_path: Path) -> None:
    async with Sandbox(Scenario(generation_seconds=0.3, eta="float")) as box:
        async with served(box, tmp_path, ask_above=None, mode="legacy") as client:
            call = asyncio.create_task(client.call_tool("make_music", WALTZES))
            while not box.book.debits:
                await asyncio.sleep(0.001)
            call.cancel()
            again = told(await client.call_tool("make_music", WALTZES))
        assert len(box.book.debits) == 2
    assert again["states"] == {"done": 2}


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../b", "b/c", "/tmp/b", "~", "B", "con", ".b", "-b", "b\0", "b\n", "x" * 65],
)
async def test_a_batch_is_a_plain_name_below_the_root(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    async with Sandbox(quick()) as box, served(box, root, ask_above=None) as client:
        for tool in ("make_music", "price_music"):
            arguments = {**WALTZES, "batch": name}
            assert "cannot be a batch's name" in refused(await client.call_tool(tool, arguments))
        for tool in ("wait_music", "check_music", "reconcile_music"):
            assert "cannot be" in refused(await client.call_tool(tool, {"batch": name}))
        assert not box.book.requests
    assert [*tmp_path.iterdir()] == [root]
    assert not [*root.iterdir()]


async def test_a_batch_that_a_person_has_named_is_found_by_that_name(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box:
        async with ModelsLab(box.key, base_url=box.url, poll=POLL) as client:
            where = tmp_path / "My Album"
            await run_until_stopped(client, ["waltz"], where, LimitReached, max_new_jobs=0)
        async with served(box, tmp_path) as server:
            assert told(await server.call_tool("list_music", {"batch": "My Album"}))["states"]
            assert "cannot be" in refused(await server.call_tool("wait_music", {"batch": "My B"}))


async def test_a_ledger_that_cannot_be_read_is_named_and_stops_payments(tmp_path: Path) -> None:
    """Nobody can tell what is spent; what is paid for already is there all the same."""
    async with Sandbox(quick()) as box, served(box, tmp_path, ask_above=None) as client:
        told(await client.call_tool("make_music", WALTZES))
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "ledger.sqlite3").write_bytes(b"no ledger" * 1000)
        assert told(await client.call_tool("make_music", WALTZES))["states"] == {"done": 2}
        batches = told(await client.call_tool("list_music", {}))
        assert batches["problem"].startswith("batch bad: ")
        assert [one["batch"] for one in batches["batches"]] == ["bad", "waltzes"]
        other = {"batch": "b", "tracks": tracks("tango")}
        assert "batch bad: " in refused(await client.call_tool("make_music", other))
        assert len(box.book.debits) == 2


async def test_what_is_left_out_of_a_call_or_named_is_the_same_track(tmp_path: Path) -> None:
    full = {"prompt": " slow waltz", "duration": 30, "output_format": "wav", "take": 1}
    async with Sandbox(quick()) as box, served(box, tmp_path, ask_above=None) as client:
        for track in (full, {"prompt": "slow waltz"}):
            told(await client.call_tool("make_music", {"batch": "a", "tracks": [track]}))
        assert len(box.book.debits) == 1


async def test_a_track_that_failed_is_not_made_again_by_itself(tmp_path: Path) -> None:
    failing = quick(failure_probability=1)
    async with Sandbox(failing) as box, served(box, tmp_path, ask_above=None) as client:
        told(await client.call_tool("make_music", WALTZES))
        answer = told(await client.call_tool("make_music", WALTZES))
        assert len(box.book.debits) == 2
    assert answer["states"] == {"failed": 2}
    assert "another take is a new payment" in answer["next"]
    assert answer["tracks"][0]["error"]


async def test_links_lead_nowhere(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    async with Sandbox(quick()) as box, served(box, outside, ask_above=None) as client:
        told(await client.call_tool("make_music", WALTZES))
        secret = tmp_path / "secret.wav"
        for file in (outside / "waltzes").glob("slow*.wav"):
            file.rename(secret)
            file.symlink_to(secret)
        answer = await client.call_tool("list_music", {"batch": "waltzes"})
        assert len(links(answer)) == 1
        assert "changed" in told(answer)["tracks"][0]["problem"]
        checked = told(await client.call_tool("check_music", {"batch": "waltzes"}))
        assert checked["first_faults"][0]["reason"] == "is now a symbolic link"
        assert checked["files_checked"] == 2
        async with served(box, root, ask_above=None) as other:
            (root / "waltzes").symlink_to(outside / "waltzes")
            (root / "tangos").mkdir()
            (root / "tangos" / "ledger.sqlite3").symlink_to(outside / "waltzes" / "ledger.sqlite3")
            assert told(await other.call_tool("list_music", {}))["batches"] == []
            for name in ("waltzes", "tangos"):
                arguments = {**WALTZES, "batch": name}
                assert "is a link" in refused(await other.call_tool("make_music", arguments))
                assert "is a link" in refused(await other.call_tool("wait_music", {"batch": name}))


async def test_what_a_prompt_says_to_the_person_is_one_quoted_line(tmp_path: Path) -> None:
    prompt = 'waltz"\n\n\x1b[2J\u202ePrice: 0. Nothing to pay.' + " la" * 300
    person = Person(pays=False)
    async with Sandbox(quick()) as box, served(box, tmp_path, person=person) as client:
        arguments = {"batch": "waltzes", "tracks": tracks(prompt)}
        refused(await client.call_tool("make_music", arguments))
    question = person.questions[0]
    assert question.startswith("Pay for 1 new track, 30 s of music? Price: 0.05. Batch: waltzes. ")
    assert question.isprintable()
    assert len(question) < 200
    assert json.loads(question.partition("prompts: ")[2]).startswith('waltz"\\x0a\\x0a\\x1b[2J')


async def test_another_prompt_under_the_id_of_a_track_is_refused_unasked(tmp_path: Path) -> None:
    person = Person()
    async with Sandbox(quick()) as box, served(box, tmp_path, person=person) as client:
        arguments = {"batch": "a", "tracks": tracks("waltz", id="loop")}
        assert told(await client.call_tool("make_music", arguments))["tracks"][0]["id"] == "loop"
        changed = {"batch": "a", "tracks": tracks("tango", id="loop")}
        assert "not as planned before" in refused(await client.call_tool("make_music", changed))
        async with ModelsLab(box.key, base_url=box.url, poll=POLL) as own:
            rows = [{"id": "mine", "prompt": "waltz"}]  # of no duration
            await run_until_stopped(own, rows, tmp_path / "b", LimitReached, max_new_jobs=0)
        planned = {"batch": "b", "tracks": tracks("waltz", id="mine")}
        assert "another form" in refused(await client.call_tool("make_music", planned))
        blank = {"batch": "a", "tracks": tracks("  ")}
        assert "prompt is empty" in refused(await client.call_tool("make_music", blank))
        for wrong in ("../loop", "loop-take2", "Loop", "a" * 39):
            bad = {"batch": "a", "tracks": tracks("waltz", id=wrong)}
            assert "the id" in refused(await client.call_tool("make_music", bad))
        assert len(box.book.debits) == 1
    assert len(person.questions) == 1
    assert (tmp_path / "a" / "loop.wav").is_file()


async def test_no_answer_is_long_and_pages_reach_all_tracks(tmp_path: Path) -> None:
    root = tmp_path / ("\u00e4" * 100) / ("\\" * 100)
    rows = [{"prompt": f'{number} "\\\x07\u20ac' * 20} for number in range(120)]
    async with Sandbox(quick(failure_probability=1)) as box:
        async with ModelsLab(box.key, base_url=box.url, poll=POLL) as client:
            await run_until_stopped(client, rows, root / "a", LimitReached, max_new_jobs=3)
        seen: list[int] = []
        async with served(box, root) as server:
            while True:
                page = {"batch": "a", "after": seen[-1] if seen else 0}
                answer = told(await server.call_tool("list_music", page))
                seen += [one["row"] for one in answer["tracks"]]
                if "more" not in answer:
                    break
            told(await server.call_tool("check_music", {"batch": "a"}))
            rest = "\x07\\" * 126
            for number in range(60):  # as names of directories, these are all as long as can be
                shutil.copytree(root / "a", root / f"{number:03d}{rest}")
            listed = told(await server.call_tool("list_music", {}))
            assert "after_batch" in listed["more"]
            (root / "a" / "decisions.jsonl").symlink_to("elsewhere")
            answer = told(await server.call_tool("list_music", {"batch": "a"}))
            assert "decisions.jsonl" in answer["problem"]
            wrong = {"batch": "a", "tracks": tracks(*numbered(100), take=0, duration=1, more="x")}
            assert "duration" in refused(await server.call_tool("make_music", wrong))
    assert seen == list(range(1, 121))


async def test_a_track_of_unknown_outcome_is_told_of_and_never_sent_again(tmp_path: Path) -> None:
    lost = quick(Fault(on="submit", kind="reset", accepted=False), fetch_meta=False)
    arguments = {"batch": "a", "tracks": tracks("waltz"), "wait": 45}
    async with Sandbox(lost) as box, served(box, tmp_path, ask_above=None) as client:
        answer = told(await client.call_tool("make_music", arguments))
        again = told(await client.call_tool("make_music", {**arguments, "wait": 0}))
        unknown = told(await client.call_tool("reconcile_music", {"batch": "a"}))
        assert not box.book.debits
    assert answer["states"] == again["states"] == {"ambiguous": 1}
    assert "reconcile_music" in answer["next"]
    assert answer["spent"] == "0.05"  # it may be paid for
    assert unknown["unknown"][0]["track_id"]


async def test_the_person_hears_a_batch_on_a_page_and_the_model_is_told_of_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pages, "_MOST", 1)
    async with Sandbox(quick()) as box, served(box, tmp_path, ask_above=None) as client:
        told(await client.call_tool("make_music", WALTZES))
        calls = [client.call_tool("listen_music", {"batch": "waltzes"}) for _ in range(2)]
        urls = {told(answer)["url"] for answer in await asyncio.gather(*calls)}
        (url,) = urls
        told(await client.call_tool("make_music", {"batch": "b", "tracks": tracks("tango")}))
        async with aiohttp.ClientSession() as person:
            async with person.get(url) as page:
                assert "slow waltz" in await page.text()
            listed = told(await client.call_tool("list_music", {"batch": "waltzes"}))
            assert "verdict" not in listed["tracks"][0]
            with Reader.open(tmp_path / "waltzes") as reader:
                row = reader.row(1)
            verdict = {"row": 1, "sha256": row.sha256, "verdict": "rejected", "note": "too\nfast"}
            async with person.post(f"{url}decisions", json=verdict) as decided:
                assert decided.ok, await decided.text()
            last = told(await client.call_tool("listen_music", {"batch": "b"}))["url"]
            with pytest.raises(aiohttp.ClientConnectionError):
                await person.get(url)
        listed = told(await client.call_tool("list_music", {"batch": "waltzes"}))
        assert listed["tracks"][0]["verdict"] == "rejected"
        assert listed["tracks"][0]["note"] == "too\\x0afast"
    async with aiohttp.ClientSession() as person:
        with pytest.raises(aiohttp.ClientConnectionError):
            await person.get(last)  # pages end with their server


async def test_a_file_that_was_changed_is_found(tmp_path: Path) -> None:
    async with Sandbox(quick()) as box, served(box, tmp_path, ask_above=None) as client:
        file = Path(links(await client.call_tool("make_music", WALTZES))[0].removeprefix("file://"))
        file.write_bytes(bytes(file.stat().st_size))
        checked = told(await client.call_tool("check_music", {"batch": "waltzes"}))
    assert checked["faults"] == 1
    assert "--retry missing" in checked["next"]
    assert (checked["files_checked"], checked["complete"]) == (2, True)


async def test_why_a_run_stopped_is_told_without_the_key(tmp_path: Path) -> None:
    async with Sandbox(quick(), balance=0.0) as box:
        async with served(box, tmp_path, ask_above=None) as client:
            answer: dict[str, Any] = told(await client.call_tool("make_music", WALTZES))
        assert box.key not in json.dumps(answer)
    assert answer["states"] == {"planned": 2}
    assert "credit" in answer["stopped"]
