"""Faults that a request meets instead of a right answer, each made by a function of its name.

::

    server.script(faults.rate_limited(retry_after=2), faults.reset("body"), None)
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import chain
from typing import TYPE_CHECKING, Literal, TypeAlias

from langchain_hf_endpoint._protocols import tei_server
from langchain_hf_endpoint._protocols.tei_server import TEXT, RefusedError
from langchain_hf_endpoint.testing import messages
from langchain_hf_endpoint.testing.corruptions import CHANGES
from langchain_hf_endpoint.testing.messages import Reply, json_reply, proxy_refusal, refusal
from langchain_hf_endpoint.testing.vectors import expected_vector, similar_vector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from langchain_hf_endpoint._protocols.tei_server import Release

    Rows: TypeAlias = list[NDArray[np.float32]]

Where: TypeAlias = Literal["before", "head", "body", "after"]
"""Before the answer, in the middle of its head or of its body, after all of it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as a fault or a plan sees it.

    Attributes:
        method: ``POST``, or ``GET`` for ``/info``.
        path: Its path.
        texts: What it asks to embed.
        release: The version of TEI that is spoken, (1, 9, 3).
        in_flight: The texts of the other requests that are being answered.
    """

    method: str
    path: str
    texts: tuple[str, ...]
    release: Release
    in_flight: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Fault:
    """What happens to one request instead of a right answer.

    The functions of this module make the usual ones. Anything else can be put together here:
    ``Fault("teapot", answer=Reply(418, b"short and stout"))``.

    Attributes:
        kind: Its name, by which the log and the counts know it.
        answer: Answered in the place of vectors, without looking at the request. Else the answer
            is the right one, with the changes that follow.
        change: One of `CHANGES`, made to the right answer.
        headers: Further headers of the answer.
        content_type: In the place of ``application/json``.
        delay: Seconds before the answer begins.
        cut: Where the answer ends too early (``after``: where it ends).
        then: What follows there: the connection is reset, closed, or left silent.
        drip: Seconds for each of `pieces` in which the answer is sent.
        pieces: Into how many a dripping answer is cut.
        size: The body is made as long as this many bytes, of numbers that nobody asked for.
        lasts: For so many seconds from the first such answer, every request gets it.
        vectors: Makes vectors of so many dimensions in the place of the right ones.
    """

    kind: str
    answer: Reply | Callable[[Asked], Reply] | None = None
    change: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    delay: float = 0.0
    cut: Where | None = None
    then: Literal["reset", "close", "hang"] = "reset"
    drip: float = 0.0
    pieces: int = 100
    size: int = 0
    lasts: float = 0.0
    vectors: Callable[[Asked, int], Sequence[NDArray[np.float32]]] | None = None

    def __post_init__(self) -> None:
        """Refuse a change that there is not.

        Raises:
            ValueError: Names the ones that there are.
        """
        if self.change and self.change not in CHANGES:
            raise ValueError(f"change must be one of {', '.join(CHANGES)}; not {self.change!r}")

    def __repr__(self) -> str:
        told = [
            f", {each.name}={getattr(self, each.name)!r}"
            for each in fields(self)
            if each.name not in ("kind", "answer", "vectors")
            and getattr(self, each.name) != each.default
            and getattr(self, each.name) != {}
        ]
        return f"<Fault {self.kind}{''.join(told)}>"

    def answer_to(self, asked: Asked) -> Reply | None:
        """The answer in the place of vectors, if there is one."""
        return self.answer(asked) if callable(self.answer) else self.answer


# Refusals that pass


def rate_limited(retry_after: float | datetime | str | None = None) -> Fault:
    """429, in TEI's words.

    Args:
        retry_after: Seconds, a moment (sent as an HTTP date), or any text, however absurd. None:
            no such header, as with TEI itself.
    """
    refused = _refused(lambda _: tei_server.overloaded())
    return Fault("rate_limited", answer=refused, headers=_retry_after(retry_after))


def cold_start(seconds: float = 0.0, retry_after: float | datetime | str | None = None) -> Fault:
    """503 of Hugging Face's proxy while the endpoint wakes up.

    Args:
        seconds: How long every request gets it. 0: this one alone.
        retry_after: As in `rate_limited`; the proxy sends none.
    """
    reply = proxy_refusal(503, "503 Service Unavailable", "SERVICE_UNAVAILABLE")
    return Fault("cold_start", answer=reply, headers=_retry_after(retry_after), lasts=seconds)


def loading(estimated_time: float = 20.0) -> Fault:
    """503 of the old serverless API: a body that estimates the time."""
    words = {"error": "Model is currently loading", "estimated_time": estimated_time}
    return Fault("loading", answer=json_reply(503, words))


def server_error(status: int = 502) -> Fault:
    """A proxy's web page with a 5xx."""
    return Fault("server_error", answer=_web_page(status, f"{status} Bad Gateway"))


def _web_page(status: int, title: str) -> Reply:
    page = f"<html>\n<head><title>{title}</title></head>\n<body><h1>{title}</h1></body>\n</html>\n"
    return Reply(status, page.encode(), "text/html; charset=utf-8")


def _refused(of: Callable[[Asked], RefusedError]) -> Callable[[Asked], Reply]:
    return lambda asked: refusal(of(asked), asked.path)


def _retry_after(value: float | datetime | str | None) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, datetime):
        value = format_datetime(value.astimezone(UTC), usegmt=True)
    return {"Retry-After": f"{value:g}" if isinstance(value, (int, float)) else value}


# The network


def hang(where: Where = "before") -> Fault:
    """Silence, for as long as the client stays."""
    return Fault("hang", cut=where, then="hang")


def reset(where: Where = "before") -> Fault:
    """The connection is reset (RST) before, in the head of, in the body of, or after the answer."""
    return Fault(f"reset_{where}", cut=where)


def truncated() -> Fault:
    """The connection is closed in the middle of the body, as if that were all."""
    return Fault("truncated", cut="body", then="close")


def closed() -> Fault:
    """The connection is closed after the answer, without a word of warning in it."""
    return Fault("closed", cut="after", then="close")


def slow(seconds: float, pieces: int = 100) -> Fault:
    """The right answer, dripping: so many pieces over so many seconds."""
    return Fault("slow", drip=seconds / pieces, pieces=pieces)


def late(seconds: float) -> Fault:
    """The right answer, begun after so many seconds."""
    return Fault("late", delay=seconds)


# Answers with a status of success that cannot be right


def wrong_count(by: Literal[-1, 1] = -1) -> Fault:
    """One vector too few, or too many."""
    return Fault("wrong_count", change="missing_row" if by < 0 else "extra_row")


def no_vectors() -> Fault:
    """An empty list."""
    return Fault("no_vectors", change="no_rows")


def ragged() -> Fault:
    """The last vector is one number shorter."""
    return Fault("ragged", change="narrow_row")


def narrower() -> Fault:
    """All vectors are one number shorter: another model."""
    return Fault("narrower", change="narrow_rows")


def null() -> Fault:
    """A ``null`` in a vector, which is how TEI writes NaN."""
    return Fault("null", change="null_value")


def not_a_number() -> Fault:
    """A ``NaN`` in a vector, which is how Python's servers write it."""
    return Fault("not_a_number", change="nan_value")


def infinite() -> Fault:
    """An ``Infinity`` in a vector."""
    return Fault("infinite", change="infinite_value")


def duplicates() -> Fault:
    """Every vector twice."""
    return Fault("duplicates", change="rows_twice")


def repeated_index() -> Fault:
    """OpenAI's protocol: every item has the same ``index``. Elsewhere the answer is right."""
    return Fault("repeated_index", change="repeated_index")


def malformed() -> Fault:
    """Half of the JSON, as if it were all."""
    return Fault("malformed", change="broken_json")


def web_page() -> Fault:
    """A web page with status 200."""
    return Fault("web_page", answer=_web_page(200, "Sign in"))


def huge(size: int = 100_000_000) -> Fault:
    """A reply of so many bytes: numbers for each token, which nobody asked for.

    They are made as they are sent.
    """
    return Fault("huge", size=size)


# Vectors that look right, and are wrong


def equal_length_mask(*, merges: bool = False) -> Fault:
    """TEI with Qwen3: a batch of texts of as many tokens; `merges` adds those of other requests."""

    def vectors(asked: Asked, dimensions: int) -> Rows:
        batch = [*asked.texts, *chain.from_iterable(asked.in_flight if merges else ())]
        struck = len(batch) > 1 and len({len(text.split(" ")) for text in batch}) == 1
        return [similar_vector(text, dimensions, 0.14 if struck else 1.0) for text in asked.texts]

    return Fault("equal_length_mask", vectors=vectors)


def swapped(cosine: float = 0.0, seconds: float = float("inf")) -> Fault:
    """Another model of the same dimensions, by this request and all that follow.

    Args:
        cosine: To the right vectors; 0.9: an older version; 0.97: a coarse quantisation, of which
            int8 has 0.997.
        seconds: How long. 0: for this request alone, as by one of several replicas.
    """

    def vectors(asked: Asked, dimensions: int) -> Rows:
        return [similar_vector(text, dimensions, cosine) for text in asked.texts]

    return Fault("swapped", vectors=vectors, lasts=seconds)


def rows_of_another() -> Fault:
    """The vectors of another request in flight with as many texts, where there is one."""

    def vectors(asked: Asked, dimensions: int) -> Rows:
        others = [other for other in asked.in_flight if len(other) == len(asked.texts)]
        return [expected_vector(text, dimensions) for text in [asked.texts, *others][-1]]

    return Fault("rows_of_another", vectors=vectors)


# Answers that are right, however odd


def permuted() -> Fault:
    """OpenAI's protocol: the items in another order, each with its right ``index``."""
    return Fault("permuted", change="permuted_data")


def wrong_content_type(content_type: str = TEXT) -> Fault:
    """The right answer, under the name of something else."""
    return Fault("wrong_content_type", content_type=content_type)


def compressed(*, declared: bool = True) -> Fault:
    """The right answer in gzip, which was not asked for.

    Args:
        declared: Whether ``Content-Encoding`` says so. Without it the body is not JSON.
    """
    headers = {"Content-Encoding": "gzip"} if declared else {}
    kind = "compressed" if declared else "compressed_unsaid"
    return Fault(kind, change="gzip", headers=headers)


# Refusals for good


def answer(status: int, body: object = b"", headers: Mapping[str, str] | None = None) -> Fault:
    """Any answer: text or bytes as they are, anything else as JSON."""
    return Fault(f"http_{status}", answer=json_reply(status, body, dict(headers or {})))


def redirect(location: str, status: int = 307) -> Fault:
    """A redirect, to another origin for example."""
    return Fault("redirect", answer=Reply(status, headers={"Location": location}))


def unauthorized() -> Fault:
    """401 of Hugging Face's proxy."""
    return Fault("unauthorized", answer=messages.unauthorized())


def paused(seconds: float = float("inf")) -> Fault:
    """400: the endpoint was paused by its owner; so is every request that follows."""
    words = "Bad Request: The endpoint is paused, ask a maintainer to restart it"
    return Fault("paused", answer=proxy_refusal(400, words, "BAD_REQUEST"), lasts=seconds)


def backend_error() -> Fault:
    """424: inference failed."""
    refused = RefusedError(424, "Backend", "Backend error: out of memory")
    return Fault("backend_error", answer=_refused(lambda _: refused))


def batch_too_large(most: int) -> Fault:
    """413 up to TEI 1.8, 422 from 1.9, if more than `most` texts are asked for."""

    def refused(asked: Asked) -> RefusedError:
        return tei_server.batch_too_large(asked.release, max(len(asked.texts), most + 1), most)

    return Fault("batch_too_large", answer=_refused(refused))


def body_too_large() -> Fault:
    """413 of TEI's web framework: more bytes than it takes."""
    return Fault("body_too_large", answer=_refused(lambda _: tei_server.body_too_large()))


def input_too_long(most: int = 512) -> Fault:
    """413 or 422, by the version: a text is longer than the model takes."""
    refused = _refused(lambda asked: tei_server.too_long(asked.release, most + 1, most))
    return Fault("input_too_long", answer=refused)


def empty_input() -> Fault:
    """400 or, up to TEI 1.8.2, 413: a text is empty."""
    return Fault("empty_input", answer=_refused(lambda asked: tei_server.empty(asked.release)))


def input_rejected() -> Fault:
    """422 Tokenizer, in every version: a text cannot be read."""
    return Fault("input_rejected", answer=_refused(lambda _: tei_server.tokenizer_error()))
