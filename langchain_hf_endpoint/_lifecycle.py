"""Objects of a process or an event loop: closed with the loop, made anew after a fork."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import logging
import os
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, MutableMapping
    from concurrent.futures import Executor

ResultT = TypeVar("ResultT")

logger = logging.getLogger(__name__)
_closers: MutableMapping[AsyncGenerator[None, None], asyncio.AbstractEventLoop] = (
    weakref.WeakKeyDictionary()
)


def in_child_of_fork(begin_anew: Callable[[], None]) -> None:
    """Call something in every child that this process forks; nothing where there is no fork.

    A child has one thread, locks as they stood, and connections that are its parent's.
    """
    # A hook cannot be taken back and keeps what it calls alive: only for objects that live as long
    # as the process.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin_anew)


loading_aiohttp = threading.RLock()
"""Held while a first call loads it, which takes long: no process forks meanwhile, whose child would
wait for ever for what a thread of its parent was loading."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=loading_aiohttp.acquire,
        after_in_parent=loading_aiohttp.release,
        after_in_child=loading_aiohttp.release,
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


async def in_thread(do: Callable[[], ResultT], pool: Executor | None = None) -> ResultT:
    """Do what a loop would feel in a thread, of `pool` or ours; here, where there is none.

    The machine may have none left. And threads that are no daemons go on when the main thread has
    ended, and with it every pool.
    """
    begun, outcome = threading.Lock(), Future[ResultT]()
    run = contextvars.copy_context().run

    def once() -> None:
        if begun.acquire(blocking=False) and outcome.set_running_or_notify_cancel():
            try:
                outcome.set_result(run(do))
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                outcome.set_exception(error)

    if pool is None:  # not the loop's own, which takes a thread more for its end: there may be none
        pool = await _threads.get()
    try:
        pool.submit(once)
    except (RuntimeError, MemoryError):
        once()  # a pool that gets no thread may do it all the same, as soon as one is free
    return await asyncio.wrap_future(outcome)


def _close_at_exit() -> None:
    """Close what hangs on loops that stand still and are open, as nest_asyncio leaves them."""
    for closer, loop in list(_closers.items()):
        # The user's tasks, if there are any, must not go on because of us.
        if not (loop.is_closed() or loop.is_running() or asyncio.all_tasks(loop)):
            with contextlib.suppress(Exception):
                loop.run_until_complete(closer.aclose())


atexit.register(_close_at_exit)
# A child must not close at its exit what is its parent's.
in_child_of_fork(_closers.clear)


class Closable(Protocol):
    """What holds connections."""

    async def aclose(self) -> None:
        """Close them."""


T = TypeVar("T", bound=Closable)
KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(slots=True)
class _Held(Generic[T]):
    value: T
    closer: AsyncGenerator[None, None] | None = None


class PerLoop(Generic[T]):
    """The objects of the loops that are open; each is closed with its loop, or the process.

    Args:
        make: Makes the one of a loop, on it.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._of_loop: dict[asyncio.AbstractEventLoop, _Held[T]] = {}

    async def get(self) -> T:
        """The one of the running loop."""
        loop = running_loop()
        with self._lock:
            held = self._of_loop.get(loop)
            if held is not None:
                return held.value
            # Dropped and not closed: on a loop that is closed nothing can be awaited any more.
            for old in [old for old in self._of_loop if old.is_closed()]:
                del self._of_loop[old]
            held = self._of_loop[loop] = _Held(self._make())
        # `asyncio.run` finishes open async generators before it closes the loop: this one closes.
        # It is begun without the lock, which no task may hold while it awaits.
        held.closer = self._closing(loop, held.value)
        await anext(held.closer)
        _closers[held.closer] = loop
        return held.value

    async def _closing(
        self, loop: asyncio.AbstractEventLoop, value: T
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            # Collected after its loop, which nobody closed, it cannot await anything.
            if loop.is_running():
                with self._lock:
                    self._of_loop.pop(loop, None)
                await value.aclose()

    async def aclose(self) -> None:
        """Close the one of the running loop now, if there is one."""
        with self._lock:
            held = self._of_loop.get(asyncio.get_running_loop())
        if held is not None and held.closer is not None:
            await held.closer.aclose()


class _Threads(ThreadPoolExecutor):
    """Those of one loop."""

    async def aclose(self) -> None:
        """Let them end when they have done what they are at."""
        self.shutdown(wait=False)


_threads = PerLoop(lambda: _Threads(thread_name_prefix="endpoint-pool"))


class ProcessCache(Generic[KeyT, ValueT]):
    """The objects of this process, one for each key; a child of a fork makes its own."""

    def __init__(self) -> None:
        self._left_to_parent: list[dict[KeyT, ValueT]] = []
        self._known: dict[KeyT, ValueT] = {}
        self._lock = threading.Lock()
        in_child_of_fork(self._after_fork)

    def find(self, key: KeyT) -> ValueT | None:
        """The one of this key, if there is one."""
        return self._known.get(key)

    def find_or_make(self, key: KeyT, make: Callable[[], ValueT]) -> ValueT:
        """The one of this key, made now if there is none."""
        # Without the lock first, since nearly every call finds it: a look-up in a dict needs none.
        found = self._known.get(key)
        if found is None:
            with self._lock:
                found = self._known.get(key)
                if found is None:
                    found = self._known[key] = make()
        return found

    def take_all(self) -> list[ValueT]:
        """Those that there are, which are forgotten here."""
        with self._lock:
            known, self._known = self._known, {}
        return list(known.values())

    def _after_fork(self) -> None:
        # Kept, not freed: freeing would run clean-up code of the parent's connections and loops.
        self._left_to_parent.append(self._known)
        self._known = {}
        self._lock = threading.Lock()


class HasForkHook(Protocol):
    """What can begin anew in a child: no other thread exists there, and locks stay as they were."""

    def _after_fork(self) -> None: ...


ForkAware = TypeVar("ForkAware", bound=HasForkHook)


class PerProcess(Generic[ForkAware]):
    """The objects of this process, each by the token that all copies of it share.

    Objects that nobody else refers to are forgotten. A child of a fork calls ``_after_fork`` of
    each.

    Args:
        fork_warning: What to log when a child uses something that it inherited; ``%d`` is the
            child's process id.
    """

    def __init__(self, fork_warning: str) -> None:
        self._known: weakref.WeakValueDictionary[str, ForkAware] = weakref.WeakValueDictionary()
        # Reentrant: an object that is made under the lock adds itself.
        self._lock = threading.RLock()
        self._fork_warning = fork_warning
        self._warned = False
        in_child_of_fork(self._after_fork)

    def add(self, token: str, one: ForkAware) -> None:
        """Remember, as long as it lives, which object has this token."""
        with self._lock:
            self._known[token] = one

    def find_or_make(self, token: str, make: Callable[[], ForkAware]) -> ForkAware:
        """Return the object with this token, made now if this process has none yet."""
        with self._lock:
            one = self._known.get(token)
            if one is None:
                one = self._known[token] = make()
            return one

    def warn_of_fork(self) -> None:
        """Log the warning once: on first use, since most children never use what they inherit."""
        if not self._warned:
            self._warned = True
            logger.warning(self._fork_warning, os.getpid())

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        self._warned = False
        for one in list(self._known.values()):
            one._after_fork()  # noqa: SLF001 - a hook that users need not see
