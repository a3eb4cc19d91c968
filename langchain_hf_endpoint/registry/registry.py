"""Keep inference endpoints under names: create, read, update and delete them."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self, overload

from langchain_hf_endpoint._package import LazyModule
from langchain_hf_endpoint._validation import hidden
from langchain_hf_endpoint.errors import EndpointValidationError, HFEndpointError, SettingsError
from langchain_hf_endpoint.registry.configs import Entry
from langchain_hf_endpoint.registry.store import REGISTRY, Store
from langchain_hf_endpoint.settings import TASK_TYPES
from langchain_hf_endpoint.sqlite_files import Connections, absolute, make_or_check

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from pydantic import SecretStr

    from langchain_hf_endpoint._session import session
    from langchain_hf_endpoint.endpoint import EndpointDescription, InferenceEndpoint
else:
    session = LazyModule("langchain_hf_endpoint._session.session")

_TASK_TYPE = "text_embedding"


class InferenceEndpoints:
    """Inference endpoints by name, as ``PUT``, ``GET`` and ``DELETE /_inference`` know them.

    May be used by many threads. With a path it may be used by many processes too, also after a
    fork; each change is on the disk, whole, when its method returns. In memory, a forked child has
    a copy of its own.

    It is a mapping from names, in their order, to `InferenceEndpoint` objects with their keys:
    ``[]``, ``in``, ``len``, iteration, `keys`. Nothing else gives a key out.

    Example:
        ```python
        from langchain_hf_endpoint import HFEndpointEmbeddings, InferenceEndpoints

        with InferenceEndpoints("endpoints.db") as endpoints:
            endpoints.put(
                inference_id="hugging-face-embeddings",
                inference_config={
                    "service": "hugging_face",
                    "service_settings": {"api_key": "hf_…", "url": "https://…"},
                },
            )
            embeddings = HFEndpointEmbeddings(endpoint=endpoints["hugging-face-embeddings"])
        ```

    Args:
        path: An SQLite file. It is made, with mode 0600, where there is none. Default: in memory.

    Raises:
        RegistryError: The file cannot be made or opened, others than its owner can open it, it is
            a link, of another program, damaged, or of a newer version of this package.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        if path is not None and os.fspath(path) == ":memory:":
            path = None  # what it means to SQLite's users
        self._path = None if path is None else absolute(path, REGISTRY)
        if self._path is not None:
            make_or_check(self._path, REGISTRY)
        self._connections = Connections(self._path, REGISTRY)
        self._store = Store(self._connections)
        len(self._store)  # a file that is none of ours is refused here, not at the first use

    def put(
        self,
        *,
        inference_id: str,
        inference_config: Mapping[str, Any],
        task_type: str = _TASK_TYPE,
        skip_validation: bool = False,
        allow_model_change: bool = False,
    ) -> dict[str, Any]:
        """Create an endpoint, after it has answered one call. All of it is stored, or nothing.

        Args:
            inference_id: Its name. It must not be in use.
            inference_config: The JSON of ``PUT /_inference/<task_type>/<inference_id>``. Its
                `service_settings` may also state `dimensions`, `model_id` and `similarity`
                (``cosine``, the default, ``dot_product``, ``l2_norm``).
            task_type: ``text_embedding`` or ``rerank``.
            skip_validation: Do not call the endpoint; what was stated is stored unchecked.
            allow_model_change: A name that was deleted may come back with another model's vectors.

        Returns:
            What `get` will return.

        Raises:
            SettingsError: Names every wrong field; or what was stated is not what the endpoint
                has, and names both.
            EndpointExistsError: The name is in use. Nothing was sent.
            EndpointValidationError: The call failed; `__cause__` says why.
            ModelChangedError: See `allow_model_change`.
            RegistryError: The file cannot be written.
        """
        # Rebound, so that this frame has no key in clear, whatever fails below.
        inference_config = hidden("inference_config", inference_config)
        entry = Entry.of_put(task_type, inference_id, inference_config)
        self._store.refuse_known(inference_id)
        if not skip_validation:
            with _refusing(entry.endpoint, "was not created"):
                entry = entry.described(entry.endpoint.describe())
        self._store.add(entry, allow_model_change=allow_model_change)
        return entry.public_config()

    async def aput(  # noqa: PLR0913 - those of `put`, and one
        self,
        *,
        inference_id: str,
        inference_config: Mapping[str, Any],
        task_type: str = _TASK_TYPE,
        skip_validation: bool = False,
        allow_model_change: bool = False,
        describe: Callable[[InferenceEndpoint], Awaitable[EndpointDescription]] | None = None,
    ) -> dict[str, Any]:
        """The async twin of `put`; the file is waited for in a thread.

        With `describe` the endpoint is tried out in another way than by its `adescribe`.
        """
        from anyio.to_thread import run_sync  # noqa: PLC0415 - only programs with a loop need it

        inference_config = hidden("inference_config", inference_config)
        entry = Entry.of_put(task_type, inference_id, inference_config)
        await run_sync(self._store.refuse_known, inference_id)
        if not skip_validation:
            with _refusing(entry.endpoint, "was not created"):
                endpoint = entry.endpoint
                shown = await (describe(endpoint) if describe else endpoint.adescribe())
                entry = entry.described(shown)
        await run_sync(partial(self._store.add, entry, allow_model_change=allow_model_change))
        return entry.public_config()

    @overload
    def get(self, *, inference_id: str, task_type: str | None = None) -> dict[str, Any]: ...

    @overload
    def get(
        self, *, inference_id: None = None, task_type: str | None = None
    ) -> list[dict[str, Any]]: ...

    def get(
        self, *, inference_id: str | None = None, task_type: str | None = None
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Say how one endpoint, or each, is set. Never its key.

        Args:
            inference_id: Which one. Default: all.
            task_type: Which kind. Default: any.

        Returns:
            JSON as `put` takes it, with `inference_id`, `task_type` and, among the service
            settings, what is known of the model: `similarity`, `dimensions`, `model_id`. For a
            name one dict; without one a list, in the order of the names, empty if there are none.

        Raises:
            UnknownEndpointError: There is none of this name. Also a ``KeyError``.
            SettingsError: There is no such task type, or the endpoint is of the other.
        """
        if task_type not in (None, *TASK_TYPES):
            only = f"only {' and '.join(TASK_TYPES)}"
            raise SettingsError(("task_type", f"{task_type!r} is not allowed: {only}"))
        if inference_id is None:
            configs = [entry.public_config() for entry in self._store.all()]
            return [one for one in configs if task_type in (None, one["task_type"])]
        config = self._store.one(inference_id).public_config()
        if task_type not in (None, config["task_type"]):
            raise SettingsError(("task_type", f"[{inference_id}] is of {config['task_type']}"))
        return config

    def keep_fingerprint(self, *, inference_id: str, fingerprint: str) -> None:
        """Keep by what another model is noticed, if nothing is kept: of `skip_validation` say.

        Args:
            inference_id: Which endpoint.
            fingerprint: That of its `EndpointDescription`.
        """
        self._store.keep_fingerprint(inference_id, bytes.fromhex(fingerprint))

    def update(self, *, inference_id: str, inference_config: Mapping[str, Any]) -> dict[str, Any]:
        """Change service settings that have no part in what the vectors are. Nothing is sent.

        A new `rate_limit` holds at once for all users of the endpoint in this process. For the
        rest, endpoints that were taken with ``[]`` before stay as they were.

        Args:
            inference_id: Which endpoint.
            inference_config: ``{"service_settings": {…}}`` with any of `rate_limit`, `timeout`,
                `max_wait`, `max_batch_size`, `max_concurrent_requests`, `dialect`. None puts one
                back to its default. What is not named stays.

        Returns:
            What `get` will return.

        Raises:
            UnknownEndpointError: There is none of this name. Also a ``KeyError``.
            SettingsError: Names every field that is wrong or cannot be updated: the key, the URL,
                chunking and task settings need a new endpoint.
        """
        change = inference_config = hidden("inference_config", inference_config)
        entry = self._store.change(inference_id, lambda before: before.updated(change))
        # Without its key, if the variable that should hold it is not set, nobody uses it here.
        with suppress(SettingsError):
            session.change_rate(self[inference_id].service_settings)
        return entry.public_config()

    def rotate_key(self, *, inference_id: str, api_key: SecretStr | str) -> dict[str, Any]:
        """Give an endpoint a new key, after it has answered one call with it.

        Endpoints that were taken with ``[]`` before keep the old one.

        Args:
            inference_id: Which endpoint.
            api_key: Its new key.

        Returns:
            What `get` returns.

        Raises:
            UnknownEndpointError: There is none of this name. Also a ``KeyError``.
            SettingsError: It is no key, or the endpoint takes its key from the environment.
            EndpointValidationError: The call failed; `__cause__` says why. The old key stays.
        """
        api_key = hidden("api_key", api_key)
        before, tried = self._with_new_key(inference_id, api_key)
        with _refusing(tried, "keeps its key"):
            before.described(tried.describe())
        return self._store.replace_key(tried).public_config()

    async def arotate_key(
        self,
        *,
        inference_id: str,
        api_key: SecretStr | str,
        describe: Callable[[InferenceEndpoint], Awaitable[EndpointDescription]] | None = None,
    ) -> dict[str, Any]:
        """The async twin of `rotate_key`; `describe` as of `aput`."""
        from anyio.to_thread import run_sync  # noqa: PLC0415 - only programs with a loop need it

        api_key = hidden("api_key", api_key)
        before, tried = await run_sync(self._with_new_key, inference_id, api_key)
        with _refusing(tried, "keeps its key"):
            before.described(await (describe(tried) if describe else tried.adescribe()))
        return (await run_sync(self._store.replace_key, tried)).public_config()

    def _with_new_key(self, inference_id: str, key: object) -> tuple[Entry, InferenceEndpoint]:
        before = self._store.one(inference_id)
        service = before.endpoint.service_settings
        if service.api_key_env is not None:
            elsewhere = f"is that of the variable {service.api_key_env}: change it there"
            raise SettingsError(("api_key", elsewhere))
        if key is None:
            raise SettingsError(("api_key", "is required"))
        service = service.model_copy(update={"api_key": key})
        return before, before.endpoint.model_copy(update={"service_settings": service})

    def delete(self, *, inference_id: str) -> None:
        """Delete an endpoint and its key. Which model it had is remembered, see `put`.

        Raises:
            UnknownEndpointError: There is none of this name. Also a ``KeyError``.
        """
        self._store.remove(inference_id)

    def __getitem__(self, inference_id: str) -> InferenceEndpoint:
        return self._store.with_key(inference_id)

    def __contains__(self, inference_id: object) -> bool:
        return inference_id in self._store

    def __iter__(self) -> Iterator[str]:
        return iter(self._store.ids())

    def __len__(self) -> int:
        return len(self._store)

    def keys(self) -> list[str]:
        """The names, in order: those of one moment."""
        return self._store.ids()

    def close(self) -> None:
        """Close the file. What is in memory is gone. May be repeated; other use is an error."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"InferenceEndpoints({'' if self._path is None else repr(self._path)})"


@contextmanager
def _refusing(endpoint: InferenceEndpoint, outcome: str) -> Iterator[None]:
    """Say of a failing call what the endpoint is, or is not, for its sake."""
    try:
        yield
    except SettingsError:
        raise
    except HFEndpointError as cause:
        raise EndpointValidationError(
            f"Inference endpoint [{endpoint.inference_id}] {outcome}, since its first call "
            f"failed: {cause.problem}",
            advice=cause.advice,
            host=cause.host,
            attempts=cause.attempts,
            status=cause.status,
        ) from cause
