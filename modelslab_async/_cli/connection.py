"""Open the client that a command needs, for the API or for its own sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve, field, frozen

from .._protocol.urls import api_origin, is_loopback, origin
from .settings import Setting, key_of

if TYPE_CHECKING:
    from modelslab_async import JobEvent, ModelsLab, PollPolicy
    from modelslab_async.webhooks import WebhookReceiver


SANDBOX_ACCOUNT = "sandbox.jsonl"
"""The account of --sandbox in the directory of a batch, which later runs go on with."""

_RECORD = "modelslab_async.record"
_TAG = "modelslab_async.tag"


def record_to(path: Path) -> None:
    """Let the next client of the running command record its exchanges to a new file."""
    click.get_current_context().meta[_RECORD] = path


def recording_path() -> Path | None:
    """Take over the file of --record: the next client does not record to it."""
    context = click.get_current_context(silent=True)  # a thread of a command has none
    return None if context is None else context.meta.pop(_RECORD, None)


def tag_files() -> None:
    """Let the next client of the running command add marks to the files that it saves."""
    click.get_current_context().meta[_TAG] = True


def tags_files() -> bool:
    """Whether `tag_files` was called."""
    return bool(click.get_current_context().meta.get(_TAG))


@frozen(kw_only=True)
class Connection:
    """What a client is made of.

    Attributes:
        settings: as `settings.read_settings` gives them.
        sandbox: use a sandbox that lives as long as the client.
        poll: how often to ask the API, if not as usual.
        account: a file for the account of the sandbox, which a later sandbox goes on with.
        seed: of a new account of a sandbox; its jobs have other ids for another seed.
    """

    settings: Mapping[str, Setting] = field(repr=False)
    sandbox: bool = False
    poll: PollPolicy | None = None
    account: Path | None = None
    seed: int = 0

    @property
    def is_live(self) -> bool:
        """Whether jobs cost money: true for any origin but this machine."""
        return not self.sandbox and not on_this_machine(self.origin)

    @property
    def origin(self) -> str:
        """Where the API is."""
        return "a sandbox" if self.sandbox else str(self.settings["base_url"].value)

    @property
    def arguments(self) -> list[str]:
        """What another command needs to reach the same account and its files."""
        allowed = self.settings["allow_addresses"]
        return [
            *self.account_arguments,
            *(["--allow-addresses", allowed.value] if allowed.origin == "flag" else []),
        ]

    @property
    def account_arguments(self) -> list[str]:
        """What another command needs to reach the same account."""
        base_url, key = self.settings["base_url"], self.settings["api_key"]
        profile = self.settings["profile"]
        return [
            *(["--sandbox"] if self.sandbox else []),
            *(["--profile", profile.value] if profile.origin == "flag" else []),
            *(["--base-url", base_url.value] if base_url.origin == "flag" else []),
            *(["--api-key-file", key.file] if key.file and _can_be_named(key.file) else []),
        ]

    def check_sandbox(self) -> None:
        """See that the origin is named in one way only.

        Raises:
            click.UsageError: it is not.
        """
        if self.sandbox and self.settings["base_url"].origin == "flag":
            raise click.UsageError("--sandbox and --base-url exclude each other")

    def check(self) -> None:
        """Fail before any question is asked and before the origin is printed.

        Raises:
            NoKey: there is none.
            ConfigurationError: the key cannot be sent to that origin.
        """
        if not self.sandbox:
            key_of(self.settings)
            api_origin(self.origin)


def _can_be_named(file: str) -> bool:
    """Whether a later command finds the same file by that name, as it does no pipe of this one."""
    path = Path(file)
    return path.is_file() and path.absolute().parts[1:2] not in (("dev",), ("proc",))


def sandbox_of(connection: Connection, directory: Path, earlier_jobs: int = 0) -> Connection:
    """The same, with the account of the sandboxes of a batch if it uses one.

    Args:
        directory: of the batch.
        earlier_jobs: of other sandboxes; the ids of a new account begin after theirs.
    """
    if not connection.sandbox:
        return connection
    return evolve(connection, account=directory / SANDBOX_ACCOUNT, seed=earlier_jobs)


def on_this_machine(base_url: str) -> bool:
    """Whether an origin is of this machine: a sandbox, or a tunnel's end."""
    try:
        return is_loopback(origin(base_url)[1])
    except ValueError:
        return False


@asynccontextmanager
async def opened(
    connection: Connection,
    webhook: WebhookReceiver | None = None,
    observer: Callable[[JobEvent], None] | None = None,
) -> AsyncIterator[ModelsLab]:
    """An open client, with the webhook receiver and the observer if they are given."""
    from modelslab_async import ModelsLab, Network

    settings = connection.settings
    limits: dict[str, Any] = {
        "max_jobs": settings["max_jobs"].value,
        "timeout": settings["timeout"].value,
        "webhook": webhook,
        "observer": observer,
        "enterprise": settings["enterprise"].value,
        "record": recording_path(),
    }
    if tags_files():
        from modelslab_async import DownloadPolicy

        limits["download"] = DownloadPolicy(tag=True)
    async with AsyncExitStack() as stack:
        # Proxies are taken from the environment, and none stands before this machine.
        if connection.sandbox:
            client = await _own_sandbox(stack, connection, limits)
        else:
            client = ModelsLab(
                key_of(settings),
                base_url=settings["base_url"].value,
                poll=connection.poll,
                network=Network(
                    trust_env=connection.is_live,
                    connect_timeout=settings["connect_timeout"].value,
                    allow_addresses=settings["allow_addresses"].value.replace(",", " ").split(),
                ),
                **limits,
            )
        yield await stack.enter_async_context(client)


async def _own_sandbox(
    stack: AsyncExitStack, connection: Connection, limits: dict[str, Any]
) -> ModelsLab:
    from modelslab_async import ConfigurationError, ModelsLab, PollPolicy

    from ..sandbox import AccountFileError, Sandbox, Scenario

    scenario = Scenario(generation_seconds=(0.3, 0.9), eta="float", fetch_meta=True)
    try:
        box = Sandbox(scenario, account=connection.account, seed=connection.seed)
        await stack.enter_async_context(box)
    except (AccountFileError, OSError) as error:
        raise ConfigurationError(f"the account of the sandbox cannot be used: {error}") from error
    return ModelsLab(box.key, base_url=box.url, poll=PollPolicy(first=0.1), **limits)
