"""What a double can be told to be. Plain data, the same for the child process and its owner."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Settings:
    """A TEI server's options, and how the double pretends to work.

    Attributes:
        version: TEI version whose statuses and words are spoken: "1.2.3", "1.8.3", "1.9.3"...
        auto_truncate: The server's default for `truncate`; None: that of the version.
        prompts: The model's prompts by name; None: it has none.
        default_prompt: Put before an input when the request names no prompt.
        seconds_per_batch: Service time of a request, plus `seconds_per_input` for each input.
        batches_at_once: Requests served at the same time; the others queue.
        null_marker: A text that holds it gets a row of nulls. Empty: no text does.
        reject_marker: A text that holds it is refused with 422 Tokenizer, as the whole batch.
        log_texts: Keep the inputs of every request in the log.
        proxy: Put Hugging Face's proxy in front.
        cold_start_seconds: Behind the proxy: asleep, and ready that long after the first
            authorised request. None: awake.
        paused: Behind the proxy: paused by its owner.
    """

    version: str = "1.9.3"
    model_id: str = "double/expected-vectors"
    dimensions: int = 384
    max_concurrent_requests: int = 512
    max_client_batch_size: int = 32
    max_input_length: int = 512
    payload_limit: int = 2_000_000
    auto_truncate: bool | None = None
    api_key: str = ""
    prompts: dict[str, str] | None = None
    default_prompt: str = ""
    seconds_per_batch: float = 0.0
    seconds_per_input: float = 0.0
    batches_at_once: int = 64
    null_marker: str = ""
    reject_marker: str = ""
    log_texts: bool = False
    proxy: bool = False
    cold_start_seconds: float | None = None
    paused: bool = False

    @cached_property
    def release(self) -> tuple[int, ...]:
        """The version as numbers: 1.8.3 -> (1, 8, 3)."""
        return tuple(int(part) for part in self.version.split("."))

    @cached_property
    def truncates(self) -> bool:
        """What an absent `truncate` means: false up to 1.8, true from 1.9."""
        return self.release >= (1, 9) if self.auto_truncate is None else self.auto_truncate

    @cached_property
    def info(self) -> dict[str, object]:
        """The answer to GET /info."""
        named = {"served_model_name": self.model_id} if self.release >= (1, 9) else {}
        return {
            "model_id": "/repository" if self.proxy else self.model_id,
            "model_sha": None,
            "model_dtype": "float16",
            **named,
            "model_type": {"embedding": {"pooling": "mean"}},
            "max_concurrent_requests": self.max_concurrent_requests,
            "max_input_length": self.max_input_length,
            "max_batch_tokens": 16384,
            "max_batch_requests": None,
            "max_client_batch_size": self.max_client_batch_size,
            "auto_truncate": self.truncates,
            "tokenization_workers": 2,
            "version": self.version,
            "sha": None,
            "docker_label": None,
        }


@dataclass(frozen=True)
class Scripted:
    """A reply that the double gives instead of, or made from, its own.

    With neither `status` nor `reset` nor `hang`, the genuine reply is given (after `delay`, and
    changed as `change` says).

    Attributes:
        status: Answer with this status, `headers` and `body` at once.
        body: Text or bytes go out as they are, anything else as JSON.
        delay: Seconds before whatever happens.
        reset: Reset the connection instead of answering.
        hang: Never answer; ends when the client leaves.
        cut: Send only so many bytes of the body, then reset the connection.
        change: One of `changes.CHANGES`, made to the genuine reply.
        times: For how many requests it holds.
        path: Only for requests to this path. Empty: any POST.
        containing: Only for requests whose body contains this text.
    """

    status: int | None = None
    body: object = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    reset: bool = False
    hang: bool = False
    cut: int | None = None
    change: str = ""
    times: int = 1
    path: str = ""
    containing: str = ""


@dataclass(slots=True)
class Entry:
    """One request in the arrival log; filled in as it goes on.

    Attributes:
        time: Arrival, wall clock (`time.time`); `monotonic`: the same on `time.monotonic`, which
            on Linux all processes share.
        headers: The request's headers, names in lower case; the last of each name.
        inputs: Texts in it; 0 where it holds none or was not read so far.
        texts: The inputs, where `log_texts` is on.
        in_flight: Requests being answered on its arrival, itself included.
        inputs_in_flight: Inputs that held permits when its own were read.
        status: Its answer; 0 while unanswered or for a connection reset.
        finished: When it was answered (monotonic).
    """

    method: str
    path: str
    time: float
    monotonic: float
    headers: dict[str, str]
    bytes: int = 0
    inputs: int = 0
    texts: list[str] = field(default_factory=list)
    in_flight: int = 0
    inputs_in_flight: int = 0
    status: int = 0
    finished: float = 0.0
