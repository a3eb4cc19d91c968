"""What can go wrong with a reply: a value for each fault, made by a function of its name.

::

    server.script(faults.rate_limited(retry_after=2), faults.reset("body"), None)

It knows what each fault looks like on the wire. It must not know when one happens.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Literal

import orjson

from langchain_hf_endpoint.testing import tei
from langchain_hf_endpoint.testing.fault import Fault
from langchain_hf_endpoint.testing.replies import JSON, TEXT, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint.testing.fault import Asked, Where

# Refusals that pass


def rate_limited(retry_after: float | datetime | str | None = None) -> Fault:
    """429, in TEI's words.

    Args:
        retry_after: Seconds, a moment (sent as an HTTP date), or any text, however absurd. None:
            no such header, as with TEI itself.
    """
    headers = _retry_after(retry_after)
    return Fault("rate_limited", answer=lambda asked: tei.overloaded(asked.path), headers=headers)


def cold_start(seconds: float = 0.0, retry_after: float | datetime | str | None = None) -> Fault:
    """503 of Hugging Face's proxy while the endpoint wakes up.

    Args:
        seconds: How long every request gets it. 0: this one alone.
        retry_after: As in `rate_limited`; the proxy sends none.
    """
    headers = _retry_after(retry_after)
    return Fault("cold_start", answer=tei.asleep(), headers=headers, lasts=seconds)


def loading(estimated_time: float = 20.0) -> Fault:
    """503 of the old serverless API: a body that estimates the time."""
    words = {"error": "Model is currently loading", "estimated_time": estimated_time}
    return Fault("loading", answer=Reply(503, orjson.dumps(words)))


def server_error(status: int = 502) -> Fault:
    """A proxy's web page with a 5xx."""
    return Fault("server_error", answer=tei.web_page(status, f"{status} Bad Gateway"))


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
    return Fault("web_page", answer=tei.web_page(200, "Sign in"))


def huge(size: int = 100_000_000) -> Fault:
    """A reply of so many bytes: numbers for each token, which nobody asked for.

    They are made as they are sent.
    """
    return Fault("huge", size=size)


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
    if isinstance(body, (str, bytes)):
        content, kind = body.encode() if isinstance(body, str) else body, TEXT
    else:
        content, kind = orjson.dumps(body), JSON
    return Fault(f"http_{status}", answer=Reply(status, content, kind, dict(headers or {})))


def redirect(location: str, status: int = 307) -> Fault:
    """A redirect, to another origin for example."""
    return Fault("redirect", answer=Reply(status, headers={"Location": location}))


def unauthorized() -> Fault:
    """401 of Hugging Face's proxy."""
    return Fault("unauthorized", answer=tei.unauthorized())


def paused(seconds: float = float("inf")) -> Fault:
    """400: the endpoint was paused by its owner; so is every request that follows."""
    return Fault("paused", answer=tei.paused(), lasts=seconds)


def backend_error() -> Fault:
    """424: inference failed."""

    def answer(asked: Asked) -> Reply:
        return tei.tei_error(asked.path, 424, "Backend", "Backend error: out of memory")

    return Fault("backend_error", answer=answer)


def batch_too_large(most: int) -> Fault:
    """413 up to TEI 1.8, 422 from 1.9, if more than `most` texts are asked for."""

    def answer(asked: Asked) -> Reply:
        given = max(len(asked.texts), most + 1)
        return tei.batch_too_large(asked.release, asked.path, given, most)

    return Fault("batch_too_large", answer=answer)


def body_too_large() -> Fault:
    """413 of TEI's web framework: more bytes than it takes."""
    return Fault("body_too_large", answer=tei.body_too_large())


def input_too_long(most: int = 512) -> Fault:
    """413 or 422, by the version: a text is longer than the model takes."""

    def answer(asked: Asked) -> Reply:
        return tei.too_long(asked.release, asked.path, most + 1, most)

    return Fault("input_too_long", answer=answer)


def empty_input() -> Fault:
    """400 or, up to TEI 1.8.2, 413: a text is empty."""
    return Fault("empty_input", answer=lambda asked: tei.empty(asked.release, asked.path))


def input_rejected() -> Fault:
    """422 Tokenizer, in every version: a text cannot be read."""
    return Fault("input_rejected", answer=lambda asked: tei.tokenizer_error(asked.path))
