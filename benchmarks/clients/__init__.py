"""Those that embed texts, each as a function from a URL and texts to vectors.

A client builds its object, connects and embeds anew at every call, as a script does. Each is
imported only in the child process that measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Embed = Callable[[str, list[str]], Sequence[Sequence[float]]]

Form = Literal["lists", "arrays"]
Kind = Literal["bare", "peer, defaults", "peer, best settings", "ours"]


@dataclass(frozen=True)
class Client:
    """One way to embed.

    Attributes:
        name: As the tables call it.
        kind: Whose it is, and how it is set.
        form: Python lists of floats, or numpy arrays.
        mode: ``sync`` or ``async``.
        wire: How the vectors travel: ``json`` numbers or ``base64``.
        module: Where its function is, by the name `function`.
        part: Of the texts it gets only so many, where it is slow: its rate does not depend on their
            number.
    """

    name: str
    kind: Kind
    module: str
    function: str
    form: Form = "lists"
    mode: Literal["sync", "async"] = "async"
    wire: Literal["json", "base64"] = "json"
    part: float = 1.0

    def load(self) -> Embed:
        """Import its function."""
        embed: Embed = getattr(import_module(f"benchmarks.clients.{self.module}"), self.function)
        return embed


_DEFAULTS: Kind = "peer, defaults"
_BEST: Kind = "peer, best settings"

CLIENTS = (
    Client("aiohttp, 16 at once", "bare", "bare", "aiohttp_lists"),
    Client("aiohttp, 16 at once, base64", "bare", "bare", "aiohttp_base64", wire="base64"),
    Client("aiohttp, 16 at once, arrays", "bare", "bare", "aiohttp_arrays", "arrays"),
    Client(
        "aiohttp, 16 at once, base64, arrays",
        "bare",
        "bare",
        "aiohttp_base64_arrays",
        "arrays",
        wire="base64",
    ),
    Client("httpx, 8 at once", "bare", "bare", "httpx_lists"),
    Client("httpx, 8 threads", "bare", "bare", "httpx_threads", mode="sync"),
    Client("langchain-openai", _DEFAULTS, "peers", "openai_defaults", mode="sync", part=0.1),
    Client(
        "langchain-openai, batches of 32, no tokens",
        _BEST,
        "peers",
        "openai_best",
        mode="sync",
        wire="base64",
        part=0.1,
    ),
    Client(
        "langchain-openai async, batches of 32, no tokens",
        _BEST,
        "peers",
        "openai_async",
        wire="base64",
        part=0.1,
    ),
    Client("llama-index TEI", _DEFAULTS, "peers", "llama_defaults", mode="sync", part=0.1),
    Client("llama-index TEI async", _DEFAULTS, "peers", "llama_async", part=0.1),
    Client(
        "llama-index TEI async, batches of 32, 16 workers", _BEST, "peers", "llama_best", part=0.2
    ),
    Client("haystack", _DEFAULTS, "peers", "haystack_defaults", mode="sync", part=0.1),
    Client("haystack async", _DEFAULTS, "peers", "haystack_async"),
    Client("haystack async, 64 at once", _BEST, "peers", "haystack_best"),
    Client("huggingface_hub, gather by hand, 64 at once", _BEST, "peers", "hub_gather", "arrays"),
    Client("ours, sync", "ours", "ours", "documents", mode="sync"),
    Client("ours, async", "ours", "ours", "adocuments"),
    Client("ours, async, base64", "ours", "ours", "adocuments_base64", wire="base64"),
    Client("ours, async, fast", "ours", "ours", "fast_documents"),
    Client("ours, async, fast, base64", "ours", "ours", "fast_documents_base64", wire="base64"),
    Client("ours, sync, arrays", "ours", "ours", "array", "arrays", "sync"),
    Client("ours, async, arrays", "ours", "ours", "aarray", "arrays"),
    Client("ours, async, base64, arrays", "ours", "ours", "aarray_base64", "arrays", wire="base64"),
    Client("ours, async, fast, arrays", "ours", "ours", "fast_array", "arrays"),
    Client(
        "ours, async, fast, base64, arrays",
        "ours",
        "ours",
        "fast_array_base64",
        "arrays",
        wire="base64",
    ),
)
"""In the order of the tables."""


def client(name: str) -> Client:
    """The client of this name."""
    return next(one for one in CLIENTS if one.name == name)
