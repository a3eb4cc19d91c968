"""Whatever reads a server's or a caller's text takes time in proportion to its length.

A pattern that begins again at every character takes a million times the time for a thousand times
the text: for 4 kB of blanks it once took seconds. Each reader gets texts that are the worst for
some kind of pattern, four times as long the second time. Processor time is compared, not the clock.
"""

import importlib
import pkgutil
import re
import time
from contextlib import suppress

import orjson
import pytest
from pydantic import SecretStr
from thoroughness import amount

import langchain_hf_endpoint as package
from langchain_hf_endpoint import (
    ChunkingSettings,
    HFEndpointError,
    InferenceEndpoint,
    ServiceSettings,
    TaskSettings,
    chunk,
)
from langchain_hf_endpoint._messages import Cause, Failure, Response
from langchain_hf_endpoint._protocols import DIALECTS, explain, read_info
from langchain_hf_endpoint._protocols.openai import unknown_model
from langchain_hf_endpoint._secrets import Redactor
from langchain_hf_endpoint.cli.checkup import rules
from langchain_hf_endpoint.cli.checkup.report import Prompts
from langchain_hf_endpoint.cli.chunk_view import Cuts, page
from langchain_hf_endpoint.gateway import elastic_api, middleware, requests, url_allowlist
from langchain_hf_endpoint.settings import TlsSettings

KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNa"
REDACTOR = Redactor(SecretStr(KEY))
# In steps, so that what is not linear is found before it takes hours.
SHORT, MIDDLE, LONG, LONGEST = 1_000, 4_000, 16_000, 64_000
# What grows with the square and takes `ENOUGH` of a long text is among the slowest of a middle one.
SLOWEST = amount(6, 16)
MOST = 9.0  # 4 is in proportion, 16 is with the square
ENOUGH = 0.3  # seconds below which there is nothing to compare

UNITS = (
    *" ;:.,'\"a1-_/=\\%<>…\u00a0",
    *(
        "\t\n",
        ", ",
        "; ",
        ": ",
        ". ",
        "! ",
        "?\n",
        '" ',
        "1.",
        "1 ",
        "a/",
        "a.",
        "1h",
        "1e",
        "b.c. ",
    ),
    *(
        "\\u00",
        "%25",
        "&#0",
        "&lt",
        "<title>",
        "<title",
        "{",
        "[[",
        ";r=0",
        "; t = 1",
        "1 > ",
        "e5-",
    ),
    *("received: ", "'input': ", "input_value=", "bearer ", "hf_", "sk-", '"type" ', "ratelimit "),
    *("endpoint ", "batch size ", "batch size 1 > ", "input ", "inputs: ", "missing ", "model "),
    *("array ", "maximum ", "number of texts ", "content ", "unknown ", "does not ", "dimensions "),
    *(
        "at most ",
        "at most 1 ",
        "max 1 ",
        "requested 1 tokens, ",
        "limit of 1 ",
        "items ",
        "tokens ",
    ),
    *("compatible-with ", "(a) ", "e.g. ", "A. ", "\U0001f600", "文。", KEY[:-1]),
)


def _patterns():
    """Every compiled pattern of the package, by where it is."""
    seen = set()
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if "re.compile(" not in _source(module):
            continue
        try:
            loaded = importlib.import_module(module.name)
        except ImportError:  # of an extra that is not installed
            continue
        for name, pattern in vars(loaded).items():
            if isinstance(pattern, re.Pattern) and pattern not in seen:
                seen.add(pattern)
                yield f"{module.name.partition('.')[2]}.{name}", pattern


def _source(module):
    """What is in a module, without loading what it imports."""
    return module.module_finder.find_spec(module.name).loader.get_source(module.name)


def _searching(pattern):
    def read(text):
        text = text.encode() if isinstance(pattern.pattern, bytes) else text
        pattern.search(text)
        pattern.fullmatch(text)

    return read


def _header(name, status=429):
    return lambda text: explain(Response(status, {name: text, "date": text}, b""))


def _chunks(**settings):
    chosen = ChunkingSettings(**settings)
    return lambda text: chunk(text, chosen)


def _lines(**settings):
    """Reads the text as lines that are too long for a chunk."""
    cut = _chunks(**settings)
    return lambda text: cut("\n".join(text[at : at + 48] for at in range(0, len(text), 48)))


def _refused_setting(section, field):
    def read(text):
        with suppress(HFEndpointError, ValueError):
            section(**{field: text})

    return read


def _refused(function):
    def read(text):
        with suppress(Exception):
            function(text)

    return read


_NO_PROMPTS = Prompts("", "", None, None, are_ours=False)
READERS = {
    **{where: _searching(pattern) for where, pattern in _patterns()},
    "a body of text": lambda text: explain(Response(400, {}, text.encode())),
    "JSON": lambda text: explain(Response(400, {}, orjson.dumps({"error": text}))),
    "many errors": lambda text: explain(
        Response(422, {}, orjson.dumps({"detail": [{"msg": text}] * 3}))
    ),
    "a page": lambda text: explain(Response(502, {}, b"<html>" + text.encode())),
    "vectors": lambda text: DIALECTS["tei"].decode(Response(200, {}, text.encode()), 3),
    "vectors of OpenAI's": lambda text: DIALECTS["openai"].decode(
        Response(200, {}, orjson.dumps({"data": [{"index": 0, "embedding": text}]})), 1
    ),
    "an error with 200": lambda text: DIALECTS["openai"].decode(
        Response(200, {}, orjson.dumps({"object": "error", "message": text})), 1
    ),
    "info": lambda text: read_info(
        Response(200, {}, orjson.dumps({"max_client_batch_size": 1, "model_id": text}))
    ),
    "Retry-After": _header("retry-after"),
    "RateLimit": _header("ratelimit"),
    "a reset": _header("x-ratelimit-reset-requests"),
    "Location": _header("location", 307),
    "unknown model": lambda text: unknown_model(Failure(Cause.NOT_FOUND, text, 404)),
    "the redactor": REDACTOR.text,
    "the redactor of bytes": lambda text: REDACTOR.response(Response(400, {}, text.encode())),
    "sentences": _chunks(strategy="sentence", max_chunking_size=20),
    "German sentences": _chunks(strategy="sentence", max_chunking_size=20, language="german"),
    "words": _chunks(strategy="word", max_chunking_size=20, overlap=10),
    "separators of plaintext": _lines(strategy="recursive", max_chunking_size=10),
    "separators of markdown": _lines(
        strategy="recursive", max_chunking_size=10, separator_group="markdown"
    ),
    "a page of cuts": lambda text: page([Cuts("x", text, chunk(text, ChunkingSettings()))], {}),
    "a model's name": lambda text: rules.missing_prompts(text, "http://x", _NO_PROMPTS),
    "url": _refused_setting(ServiceSettings, "url"),
    "https url": lambda text: _refused_setting(ServiceSettings, "url")(f"https://{text}"),
    "url with a port": lambda text: _refused_setting(ServiceSettings, "url")(f"https://[{text}]:1"),
    "api_key": _refused_setting(ServiceSettings, "api_key"),
    "api_key_env": _refused_setting(ServiceSettings, "api_key_env"),
    "inference_id": _refused(
        lambda text: InferenceEndpoint(url="http://127.0.0.1", inference_id=text)
    ),
    "ca_file": _refused_setting(TlsSettings, "ca_file"),
    "prompt": _refused_setting(TaskSettings, "query_prompt"),
    "language": _refused_setting(ChunkingSettings, "language"),
    "a name in an answer": elastic_api.shown,
    "a task type": _refused(lambda text: elastic_api.one_task_type(text, text)),
    "a service": _refused(lambda text: elastic_api.check_service_name({"service": text})),
    "an input type": _refused(elastic_api.lane_of),
    "a key of a caller": _refused(
        lambda text: middleware.CallerKeys(KEY).check({"authorization": text})
    ),
    "a host of a caller": _refused(lambda text: middleware.CallerKeys(None).check({"host": text})),
    "an allowed URL": _refused(url_allowlist.Pattern.parse),
    "a media type": requests._version_of,
}


def _seconds(reader, text):
    started = time.process_time()
    reader(text)
    return time.process_time() - started


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_four_times_the_text_takes_hardly_more_than_four_times_the_time(reader):
    taken = {unit: _checked(reader, unit, (SHORT, MIDDLE)) for unit in UNITS}
    slowest = sorted(UNITS, key=taken.__getitem__)[-SLOWEST:]
    taken = {unit: _checked(reader, unit, (MIDDLE, LONG)) for unit in slowest}
    worst = max(slowest, key=taken.__getitem__)
    _checked(reader, worst, (LONG, LONGEST))


def _checked(reader, unit, sizes):
    """Seconds that the longest text of this unit takes, if the shorter ones took their part."""
    before = 0.0
    for size in sizes:
        text = (unit * size)[:size] + "\n"
        spent = _seconds(reader, text)
        if spent > max(ENOUGH, MOST * before):
            spent = min(spent, *(_seconds(reader, text) for _ in range(2)))
            shorter = text[-size // 4 :]
            before = max(before, *(_seconds(reader, shorter) for _ in range(2)))
            assert spent < max(ENOUGH, MOST * before), (unit, size)
        before = spent
    return before
