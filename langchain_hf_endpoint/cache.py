"""Where vectors of chunks are kept for later calls: a file, or any store of LangChain's."""

from __future__ import annotations

import logging
import os
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_core.stores import BaseStore

from langchain_hf_endpoint._lifecycle import in_thread
from langchain_hf_endpoint._secrets import without_keys
from langchain_hf_endpoint.errors import HFEndpointError, SettingsError
from langchain_hf_endpoint.sqlite_files import Connections, FileKind, absolute, make_or_check

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

__all__ = ["ChunkCache"]

AnyCache: TypeAlias = "ChunkCache | BaseStore[str, bytes] | str | os.PathLike[str]"
"""What may be given as a cache."""

_logger = logging.getLogger("langchain_hf_endpoint")

_REST = 30.0  # seconds for which a store that failed is left alone
_KEYS_AT_ONCE = 500  # of the 32,766 parameters that a statement may have


def _wrong(problem: str, **details: str) -> HFEndpointError:
    return SettingsError(("cache", problem), **details)


CACHE = FileKind(
    name="cache",
    holds="vectors, which tell of their texts,",
    if_exposed="",
    application_id=0x68666563,  # "hfec"
    # In the order in which they came: it is that in which they will be asked for.
    steps=(
        ("CREATE TABLE vectors (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB)",),
    ),
    pragmas=(
        "PRAGMA page_size = 8192",  # five vectors of 384 numbers
        "PRAGMA cache_size = -32000",  # kilobytes: the keys of half a million
        "PRAGMA synchronous = NORMAL",  # what a power cut takes can be had again
    ),
    error=_wrong,
    one_connection=True,  # else each thread of each call would open one
    busy_seconds=1.0,  # calls wait for it, and do as well without
)


class CacheFile:
    """Keys and values in one SQLite file, for many threads and processes of a machine."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = absolute(path, CACHE)
        self._connections = Connections(self.path, CACHE)

    def _opened(self) -> Connections:
        if not os.path.lexists(self.path):  # not made yet, or deleted
            make_or_check(self.path, CACHE)
        return self._connections

    def turn(self) -> AbstractContextManager[object]:
        """What is held by the thread that uses the file."""
        return self._connections.turn()

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of some keys."""
        found: dict[str, bytes] = {}
        with self._opened().reading() as connection:
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                some = keys[start : start + _KEYS_AT_ONCE]
                marks = ",".join("?" * len(some))
                select = f"SELECT key, value FROM vectors WHERE key IN ({marks})"  # noqa: S608
                found.update(connection.execute(select, some))
        return [found.get(key) for key in keys]

    def mset(self, pairs: Sequence[tuple[str, bytes]]) -> None:
        """Write all pairs or, on an error, none."""
        upsert = (
            "INSERT INTO vectors (key, value) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        )
        with self._opened().writing() as connection:
            connection.executemany(upsert, pairs)

    def __reduce__(self) -> tuple[type[CacheFile], tuple[str]]:
        return CacheFile, (self.path,)  # which may be none where it is loaded

    def __repr__(self) -> str:
        return self.path


class ChunkCache:
    """A cache of chunks for `HFEndpointEmbeddings`, with other than the usual choices.

    A vector is found again where the model, the prompt, the task settings and the chunk's text are
    the same. The model is known by its vectors of a few fixed texts: each process asks for them,
    and each request for one of them; vectors of a request without it are not kept. A store that
    fails is left alone for a while: calls go on without it.

    Example:
        ```python
        cache = ChunkCache("vectors.cache", dtype="int8", queries=True)
        embeddings = HFEndpointEmbeddings(url="https://…", cache=cache)
        ```

    Args:
        store: The path of a file, which is made where there is none, or a LangChain store.
        dtype: ``float32``, or ``int8`` for a quarter of the space. Vectors are handed out as they
            are kept, from the first time on.
        queries: Whether queries are kept too.

    Raises:
        SettingsError: A choice is wrong, or the file cannot be used.
    """

    def __init__(
        self,
        store: BaseStore[str, bytes] | str | os.PathLike[str],
        *,
        dtype: Literal["float32", "int8"] = "float32",
        queries: bool = False,
    ) -> None:
        if dtype not in ("float32", "int8"):
            raise _wrong(f"has the dtype {dtype!r}: float32 and int8 are allowed")
        self.store: BaseStore[str, bytes] | CacheFile = _store_of(store)
        self.dtype = dtype
        self.queries = queries
        self.models: dict[str, str] = {}  # the store's name for one, by its fingerprint's id
        self._rests_until = 0.0
        self._has_failed = self._is_told = False

    @property
    def is_file(self) -> bool:
        """Whether it is a file, which any thread and loop may use."""
        return isinstance(self.store, CacheFile)

    def use(
        self, keys: Sequence[str], pairs: Sequence[tuple[str, bytes]]
    ) -> list[bytes | None] | None:
        """Write the pairs, then read the keys; None where the store fails, or has just failed."""
        # Those who have waited for their turn at a file must not wait for what failed meanwhile.
        with self.store.turn() if isinstance(self.store, CacheFile) else nullcontext():
            if time.monotonic() >= self._rests_until:
                try:
                    if pairs:
                        self.store.mset(pairs)
                    return list(self.store.mget(keys)) if keys else []
                except Exception as error:  # noqa: BLE001 - whatever a store raises
                    self._rest(error)
        return None

    async def ause(
        self, keys: Sequence[str], pairs: Sequence[tuple[str, bytes]]
    ) -> list[bytes | None] | None:
        """The async twin of `use`; what has no async methods of its own is used in a thread."""
        if isinstance(self.store, CacheFile) or type(self.store).amget is BaseStore.amget:
            return await in_thread(partial(self.use, keys, pairs))
        if time.monotonic() >= self._rests_until:
            try:
                if pairs:
                    await self.store.amset(pairs)
                return list(await self.store.amget(keys)) if keys else []
            except Exception as error:  # noqa: BLE001 - whatever a store raises
                self._rest(error)
        return None

    def _rest(self, error: Exception) -> None:
        self._rests_until = time.monotonic() + _REST
        _logger.log(
            logging.DEBUG if self._has_failed else logging.WARNING,
            "the cache %r fails (%s: %s); calls go on without it, and try it again every %.0f s",
            self.store,
            type(error).__name__,
            without_keys(str(error)),
            _REST,
        )
        self._has_failed = True

    def tell_of_no_use(self) -> None:
        """Log once that nothing is kept, since requests do not show which model answers."""
        if not self._is_told:
            self._is_told = True
            _logger.warning(
                "the cache %r keeps nothing of requests without a text more, by which the model is "
                "known: give document_prompt instead of document_prompt_name, and a max_batch_size "
                "of 2 or more",
                self.store,
            )

    def __reduce__(self) -> tuple[Callable[..., ChunkCache], tuple[object, ...]]:
        return partial(ChunkCache, dtype=self.dtype, queries=self.queries), (self.store,)


def _store_of(given: object) -> BaseStore[str, bytes] | CacheFile:
    if isinstance(given, (BaseStore, CacheFile)):
        return given
    if isinstance(given, (str, os.PathLike)):
        if os.fspath(given) == ":memory:":  # what it means to SQLite's users
            raise _wrong("is a file: to keep vectors in memory, give an InMemoryByteStore")
        file = CacheFile(given)
        file.mget([""])  # what cannot be used is refused now, not at the first call
        return file
    kind = type(given).__name__
    raise _wrong(f"must be a path, a LangChain BaseStore or a ChunkCache, not {kind}")


def cache_of(given: AnyCache) -> ChunkCache:
    """What was given as a cache, as one."""
    return given if isinstance(given, ChunkCache) else ChunkCache(given)
