"""Those that embed texts, each as a function from a URL and texts to vectors.

A client builds its object, connects and embeds anew at every call, as a script does. Each is
imported only in the child process that measures it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_hf_endpoint.settings import TransportName

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Embed = Callable[[str, list[str]], Sequence[Sequence[float]]]

Form = Literal["lists", "arrays"]
Mode = Literal["sync", "async"]
Wire = Literal["json", "base64"]
Kind = Literal["bare", "peer, defaults", "peer, best settings", "ours"]

DEFAULT = "httpx"
"""The library that sends where nothing is said."""
FAST = next(name for name in get_args(TransportName) if name not in {"auto", DEFAULT})
"""The library of the extra [fast]: that which `service_settings.transport` names."""


_SERIAL, _SLOW = 1_600, 16_000  # texts in a second or two


@dataclass(frozen=True)
class Client:
    """One way to embed.

    Attributes:
        name: As the tables call it.
        kind: Whose it is, and how it is set.
        module: Where its function is, by the name `function`.
        options: Further arguments of the function.
        library: What sends its requests, where that is ours to choose.
        form: Python lists of floats, or numpy arrays.
        mode: ``sync`` or ``async``.
        wire: How the vectors travel: ``json`` numbers or ``base64``.
        most: It gets no more texts than so many, where it is slow: its rate does not depend on
            their number.
        is_encrypted: Whether it is measured over TLS as well.
        is_python: Whether all of it is: what a Rust client costs is another matter.
    """

    name: str
    kind: Kind
    module: str
    function: str
    options: dict[str, Any] = field(default_factory=dict)
    library: str = ""
    form: Form = "lists"
    mode: Mode = "async"
    wire: Wire = "json"
    most: int = 32_000
    is_encrypted: bool = False
    is_python: bool = True

    @property
    def is_slow(self) -> bool:
        """Whether it takes a second or more for a few batches."""
        return self.most <= _SERIAL

    def load(self) -> Embed:
        """Import its function."""
        function = getattr(import_module(f"benchmarks.clients.{self.module}"), self.function)
        return partial(function, **self.options)


def _bare(  # noqa: PLR0913 - what they differ in
    library: str,
    at_once: int,
    form: Form,
    wire: Wire = "base64",
    mode: Mode = "async",
    *,
    is_encrypted: bool = False,
) -> Client:
    words = f"{at_once} {'threads' if mode == 'sync' else 'at once'}"
    name = f"{library}, {words}, {form}" + (" of JSON" if wire == "json" else "")
    given = {"library": library, "mode": mode, "form": form, "wire": wire}
    options = {**given, "at_once": at_once}
    return Client(
        name,
        "bare",
        "bare",
        "embed",
        options,
        **given,
        is_encrypted=is_encrypted,
        most=_SLOW if library == DEFAULT else Client.most,
    )


def _own(
    mode: Mode, form: Form, library: str = DEFAULT, wire: Wire = "base64", *, limited: bool = False
) -> Client:
    given = {"library": library, "mode": mode, "form": form, "wire": wire}
    marks = {
        "fast": library == FAST,
        "arrays": form == "arrays",
        "JSON": wire == "json",
        "as it comes": limited,
    }
    name = ", ".join(["ours", mode, *(mark for mark, holds in marks.items() if holds)])
    return Client(
        name,
        "ours",
        "ours",
        "embed",
        {**given, "is_limited": limited},
        **given,
        is_encrypted=form == "arrays",
        most=6_400 if limited else Client.most,
    )


def _best(name: str, function: str, **fields: Any) -> Client:
    return Client(name, "peer, best settings", "peers", function, **fields)


def _defaults(name: str, function: str, **fields: Any) -> Client:
    return Client(name, "peer, defaults", "peers", function, **fields)


_BASETEN: dict[str, Any] = {"mode": "sync", "wire": "base64", "is_python": False}
LIMITED = _own("async", "lists", limited=True)
"""With the limit of requests per minute that is the default."""

CLIENTS = (
    _bare("aiohttp", 64, "lists", "json"),
    _bare("aiohttp", 64, "lists"),
    _bare("aiohttp", 64, "arrays", is_encrypted=True),
    _bare("httpx", 16, "lists"),
    _bare("httpx", 16, "arrays", is_encrypted=True),
    _bare("httpx", 32, "arrays", mode="sync"),
    _bare("pyqwest", 64, "lists"),
    _bare("pyqwest", 64, "arrays", is_encrypted=True),
    _bare("pyqwest", 64, "arrays", mode="sync", is_encrypted=True),
    _defaults("baseten-performance-client", "baseten_lists", **_BASETEN),
    _defaults("baseten-performance-client, arrays", "baseten_arrays", form="arrays", **_BASETEN),
    _best(
        "baseten-performance-client, batches of 32, 64 at once", "baseten_best_lists", **_BASETEN
    ),
    _best(
        "baseten-performance-client, batches of 32, 64 at once, arrays",
        "baseten_best_arrays",
        form="arrays",
        is_encrypted=True,
        **_BASETEN,
    ),
    _defaults("langchain-openai", "openai_defaults", mode="sync", most=_SERIAL),
    _best(
        "langchain-openai, batches of 32, no tokens",
        "openai_best",
        mode="sync",
        wire="base64",
        most=_SERIAL,
    ),
    _best(
        "langchain-openai async, batches of 32, no tokens",
        "openai_async",
        wire="base64",
        most=_SERIAL,
    ),
    _defaults("llama-index TEI", "llama_defaults", mode="sync", most=320),
    _defaults("llama-index TEI async", "llama_async", most=320),
    _best("llama-index TEI async, batches of 32, 16 workers", "llama_best", most=_SERIAL),
    _defaults("haystack", "haystack_defaults", mode="sync", most=_SERIAL),
    _defaults("haystack async", "haystack_async", most=6_400),
    _best("haystack async, 64 at once", "haystack_best", most=9_600),
    _best("huggingface_hub, gather by hand, 64 at once", "hub_gather", form="arrays", most=9_600),
    _defaults("openai", "openai_package", mode="sync", wire="base64"),
    _best("openai, gather by hand, 64 at once", "openai_package_gather", wire="base64", most=9_600),
    _defaults("LiteLLM", "litellm", mode="sync"),
    _best("LiteLLM, gather by hand, 64 at once", "litellm_gather", most=_SERIAL),
    _defaults("pydantic-ai Embedder", "pydantic_ai", mode="sync"),
    _best("pydantic-ai Embedder, gather by hand, 64 at once", "pydantic_ai_gather", most=9_600),
    _own("sync", "lists"),
    _own("async", "lists"),
    _own("async", "lists", wire="json"),
    _own("sync", "arrays"),
    _own("async", "arrays"),
    _own("sync", "lists", FAST),
    _own("async", "lists", FAST),
    _own("sync", "arrays", FAST),
    _own("async", "arrays", FAST),
    LIMITED,
)
"""In the order of the tables."""


def client(name: str) -> Client:
    """The client of this name."""
    return next(one for one in CLIENTS if one.name == name)
