"""Perform the actions of flows: one short loop for threads, one for tasks."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import queue
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from langchain_hf_endpoint._engine.actions import (
    AcquireSlot,
    CallStopped,
    SendRequest,
    Sleep,
    UseStore,
)
from langchain_hf_endpoint._engine.failures import begun_before_fork
from langchain_hf_endpoint._http.network import LONGEST_WAIT
from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from typing import Self

    from langchain_hf_endpoint._engine.actions import Action, ActionResult
    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._http.httpx_transport import AnyAsyncTransport, SyncTransport
    from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow, Slot

T = TypeVar("T")
TagT = TypeVar("TagT")

_PATIENCE = 0.2  # seconds after which a waiting thread looks whether the call is over
_LONGEST_CLOSING = 1.0  # seconds for which a call waits until its connections are closed


class ThreadDriver:
    """Performs the actions of flows by blocking the thread it runs on.

    Args:
        transport: Sends the requests.

    Attributes:
        caller_loop: The event loop that runs on the thread on which the driver is made, the
            caller's, if there is one: its tasks cannot release their slots before the call returns.
        stop: Set when nothing more may be sent.
    """

    def __init__(self, transport: SyncTransport) -> None:
        self._transport = transport
        try:
            self.caller_loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self.caller_loop = None
        self.stop = threading.Event()

    def run(self, flow: Flow[T]) -> T:
        """Drive one flow to its end."""
        with contextlib.closing(flow):
            resume = partial(flow.send, None)
            while True:
                try:
                    action = resume()
                except StopIteration as end:
                    return cast("T", end.value)
                try:
                    resume = partial(flow.send, self._perform(action))
                except (CallStopped, HFEndpointError) as error:
                    resume = partial(flow.throw, error)

    def _perform(self, action: Action) -> ActionResult:
        if isinstance(action, AcquireSlot):
            self._acquire(action.window, action.slot)
        elif isinstance(action, Sleep):
            self._sleep(action.seconds)
        elif self.stop.is_set() and not isinstance(action, UseStore):
            raise CallStopped
        elif isinstance(action, SendRequest):
            return self._transport.send(action.request, action.timeout)
        elif isinstance(action, UseStore):
            return action.cache.use(action.keys, action.pairs)
        else:
            return action.ask()
        return None

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 or self.stop.is_set():
            if self.stop.wait(min(left, LONGEST_WAIT)):
                raise CallStopped

    def _acquire(self, window: ConcurrencyWindow, slot: Slot) -> None:
        slot.blocked_loop = self.caller_loop
        granted = threading.Event()
        if window.acquire(slot, granted.set):
            return
        while not granted.wait(_PATIENCE):
            if self.stop.is_set():
                raise CallStopped
            window.free_orphaned()


class ThreadWorkers(Generic[TagT, T]):
    """Drives several flows at once, a thread each; results come as they are ready.

    The threads are daemons: one that waits for a server that does not answer must not keep the
    interpreter from exiting. Leaving the ``with`` block stops them before their next request.
    """

    def __init__(self, driver: ThreadDriver) -> None:
        self._driver = driver
        self._jobs: queue.SimpleQueue[tuple[TagT, Flow[T]] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[TagT, T | BaseException]] = queue.SimpleQueue()
        self._threads = 0
        self._process = os.getpid()
        self.running = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._driver.stop.set()
        for _ in range(self._threads):
            self._jobs.put(None)

    def stop(self) -> None:
        """Let nothing more be sent; what is under way comes to its end."""
        self._driver.stop.set()

    def start(self, tag: TagT, flow: Flow[T], *, here: bool = False) -> None:
        """Begin a flow; `tag` comes back with its result.

        Args:
            tag: Anything.
            flow: It is owned by the workers from here on.
            here: Drive it to its end on the caller's thread: the only one needs no other.
        """
        self.running += 1
        needs_thread = not here and self.running > self._threads
        if here or (needs_thread and not self._add_thread() and not self._threads):
            self._drive(tag, flow)
        else:
            self._jobs.put((tag, flow))

    def _add_thread(self) -> bool:
        """One more, where there is one to be had; else those there are go on."""
        # A copy for each thread: tracing and the like follow the caller's context variables.
        work = contextvars.copy_context()
        self._threads += 1  # before: an interrupt may come as soon as it runs, and it must be ended
        try:
            threading.Thread(
                target=work.run, args=(self._work,), name="hf-endpoint", daemon=True
            ).start()
        except (RuntimeError, MemoryError):
            self._threads -= 1
            return False
        return True

    def next_result(self, patience: float | None) -> tuple[TagT, T | BaseException] | None:
        """The result of whichever flow ends next, or the error that ended it.

        Args:
            patience: Seconds to wait for one; None comes where there is none by then. Without a
                limit where it is None.

        Raises:
            HFEndpointError: The process was forked meanwhile; its threads are the parent's.
        """
        if os.getpid() != self._process:
            self.running = 0
            raise begun_before_fork()
        wait = LONGEST_WAIT if patience is None else patience
        while True:
            try:
                tag, result = self._results.get(timeout=wait)
            except queue.Empty:
                if patience is not None:
                    return None
            else:
                self.running -= 1
                return tag, result

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._drive(*job)

    def _drive(self, tag: TagT, flow: Flow[T]) -> None:
        try:
            result: T | BaseException = self._driver.run(flow)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            result = error
        self._results.put((tag, result))


class TaskDriver:
    """Performs the actions of flows by awaiting, on the loop it runs on.

    Args:
        transport: Sends the requests.
        caller_loop: Another loop, whose thread waits for the flows: see `ThreadDriver.caller_loop`.
    """

    def __init__(
        self, transport: AnyAsyncTransport, caller_loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._transport = transport
        self._caller_loop = caller_loop
        self.stop = asyncio.Event()

    async def run(self, flow: Flow[T]) -> T:
        """Drive one flow to its end."""
        with contextlib.closing(flow):
            resume = partial(flow.send, None)
            while True:
                try:
                    action = resume()
                except StopIteration as end:
                    return cast("T", end.value)
                try:
                    resume = partial(flow.send, await self._perform(action))
                except (CallStopped, HFEndpointError) as error:
                    resume = partial(flow.throw, error)

    async def _perform(self, action: Action) -> ActionResult:
        if isinstance(action, AcquireSlot):
            await self._acquire(action.window, action.slot)
        elif isinstance(action, Sleep):
            await self._sleep(action.seconds)
        elif self.stop.is_set() and not isinstance(action, UseStore):
            raise CallStopped
        elif isinstance(action, SendRequest):
            return await self._transport.send(action.request, action.timeout)
        elif isinstance(action, UseStore):
            return await action.cache.ause(action.keys, action.pairs)
        else:
            return await action.aask()
        return None

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)
            raise CallStopped

    async def _acquire(self, window: ConcurrencyWindow, slot: Slot) -> None:
        slot.loop = loop = asyncio.get_running_loop()
        slot.blocked_loop = self._caller_loop
        granted = asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(granted.set)

        if not window.acquire(slot, wake):
            await granted.wait()


class TaskWorkers(Generic[TagT, T]):
    """Drives several flows at once, a task each; results come as they are ready.

    Leaving the ``async with`` block cancels what is under way and waits until it is gone.
    """

    def __init__(self, driver: TaskDriver) -> None:
        self._driver = driver
        self._tags: dict[asyncio.Task[T], TagT] = {}
        self._done: list[asyncio.Task[T]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tags:
            task.cancel()
        await asyncio.gather(*self._tags, return_exceptions=True)

    @property
    def running(self) -> int:
        """Flows whose result was not taken yet."""
        return len(self._tags)

    def start(self, tag: TagT, flow: Flow[T]) -> None:
        """Begin a flow; `tag` comes back with its result."""
        self._tags[asyncio.create_task(self._driver.run(flow))] = tag

    async def next_result(self, patience: float | None) -> tuple[TagT, T | BaseException] | None:
        """The async twin of `ThreadWorkers.next_result`."""
        if not self._done:
            first = asyncio.FIRST_COMPLETED
            done, _ = await asyncio.wait(self._tags, return_when=first, timeout=patience)
            self._done.extend(done)
        if not self._done:
            return None
        task = self._done.pop()
        tag = self._tags.pop(task)
        if task.cancelled():
            return tag, asyncio.CancelledError()
        return tag, task.exception() or task.result()


class LoopWorkers(ThreadWorkers[TagT, T]):
    """Drives several flows at once, as tasks of an event loop that one thread of its own runs.

    Loop, thread and connections are there from the first flow that is not driven on the caller's
    thread until the ``with`` block is left, which cancels what is under way.

    Args:
        driver: Of flows that are driven on the caller's thread.
        transport: Makes what sends from the running loop, and closes its connections.
    """

    def __init__(
        self,
        driver: ThreadDriver,
        transport: Callable[[], AbstractAsyncContextManager[AnyAsyncTransport]],
    ) -> None:
        super().__init__(driver)
        self._transport = transport
        self._is_open: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def __exit__(self, *_error: object) -> None:
        self._driver.stop.set()
        self._tell(self._over.set)
        # Any thread may be the one that collects a forgotten stream, the loop's too.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_LONGEST_CLOSING)

    def start(self, tag: TagT, flow: Flow[T], *, here: bool = False) -> None:
        if here or not (self._threads or self._open()):
            super().start(tag, flow, here=True)
        else:
            self.running += 1
            self._tell(self._begin, tag, flow)

    def stop(self) -> None:
        super().stop()
        if self._loop is not None:
            self._tell(self._task_driver.stop.set)

    def _open(self) -> bool:
        """Begin the loop; False where the machine has no thread or no descriptors left."""
        if not self._add_thread():
            return False
        try:
            self._is_open.result()
        except OSError:
            self._threads, self._is_open = 0, Future()
        return self._threads > 0

    def _work(self) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        except BaseException as error:
            if self._is_open.done():
                raise
            self._is_open.set_exception(error)

    async def _serve(self) -> None:
        async with self._transport() as transport:
            self._task_driver = TaskDriver(transport, self._driver.caller_loop)
            self._thread, self._loop = threading.current_thread(), asyncio.get_running_loop()
            self._is_open.set_result(None)
            if not self._driver.stop.is_set():  # else an interrupt came before it could be told
                await self._over.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _tell(self, callback: Callable[..., object], *args: object) -> None:
        """Call something on the loop, where it runs in this process."""
        if self._loop is not None and os.getpid() == self._process:
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(callback, *args)

    def _begin(self, tag: TagT, flow: Flow[T]) -> None:
        task = asyncio.ensure_future(self._adrive(tag, flow))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _adrive(self, tag: TagT, flow: Flow[T]) -> None:
        try:
            result: T | BaseException = await self._task_driver.run(flow)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            result = error
        self._results.put((tag, result))
