"""The pytest plugin, in suites of its own: whatever runs their tests, and whatever they start."""

from __future__ import annotations

import textwrap

import pytest

pytest_plugins = ["pytester"]

PLAIN = ("-p", "no:xdist", "-p", "no:asyncio")

SYNC = """
    from modelslab_async import generate_sync

    def test_a_song_is_made(modelslab_sandbox, tmp_path):
        box = modelslab_sandbox
        saved = generate_sync("waltz", to=tmp_path, api_key=box.key, base_url=box.url)
        [(job, _)] = box.book.debits
        assert saved.path.read_bytes() == box.file_of(job)
"""
IN_A_LOOP = """
    import pytest
    from modelslab_async import ModelsLab

    {mark}
    async def test_a_song_is_made(modelslab_sandbox, tmp_path):
        box = modelslab_sandbox
        async with ModelsLab(box.key, base_url=box.url) as client:
            await client.generate("waltz", to=tmp_path / "a.wav")
        assert len(box.book.debits) == 1
"""
IN_A_PROCESS = """
    import os, subprocess, sys

    def test_a_command_is_run(modelslab_sandbox, tmp_path):
        environment = os.environ | modelslab_sandbox.env | {"HOME": str(tmp_path)}
        command = [sys.executable, "-m", "modelslab_async", "generate", "waltz", "-o", "a.wav"]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True)
        assert (tmp_path / "a.wav").is_file()
        assert len(modelslab_sandbox.book.debits) == 1
"""
MARKED = """
    import pytest
    from modelslab_async import ModelsLab, SubmitUnknown
    from modelslab_async.sandbox import Fault, Scenario

    @pytest.mark.modelslab(Scenario(faults=(Fault(on="submit", kind="reset"),)), slots=2)
    @pytest.mark.anyio
    async def test_an_answer_is_lost(modelslab_sandbox):
        async with ModelsLab(modelslab_sandbox.key, base_url=modelslab_sandbox.url) as client:
            with pytest.raises(SubmitUnknown):
                await client.submit("waltz")
        modelslab_sandbox.scenario = "slow"
        assert modelslab_sandbox.scenario.generation_seconds
"""
CARELESS = """
    import pytest
    from modelslab_async import ModelsLab, SubmitUnknown
    from modelslab_async.sandbox import Fault, Scenario

    LOST = Scenario(
        mode="sync", generation_seconds=0, faults=(Fault(on="submit", kind="reset", times=1),)
    )

    @pytest.mark.anyio
    async def test_nobody_waits(modelslab_sandbox):
        async with ModelsLab(modelslab_sandbox.key, base_url=modelslab_sandbox.url) as client:
            await client.submit("a song that nobody hears")

    @pytest.mark.modelslab(LOST)
    @pytest.mark.anyio
    async def test_somebody_pays_again(modelslab_sandbox):
        async with ModelsLab(modelslab_sandbox.key, base_url=modelslab_sandbox.url) as client:
            try:
                await client.generate("waltz")
            except SubmitUnknown:
                await client.generate("waltz")

    @pytest.mark.modelslab("clean")
    @pytest.mark.anyio
    async def test_all_is_well(modelslab_sandbox):
        async with ModelsLab(modelslab_sandbox.key, base_url=modelslab_sandbox.url) as client:
            await client.generate("waltz")
            await client.generate("raga")
"""
CONFTEST = """
    import pytest

    @pytest.fixture
    def anyio_backend():
        return "asyncio"
"""
UNUSED = """
    import sys

    def test_nothing_is_loaded():
        assert not {"asyncio", "aiohttp", "modelslab_async.sandbox"} & set(sys.modules)
"""


def run(pytester: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    """Run a suite of one module in a process of its own."""
    pytester.makepyfile(textwrap.dedent(test))
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makeconftest(textwrap.dedent(CONFTEST))
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)


@pytest.mark.parametrize(
    "test",
    [
        pytest.param(SYNC, id="sync"),
        pytest.param(IN_A_LOOP.format(mark="@pytest.mark.anyio"), id="anyio"),
        pytest.param(IN_A_PROCESS, id="process"),
        pytest.param(MARKED, id="marked"),
    ],
)
def test_any_kind_of_test_can_use_the_sandbox(pytester: pytest.Pytester, test: str) -> None:
    run(pytester, test, *PLAIN).assert_outcomes(passed=1)


def test_a_test_of_pytest_asyncio_can_use_the_sandbox(pytester: pytest.Pytester) -> None:
    test = IN_A_LOOP.format(mark="@pytest.mark.asyncio")
    scope = "asyncio_default_fixture_loop_scope=function"  # its older versions warn without
    run(pytester, test, "-p", "no:xdist", "-o", scope).assert_outcomes(passed=1)


def test_each_worker_of_xdist_has_sandboxes_of_its_own(pytester: pytest.Pytester) -> None:
    copies = "\n".join(SYNC.replace("song", f"song_{number}") for number in range(4))
    run(pytester, copies, "-p", "no:asyncio", "-n", "2", "--modelslab-strict").assert_outcomes(
        passed=4
    )


def test_a_strict_test_fails_if_it_pays_twice_or_leaves_a_job(pytester: pytest.Pytester) -> None:
    result = run(pytester, CARELESS, *PLAIN, "--modelslab-strict")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*job 310815 ('a song that nobody hears') is paid for, and nobody was told*",
            "*jobs 310815, 310816 are the same request, paid for 2 times*",
        ]
    )
    run(pytester, CARELESS, *PLAIN).assert_outcomes(passed=3)


def test_a_suite_that_does_not_use_it_loads_nothing_of_it(pytester: pytest.Pytester) -> None:
    """Nor do other plugins, which are left out here, load what it must not."""
    others = ("anyio", "xdist", "xdist.looponfail", "hypothesispytest", "asyncio", "timeout")
    disabled = [word for name in others for word in ("-p", f"no:{name}")]
    pytester.makepyfile(textwrap.dedent(UNUSED))
    pytester.runpytest_subprocess(*disabled).assert_outcomes(passed=1)
