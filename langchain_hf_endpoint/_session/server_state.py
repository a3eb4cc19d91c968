"""What this process has found out about one server: its protocol, limits and dimensions."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._messages import Parity, ServerInfo
    from langchain_hf_endpoint._protocols import Route, ServedModels
    from langchain_hf_endpoint._session.fingerprint import ModelFingerprint
    from langchain_hf_endpoint.chunking.tokens import TokenBound, TokenCounter
    from langchain_hf_endpoint.errors import HFEndpointError

DEFAULT_BATCH_SIZE = 32
"""TEI's own default for `max_client_batch_size`, and what we take where a server says nothing."""

_DEFAULT_BODY_BYTES = 1_900_000
"""A little below TEI's default `payload_limit` of 2,000,000 bytes."""


_LESS, _MARGIN = 0.75, 0.95


@dataclass(frozen=True, slots=True)
class RequestStyle:
    """How a server wants to be asked, as far as its refusals have told."""

    base64: bool = True  # whether an OpenAI-style server may be asked for base64
    # Whether it was asked for digits, in case that it refuses base64 unsaid.
    has_tried_digits: bool = False
    # Whether a server that answers with digits may be asked for base64 elsewhere.
    base64_route: bool = True
    # Where vLLM is asked to cut an input, None as long as it need not be.
    truncate_tokens: int | None = None


class Restriction(IntEnum):
    """How texts are sent to a server that answers some of them wrongly; the greater is stricter."""

    NONE = 0
    ONE_A_REQUEST = 1
    ONE_AT_A_TIME = 2
    NOTHING = 3


@dataclass(slots=True)
class ServerState:
    """Facts about the server behind one URL."""

    route: Route | None = None  # the dialect and URL that answered, None before the first answer
    info: ServerInfo | None = None  # what the server says of itself, None where it says nothing
    asked_for_info: bool = False  # whether it was asked
    is_tei: bool = False  # whether a reply had TEI's own headers
    in_vain: int = 0  # how often it was asked after such a reply and had no time to answer
    # What asking it ended with the last time that it was in vain.
    failed_to_say: HFEndpointError | None = None
    model: str | None = None  # the name that an OpenAI-style server insists on
    # What an OpenAI-style server says of its models, None before it was asked.
    served: ServedModels | None = None
    style: RequestStyle = RequestStyle()  # how it wants to be asked
    is_waking: bool = False  # whether its last reply said that it is starting
    e5_logged: bool = False  # whether it was logged that E5's prompts are in use
    norm_checked: bool = False  # whether it was looked at whether its vectors have length 1
    # Counts the tokens of words; None before that was asked of it.
    tokens: TokenCounter | None = None
    # How many tokens a chunk may have, by what that depends on beside the server.
    token_bounds: dict[tuple[object, ...], TokenBound | None] = field(default_factory=dict)
    latency_seconds: float = 0.0  # how long the last good reply took
    answers: int = 0  # the number of the request that was begun last of those that it has answered
    begun: int = 0  # how many requests with inputs were begun
    # A short input, as JSON, that it has answered: whether it still does shows that it works.
    sample: bytes | None = None
    # Whether a text's vector depends on what it is sent with, None before that was asked.
    parity: Parity | None = None
    restriction: Restriction = Restriction.NONE  # how texts are sent, since it does
    # How many failures came after which another server, with another model, may answer.
    doubts: int = 0
    # The place of the route that has answered others, None where nobody said.
    likeliest: int | None = None
    # What those who share the limiter were told, or said, None before they were asked.
    told: dict[str, int] | None = None
    body_bytes: int = _DEFAULT_BODY_BYTES  # how many a request may have
    _fingerprints: dict[int | None, tuple[ModelFingerprint, int]] = field(default_factory=dict)
    _verified: dict[int | None, tuple[ModelFingerprint, int]] = field(default_factory=dict)
    _too_slow_for: int | None = None
    _doubted_at: int = 0
    _batch_size: int | None = None
    _dimensions: dict[int | None, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def has_worked(self) -> bool:
        """Whether the server ever gave a right answer."""
        return bool(self._dimensions)

    @property
    def max_input_tokens(self) -> int | None:
        """How many tokens the model reads of an input, as far as the server has said so."""
        told = self.info.max_input_tokens if self.info else None
        return told or (self.served.context_length if self.served else None)

    def batch_size(self, wanted: int | None) -> int:
        """How many inputs a request may have, where the settings want `wanted`."""
        if self.restriction:
            return 1
        stated = self.info.max_batch_size if self.info else None
        at_once = self.info.max_concurrent_inputs if self.info else None
        bounds = [wanted or stated or DEFAULT_BATCH_SIZE, stated, at_once, self._batch_size]
        return max(1, min(filter(None, bounds)))

    @property
    def learned(self) -> tuple[int | None, int | None]:
        """Inputs and bytes that a request may have, as far as refusals have told."""
        body = self.body_bytes
        return self._batch_size, body if body < _DEFAULT_BODY_BYTES else None

    def hint(self, inputs: int | None, size: int | None) -> None:
        """Begin with what refusals have told others."""
        with self._lock:
            self._batch_size = min(filter(None, (inputs, self._batch_size)), default=None)
            self.body_bytes = min(size or self.body_bytes, self.body_bytes)

    def refused_batch(self, inputs: int, stated: int | None) -> None:
        """Remember that a batch of so many inputs was too large."""
        with self._lock:
            smaller = stated if stated and stated < inputs else max(1, inputs // 2)
            self._batch_size = min(smaller, self._batch_size or smaller)

    def begin(self) -> int:
        """The number of a request that is begun."""
        with self._lock:
            self.begun += 1
            return self.begun

    def answered(self, inputs: Sequence[bytes], number: int) -> None:
        """Note a right answer to these inputs, to the request of this number."""
        with self._lock:
            self.answers = max(self.answers, number)
            if self.sample is None or len(inputs[-1]) < len(self.sample):
                self.sample = inputs[-1]
            if self._too_slow_for is not None and len(inputs) >= self._too_slow_for:
                self._too_slow_for = None

    def worked_in_parts(self, inputs: int, *, is_sure: bool) -> None:
        """Remember that a batch failed as a whole, as for lack of time, and then in parts did not.

        Args:
            inputs: How many it had.
            is_sure: Whether it was for lack of time. Else it may have been chance: it counts when
                a batch of that size fails again before one has worked.
        """
        if is_sure:
            self.refused_batch(inputs, None)
            return
        with self._lock:
            self._too_slow_for = min(inputs, self._too_slow_for or inputs)
            self._doubted_at = self.begun

    def failed_again(self, inputs: int, since: int) -> None:
        """A batch of so many inputs failed, as it may for lack of time.

        Args:
            inputs: How many it has.
            since: How many requests were begun when it first failed. What failed in the same
                outage as the batch that raised the doubt does not confirm it.
        """
        is_new = since > self._doubted_at
        if is_new and self._too_slow_for is not None and inputs >= self._too_slow_for:
            self.refused_batch(self._too_slow_for, None)

    def refused_body(self, size: int) -> None:
        """Remember that a request of so many bytes was too large."""
        with self._lock:
            self.body_bytes = max(1, min(self.body_bytes, size // 2))

    def refused_tokens(self, size: int, share: float | None) -> None:
        """Remember that the tokens of so many bytes were too many for one request.

        Args:
            size: Bytes of the inputs.
            share: Which part of them the server takes, where it said so: texts of the next batch
                may have more tokens for their bytes. Else less is tried step by step.
        """
        with self._lock:
            smaller = int(size * (_LESS if share is None else share * _MARGIN))
            self.body_bytes = max(1, min(self.body_bytes, smaller))

    def doubt(self) -> None:
        """Note a failure after which another server may answer, with another model."""
        with self._lock:
            if self._fingerprints:  # else nobody relies on what came before
                self.doubts += 1

    def fingerprint(self, asked: int | None, texts: int = 1) -> ModelFingerprint | None:
        """The model's, where `asked` dimensions are asked for; None: not known, or doubted.

        Args:
            asked: Those dimensions; None: the model's.
            texts: Of how many it must be at least: `describe` has the vector of one.
        """
        found, doubts = self._fingerprints.get(asked, (None, 0))
        is_enough = found is not None and len(found.rows) >= texts
        return found if is_enough and doubts == self.doubts else None

    def keep_fingerprint(self, asked: int | None, found: ModelFingerprint, doubts: int) -> None:
        """Note a fingerprint that was asked for when there were so many doubts."""
        with self._lock:
            kept, _ = self._fingerprints.get(asked, (found, 0))
            if not kept.matches(found):
                self._verified.clear()
            elif len(kept.rows) > len(found.rows):
                found = kept
            self._fingerprints[asked] = (found, doubts)

    def verified(
        self, asked: int | None, expected: ModelFingerprint, found: ModelFingerprint
    ) -> None:
        """Note that a fingerprint is as it is expected to be."""
        with self._lock:
            kept, doubts = self._fingerprints[asked]
            if kept is found:
                self._verified[asked] = (expected, doubts)

    def is_verified(self, asked: int | None, expected: ModelFingerprint) -> bool:
        """Whether the model was seen to be the one expected, and there are no doubts since."""
        return self._verified.get(asked) == (expected, self.doubts)

    def dimensions(self, asked: int | None) -> int | None:
        """The width of the vectors where `asked` dimensions are asked for (None: the model's)."""
        return self._dimensions.get(asked)

    def problem_with_dimensions(self, asked: int | None, width: int) -> str | None:
        """Hold a reply's width against what was asked for and what came before."""
        if asked is not None and width != asked:
            return (
                f"{asked} dimensions were asked for and {width} came: "
                "the server or its model does not shorten vectors"
            )
        with self._lock:
            before = self._dimensions.setdefault(asked, width)
        if width != before:
            return (
                f"the vectors have {width} dimensions, those before had {before}: the endpoint "
                "serves another model now, whose vectors cannot stand beside the old ones; start "
                "anew with a new process"
            )
        return None
