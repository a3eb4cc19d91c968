"""Servers whose vectors look right and are wrong: none of them is handed out."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest
from driving import DRIVES, finished
from thoroughness import in_pairs

from langchain_hf_endpoint import (
    HFEndpointEmbeddings,
    HFEndpointError,
    InferenceEndpoint,
    ModelChangedError,
    ServerError,
)
from langchain_hf_endpoint._session.fingerprint import TEXTS as TELLING
from langchain_hf_endpoint._session.fingerprint import ModelFingerprint
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.gateway.batcher import DynamicBatcher
from langchain_hf_endpoint.testing import FaultPlan, ScriptedEndpoint, expected_vector, faults

# Many of one length: a planner that puts like lengths together seeks the worst.
TEXTS = [f"text number {number}" for number in range(60)] + [
    f"a rather longer text of several words, number {number}" for number in range(40)
]


def wrong_of(found, texts=TEXTS):
    """The indexes of vectors that are another's, of those that came."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found)
    return [
        index
        for index, vector in pairs
        if not np.allclose(vector, expected_vector(texts[index]), atol=1e-5)
    ]


def by_documents(drive, embeddings):
    return drive.documents(embeddings, TEXTS)


def by_array(drive, embeddings):
    return list(drive.array(embeddings, TEXTS))


def by_stream(drive, embeddings):
    found: dict[int, object] = {}
    try:
        drive.stream(
            embeddings, TEXTS, each=lambda chunk: found.update({chunk.text_index: chunk.embedding})
        )
    except HFEndpointError as error:
        error.completed = found
        raise
    return found


def by_queries(drive, embeddings):
    return [drive.query(embeddings, text) for text in TEXTS[:20]]


def by_gateway(_drive, embeddings):
    async def embed():
        batcher = DynamicBatcher(embeddings.endpoint)
        parts = (batcher.embed(TEXTS[start : start + 5]) for start in range(0, len(TEXTS), 5))
        answers = await asyncio.gather(*parts, return_exceptions=True)
        await batcher.close()
        return answers

    found, errors = {}, []
    for part, answer in enumerate(finished(embed())):
        vectors = answer
        if isinstance(answer, BaseException):
            errors.append(answer)
            vectors = getattr(answer, "completed", {})
        pairs = vectors.items() if isinstance(vectors, dict) else enumerate(vectors)
        found.update({5 * part + index: vector for index, vector in pairs})
    for error in errors:
        error.completed = found
        raise error
    return found


WAYS = [by_documents, by_array, by_stream, by_queries, by_gateway]


@pytest.fixture
def way(request):
    return request.param


in_every_way = pytest.mark.parametrize(
    ("drive", "way"),
    [(drive, way) for way in WAYS for drive in DRIVES if (drive, way) != ("sync", by_gateway)],
    indirect=True,  # the gateway's is but one
)


def refused(way, drive, embeddings, error=ModelChangedError):
    """The call fails by this error, and what came out before is right."""
    with pytest.raises(error) as caught:
        way(drive, embeddings)
    assert wrong_of(getattr(caught.value, "completed", {})) == []


def all_right(way, drive, embeddings):
    assert wrong_of(way(drive, embeddings)) == []


def expecting(server, **settings):
    settings = {"rate_limit": {"requests_per_minute": 100_000}, "max_batch_size": 8, **settings}
    endpoint = InferenceEndpoint(server.url, **settings)
    kept = bytes.fromhex(endpoint.describe().fingerprint)
    return HFEndpointEmbeddings(endpoint=endpoint.expecting(ModelFingerprint.from_bytes(kept)))


def met_anew(embeddings, server):
    """As another process meets the endpoint: it knows the fingerprint and nothing else."""
    close_sessions()
    server.forget()
    return embeddings


SWAPS = {
    "another": faults.swapped(),
    "older": faults.swapped(0.9),
    "quantised": faults.swapped(0.97),
    "quantised a little too far": faults.swapped(0.985),
}
BREAKS = {
    "reset": faults.reset(),
    "reset in the body": faults.reset("body"),
    "truncated": faults.truncated(),
    "cold start": faults.cold_start(),
    "bad gateway": faults.server_error(),
    "loading": faults.loading(0.01),
}
OTHERS = {name: SWAPS[name] for name in ("another", "older")}
OF_SEVERAL = [by_documents, by_array, by_stream]


def outage(fault, seconds=0.2):
    """Every request meets it for a while, as when a server is replaced."""
    return dataclasses.replace(fault, lasts=seconds)


@in_pairs(drive=DRIVES, way=WAYS, swap=SWAPS, indirect=["drive", "way"])
def test_another_model_is_refused_by_a_process_that_meets_it(tei_double, drive, way, swap):
    embeddings = met_anew(expecting(tei_double), tei_double)
    tei_double.script(SWAPS[swap])
    refused(way, drive, embeddings)


@in_every_way
def test_the_same_weights_in_int8_pass(tei_double, drive, way):
    embeddings = met_anew(expecting(tei_double), tei_double)
    tei_double.script(faults.swapped(0.997))
    assert len(way(drive, embeddings)) in (20, len(TEXTS))


@in_pairs(drive=DRIVES, way=WAYS, broken=BREAKS, swap=SWAPS, indirect=["drive", "way"])
def test_a_server_that_is_replaced_in_mid_run_is_noticed(tei_double, drive, way, broken, swap):
    embeddings = expecting(tei_double)
    tei_double.script(None, None, outage(BREAKS[broken]), SWAPS[swap])
    refused(way, drive, embeddings)


@in_pairs(drive=DRIVES, way=WAYS, broken=BREAKS, indirect=["drive", "way"])
def test_a_server_that_comes_back_the_same_costs_little(tei_double, drive, way, broken):
    embeddings = expecting(tei_double)
    tei_double.forget()
    tei_double.script(None, None, outage(BREAKS[broken]))
    all_right(way, drive, embeddings)
    telling = [one for one in tei_double.requests if one.texts[0] == TELLING[0]]
    assert len([one for one in telling if not one.fault]) <= 3


@in_pairs(drive=DRIVES, way=OF_SEVERAL, swap=OTHERS, indirect=["drive", "way"])
def test_a_model_that_is_swapped_without_a_sign_is_noticed(tei_double, drive, way, swap):
    embeddings = expecting(tei_double)
    tei_double.script(None, None, OTHERS[swap])
    refused(way, drive, embeddings)


@in_pairs(
    drive=DRIVES,
    way=OF_SEVERAL,
    cosine=[0.0, 0.5, 0.9],
    share=[0.1, 0.5],
    indirect=["drive", "way"],
)
def test_a_replica_with_another_model_is_noticed(drive, way, cosine, share):
    plan = FaultPlan(1, {faults.swapped(cosine, seconds=0): share}, most_in_a_row=None)
    with ScriptedEndpoint() as server:
        embeddings = expecting(server)
    with ScriptedEndpoint(plan=plan) as server:
        kept = embeddings.endpoint.expected_fingerprint
        endpoint = InferenceEndpoint(server.url, max_batch_size=8).expecting(kept)
        refused(way, drive, HFEndpointEmbeddings(endpoint=endpoint))


# Vectors that depend on what a text is sent with


def restricted(server, **settings):
    """Embeddings after a check of parity."""
    settings = {"rate_limit": {"requests_per_minute": 100_000}, "max_batch_size": 8, **settings}
    endpoint = InferenceEndpoint(server.url, **settings)
    return HFEndpointEmbeddings(endpoint=endpoint), endpoint


def described(drive, server, **settings):
    embeddings, endpoint = restricted(server, **settings)
    if drive is DRIVES["sync"]:
        return embeddings, endpoint.describe(parity=True)
    return embeddings, asyncio.run(endpoint.adescribe(parity=True))


def always(fault):
    return lambda _asked: fault


@in_every_way
def test_a_good_server_has_parity_and_goes_on_in_batches(tei_double, drive, way):
    embeddings, told = described(drive, tei_double)
    assert told.parity.is_good
    tei_double.forget()
    all_right(way, drive, embeddings)
    if way in OF_SEVERAL:
        assert max(len(one.texts) for one in tei_double.requests) == 8


@in_pairs(drive=DRIVES, way=WAYS, path=["", "/v1/embeddings"], indirect=["drive", "way"])
def test_without_their_mask_texts_of_equal_lengths_go_one_by_one(drive, way, path, caplog):
    plan = always(faults.equal_length_mask())
    with ScriptedEndpoint(plan=plan, seconds_per_request=0.005) as server:
        embeddings, told = described(drive, server)
        assert told.parity.equal_lengths == pytest.approx(0.14, abs=0.01)
        assert not told.parity.is_good
        assert "equal lengths: cosine 0.14" in caplog.text
        server.forget()
        all_right(way, drive, embeddings)
        assert {len(one.texts) for one in server.requests} == {1}
        if way in OF_SEVERAL:  # in requests of their own, at the same time
            assert max(one.texts_in_flight for one in server.requests) > 1
    assert caplog.text.count("equal lengths") == 1


@in_every_way
def test_where_requests_share_batches_one_text_at_a_time_is_sent(drive, way, caplog):
    plan = always(faults.equal_length_mask(merges=True))
    # So long that what is sent at once is in flight at once, on a busy machine too.
    with ScriptedEndpoint(plan=plan, seconds_per_request=0.03) as server:
        embeddings, told = described(drive, server)
        assert told.parity.concurrent_equal_lengths == pytest.approx(0.14, abs=0.01)
        server.forget()
        all_right(way, drive, embeddings)
        assert {one.texts_in_flight for one in server.requests} == {1}
    assert caplog.text.count("one text at a time") == 1


@in_every_way
def test_a_server_that_is_known_to_leave_out_the_mask_is_never_given_a_batch(drive, way, caplog):
    plan = always(faults.equal_length_mask(merges=True))
    model = "Qwen/Qwen3-Embedding-0.6B"
    with ScriptedEndpoint(plan=plan, model_id=model, seconds_per_request=0.002) as server:
        all_right(way, drive, restricted(server)[0])
        assert {one.texts_in_flight for one in server.requests} == {1}
    assert caplog.text.count("issue 882") == 1


@in_every_way
@pytest.mark.parametrize("dialect", ["auto", "openai"])
def test_it_is_known_by_its_first_reply_at_openais_route(drive, way, dialect):
    plan = always(faults.equal_length_mask(merges=True))
    model = "Qwen/Qwen3-Embedding-0.6B"
    with ScriptedEndpoint(plan=plan, model_id=model, seconds_per_request=0.002) as server:
        endpoint = InferenceEndpoint(
            url=f"{server.url}/v1/embeddings",
            dialect=dialect,
            model=model,
            rate_limit={"requests_per_minute": 100_000},
            max_batch_size=8,
        )
        all_right(way, drive, HFEndpointEmbeddings(endpoint=endpoint))
        assert [one.path for one in server.arrivals].count("/info") == 1


@pytest.mark.parametrize("drive", DRIVES, indirect=True)
@pytest.mark.parametrize("knows", ["cache", "fingerprint"])
def test_so_it_is_where_the_model_is_asked_for_first(drive, knows, tmp_path):
    plan = always(faults.equal_length_mask(merges=True))
    with ScriptedEndpoint(plan=plan, model_id="Qwen/Qwen3-Embedding-0.6B") as server:
        endpoint = InferenceEndpoint(f"{server.url}/v1/embeddings", max_batch_size=8)
        if knows == "fingerprint":
            kept = ModelFingerprint.from_bytes(bytes.fromhex(endpoint.describe().fingerprint))
            close_sessions()
            all_right(by_array, drive, HFEndpointEmbeddings(endpoint=endpoint.expecting(kept)))
        else:
            cache = tmp_path / "vectors.cache"
            for _ in range(2):
                all_right(by_array, drive, HFEndpointEmbeddings(endpoint=endpoint, cache=cache))
                close_sessions()


@in_every_way
def test_a_server_that_mixes_up_requests_is_sent_nothing(drive, way):
    with ScriptedEndpoint(
        plan=always(faults.rows_of_another()), seconds_per_request=0.02
    ) as server:
        embeddings, told = described(drive, server)
        assert told.parity.concurrent < 0.5
        server.forget()
        refused(way, drive, embeddings, ServerError)
        assert server.requests == []


@in_every_way
def test_replicas_of_two_models_are_sent_nothing(drive, way):
    plan = FaultPlan(3, {faults.swapped(0.9, seconds=0): 0.5}, most_in_a_row=None)
    with ScriptedEndpoint(plan=plan) as server:
        embeddings, told = described(drive, server)
        assert not told.parity.is_good
        refused(way, drive, embeddings, ServerError)
