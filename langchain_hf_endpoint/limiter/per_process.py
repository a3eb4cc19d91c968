"""One object for all its copies in a process, and a fresh start after a fork.

It knows tokens, pickles and forks. It must not know what the objects do.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class HasForkHook(Protocol):
    """What can begin anew in a child: no other thread exists there, and locks stay as they were."""

    def _after_fork(self) -> None: ...


T = TypeVar("T", bound=HasForkHook)


class PerProcess(Generic[T]):
    """The objects of this process, each by the token that all copies of it share.

    Objects that nobody else refers to are forgotten. A child of a fork calls ``_after_fork`` of
    each.

    Args:
        fork_warning: What to log when a child uses something that it inherited; ``%d`` is the
            child's process id.
    """

    def __init__(self, fork_warning: str) -> None:
        self._known: weakref.WeakValueDictionary[str, T] = weakref.WeakValueDictionary()
        # Reentrant: an object that is made under the lock adds itself.
        self._lock = threading.RLock()
        self._fork_warning = fork_warning
        self._warned = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def add(self, token: str, one: T) -> None:
        """Remember, as long as it lives, which object has this token."""
        with self._lock:
            self._known[token] = one

    def find_or_make(self, token: str, make: Callable[[], T]) -> T:
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
