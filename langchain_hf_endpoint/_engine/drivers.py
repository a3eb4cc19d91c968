"""Perform the actions of flows: one short loop for threads, one for tasks."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Generic, Self, TypeAlias, TypeVar, cast

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
    from collections.abc import Awaitable, Callable, Iterator

    from langchain_hf_endpoint._engine.actions import Action, ActionResult
    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._http.httpx_transport import AnyAsyncTransport, SyncTransport
    from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow, Slot

T = TypeVar("T")
TagT = TypeVar("TagT")

_Told: TypeAlias = "Callable[[], None] | tuple[T, ...] | BaseException | None"

_PATIENCE = 0.2  # seconds after which a waiting thread looks whether the call is over
_LONGEST_CLOSING = 1.0  # seconds for which a call waits until its connections are closed


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs on this thread, if there is one."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class ThreadDriver:
    """Performs the actions of flows by blocking the thread it runs on.

    Args:
        transport: Sends the requests.
    """

    def __init__(self, transport: SyncTransport) -> None:
        self._transport = transport
        # The loop that runs on the thread on which the driver is made, the caller's, if there is
        # one: its tasks cannot release their slots before the call returns.
        self.caller_loop = _running_loop()
        self.stop = threading.Event()  # set when nothing more may be sent

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
            if _running_loop() is loop:
                granted.set()  # nobody's sleep is to be ended, which would take two system calls
            else:
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
        self._done: asyncio.Queue[asyncio.Task[T]] = asyncio.Queue()

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
        task = asyncio.create_task(self._driver.run(flow))
        self._tags[task] = tag
        task.add_done_callback(self._done.put_nowait)

    async def next_result(self, patience: float | None) -> tuple[TagT, T | BaseException] | None:
        """The async twin of `ThreadWorkers.next_result`."""
        try:
            async with asyncio.timeout(patience):
                task = await self._done.get()
        except TimeoutError:
            return None
        tag = self._tags.pop(task)
        if task.cancelled():
            return tag, asyncio.CancelledError()
        return tag, task.exception() or task.result()


class OwnLoop(Generic[T]):
    """Does the work of a sync call on an event loop that a thread of its own runs.

    Two threads that share the work would fight for the interpreter's lock. Here the caller's waits,
    and does only what must be done on it. Leaving the ``with`` block cancels what is under way.

    Args:
        work: Is given this object, to pass on its results and what the caller's thread is to do.
    """

    def __init__(self, work: Callable[[OwnLoop[T]], Awaitable[None]]) -> None:
        self._told: queue.SimpleQueue[_Told[T]] = queue.SimpleQueue()
        self._process = os.getpid()
        self._is_left = False
        self._loop: asyncio.AbstractEventLoop | None = None
        # A copy: tracing and the like follow the caller's context variables.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._serve, work), name="hf-endpoint", daemon=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_left = True
        if self._loop is None or os.getpid() != self._process:
            return
        with contextlib.suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._task.cancel)
        # Any thread may be the one that collects a forgotten stream, the loop's too.
        if self._thread is not threading.current_thread():
            self._thread.join(_LONGEST_CLOSING)

    def begin(self) -> bool:
        """Begin the loop; False where the machine has no thread or no descriptors left."""
        try:
            self._thread.start()
        except (RuntimeError, MemoryError):
            return False
        return self._told.get() == ()

    def give(self, result: T) -> None:
        """Pass a result on."""
        self._told.put((result,))

    def do(self, task: Callable[[], None]) -> None:
        """Have something done on the caller's thread, when the results before it are out."""
        self._told.put(task)

    def results(self) -> Iterator[T]:
        """What the work brings, or the error that ended it.

        Raises:
            HFEndpointError: The process was forked meanwhile; the loop is the parent's.
        """
        while True:
            if os.getpid() != self._process:
                raise begun_before_fork()
            try:
                told = self._told.get(timeout=LONGEST_WAIT)
            except queue.Empty:
                continue
            if told is None:
                return
            if isinstance(told, BaseException):
                raise told
            if callable(told):
                told()
            else:
                yield from told

    # The work is not kept: it knows this object, and what it has gathered is not to wait for a
    # collection of cycles.
    def _serve(self, work: Callable[[OwnLoop[T]], Awaitable[None]]) -> None:
        end: BaseException | None = None
        try:
            with asyncio.Runner() as runner:
                runner.run(self._main(work))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            end = error
        self._told.put(end)

    async def _main(self, work: Callable[[OwnLoop[T]], Awaitable[None]]) -> None:
        self._task = cast("asyncio.Task[None]", asyncio.current_task())
        self._loop = asyncio.get_running_loop()
        self._told.put(())
        if not self._is_left:  # else an interrupt came before the task could be cancelled
            await work(self)
