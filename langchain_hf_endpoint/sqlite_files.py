"""Open SQLite files that only their owner may read, never across a fork, and keep their tables.

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
import time
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_hf_endpoint.errors import HFEndpointError

_SECONDS_FOR_A_LOCK = 30.0

_OWNER_ONLY = 0o600
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SQLITE, _HEAD = b"SQLite format 3\0", 72  # bytes; the last four are the application id
_SIDE_FILES = ("-wal", "-shm", "-journal")
_making = threading.Lock()


@dataclass(frozen=True, slots=True)
class FileKind:
    """What one kind of our files has of its own."""

    name: str  # what messages call it
    holds: str  # why nobody else may open it
    if_exposed: str  # what to do where others could, beside closing it to them
    application_id: int  # stands in the header of each
    # Step n makes version n + 1 of version n. A released step is never changed, only followed.
    steps: tuple[tuple[str, ...], ...]
    pragmas: tuple[str, ...]  # set in each connection
    error: Callable[..., HFEndpointError]  # makes that of a file that cannot be used
    one_connection: bool = False  # which all threads share, in turn; else each has its own
    busy_seconds: float = _SECONDS_FOR_A_LOCK  # for another program, once the file is open


def absolute(path: str | os.PathLike[str], kind: FileKind) -> str:
    """The path from the root, since the working directory may change."""
    try:
        return os.path.abspath(path)  # noqa: PTH100 - text
    except FileNotFoundError as error:
        problem = f"{os.fspath(path)} cannot be found: the working directory is gone"
        raise kind.error(problem, advice="Give a path from the root.") from error


def make_or_check(path: str, kind: FileKind) -> None:
    """Make an empty file that only its owner can read, or check the one that is there."""
    # First the side file, then the file: in this order a file that appears meanwhile is none.
    if os.path.lexists(f"{path}-wal") and not os.path.lexists(path):
        raise kind.error(
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
        _check(path, kind)
    except (OSError, ValueError) as error:  # a path may hold what no system has in one
        reason = getattr(error, "strerror", error)
        raise kind.error(
            f"{path} cannot be made: {reason}", advice="Check the folder and its mode."
        ) from error


def _check(path: str, kind: FileKind) -> None:
    """Refuse what is no plain file, another user's, or what others may read or write.

    It is not repaired: keys that others could read may be known already.
    """
    _check_one(path, kind, must_exist=True)
    for ending in _SIDE_FILES:
        _check_one(path + ending, kind, must_exist=False)


def _identity(path: str) -> tuple[int, int] | None:
    """What tells the file at a path from another that takes its place; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _check_one(path: str, kind: FileKind, *, must_exist: bool) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        if not must_exist:
            return
        raise kind.error(f"{path} is gone", advice=f"Open the {kind.name} again.") from None
    except OSError as error:
        raise kind.error(f"{path} cannot be opened: {error.strerror}") from error
    if stat.S_ISLNK(found.st_mode):
        raise kind.error(f"{path} is a symbolic link", advice="Give the file itself.")
    if not stat.S_ISREG(found.st_mode):
        raise kind.error(f"{path} is no file", advice="Give the path of a file.")
    if os.name == "posix" and found.st_uid not in (os.geteuid(), 0):
        raise kind.error(
            f"{path} belongs to another user (number {found.st_uid}), who could read and change it",
            advice=f"Run this as that user, or, if you trust its content: chown {os.geteuid()} "
            f"{path}",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & _OF_OTHERS and os.name == "posix":
        if must_exist and _is_of_others(path, kind):
            raise _no_file_of(kind, f"{path} is no {kind.name}")
        raise kind.error(
            f"{path} holds {kind.holds} and has mode {mode:04o}, so that others than its owner can "
            "open it",
            advice=f"Run: chmod 600 {path}{kind.if_exposed}.",
        )


def _is_of_others(path: str, kind: FileKind) -> bool:
    """Whether a file's first bytes show that another program has written it."""
    found = _identity(path)
    slots = [slot for one in list(_all) for slot in list(one._slots)]  # noqa: SLF001 - below
    if any(slot.connection is not None and slot.file == found for slot in slots):
        return False  # nor is it opened while SQLite has it: see the module's docstring
    try:
        with Path(path).open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return False  # it cannot be told
    # A new file's mark is in its log for a while.
    marks = (0, kind.application_id)
    is_ours = head.startswith(_SQLITE) and int.from_bytes(head[-4:], "big") in marks
    return bool(head) and not is_ours


def _no_file_of(kind: FileKind, problem: str) -> HFEndpointError:
    advice = f"Give the path of a {kind.name}, or one where there is no file yet."
    return kind.error(problem, advice=advice)


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
    """The connections to one file.

    Args:
        path: An absolute path to a file that exists, or None for a database in memory.
        kind: What it is.
    """

    def __init__(self, path: str | None, kind: FileKind) -> None:
        self._path = path
        self._kind = kind
        self._name = f"the {kind.name} in memory" if path is None else path
        self._closed = False
        self._lock = threading.RLock()
        self._slots: weakref.WeakSet[_Slot] = weakref.WeakSet()
        self._of_thread = threading.local()
        self._shared = _Slot() if path is None or kind.one_connection else None
        if self._shared is not None:
            self._slots.add(self._shared)
        with _forking:
            _all.add(self)

    def turn(self) -> threading.RLock:
        """What is held while a thread uses its connection, or the only one."""
        return self._slot().lock

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, or its turn at the only one. One statement sees one state."""
        slot = self._slot()
        with slot.lock:
            if self._closed:
                raise self._kind.error(f"{self._name} is closed", advice="Open it again.")
            try:
                if slot.connection is not None and self._has_moved(slot):
                    slot.close()
                if slot.connection is None:
                    slot.file = None if self._path is None else _identity(self._path)
                    slot.connection = self._open()
                yield slot.connection
            except sqlite3.Error as error:
                raise _told(self._name, self._kind, error) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction of its own, waited for if need be: all of it or, on an error, nothing."""
        with self.reading() as connection, _transaction(connection):
            yield connection
            if self._has_moved(self._slot()):
                raise self._kind.error(
                    f"{self._name} was moved or replaced meanwhile; nothing was changed",
                    advice="Try again.",
                )

    def _has_moved(self, slot: _Slot) -> bool:
        """Whether the path leads to another file than the one that is open, or to none."""
        return self._path is not None and _identity(self._path) != slot.file

    def close(self) -> None:
        """Close all connections, those of other threads when these have done. May be repeated."""
        with self._lock:
            self._closed = True
            slots = list(self._slots)
        for slot in slots:
            with slot.lock:
                slot.close()

    def _slot(self) -> _Slot:
        if self._shared is not None:
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
            _check(self._path, self._kind)
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
            for pragma in self._kind.pragmas:
                connection.execute(pragma)
            bring_up_to_date(connection, self._name, self._kind)
            connection.execute(f"PRAGMA busy_timeout = {self._kind.busy_seconds * 1000:.0f}")
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


def _told(name: str, kind: FileKind, error: sqlite3.Error) -> HFEndpointError:
    text = str(error)
    if "locked" in text or "busy" in text:
        advice = "Another program holds it. Try again, or find out which one (fuser, lsof)."
    elif "not a database" in text or "malformed" in text:
        advice = f"It is damaged, or no {kind.name}. Bring back a copy, or give another path."
    else:
        advice = "Check the file, its folder, their modes and the space on the disk."
    return kind.error(f"{name} cannot be used: {text}", advice=advice)


def bring_up_to_date(connection: sqlite3.Connection, name: str, kind: FileKind) -> None:
    """Make the tables in an empty file, or take the steps that an older file lacks.

    Args:
        connection: In autocommit mode.
        name: What the file is called in messages.
        kind: What it is.
    """
    connection.execute("BEGIN")
    try:
        version = _version(connection, name, kind)
    finally:
        connection.execute("ROLLBACK")
    if version == len(kind.steps):
        return
    # Before the transaction: SQLite changes the journal mode in none.
    _use_wal(connection)
    with _transaction(connection):
        # Another process may have been quicker.
        for step in kind.steps[_version(connection, name, kind) :]:
            for statement in step:
                connection.execute(statement)
        # The marks are written with the tables: a process that is killed in between leaves neither.
        connection.execute(f"PRAGMA application_id = {kind.application_id}")
        connection.execute(f"PRAGMA user_version = {len(kind.steps)}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        # Locked for writing from the beginning: of two that have both read, SQLite refuses one at
        # once, without waiting, when it begins to write.
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection, name: str, kind: FileKind) -> int:
    """Which version the file has, 0 for an empty one; within a transaction, for one answer."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == kind.application_id and version > len(kind.steps):
        raise kind.error(
            f"{name} was written by a newer version of this package "
            f"(format {version}; this one knows {len(kind.steps)})",
            advice="Upgrade langchain-hf-endpoint.",
        )
    if application != kind.application_id and (application or version or tables):
        raise _no_file_of(kind, f"{name} is an SQLite file of another program")
    return int(version)


def _use_wal(connection: sqlite3.Connection) -> None:
    """Let readers and a writer work at once. The file remembers it."""
    until = time.monotonic() + _SECONDS_FOR_A_LOCK
    while True:  # SQLite does not wait for others here as it does elsewhere
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


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
