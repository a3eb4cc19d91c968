"""Sockets to a host, tried one address after another, none of them lost when the caller gives up.

asyncio's own ``create_connection`` with ``happy_eyeballs_delay`` leaves a socket open that became
connected in the very turn of the loop in which its caller was cancelled (CPython 3.11 and others).
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEXT_ADDRESS_AFTER = 0.25  # seconds, as RFC 8305 has it


async def connected_socket(host: str, port: int) -> socket.socket:
    """A socket to the first address of `host` that answers.

    The next address is tried when one has failed, or has not answered for a quarter of a second.

    Raises:
        OSError: No address answers, or there is none: what the first one said.
    """
    loop = asyncio.get_running_loop()
    if _is_in_digits(host):  # which needs neither a name server nor, to ask it, a thread
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    else:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = _alternating([(family, address) for family, _, _, _, address in found])
    race = _Race(loop)
    try:
        for family, address in addresses:
            race.enter(family, address)
            await race.step(_NEXT_ADDRESS_AFTER)
            if race.is_won:
                break
        while race.is_open:
            await race.step(None)
        return race.winner()
    finally:
        race.end()


class _Race:
    """Connections under way. All sockets are held here, so that whoever leaves closes them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._runners: dict[asyncio.Task[None], socket.socket] = {}
        self._winner: socket.socket | None = None
        self._errors: list[BaseException] = []

    @property
    def is_won(self) -> bool:
        """Whether one has arrived."""
        return self._winner is not None

    @property
    def is_open(self) -> bool:
        """Whether one may still arrive first."""
        return bool(self._runners) and not self.is_won

    def enter(self, family: int, address: tuple[object, ...]) -> None:
        """Begin to connect to one more address."""
        try:
            # Named as TCP's: of others asyncio does not turn Nagle's algorithm off.
            runner = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except OSError as error:  # a family that this machine does not have
            self._errors.append(error)
            return
        runner.setblocking(False)  # noqa: FBT003 - socket's signature
        self._runners[self._loop.create_task(self._loop.sock_connect(runner, address))] = runner

    async def step(self, seconds: float | None) -> None:
        """Wait for one to arrive or to fail."""
        if not self._runners:
            return
        done, _ = await asyncio.wait(
            self._runners, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            error = task.exception()
            if error is None and self._winner is None:
                self._winner = self._runners.pop(task)
            elif error is not None:
                self._errors.append(error)
                self._runners.pop(task).close()

    def winner(self) -> socket.socket:
        """The socket that is connected; it is the caller's now."""
        won, self._winner = self._winner, None
        if won is None:
            raise self._errors[0] if self._errors else OSError("the host has no address")
        return won

    def end(self) -> None:
        """Give up: close what is still held, each when its task lets go of it."""
        for task, runner in self._runners.items():
            task.add_done_callback(partial(_close, runner))
            task.cancel()
        self._runners.clear()
        if self._winner is not None:
            self._winner.close()


def _close(runner: socket.socket, task: asyncio.Task[None]) -> None:
    runner.close()
    if not task.cancelled():
        task.exception()  # nobody else will ask for it


def _is_in_digits(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _alternating(
    addresses: Sequence[tuple[int, tuple[object, ...]]],
) -> list[tuple[int, tuple[object, ...]]]:
    """The families in turn, beginning with that of the first: a broken one costs one wait."""
    if not addresses:
        return []
    first = [entry for entry in addresses if entry[0] == addresses[0][0]]
    others = [entry for entry in addresses if entry[0] != addresses[0][0]]
    mixed = [entry for pair in zip(first, others) for entry in pair]  # noqa: B905 - to the shorter
    return mixed + first[len(others) :] + others[len(first) :]
