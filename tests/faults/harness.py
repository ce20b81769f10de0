"""A lab at rest, before and after: what a fault must not leave behind."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from tests.soak.clients import Client, Run
from tests.soak.measures import descriptors
from wslab.errors import WaitTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wslab import Lab

__all__ = ["Rest", "leave_all", "many_files", "new_client", "open_all"]

SETTLING = 20.0
"""Seconds that everything gets to end: generous, since a busy machine may stall."""


class Rest:
    """How a lab was before a fault, to be compared with how it is after.

    Args:
        lab: running, with nobody connected but those that stay.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._before = self._found()

    def _found(self) -> dict[str, Any]:
        lab = self.lab
        server = lab._core.server
        return {
            "connections alive": len(lab.connections.alive),
            "sessions": len(lab._core.app_host.sessions),
            "tasks of the server": len(server.tasks),
            "sockets of the server": len(server._server.server_state.connections),
            "members of rooms": sum(room["members"] for room in lab.rooms.to_dicts()),
            "tasks": len(asyncio.all_tasks()),
            "open files": descriptors(),
        }

    async def again(self) -> None:
        """Wait until the lab is as it was.

        Raises:
            AssertionError: it is not, in time; with what differs.
        """
        try:
            await self.lab.until(lambda: self._found() == self._before, SETTLING)
        except WaitTimeoutError:
            raise AssertionError(f"expected {self._before}, found {self._found()}") from None


def new_client(lab: Lab, seed: int = 0, *, small: bool = False) -> Client:
    """A raw client that has not connected yet; a small one has little room for what it does not read."""
    return Client(Run(lab.port, asyncio.Event()), random.Random(seed), small=small)


async def open_all(lab: Lab, path: str, count: int) -> list[Client]:
    """`count` clients whose opening handshake is done."""
    clients = [new_client(lab, seed) for seed in range(count)]
    await asyncio.gather(*(client.open(path) for client in clients))
    return clients


async def leave_all(clients: Iterable[Client]) -> None:
    """Free what the clients' ends hold."""
    await asyncio.gather(*(client.leave() for client in clients))


def many_files(count: int) -> int:
    """Let this process open `count` files, or as many as the system lets it; returns how many that is."""
    import resource  # not on Windows, where nothing asks for it

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        soft = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
