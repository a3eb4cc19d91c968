"""Event loops: the running one, and what is to be closed along with one.

It knows how loops end, those that nobody closes too. It must not know what is closed.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import weakref
from typing import TYPE_CHECKING

from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping

_closers: MutableMapping[AsyncGenerator[None, None], asyncio.AbstractEventLoop] = (
    weakref.WeakKeyDictionary()
)


def running_loop() -> asyncio.AbstractEventLoop:
    """The loop that runs this coroutine.

    Raises:
        HFEndpointError: It is none of asyncio's.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise HFEndpointError(
            "the async methods need asyncio's event loop, and none runs here",
            advice="Under trio call the sync methods in a thread (trio.to_thread.run_sync); with "
            'anyio use its backend "asyncio".',
        ) from None


async def asyncio_sleep(seconds: float) -> None:
    """`asyncio.sleep`, with words for those who have another loop."""
    running_loop()
    await asyncio.sleep(seconds)


async def _closing(
    loop: asyncio.AbstractEventLoop, close: Callable[[], Awaitable[None]]
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        # Collected after its loop, which nobody closed, it cannot await anything.
        if loop.is_running():
            await close()


async def close_with_loop(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    """Have something closed when the running loop ends, or the process.

    Returns:
        What does it; it is to be kept until then.
    """
    loop = asyncio.get_running_loop()
    closer = _closing(loop, close)
    # `asyncio.run` finishes open async generators before it closes the loop.
    await anext(closer)
    _closers[closer] = loop
    return closer


def _close_at_exit() -> None:
    """Close what hangs on loops that stand still and are open, as nest_asyncio leaves them."""
    for closer, loop in list(_closers.items()):
        # The user's tasks, if there are any, must not go on because of us.
        if not (loop.is_closed() or loop.is_running() or asyncio.all_tasks(loop)):
            with contextlib.suppress(Exception):
                loop.run_until_complete(closer.aclose())


atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_closers.clear)
