"""The registry's file: made so that only its owner ever could read it, refused if others can.

It knows names, modes and kinds of files. It must not open a file that is there already: closing it
would drop the locks that SQLite holds on it in this process (https://sqlite.org/howtocorrupt.html,
2.2).
"""

from __future__ import annotations

import os
import stat
import threading

from langchain_hf_endpoint.errors import RegistryError

_OWNER_ONLY = 0o600
_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SIDE_FILES = ("-wal", "-shm", "-journal")

# SQLite opens a file that we have made only after we have closed it: see the module's docstring.
_making = threading.Lock()


def make_or_check(path: str) -> None:
    """Make an empty file that only its owner can read, or check the one that is there.

    Raises:
        RegistryError: It cannot be made, or `check` refuses it.
    """
    # First the side file, then the file: in this order a registry that appears meanwhile is none.
    if os.path.lexists(f"{path}-wal") and not os.path.lexists(path):
        raise RegistryError(
            f"{path} is gone, but {path}-wal, which belongs to it, is still there",
            advice=f"Bring {path} back, or delete {path}-wal and {path}-shm too.",
        )
    try:
        _make(path)
    except FileExistsError:
        check(path)
    except OSError as error:
        raise RegistryError(
            f"{path} cannot be made: {error.strerror}", advice="Check the folder and its mode."
        ) from error


def _make(path: str) -> None:
    with _making:
        # O_EXCL does not follow a link. SQLite gives its side files the mode of this file.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
        try:
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, _OWNER_ONLY)  # an odd umask may have taken more away
        finally:
            os.close(descriptor)


def check(path: str) -> None:
    """Refuse what is no plain file, another user's, or what others may read or write.

    It is not repaired: keys that others could read may be known already.

    Raises:
        RegistryError: It says what to do.
    """
    _check_one(path, must_exist=True)
    for ending in _SIDE_FILES:
        _check_one(path + ending, must_exist=False)


def identity(path: str) -> tuple[int, int] | None:
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
