"""Turn a host's name into a connected socket, trying one address after another."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from concurrent.futures import Future
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

CheckAddress: TypeAlias = "Callable[[str], None]"
"""Is given each IP address before it is connected to; raises `RefusedAddressError` to refuse it."""
Address: TypeAlias = "tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]"

_NEXT_ADDRESS_AFTER = 0.25  # seconds, as RFC 8305 has it


def look_up(host: str, port: int) -> Future[list[Address]]:
    """The addresses of a host, to be waited for as long as one likes.

    The system's resolver has no time limit, so it is asked on a thread of its own. ``localhost``
    and the names under it are this machine, without a look-up (RFC 6761, 6.3).
    """
    found: Future[list[Address]] = Future()
    found.set_running_or_notify_cancel()  # a caller that gives up does not cancel it for the others
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        loopback = [(socket.AF_INET, "127.0.0.1")]
        if socket.has_ipv6:
            loopback.append((socket.AF_INET6, "::1"))
        found.set_result([(family, (address, port)) for family, address in loopback])
        return found

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is waited for
            found.set_exception(error)
        else:
            found.set_result(_alternating([(each[0], each[4]) for each in answers]))  # type: ignore[misc]

    if _is_address(host):
        ask()
        return found
    try:
        threading.Thread(target=ask, name="hf-endpoint-names", daemon=True).start()
    except (RuntimeError, MemoryError):  # there are no more threads to be had
        ask()
    return found


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _alternating(addresses: list[Address]) -> list[Address]:
    """The families in turn, beginning with that of the first: a broken one costs one wait."""
    first = [each for each in addresses if each[0] == addresses[0][0]]
    others = [each for each in addresses if each[0] != addresses[0][0]]
    return [each for pair in zip_longest(first, others) for each in pair if each is not None]


async def connected_socket(
    host: str, port: int, check_address: CheckAddress | None = None
) -> socket.socket:
    """A socket to the first address of `host` that answers.

    The next address is tried when one has failed, or has not answered for a quarter of a second.

    Raises:
        OSError: No address answers, or there is none: what the first one said.
    """
    # asyncio's own `happy_eyeballs_delay` loses a socket that is connected in the very turn in
    # which its caller gives up. All are held here, so that none is left open.
    loop = asyncio.get_running_loop()
    looked_up = look_up(host, port)
    addresses = looked_up.result() if looked_up.done() else await asyncio.wrap_future(looked_up)
    trying: dict[asyncio.Task[None], socket.socket] = {}
    errors: list[BaseException] = []
    try:
        while addresses or trying:
            if addresses:
                family, address = addresses.pop(0)
                if check_address:
                    check_address(address[0])
                try:
                    # Named as TCP's: of others asyncio does not turn Nagle's algorithm off.
                    one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
                except OSError as error:  # a family that this machine does not have
                    errors.append(error)
                    continue
                one.setblocking(False)  # noqa: FBT003 - socket's signature
                trying[loop.create_task(loop.sock_connect(one, address))] = one
            patience = _NEXT_ADDRESS_AFTER if addresses else None
            first = asyncio.FIRST_COMPLETED
            done, _ = await asyncio.wait(trying, timeout=patience, return_when=first)
            for task in done:
                failed = task.exception()
                if failed is None:
                    return trying.pop(task)
                errors.append(failed)
                trying.pop(task).close()
        raise errors[0] if errors else OSError("the host has no address")
    finally:
        for task, one in trying.items():
            task.add_done_callback(partial(_close, one))
            task.cancel()


def _close(one: socket.socket, task: asyncio.Task[None]) -> None:
    one.close()
    if not task.cancelled():
        task.exception()  # or asyncio would log that it was never retrieved
