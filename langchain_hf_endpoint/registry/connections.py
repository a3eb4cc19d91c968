"""Open the registry's file, which only its owner may read, once per thread, never across a fork.

SQLite keeps a process's locks in that process's memory: a child that inherits a connection takes
its parent's locks for its own (https://sqlite.org/howtocorrupt.html, 2.6), and closing a file
drops the locks that SQLite holds on it in this process (2.2). So every fork waits for the
statements under way and closes all connections; parent and child open new ones when they need
them. And the file is made here, but never opened while SQLite has it.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_hf_endpoint.errors import RegistryError
from langchain_hf_endpoint.registry.migrations import bring_up_to_date

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS_FOR_A_LOCK = 30.0
_PRAGMAS = (
    "PRAGMA foreign_keys = ON",  # off by default: a key would outlast its endpoint
    "PRAGMA secure_delete = ON",  # a deleted key is overwritten
    "PRAGMA synchronous = FULL",  # what is acknowledged outlasts a power cut
)

_OWNER_ONLY = 0o600
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SIDE_FILES = ("-wal", "-shm", "-journal")
_making = threading.Lock()


def make_or_check(path: str) -> None:
    """Make an empty file that only its owner can read, or check the one that is there."""
    # First the side file, then the file: in this order a registry that appears meanwhile is none.
    if os.path.lexists(f"{path}-wal") and not os.path.lexists(path):
        raise RegistryError(
            f"{path} is gone, but {path}-wal, which belongs to it, is still there",
            advice=f"Bring {path} back, or delete {path}-wal and {path}-shm too.",
        )
    try:
        # SQLite opens what is made here only after it is closed: see the module's docstring.
        # O_EXCL does not follow a link. SQLite gives its side files the mode of this file.
        with _making:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
            try:
                if hasattr(os, "fchmod"):
                    os.fchmod(descriptor, _OWNER_ONLY)  # an odd umask may have taken more away
            finally:
                os.close(descriptor)
    except FileExistsError:
        _check(path)
    except OSError as error:
        raise RegistryError(
            f"{path} cannot be made: {error.strerror}", advice="Check the folder and its mode."
        ) from error


def _check(path: str) -> None:
    """Refuse what is no plain file, another user's, or what others may read or write.

    It is not repaired: keys that others could read may be known already.
    """
    _check_one(path, must_exist=True)
    for ending in _SIDE_FILES:
        _check_one(path + ending, must_exist=False)


def _identity(path: str) -> tuple[int, int] | None:
    """What tells the file at a path from another that takes its place; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_one(path: str, *, must_exist: bool) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        if not must_exist:
            return
        raise RegistryError(f"{path} is gone", advice="Open the registry again.") from None
    except OSError as error:
        raise RegistryError(f"{path} cannot be opened: {error.strerror}") from error
    if stat.S_ISLNK(found.st_mode):
        raise RegistryError(f"{path} is a symbolic link", advice="Give the file itself.")
    if not stat.S_ISREG(found.st_mode):
        raise RegistryError(f"{path} is no file", advice="Give the path of a file.")
    if os.name == "posix" and found.st_uid not in (os.geteuid(), 0):
        raise RegistryError(
            f"{path} belongs to another user (number {found.st_uid}), who could read and change it",
            advice=f"Run this as that user, or, if you trust its content: chown {os.geteuid()} "
            f"{path}",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & _OF_OTHERS and os.name == "posix":
        raise RegistryError(
            f"{path} holds keys and has mode {mode:04o}, so that others than its owner can open it",
            advice=f"Run: chmod 600 {path} (and replace the keys if others had access).",
        )


class _Slot:
    """A thread's connection, and the lock that keeps others from closing it under its hands."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.file: tuple[int, int] | None = None

    def close(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def __del__(self) -> None:
        self.close()  # its thread has ended


class Connections:
    """The connections to one registry.

    Args:
        path: An absolute path to a file that exists, or None for a database in memory.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._name = "the registry in memory" if path is None else path
        self._closed = False
        self._lock = threading.RLock()
        self._slots: weakref.WeakSet[_Slot] = weakref.WeakSet()
        self._of_thread = threading.local()
        self._shared = _Slot()
        if path is None:
            self._slots.add(self._shared)
        with _forking:
            _all.add(self)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection. One statement sees one state."""
        slot = self._slot()
        with slot.lock:
            if self._closed:
                raise RegistryError(f"{self._name} is closed", advice="Open it again.")
            try:
                if slot.connection is not None and self._has_moved(slot):
                    slot.close()
                if slot.connection is None:
                    slot.file = None if self._path is None else _identity(self._path)
                    slot.connection = self._open()
                yield slot.connection
            except sqlite3.Error as error:
                raise _told(self._name, error) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction of its own, waited for if need be: all of it or, on an error, nothing."""
        with self.reading() as connection:
            try:
                # Locked for writing from the beginning: of two that have both read, SQLite refuses
                # one at once, without waiting, when it begins to write.
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                self._check_still_there(self._slot())
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _has_moved(self, slot: _Slot) -> bool:
        """Whether the path leads to another file than the one that is open, or to none."""
        return self._path is not None and _identity(self._path) != slot.file

    def _check_still_there(self, slot: _Slot) -> None:
        if self._has_moved(slot):
            raise RegistryError(
                f"{self._name} was moved or replaced meanwhile; nothing was changed",
                advice="Try again.",
            )

    def close(self) -> None:
        """Close all connections, those of other threads when these have done. May be repeated."""
        with self._lock:
            self._closed = True
            slots = list(self._slots)
        for slot in slots:
            with slot.lock:
                slot.close()

    def _slot(self) -> _Slot:
        if self._path is None:
            return self._shared
        slot: _Slot | None = getattr(self._of_thread, "slot", None)
        if slot is None:
            slot = _Slot()
            with self._lock:
                self._slots.add(slot)
            self._of_thread.slot = slot
        return slot

    def _open(self) -> sqlite3.Connection:
        if self._path is None:
            target = ":memory:"
        else:
            _check(self._path)
            target = f"{Path(self._path).as_uri()}?mode=rw"  # never made by SQLite: it is too open
        connection = sqlite3.connect(
            target,
            uri=self._path is not None,
            timeout=_SECONDS_FOR_A_LOCK,
            # Else Python would begin transactions by itself, and not with BEGIN IMMEDIATE.
            isolation_level=None,
            check_same_thread=False,  # a slot's lock sees to it
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            bring_up_to_date(connection, self._name)
        except BaseException:
            connection.close()
            raise
        return connection

    def _stop_for_fork(self) -> Iterator[threading.RLock]:
        """Take all locks, close what must not be inherited; yield the locks to be given back."""
        # Always in this order: no thread that holds the lock of a slot asks for one of the others.
        self._lock.acquire()
        yield self._lock
        for slot in list(self._slots):
            slot.lock.acquire()
            yield slot.lock
            if self._path is not None:
                slot.close()


def _told(name: str, error: sqlite3.Error) -> RegistryError:
    text = str(error)
    if "locked" in text or "busy" in text:
        advice = "Another program holds it. Try again, or find out which one (fuser, lsof)."
    elif "not a database" in text or "malformed" in text:
        advice = "It is damaged, or no registry. Bring back a copy, or give another path."
    else:
        advice = "Check the file, its folder, their modes and the space on the disk."
    return RegistryError(f"{name} cannot be used: {text}", advice=advice)


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_forking = threading.RLock()
_held: list[threading.RLock] = []


def _before_fork() -> None:
    _forking.acquire()
    for connections in list(_all):
        _held.extend(connections._stop_for_fork())  # noqa: SLF001 - within this module


def _after_fork() -> None:
    while _held:
        _held.pop().release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork
    )
