"""Async methods on uvloop's event loop, which FastAPI's usual server brings along."""

import asyncio
import gc
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from langchain_hf_endpoint import EmbeddingError, HFEndpointEmbeddings, TransportError
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector, faults

uvloop = pytest.importorskip("uvloop", reason="uvloop is not made for this platform")

TEXTS = [f"text {number}" for number in range(300)]


@pytest.fixture(params=["httpx", "aiohttp"])
def transport(request):
    return request.param


@pytest.fixture(params=["http", "https"])
def connected(request, transport, tmp_path):
    """An endpoint that speaks TLS or does not, and embeddings over it."""
    is_https = request.param == "https"
    with ScriptedEndpoint(certificate_for="127.0.0.1" if is_https else None) as server:
        settings = {"url": server.url, "timeout": 5, "transport": transport}
        if is_https:
            server.write_authority(tmp_path / "authority.pem")
            settings["tls"] = {"ca_file": str(tmp_path / "authority.pem")}
        yield server, HFEndpointEmbeddings(**settings)


@contextmanager
def nothing_left_open():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(each.message) for each in caught if "unclosed" in str(each.message)] == []


def test_it_embeds_in_one_loop_after_another(connected):
    _, embeddings = connected
    with nothing_left_open():
        for _ in range(3):
            array = uvloop.run(embeddings.aembed_array(TEXTS))
            assert np.array_equal(array, np.stack([expected_vector(text) for text in TEXTS]))


@pytest.mark.parametrize(
    "fault", [faults.reset("before"), faults.reset("body"), faults.truncated(), faults.closed()]
)
def test_what_breaks_is_sent_again(connected, fault):
    server, embeddings = connected
    server.script(fault)
    vector = uvloop.run(embeddings.aembed_query(TEXTS[0]))
    assert np.array_equal(np.asarray(vector, np.float32), expected_vector(TEXTS[0]))


def test_who_gives_up_leaves_no_connection(connected):
    server, embeddings = connected

    async def given_up():
        await embeddings.aembed_query("warm")
        server.script(*[faults.hang("body")] * 10)
        asked = len(server.requests)
        waiting = asyncio.create_task(embeddings.aembed_documents(TEXTS))
        # All that are let in at first: old versions of aiohttp leave a socket that is connecting.
        await asyncio.to_thread(server.wait_for, asked + 4)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with nothing_left_open():
        uvloop.run(given_up())


def test_it_says_who_cannot_be_reached(transport):
    async def unreachable():
        embeddings = HFEndpointEmbeddings(url="http://127.0.0.1:9", max_wait=0, transport=transport)
        with pytest.raises(TransportError, match=r"127\.0\.0\.1:9"):
            await embeddings.aembed_query("A question?")
        with pytest.raises(EmbeddingError):
            await embeddings.aembed_documents(["A text."])

    with nothing_left_open():
        uvloop.run(unreachable())


def test_it_shares_an_object_with_asyncio_and_with_threads(connected):
    _, embeddings = connected
    vectors = uvloop.run(embeddings.aembed_documents(TEXTS[:40]))
    assert asyncio.run(embeddings.aembed_documents(TEXTS[:40])) == vectors
    assert embeddings.embed_documents(TEXTS[:40]) == vectors

    async def both():
        return await asyncio.gather(
            embeddings.aembed_documents(TEXTS[:40]),
            asyncio.to_thread(embeddings.embed_documents, TEXTS[:40]),
        )

    assert uvloop.run(both()) == [vectors, vectors]
