"""What `forking` forks from: it loads all that the command may load, and waits for orders."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from typing import Any

import modelslab_async
from modelslab_async.__main__ import main

from .fastloop import FastLoop

MOST = 2**20
"""The longest order, in bytes."""

SPEED = "TESTS_LOOP_SPEED"
"""How many seconds pass in one on the loops of the fork."""


def load() -> None:
    for module in pkgutil.walk_packages(modelslab_async.__path__, "modelslab_async."):
        importlib.import_module(module.name)
    gc.freeze()  # what is never looked at stays shared by all forks


def take_orders(control: socket.socket) -> None:
    """Fork for each order. Only the forks come back from here."""
    while True:
        order, files, _, _ = socket.recv_fds(control, MOST, 4)
        if not order:
            bury(0)
            sys.exit()
        if not os.fork():
            break
        for file in files:
            os.close(file)
        bury(os.WNOHANG)
    control.close()
    with socket.socket(fileno=files.pop()) as teller:
        keep(teller)
    become(json.loads(order), files)


def bury(how: int) -> None:
    """Take leave of the keepers that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, how)[0]:
            pass


def keep(teller: socket.socket) -> None:
    """Fork once more, tell of the fork and how it ends. Only the fork comes back from here."""
    if not (pid := os.fork()):
        return
    teller.send(b"%d" % pid)
    _, status = os.waitpid(pid, 0)
    teller.send(b"%d" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def become(order: dict[str, Any], files: list[int]) -> None:
    """Be the process that was ordered."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the suite may run under nohup
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    if speed := os.environ.pop(SPEED, ""):
        # What `asyncio.run` and anyio make their loops with.
        asyncio.events.new_event_loop = lambda: FastLoop(float(speed))
    sys.argv[1:] = order["arguments"]


if __name__ == "__main__":
    load()
    take_orders(socket.socket(fileno=int(sys.argv[1])))
    main()
