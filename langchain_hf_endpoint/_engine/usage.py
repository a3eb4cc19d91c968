"""Count what calls cost: texts, requests, tokens, waits, money."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, fields
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint._engine.actions import Progress, WaitReason
from langchain_hf_endpoint._engine.attempts import PROXY_HOLD
from langchain_hf_endpoint._messages import Response
from langchain_hf_endpoint._protocols import tokens_reported
from langchain_hf_endpoint.chunking.tokenizer_file import counter_of_file
from langchain_hf_endpoint.errors import HFEndpointError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_hf_endpoint._engine.actions import SendRequest
    from langchain_hf_endpoint._messages import Cause, Failure, Request

CURRENT: ContextVar[tuple[EmbeddingUsage, ...]] = ContextVar("hf_endpoint_usage", default=())
"""Who is told of the calls that begin here, the outermost first."""

_SUCCESSES = range(200, 300)
WAITS = {
    WaitReason.LIMITER: "limiter_wait_seconds",
    WaitReason.COLD_START: "cold_start_wait_seconds",
}


@contextmanager
def get_embedding_usage(
    *, price_per_million_tokens: float | None = None, price_per_hour: float | None = None
) -> Iterator[EmbeddingUsage]:
    """Count what the calls that begin in a ``with`` block cost.

    A stream begins when its first chunk is asked for. Of blocks within each other, all count. A
    block is of its context: tasks that are created in it are counted, and so are threads that run
    in a copy of the context (`asyncio.to_thread`, `contextvars.copy_context`).

    Example:
        ```python
        with get_embedding_usage(price_per_hour=0.8) as usage:
            embeddings.embed_documents(texts)
        print(usage.tokens, usage.requests, usage.cost)
        ```

    Args:
        price_per_million_tokens: What a million tokens cost, in any currency.
        price_per_hour: What the endpoint costs an hour, for the time that the calls take.

    Yields:
        The figures so far. They go on while calls do that began in the block.

    Raises:
        SettingsError: A price is none.
    """
    usage = EmbeddingUsage(price_per_million_tokens, price_per_hour)
    token = CURRENT.set((*CURRENT.get(), usage))
    try:
        yield usage
    finally:
        CURRENT.reset(token)


@dataclass(slots=True, eq=False)
class EmbeddingUsage(Progress):
    """What calls have cost so far. Seconds are the clock's: those of several at once count once.

    Attributes:
        price_per_million_tokens: As it was given.
        price_per_hour: As it was given.
        texts: Texts that were taken, queries included.
        chunks: Chunks that they were cut into.
        repeats_saved: Chunks that were not sent because an equal one was.
        cache_hits: Inputs that were not sent because a cache had their vectors.
        inputs_sent: Inputs of all requests; those that were sent again count again.
        requests: Requests that were sent, retries and those for information included.
        retries: Pauses after a failure, before another try, by cause.
        limiter_wait_seconds: For how long a request waited for the rate limit.
        cold_start_wait_seconds: For how long one waited for the endpoint to start.
        retry_wait_seconds: For how long one waited for another try, for any other reason.
        clock: In seconds.
    """

    price_per_million_tokens: float | None = None
    price_per_hour: float | None = None
    texts: int = 0
    chunks: int = 0
    repeats_saved: int = 0
    cache_hits: int = 0
    inputs_sent: int = 0
    requests: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    limiter_wait_seconds: float = 0.0
    cold_start_wait_seconds: float = 0.0
    retry_wait_seconds: float = 0.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _done: int = field(default=0, repr=False)
    _tokens: int = field(default=0, repr=False)
    _counted: int = field(default=0, repr=False)
    _unknown: int = field(default=0, repr=False)
    _seconds: float = field(default=0.0, repr=False)
    _running: int = field(default=0, repr=False)
    _since: float = field(default=0.0, repr=False)
    _counted_to: dict[str, float] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no price now, not when the cost is asked for."""
        for name in ("price_per_million_tokens", "price_per_hour"):
            price: object = getattr(self, name)
            if price is not None and not is_price(price):
                raise SettingsError((name, f"must be a number, 0 or more, not {price!r}"))

    @property
    def tokens(self) -> int | None:
        """The tokens of all answers, as servers count them, else by the settings' tokenizer.

        None where an answer does not say, and there is no tokenizer.
        """
        return None if self._unknown else self._tokens

    @property
    def tokens_counted(self) -> int:
        """How many of the tokens the tokenizer has counted, what a server cuts included."""
        return self._counted

    @property
    def seconds(self) -> float:
        """For how long a call was under way."""
        with self._lock:
            return self._seconds + (self.clock() - self._since if self._running else 0.0)

    @property
    def cost(self) -> float | None:
        """By the prices that were given; None for none, or where the tokens are not known."""
        return self.cost_of(self.tokens, self.seconds)

    def cost_of(self, tokens: int | None, seconds: float) -> float | None:
        """What so many tokens and so much time cost."""
        by_tokens, by_time = self.price_per_million_tokens, self.price_per_hour
        if (by_tokens is None and by_time is None) or (by_tokens is not None and tokens is None):
            return None
        return (by_tokens or 0) * (tokens or 0) / 1e6 + (by_time or 0) * seconds / 3600

    def figures(self) -> dict[str, float]:
        """All of them by name but for the prices, and for what is not known; retries in one."""
        numbers = [one.name for one in fields(self) if one.type in ("int", "float")]
        names = [name for name in numbers if not name.startswith("_")]
        names += ["tokens", "tokens_counted", "seconds", "cost"]
        figures = {name: getattr(self, name) for name in names}
        figures["retries"] = self.retries.total()
        return {name: value for name, value in figures.items() if value is not None}

    def __reduce__(self) -> tuple[Callable[[], EmbeddingUsage], tuple[()]]:
        """Copies and pickles have the figures so far, and follow no call."""
        with self._lock:
            kept = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("_lock", "_running", "_since", "_counted_to"):
            del kept[name]
        kept |= {"retries": Counter(self.retries), "_seconds": self.seconds}
        return partial(type(self), **kept), ()

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            if not self._running:
                self._since = self.clock()
            self._running += 1

    def planned(self, inputs: int, texts: int = 0, chunks: int = 0) -> None:
        with self._lock:
            self.texts += texts
            self.chunks += chunks
            self.repeats_saved += chunks - inputs

    def cached(self, inputs: int) -> None:
        with self._lock:
            self.cache_hits += inputs
        self.done(inputs)

    def done(self, inputs: int) -> None:
        with self._lock:
            self._done += inputs

    def waits(self, why: WaitReason, seconds: float, cause: Cause | None = None) -> None:
        now = self.clock()
        with self._lock:
            if cause is not None:
                self.retries[cause.value] += 1
            self._add_wait(WAITS.get(why, "retry_wait_seconds"), now, now + seconds)

    def exchanged(
        self, action: SendRequest, reply: Response | Failure | None, seconds: float
    ) -> None:
        tokens: int | None = 0
        counted = 0
        if action.inputs and isinstance(reply, Response) and reply.status in _SUCCESSES:
            tokens = tokens_reported(reply)
            if tokens is None and action.tokenizer is not None:
                with suppress(HFEndpointError):  # it cannot be used
                    tokens = counted = _counted(action.request, action.tokenizer)
        now = self.clock()
        with self._lock:
            self.requests += 1
            self.inputs_sent += action.inputs
            self._tokens += tokens or 0
            self._counted += counted
            self._unknown += tokens is None
            if PROXY_HOLD in action.request.headers:
                self._add_wait(WAITS[WaitReason.COLD_START], now - seconds, now)

    def close(self, error: BaseException | None = None) -> None:  # noqa: ARG002 - the base's
        now = self.clock()
        with self._lock:
            self._running -= 1
            if not self._running:
                self._seconds += now - self._since
                for name, until in self._counted_to.items():
                    if until > now:  # a wait was cut short
                        setattr(self, name, getattr(self, name) + now - until)
                self._counted_to.clear()

    def _add_wait(self, name: str, begin: float, end: float) -> None:
        until = self._counted_to.get(name, begin)
        setattr(self, name, getattr(self, name) + max(0.0, end - max(begin, until)))
        self._counted_to[name] = max(until, end)


def is_price(given: object) -> bool:
    """Whether costs can be told from it."""
    if isinstance(given, bool) or not isinstance(given, Real):
        return False
    try:
        return 0 <= float(given) < float("inf")
    except OverflowError:
        return False


def _counted(request: Request, tokenizer: str) -> int:
    """The tokens of the inputs of a request."""
    content = orjson.loads(request.body)
    texts = content.get("inputs") or content.get("input")
    counter = counter_of_file(tokenizer)
    return sum(counter.of_texts(texts)) + counter.marks * len(texts)
