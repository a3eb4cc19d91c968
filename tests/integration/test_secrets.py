"""A canary for a key: it reaches its server, and is in nothing else that anybody can look at.

`tests/unit/test_secrets.py` has the objects and the settings, `test_transports.py` the redirects
and the proxies, `tests/integration/gateway/test_secrets.py` the gateway. Here is what calls
leave: errors with their causes and frames, logs at DEBUG, warnings, what is printed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
import pprint
import signal
import threading
import traceback

import pytest
from driving import DRIVES
from rich.pretty import pretty_repr
from rich.traceback import Traceback

from langchain_hf_endpoint import (
    EndpointNotFoundError,
    HFEndpointEmbeddings,
    HFEndpointError,
)
from langchain_hf_endpoint._session.session import session_for
from langchain_hf_endpoint.testing import ScriptedEndpoint, faults

KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNa"
PART = KEY[3:]  # in no other form of it either
TEXTS = [f"text {number}" for number in range(6)]
WAYS = {
    "threads": ("sync", "httpx"),
    "own": ("async", "httpx"),
    "aiohttp": ("async", "aiohttp"),
}


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request):
    return request.param


@pytest.fixture
def server():
    with ScriptedEndpoint(dimensions=16, api_key=KEY) as server:
        yield server


@pytest.fixture
def embeddings_by(server, monkeypatch):
    """Embeddings over the server, by the transport of a way."""
    monkeypatch.delenv("HF_TOKEN", raising=False)

    def make(way, **settings):
        settings = {"api_key": KEY, "max_wait": 0.2, "timeout": 10, "max_batch_size": 2, **settings}
        return HFEndpointEmbeddings(url=server.url, transport=way[1], **settings)

    return make


@pytest.fixture(autouse=True)
def told(caplog, capfd, monkeypatch):
    """Whatever was logged by anybody, warned of or printed during the test shows no key.

    Gives the names of those that logged.
    """
    for name in (None, *logging.root.manager.loggerDict):
        if name is None or logging.getLogger(name).level:
            caplog.set_level(1, name)
    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "slow_callback_duration", 0, False)
    yield lambda: {record.name.partition(".")[0] for record in caplog.records}
    gc.collect()  # what is left open is warned of here, with its repr
    for record in caplog.records:
        assert PART not in record.getMessage() + repr(record.__dict__)
        assert record.exc_info is None or PART not in shown(record.exc_info[1])
    printed = capfd.readouterr()
    assert PART not in printed.out + printed.err


def shown(error):
    """All that an error shows, with its causes and contexts and the locals of every frame."""
    told, seen = [], []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is None or any(each is one for one in seen):
            continue
        seen.append(each)
        told += [str(each), repr(each), repr(vars(each)), repr(each.args), pretty_repr(each)]
        waiting += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]
        waiting += getattr(each, "failures", {}).values()
        told += traceback.TracebackException.from_exception(each, capture_locals=True).format()
    if isinstance(error, HFEndpointError):
        told.append(pickle.dumps(error).decode("latin-1"))
    told.append(_in_colours(error))
    return "\n".join(told)


def _in_colours(error):
    """The locals as rich shows them in notebooks and command lines, without its frames and colours.

    It looks into objects where the standard library takes their repr.
    """
    trace = Traceback.extract(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=None,
        locals_max_string=None,
    )
    frames = [frame for stack in trace.stacks for frame in stack.frames]
    return "\n".join(str(node) for frame in frames for node in (frame.locals or {}).values())


def test_the_frames_are_looked_into():
    def fail():
        held = KEY  # noqa: F841 - to be found
        raise ValueError

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its frames matter
        fail()
    assert PART in _in_colours(caught.value)
    assert f"held = {KEY!r}" in shown(caught.value)


# Calls that go well


def test_a_call_that_goes_well_logs_no_key(way, server, embeddings_by, told):
    embeddings = embeddings_by(way)
    if way[0] == "sync":
        embeddings.embed_documents(TEXTS)
        assert "httpcore" in told()
    else:
        # asyncio tells of every callback, with the arguments of it.
        asyncio.run(embeddings.aembed_documents(TEXTS), debug=True)
        assert "asyncio" in told()
    assert {arrival.headers["authorization"] for arrival in server.requests} == {f"Bearer {KEY}"}


def test_what_is_behind_an_object_shows_no_key(way, embeddings_by):
    embeddings = embeddings_by(way)
    DRIVES[way[0]].documents(embeddings, TEXTS)
    runtime = session_for(embeddings.endpoint.service_settings)
    looked_at = [embeddings, runtime, runtime.limiter, runtime.window, runtime.server_state(None)]
    looked_at += [vars(embeddings), vars(runtime), *vars(runtime).values()]
    looked_at += [vars(runtime.limiter), vars(runtime.window), runtime._of_loop, runtime._sync]
    looked_at += [vars(transport) for transport in runtime._sync.values()]
    for one in looked_at:
        assert PART not in repr(one) + str(one) + f"{one!a}" + pprint.pformat(one)
        assert PART not in pretty_repr(one)


# Servers that repeat it


def _says(status, body, headers=None):
    return lambda: faults.answer(status, body, headers)


SAID = f"Invalid token {KEY} for this endpoint"
REPEATED = {
    "401": _says(401, {"error": SAID}),
    "403 of a page": _says(403, f"<html><body><h1>{SAID}</h1></body></html>"),
    "400 of OpenAI": _says(400, {"error": {"message": SAID, "type": SAID, "code": KEY}}),
    "422": _says(422, {"error": SAID, "error_type": KEY}),
    "422 of pydantic": _says(
        422, {"detail": [{"loc": ["header", KEY], "msg": SAID, "input": KEY}]}
    ),
    "402": _says(402, {"error": [SAID, KEY]}),
    "429": _says(429, SAID, {"Retry-After": KEY, "RateLimit": KEY}),
    "500": _says(500, SAID, {"X-Error-Message": SAID, "X-Error-Code": KEY}),
    "503": _says(503, {"error": SAID, "estimated_time": KEY}),
    "at the cut": _says(500, "x" * (300 - 20) + KEY),
    "before the cut": _says(401, {"error": "x" * (300 - len(KEY)) + KEY}),
    "200 with words": _says(200, SAID),
    "200 with a word for a number": _says(200, [[KEY]]),
    "200 with an error": _says(200, {"error": SAID}),
    "200 of another shape": _says(200, {KEY: KEY}),
    "redirect": lambda: faults.redirect(f"https://elsewhere.example/{KEY}?token={KEY}"),
    "redirect to nowhere": lambda: faults.redirect(f"http://[{KEY}"),
    "redirect with a password": lambda: faults.redirect(f"https://{KEY}:{KEY}@elsewhere.example"),
}


@pytest.mark.parametrize("repeated", REPEATED.values(), ids=REPEATED.keys())
def test_an_error_shows_no_key_that_the_server_repeats(way, server, embeddings_by, repeated):
    server.script(*[repeated()] * 40)
    embeddings = embeddings_by(way, dialect="tei")
    with pytest.raises(HFEndpointError) as caught:
        DRIVES[way[0]].documents(embeddings, TEXTS)
    assert PART not in shown(caught.value)
    assert any("authorization" in arrival.headers for arrival in server.requests)


@pytest.mark.parametrize("field", ["model_id", "version", "model_type", "pooling"])
def test_a_description_of_itself_in_which_the_server_repeats_the_key(
    way, server, embeddings_by, field
):
    about = {"model_id": "a/model", "max_client_batch_size": 2, "max_input_length": 512, field: KEY}
    server.script(*[faults.answer(200, about)] * 5, path="/info")
    embeddings = embeddings_by(way)
    described = DRIVES[way[0]].describe(embeddings.endpoint)
    assert PART not in repr(described) + pretty_repr(described)


# Calls that go wrong


BROKEN = {
    "reset": faults.reset("body"),
    "truncated": faults.truncated(),
    "wrong count": faults.wrong_count(1),
    "web page": faults.web_page(),
    "malformed": faults.malformed(),
    "compressed": faults.compressed(declared=False),
    "hang": faults.hang(),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN.keys())
def test_an_error_of_the_way_there_and_back_shows_no_key(way, server, embeddings_by, fault):
    server.script(*[fault] * 40)
    timeout = 0.3 if fault.kind == "hang" else 10
    embeddings = embeddings_by(way, timeout=timeout, max_wait=0.0)
    with pytest.raises(HFEndpointError) as caught:
        DRIVES[way[0]].documents(embeddings, TEXTS)
    assert PART not in shown(caught.value)


def test_an_error_of_a_connection_that_does_not_come_about_shows_no_key(way, server, embeddings_by):
    embeddings = embeddings_by(way, max_wait=0.0)
    server.stop()
    with pytest.raises(HFEndpointError) as caught:
        DRIVES[way[0]].query(embeddings, "a question")
    assert PART not in shown(caught.value)


def test_a_certificate_that_is_refused_shows_no_key(way):
    with ScriptedEndpoint(certificate_for="elsewhere.example") as server:
        embeddings = HFEndpointEmbeddings(url=server.url, api_key=KEY, transport=way[1], max_wait=0)
        with pytest.raises(HFEndpointError, match="certificate") as caught:
            DRIVES[way[0]].query(embeddings, "a question")
        assert PART not in shown(caught.value)
        assert not server.arrivals


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
@pytest.mark.parametrize("method", ["aembed_query", "aembed_documents"])
async def test_a_cancelled_call_shows_no_key(server, embeddings_by, transport, method):
    server.script(*[faults.hang()] * 40)
    embeddings = embeddings_by(("async", transport), dialect="tei", timeout=60)
    call = asyncio.create_task(
        getattr(embeddings, method)("a" if method == "aembed_query" else TEXTS)
    )
    await asyncio.to_thread(server.wait_for, 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await call
    assert PART not in shown(caught.value)


@pytest.mark.parametrize("method", ["embed_query", "embed_documents"])
def test_an_interrupted_call_shows_no_key(server, embeddings_by, method):
    server.script(*[faults.hang()] * 40)
    embeddings = embeddings_by(("sync", "httpx"), dialect="tei", timeout=60)

    def interrupt():
        server.wait_for(1)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        getattr(embeddings, method)("a" if method == "embed_query" else TEXTS)
    interrupting.join()
    assert PART not in shown(caught.value)
    server.stop()


class OwnError(Exception):
    """The caller's."""


@pytest.mark.parametrize("way_to_fail", ["source", "progress"])
def test_an_error_of_the_callers_own_shows_no_key_in_our_frames(
    way, server, embeddings_by, way_to_fail, monkeypatch
):
    embeddings = embeddings_by(way, show_progress_bar=way_to_fail == "progress")

    def texts():
        yield from TEXTS
        raise OwnError

    def explode(*_arguments, **_options):
        raise OwnError

    if way_to_fail == "progress":
        monkeypatch.setattr("tqdm.auto.tqdm.update", explode)
    with pytest.raises(OwnError) as caught:
        DRIVES[way[0]].stream(embeddings, texts())
    assert PART not in shown(caught.value)


# Plain http behind https


def test_a_redirect_from_https_to_http_takes_nothing_there(way, server, tmp_path):
    with ScriptedEndpoint(certificate_for="127.0.0.1", api_key=KEY) as safe:
        safe.write_authority(tmp_path / "authority.pem")
        for status in (301, 302, 303, 307, 308):
            safe.script(faults.redirect(f"{server.url}/embed", status))
            embeddings = HFEndpointEmbeddings(
                url=safe.url,
                api_key=KEY,
                dialect="tei",
                transport=way[1],
                max_wait=0,
                tls={"ca_file": str(tmp_path / "authority.pem")},
            )
            with pytest.raises(EndpointNotFoundError, match="redirects to") as caught:
                DRIVES[way[0]].query(embeddings, "a question")
            assert PART not in shown(caught.value)
        assert len(safe.requests) == 5
        assert not server.arrivals
