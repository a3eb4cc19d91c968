"""Small things that somebody else does soon: for who must not wait.

It knows threads and forks. It must not know what it does.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING

from langchain_hf_endpoint._lifecycle import in_child_of_fork

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Errands:
    """Does one thing after another, on a daemon thread that begins with the first."""

    def __init__(self) -> None:
        self._begin()
        in_child_of_fork(self._begin)  # the thread is the parent's

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def soon(self, do: Callable[[], object]) -> None:
        """Have it done; never blocks, also not in a finalizer."""
        self._todo.put(do)
        if self._thread is None and self._lock.acquire(blocking=False):
            try:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._work, args=(self._todo,), name="hf-endpoint-errands"
                    )
                    self._thread.daemon = True
                    self._thread.start()
            finally:
                self._lock.release()

    @staticmethod
    def _work(todo: queue.SimpleQueue[Callable[[], object]]) -> None:
        while True:
            do = todo.get()
            try:
                do()
            except Exception:
                logger.debug("an errand failed", exc_info=True)
            del do


errands = Errands()
"""Those of this process."""
