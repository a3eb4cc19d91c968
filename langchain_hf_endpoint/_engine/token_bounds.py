"""Find out how many tokens a chunk may have, and how many the words of texts have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson

from langchain_hf_endpoint._engine.discovery import ask, fetch_served
from langchain_hf_endpoint._engine.flow import embed_batch
from langchain_hf_endpoint._protocols import (
    batches_of_words,
    read_tokens,
    read_words,
    tokenize_request,
    tokens_reported,
    words_request,
)
from langchain_hf_endpoint._protocols.base import as_json
from langchain_hf_endpoint._urls import host_of
from langchain_hf_endpoint.chunking.tokenizer_file import counter_of_file, estimate, estimating
from langchain_hf_endpoint.chunking.tokens import (
    LONGEST_KNOWN,
    SAMPLES,
    TokenBound,
    TokenCounter,
    adds_up,
)
from langchain_hf_endpoint.chunking_settings import FEWEST_TOKENS
from langchain_hf_endpoint.errors import HFEndpointError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from langchain_hf_endpoint._engine.attempts import Flow
    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._protocols import Route, Tokens
    from langchain_hf_endpoint.settings import ChunkingSettings

_logger = logging.getLogger("langchain_hf_endpoint")

_PROBE = "How long is a vector?"
_COUNT = ("tei", "llamacpp", "vllm")

# What an estimate is measured by: words of all lengths, and the scripts that cost most.
_MARGIN = 1.15
_LETTERS = (
    "The committee acknowledged that polymerase activity had decreased considerably while "
    "neighbouring municipalities were reconsidering their infrastructure and the old man went "
    "home to feed his sheep and drink a cup of tea before an unexpectedly bright thunderstorm"
)
_OTHERS = "የሰው ልጅ សិទ្ធិមនុស្ស མେ ಕನ್ನಡ ལྷ་ས ლექსი Հայերեն 鬱蒼 🦔🧿𒀭"


def find_bound(texts: Iterable[str], call: Call) -> Flow[TokenBound | None]:
    """Find out how many tokens the chunks of a call may have, and count the words of texts.

    The one is asked once for each server and settings, the tokens of a word once for each server.

    Raises:
        SettingsError: The prompt leaves no room in what the model reads, or the tokenizer of the
            settings cannot be used.
        HFEndpointError: The server cannot be reached, or is not ready even after `max_wait`.
    """
    settings, bounds = call.chunking, call.server.token_bounds
    assert settings is not None  # noqa: S101 - else nothing is bounded
    limits = (settings.max_chunk_tokens, settings.tokenizer, call.service.max_input_tokens)
    key = (*limits, call.prompt, call.options.prompt_name)
    if key not in bounds:
        bounds[key] = yield from _bound(settings, texts, call)
    bound = bounds[key]
    if bound is not None and bound.counter.server is not None:
        # What is no text is refused when it is cut.
        some = [one for one in texts if isinstance(one, str) and not bound.is_tiny(one)]
        if call.query is not None:
            some.append(orjson.loads(call.query))
        try:
            yield from _learn(some, bound.counter, call)
        except HFEndpointError as error:
            # What was received must not be lost for a count: what is sent next will tell.
            _logger.info("words are estimated: %s", error)
    if bound is not None and call.query is not None and settings.max_chunk_tokens == "auto":
        # A reranker reads the query and the chunk together.
        of_query = bound.counter.of_texts([orjson.loads(call.query)])[0] + bound.counter.marks
        return TokenBound(max(FEWEST_TOKENS, bound.tokens - of_query), bound.counter)
    return bound


def _bound(settings: ChunkingSettings, texts: Iterable[str], call: Call) -> Flow[TokenBound | None]:
    server, file, tokens = call.server, settings.tokenizer, settings.max_chunk_tokens
    counter = None if file is None else counter_of_file(file)
    if settings.asks_server and server.info is None and server.served is None:
        yield from _route(call)
        yield from fetch_served(call)
    windows = [*filter(None, (server.max_input_tokens, call.service.max_input_tokens))]
    if tokens == "auto" and not windows:
        _logger.warning(
            "max_chunk_tokens: %s does not say how many tokens its model reads: words alone "
            "bound the chunks. Set chunking_settings.max_chunk_tokens to a number",
            host_of(call.service.url),
        )
        return None
    if counter is None:
        server.tokens = server.tokens or (yield from _asking(texts, call))
        server.tokens = counter = server.tokens or (yield from _estimating(call))
    if not isinstance(tokens, int):
        tokens = yield from _room(min(windows), counter, call)
    return TokenBound(tokens, counter)


def _learn(texts: Iterable[str], counter: TokenCounter, call: Call) -> Flow[bool]:
    """Ask for the tokens of the words of texts; False where the server does not tell."""
    kind, served, known = counter.server or "", call.server.served, counter.known
    model = call.options.model or (served.choice if served else None)
    words = dict.fromkeys(SAMPLES)
    words.update((word, None) for text in texts for word in counter.words_of(text))
    asked = [one for one in words if one not in known and len(one) <= LONGEST_KNOWN]
    for batch in batches_of_words(asked, call.batch_size):
        reply = yield from ask(words_request(kind, call.service.url, batch, model), call)
        told = read_words(kind, reply, batch) if reply else None
        if told is None:
            return False
        counter.marks = max(counter.marks, told[0])
        counter.learn(dict(zip(batch, told[1], strict=True)))
    return True


def _route(call: Call) -> Flow[Route | None]:
    """Where the server takes inputs, which one input shows where none was sent yet."""
    if call.server.route is None:
        yield from embed_batch(as_json([_PROBE]), call)
    return call.server.route


def _asking(texts: Iterable[str], call: Call) -> Flow[TokenCounter | None]:
    """What counts words as the server does, which is asked; None where it does not."""
    said = call.server.info or call.server.served
    if said is None or said.kind not in _COUNT:
        return None
    counter = TokenCounter(estimate, adds_up=True, is_exact=False, server=said.kind)
    some = [one for one in texts if isinstance(one, str)]
    if not (yield from _learn([call.prompt, *some], counter, call)):
        return None
    counter.adds_up = adds_up(counter.known)
    return counter


def _estimating(call: Call) -> Flow[TokenCounter]:
    """What estimates, by the tokens that the server reports of samples where it does."""
    why = f"{host_of(call.service.url)} does not count them"
    route, tokens = (yield from _route(call)), []
    for sample in (_LETTERS, _OTHERS):
        request = route.request(as_json([sample]), call.options) if route else None
        reply = yield from ask(request, call)
        tokens.append((tokens_reported(reply) if reply else None) or 0)
    # Characters are no tokens: infinity counts those unless started with --lengths-via-tokenize.
    if 0 in tokens or tokens == [len(_LETTERS), len(_OTHERS)]:
        return estimating(why)
    letters, others = (sum(map(str.isalnum, one)) for one in (_LETTERS, _OTHERS))
    why += f", but reports {tokens[0]} of {letters} letters and {tokens[1]} of {others} others"
    per_letter, per_other = _MARGIN * tokens[0] / letters, _MARGIN * tokens[1] / others
    # A model with a token for each letter, or more, is likely to have some for blanks too.
    blanks_count = tokens[0] >= letters
    return estimating(f"{why}; with a margin", per_letter, per_other, blanks_count=blanks_count)


def _room(window: int, counter: TokenCounter, call: Call) -> Flow[int]:
    """How many tokens are left for a chunk of those that the model reads."""
    prompt, name, before = call.prompt, call.options.prompt_name, 0
    if name is not None:
        read = yield from tokenize(["."], call)
        before = len(read[0].ends) - 1 if read else 0
    elif prompt:
        if counter.server is not None:
            yield from _learn([prompt], counter, call)
        # A letter at its end, or a blank, may make others of the chunk's first ones.
        before = counter.of_texts([prompt])[0] + (prompt[-1].isalnum() or not counter.adds_up)
    room = window - counter.marks - before
    if room < FEWEST_TOKENS:
        problem = f"the prompt leaves {room} of the {window} tokens that the model reads"
        raise SettingsError(("chunking_settings.max_chunk_tokens", problem))
    return room


def tokenize(texts: Sequence[str], call: Call) -> Flow[list[Tokens] | None]:
    """The tokens of these texts; None where the server does not tell.

    Raises:
        HFEndpointError: The server cannot be reached, or is not ready even after `max_wait`.
    """
    request = tokenize_request(call.service.url, texts, call.options.prompt_name)
    reply = yield from ask(request, call)
    return None if reply is None else read_tokens(reply, len(texts))
