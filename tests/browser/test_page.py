"""The page in Chromium and Firefox: keys, decisions, players, and nothing that a prompt can do."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from modelslab_async import RowState
from modelslab_async.batch import read_decisions
from modelslab_async.batch._advice import ADVICE
from modelslab_async.listening import serve, write_page
from modelslab_async.listening._facts import advice_as_json
from modelslab_async.sandbox import Sandbox

from ..listening.batches import HOSTILE, made
from ..support.batches import pieces, quick, run
from ..support.quick import client_of
from .browsers import Browser, browser
from .pages import broken, row_of, written

pytestmark = [pytest.mark.anyio, pytest.mark.browser]

CURRENT = "+document.querySelector('.row[aria-current]')?.dataset.row"
ALERT = "document.getElementById('alert').textContent"
SILENT = "The browser has no sound output."  # as in a container


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=["chromium", "firefox"])
async def tab(request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    async with browser(request.param) as opened:
        yield opened


@pytest.fixture(scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser("chromium") as opened:
        yield opened


def pictures(tmp_path: Path) -> Path:
    """Where pictures of the page go."""
    return Path(os.environ.get("LISTENING_PICTURES") or tmp_path)


async def rows(tab: Browser, what: str) -> list[int]:
    """The rows with a class or an attribute."""
    code = f"[...document.querySelectorAll('.row{what}')].map(row => +row.dataset.row)"
    return sorted(await tab.js(code))


async def chip(tab: Browser, name: str) -> int:
    return int(await tab.js(f"+document.querySelector('[data-filter={name}] b').textContent"))


async def test_a_page_of_a_file_is_played_and_judged_by_keys_and_remembers(
    tab: Browser, tmp_path: Path
) -> None:
    await made(tmp_path, "bells", "bells", "gongs", "drums", max_new_token=1003)
    page = write_page(tmp_path).as_uri()
    await tab.go(page)
    assert await tab.js(CURRENT) == 1
    await tab.press("y", "n", "j", "4", "k", "c", "o", "k", "Enter")
    assert await rows(tab, ".kept") == [1]
    assert await rows(tab, ".rejected") == [2]
    assert [await chip(tab, name) for name in ("hear", "kept", "rejected")] == [2, 1, 1]
    await tab.press("u", "u")
    assert await tab.js("document.querySelectorAll('.stars').length") == 0
    await tab.press("u")
    assert await rows(tab, ".rejected") == []
    await tab.press(" ")
    await tab.until("document.getElementById('play').getAttribute('aria-label') === 'pause'")
    await tab.until("+document.getElementById('seek').getAttribute('aria-valuenow') > 0")
    await tab.press(" ")
    if await tab.js(ALERT) != SILENT:  # else Firefox runs through a file in no time
        await tab.press("v")  # the other take, from the same position
        assert await tab.js(CURRENT) == 1
        await tab.until("+document.getElementById('seek').getAttribute('aria-valuenow') > 0")
    await tab.go("about:blank")
    await tab.go(page)
    assert await rows(tab, ".kept") == [1]
    await tab.press("f", "f")
    assert await tab.js("document.querySelectorAll('.row').length") == 1
    asked = {url.rpartition("/")[0] for url in tab.requests if not url.startswith("data:")}
    assert asked <= {tmp_path.as_uri()}
    assert await tab.js(ALERT) in ("", SILENT)
    assert tab.complaints == []


async def test_a_served_page_keeps_what_is_pressed_and_shows_what_is_done(
    tab: Browser, tmp_path: Path
) -> None:
    async with Sandbox(quick()) as box, client_of(box) as client:
        await run(client, pieces(2), tmp_path)
        async with serve(tmp_path) as page:
            await tab.go(page.url)
            await tab.press("y", "2", "n", " ")
            await tab.until("document.getElementById('saved').textContent.startsWith('All dec')")
            await run(client, pieces(3), tmp_path)
            await tab.until("document.querySelector('[data-filter=hear] b').textContent === '1'")
            assert await rows(tab, "") == [1, 2, 3]
        await tab.until(f"{ALERT}.includes('lost its server')")
        await tab.press("1")
        await tab.until(f"{ALERT}.includes('not saved yet')")
    found = [(one.row, one.verdict, one.stars) for one in read_decisions(tmp_path)]
    assert found == [(1, "kept", None), (2, "rejected", 2)]
    # Firefox tells of the connection that ends with the server.
    assert [text for text in tab.complaints if "Security" in text] == []
    tab.complaints.clear()


async def test_no_prompt_error_or_field_runs_or_breaks_the_policy(
    tab: Browser, tmp_path: Path
) -> None:
    await made(tmp_path, *HOSTILE, refusal=HOSTILE[0], mood=HOSTILE[2])
    await tab.go(write_page(tmp_path).as_uri())
    await tab.press(*"jjjjjj", "g")
    assert await tab.js("document.querySelectorAll('.row').length") == len(HOSTILE)
    assert await tab.js("[window.hit ?? 0, document.querySelectorAll('main img, b b').length]") == [
        0,
        0,
    ]
    assert tab.complaints == []


def each_kind() -> tuple[list[Any], dict[str, Any]]:
    """Rows of each kind, and what is decided about some."""
    known = [row_of(seq) for seq in range(1, 43)]
    known[4] = row_of(5, flags=("silent", "same_as:4"), peaks=bytes(240))
    known[9] = broken(10, RowState.FAILED, "the model ran out of memory")
    known[11] = broken(12, RowState.AMBIGUOUS, "no answer to the request within 60 s")
    for seq in range(37, 40):
        known[seq - 1] = row_of(
            seq, state=RowState.SUBMITTED, path=None, sha256=None, finished_at=None, done_at=None
        )
    for seq in range(40, 43):
        known[seq - 1] = row_of(
            seq, state=RowState.PLANNED, path=None, sha256=None, submitted_at=None, job_id=None
        )
    decided = [
        {"row": 1, "verdict": "rejected"},
        {"row": 2, "verdict": "kept", "stars": 4, "note": "good bass, fades well"},
        {"row": 3, "verdict": "rejected"},
        {"row": 4, "verdict": "kept", "stars": 5},
    ]
    for one in decided:
        one["sha256"] = known[int(str(one["row"])) - 1].sha256
    words = {"program": "modelslab-async", "place": "album", "unpaid": " --limit 0"}
    advice = {state.value: advice_as_json(ADVICE[state], words) for state in ADVICE}
    return known, {"decisions": decided, "advice": advice}


async def test_axe_finds_nothing_in_any_part_of_the_page(chromium: Browser, tmp_path: Path) -> None:
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or not found.submodule_search_locations:
        pytest.skip("axe-core is not installed: pip install --no-deps axe-playwright-python")
    axe = next(Path(found.submodule_search_locations[0]).rglob("axe.min.js")).read_text()
    known, more = each_kind()
    await chromium.go(written(tmp_path, known, **more).as_uri())
    await chromium.js(f"{axe};true")

    async def violations() -> list[str]:
        code = "axe.run().then(r => r.violations.map(v => v.id + ' ' + v.nodes.map(n => n.html)))"
        return list(await chromium.js(code))

    for on in (False, True):
        await chromium.dark(on=on)
        for keys in ("", "jg", "gjjjjjjjj", "?"):
            await chromium.press(*keys)
            assert await violations() == [], keys
        await chromium.press("Escape", "Home")
    await chromium.dark(on=False)


async def test_pictures_of_the_page(chromium: Browser, tmp_path: Path) -> None:
    known, more = each_kind()
    await chromium.go(written(tmp_path, known, **more).as_uri())
    await chromium.press("j")
    place = pictures(tmp_path)
    for width, height, name in ((1280, 800, "screen"), (390, 844, "phone")):
        await chromium.resize(width, height)
        for on in (False, True):
            await chromium.dark(on=on)
            await chromium.until("new Promise(r => requestAnimationFrame(() => r(true)))")
            await chromium.picture(place / f"{name}-{'dark' if on else 'light'}.png")
            assert await chromium.js("document.documentElement.scrollWidth <= innerWidth")
    await chromium.resize(1280, 800)
    await chromium.dark(on=False)
    await chromium.press("g")
    await chromium.picture(place / "timeline.png")
    await chromium.press("g", *"jjjjjjjj")
    assert await chromium.js("document.getElementById('command').textContent.length > 20")
    await chromium.picture(place / "problem.png")


@pytest.mark.parametrize(
    ("count", "size", "ready", "key"), [(300, 400 * 1024, 300, 20), (10_000, 12 * 2**20, 1500, 20)]
)
async def test_many_rows_are_there_at_once_and_each_key_is_quick(
    chromium: Browser, count: int, size: int, ready: float, key: float, tmp_path: Path
) -> None:
    """The best of several tries: a busy machine says nothing of the page."""
    if not os.environ.get("LISTENING_BOUNDS"):
        pytest.skip("measures time: LISTENING_BOUNDS=1 runs it")
    page = written(tmp_path, [row_of(seq) for seq in range(1, count + 1)])
    assert page.stat().st_size <= size
    times, keys = [], []
    for _ in range(4):
        await chromium.go(page.as_uri())
        times.append(await chromium.js("performance.getEntriesByName('ready')[0].startTime"))
        code = """(() => { const took = [];
            for (const key of 'jjky2nuj') { const start = performance.now();
                dispatchEvent(new KeyboardEvent('keydown', {key})); document.body.offsetHeight;
                took.push(Math.round(10 * (performance.now() - start)) / 10) }
            return took })()"""
        keys.append(await chromium.js(code))
        await chromium.js("localStorage.clear()")
    told = {"rows": count, "KiB": page.stat().st_size // 1024, "ready": times, "key": keys}
    print(json.dumps(told))  # noqa: T201
    assert min(times) <= ready
    assert max(map(min, zip(*keys, strict=True))) <= key
    assert await chromium.js("document.querySelectorAll('.row').length") < 30
