"""Start a real browser without a window, press its keys, and read its page.

Chromium is driven by its DevTools protocol, Firefox by WebDriver BiDi: both speak JSON over a
websocket, so that neither needs a driver program.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

START_SECONDS = 40.0
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FIREFOX = ("firefox-esr", "firefox")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
    "about:blank",
)
_PREFERENCES = """
user_pref("media.autoplay.default", 0);
user_pref("remote.active-protocols", 1);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("dom.disable_beforeunload", true);
"""
_BIDI_KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "ArrowDown": "\ue015", "Tab": "\ue004"}


class Browser(ABC):
    """One tab of a browser.

    Attributes:
        complaints: what it wrote to its console: errors, and violations of the policy.
        requests: the addresses that it asked for since `go`.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        self.requests: list[str] = []

    async def read(self) -> None:
        """Take in what the browser sends, until it ends."""
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data:
                self._answers.pop(data["id"]).set_result(data)
            else:
                self._hear(data["method"], data["params"])

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        data = await answer
        if "error" in data:
            raise AssertionError(f"{method}: {data['error']} {data.get('message', '')}")
        return dict(data["result"])

    async def until(self, code: str) -> Any:
        """Wait until JavaScript gives something true; the test's own deadline ends it."""
        while not (value := await self.js(code)):
            await asyncio.sleep(0.02)
        return value

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.key(key)

    async def picture(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(await self._picture()))

    @abstractmethod
    async def start(self) -> None:
        """Prepare the tab."""

    @abstractmethod
    async def go(self, url: str) -> None:
        """Open a page, and wait until it has loaded."""

    @abstractmethod
    async def js(self, code: str) -> Any:
        """The value of JavaScript, as JSON has it; a promise is awaited."""

    @abstractmethod
    async def key(self, key: str) -> None:
        """Press and release a key."""

    @abstractmethod
    async def resize(self, width: int, height: int) -> None:
        """Give the tab this size, as of a phone or a screen."""

    @abstractmethod
    async def dark(self, *, on: bool) -> None:
        """Let the user prefer dark pages."""

    @abstractmethod
    async def _picture(self) -> str: ...

    @abstractmethod
    def _hear(self, method: str, about: dict[str, Any]) -> None: ...


class Chromium(Browser):
    async def start(self) -> None:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        self._loaded = asyncio.Event()

    async def go(self, url: str) -> None:
        self.requests.clear()
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await self._loaded.wait()

    async def js(self, code: str) -> Any:
        result = await self.call(
            "Runtime.evaluate",
            expression=code,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in result:
            raise AssertionError(result["exceptionDetails"]["exception"].get("description"))
        return result["result"].get("value")

    async def key(self, key: str) -> None:
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        codes = {" ": 32, "Enter": 13, "Escape": 27, "Tab": 9, "ArrowDown": 40}
        code = codes.get(key, ord(key.upper()) if len(key) == 1 else 0)
        about = {"key": key, "windowsVirtualKeyCode": code}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    async def resize(self, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 700,
        )

    async def dark(self, *, on: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def _picture(self) -> str:
        return str((await self.call("Page.captureScreenshot", format="png"))["data"])

    def _hear(self, method: str, about: dict[str, Any]) -> None:
        match method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Page.javascriptDialogOpening":  # the page asks whether it may be left
                leave = self.call("Page.handleJavaScriptDialog", accept=True)
                self._leaving = asyncio.ensure_future(leave)
            case "Log.entryAdded":
                self.complaints.append(about["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(about["exceptionDetails"]))
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])


class Firefox(Browser):
    async def start(self) -> None:
        await self.call("session.new", capabilities={})
        tree = await self.call("browsingContext.getTree")
        self._tab = tree["contexts"][0]["context"]
        await self.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])

    async def go(self, url: str) -> None:
        self.requests.clear()
        await self.call("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    async def js(self, code: str) -> Any:
        wrapped = f"Promise.resolve({code.rstrip(';')}).then(v => JSON.stringify(v) ?? 'null')"
        answer = await self.call(
            "script.evaluate",
            expression=wrapped,
            target={"context": self._tab},
            awaitPromise=True,
            userActivation=True,
        )
        if answer["type"] == "exception":
            raise AssertionError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    async def key(self, key: str) -> None:
        value = _BIDI_KEYS.get(key, key)
        steps = [{"type": kind, "value": value} for kind in ("keyDown", "keyUp")]
        actions = [{"type": "key", "id": "keys", "actions": steps}]
        await self.call("input.performActions", context=self._tab, actions=actions)

    async def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height}
        await self.call("browsingContext.setViewport", context=self._tab, viewport=size)

    async def dark(self, *, on: bool) -> None:
        pytest.skip("Firefox has no command for it")

    async def _picture(self) -> str:
        return str(
            (await self.call("browsingContext.captureScreenshot", context=self._tab))["data"]
        )

    def _hear(self, method: str, about: dict[str, Any]) -> None:
        if method == "log.entryAdded":
            if about["level"] in ("error", "warn"):
                self.complaints.append(str(about["text"]))
        elif method == "network.beforeRequestSent":
            self.requests.append(about["request"]["url"])


@contextlib.asynccontextmanager
async def browser(kind: str) -> AsyncIterator[Browser]:
    """A browser of this kind with one empty tab; skips the test if it is not installed."""
    names = _CHROMIUM if kind == "chromium" else _FIREFOX
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip(f"{names[0]} is not installed")
    home = Path(tempfile.mkdtemp(prefix="browser-"))
    try:
        if kind == "chromium":
            words = [*_FLAGS, f"--user-data-dir={home}"]
            address, made = "DevTools listening on ", Chromium
        else:
            (home / "user.js").write_text(_PREFERENCES)
            words = ["--headless", "--no-remote", "--profile", str(home)]
            words += ["--remote-debugging-port", "0"]
            address, made = "WebDriver BiDi listening on ", Firefox  # type: ignore[assignment]
        async with (
            _started([program, *words], address) as url,
            aiohttp.ClientSession() as session,
            session.ws_connect(await _tab(session, url, kind), max_msg_size=0) as socket,
        ):
            tab: Browser = made(socket)
            reading = asyncio.create_task(tab.read())
            try:
                await tab.start()
                await tab.resize(1280, 800)
                yield tab
            finally:
                reading.cancel()
    finally:
        shutil.rmtree(home, ignore_errors=True)


async def _tab(session: aiohttp.ClientSession, url: str, kind: str) -> str:
    """The websocket of the browser's tab."""
    if kind == "firefox":
        return f"{url}/session"
    async with session.get(f"http://{url.split('/')[2]}/json") as answer:
        tabs = await answer.json()
    return next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")


@contextlib.asynccontextmanager
async def _started(words: list[str], address: str) -> AsyncIterator[str]:
    """The browser's process, and the address that it tells on stderr."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    drain: asyncio.Task[Any] | None = None
    try:
        async with asyncio.timeout(START_SECONDS):
            while address not in (line := (await process.stderr.readline()).decode()):
                assert line, f"{words[0]} ended before it listened"
        drain = asyncio.create_task(process.stderr.read())
        yield line.partition(address)[2].strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if drain is not None:
            await drain
