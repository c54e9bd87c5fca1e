"""A pytest plugin: the sandbox as a fixture, for tests of code that makes music and pays for it.

pytest loads it where this package is installed. ``modelslab_sandbox`` runs in a thread with an
event loop of its own, so that synchronous tests, those of any asyncio plugin, and processes that a
test starts can all use it::

    def test_a_song_is_made(modelslab_sandbox, monkeypatch):
        for name, value in modelslab_sandbox.env.items():
            monkeypatch.setenv(name, value)
        make_songs()  # what is tested
        assert len(modelslab_sandbox.book.debits) == 1

    @pytest.mark.modelslab("flaky", slots=10)
    async def test_a_bad_day(modelslab_sandbox): ...

The marker takes the arguments of `modelslab_async.sandbox.Sandbox`. With ``--modelslab-strict`` a
test fails if it pays for one request twice, or leaves a job behind whose end nobody was told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import TypeVar

    from .sandbox import AccountBook, Sandbox, Scenario

    T = TypeVar("T")

__all__ = ["SandboxThread", "modelslab_sandbox"]

_MARK = "modelslab"
_NOT_THE_JOB = ("key", "track_id", "webhook")


class SandboxThread:
    """A sandbox that runs in a thread of its own, for as long as the fixture lives.

    Attributes:
        url: origin of the API: the client's ``base_url``.
        key: the API key that it takes.
        env: the two variables that point a client, or a process, to it.
    """

    def __init__(self, box: Sandbox) -> None:
        import asyncio
        import threading

        self._box = box
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="modelslab-sandbox", daemon=True
        )
        self._thread.start()
        try:
            self._run(box.__aenter__())
        except BaseException:
            self._stop()
            raise
        self.url, self.key = box.url, box.key
        self.env = {"MODELSLAB_BASE_URL": self.url, "MODELSLAB_API_KEY": self.key}

    @property
    def book(self) -> AccountBook:
        """The account book as it is now: jobs, debits, requests and deliveries."""
        return self._call(lambda: _copied(self._box.book))

    @property
    def scenario(self) -> Scenario:
        """How the sandbox behaves; assign a `Scenario` or a name to change it."""
        return self._box.scenario

    @scenario.setter
    def scenario(self, scenario: Scenario | str) -> None:
        def change() -> None:
            self._box.scenario = scenario

        self._call(change)

    def advance(self, seconds: float) -> None:
        """Move its clock forward: jobs end, links expire, webhooks are posted."""
        self._call(lambda: self._box.advance(seconds))

    def file_of(self, job_id: int | str) -> bytes:
        """The exact bytes of a job's finished file.

        Raises:
            KeyError: no job has this id.
        """
        return self._call(lambda: self._box.canonical(job_id))

    def close(self) -> None:
        """Stop it. The fixture does so."""
        try:
            self._run(self._box.__aexit__(None, None, None))
        finally:
            self._stop()

    def _call(self, function: Callable[[], T]) -> T:
        async def call() -> T:
            return function()

        result: T = self._run(call())
        return result

    def _run(self, work: Any) -> Any:
        import asyncio

        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _copied(book: AccountBook) -> AccountBook:
    from copy import copy

    from attrs import evolve

    return evolve(
        book,
        jobs={number: copy(job) for number, job in book.jobs.items()},
        debits=list(book.debits),
        requests=[copy(one) for one in book.requests],
        webhooks=[copy(one) for one in book.webhooks],
        connections=book.connections.copy(),
    )


def findings(book: AccountBook) -> list[str]:
    """What a strict test must not leave: requests that were paid twice, jobs nobody waited for."""
    import json

    paid: dict[str, list[str]] = {}
    for job in book.jobs.values():
        request = {name: job.request[name] for name in job.request if name not in _NOT_THE_JOB}
        text = json.dumps([job.path, request], sort_keys=True, default=str)
        paid.setdefault(text, []).append(str(job.id))
    told = {one.job_id for one in book.webhooks if one.status is not None and one.status < 300}
    return [
        *(
            f"jobs {', '.join(ids)} are the same request, paid for {len(ids)} times; if that is "
            "meant, give each a prompt of its own"
            for ids in paid.values()
            if len(ids) > 1
        ),
        *(
            f"job {job.id} ({job.prompt[:40]!r}) is paid for, and nobody was told how it ended"
            for job in book.jobs.values()
            if not (job.is_told or job.ready_polls or job.id in told)
        ),
    ]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option ``--modelslab-strict``."""
    parser.getgroup("modelslab").addoption(
        "--modelslab-strict",
        action="store_true",
        help="fail a test that pays for one request twice, or leaves a job behind",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker ``modelslab``."""
    config.addinivalue_line(
        "markers",
        f"{_MARK}(scenario, **settings): how the sandbox of `modelslab_sandbox` behaves; as the "
        "arguments of modelslab_async.sandbox.Sandbox",
    )


@pytest.fixture
def modelslab_sandbox(request: pytest.FixtureRequest) -> Iterator[SandboxThread]:
    """A ModelsLab API on this machine, with an account book and audible files; free."""
    from .sandbox import Sandbox

    mark = request.node.get_closest_marker(_MARK)
    box = SandboxThread(Sandbox(*mark.args, **mark.kwargs) if mark else Sandbox())
    try:
        yield box
    finally:
        box.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Judge what a strict test has paid for, once it has passed."""
    result = yield
    box = getattr(item, "funcargs", {}).get("modelslab_sandbox")
    if isinstance(box, SandboxThread) and item.config.getoption("modelslab_strict"):
        found = findings(box.book)
        if found:
            pytest.fail("; ".join(found), pytrace=False)
    return result
