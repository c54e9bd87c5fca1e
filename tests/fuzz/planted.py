"""The control: a target with a mistake in it, which a fuzzer that works finds at once."""

from __future__ import annotations

from modelslab_async._protocol.replies import Finished, read_reply


def planted(data: bytes) -> None:
    """Takes the first link of a finished job without asking whether there is one."""
    reply = read_reply(data)
    if isinstance(reply, Finished) and reply.id is not None:
        assert reply.links.output[0]
