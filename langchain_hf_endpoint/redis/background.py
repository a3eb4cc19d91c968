"""Run fire-and-forget tasks on a daemon thread."""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

from langchain_hf_endpoint._lifecycle import in_child_of_fork

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class BackgroundTasks:
    """Runs one task after another, on a daemon thread that begins with the first."""

    def __init__(self) -> None:
        self._begin()
        in_child_of_fork(self._begin)  # the thread is the parent's

    def _begin(self) -> None:
        self._lock = threading.Lock()
        # Its `put` may be called from a finalizer; that of `queue.Queue` could wait there for a
        # lock that the interrupted code holds.
        self._tasks: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def run_soon(self, task: Callable[[], object]) -> None:
        """Have a task run; never blocks, also not in a finalizer."""
        self._tasks.put(task)
        # A finalizer may interrupt this very method on this very thread: it must not wait for the
        # lock, and whoever has it starts the thread for both.
        if self._thread is None and self._lock.acquire(blocking=False):
            try:
                if self._thread is None:
                    # What is undone when the interpreter exits is not lost: places in Redis lapse.
                    thread = threading.Thread(
                        target=_work,
                        args=(self._tasks,),
                        name="hf-endpoint-background",
                        daemon=True,
                    )
                    thread.start()
                    self._thread = thread
            except (RuntimeError, MemoryError):
                # There is none to be had: the next task tries again.
                logger.debug("a background task has no thread yet", exc_info=True)
            finally:
                self._lock.release()


def _work(tasks: queue.SimpleQueue[Callable[[], object]]) -> None:
    while True:
        task = tasks.get()
        try:
            task()
        except Exception:
            logger.debug("a background task failed", exc_info=True)
        del task  # it may hold what is to be collected


background = BackgroundTasks()
"""Those of this process."""
