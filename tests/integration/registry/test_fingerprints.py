"""A registry remembers which model an endpoint had; whoever uses the endpoint notices another."""

import json
import sqlite3
from contextlib import closing

import pytest
from commands import run

from langchain_hf_endpoint import HFEndpointEmbeddings, InferenceEndpoints, ModelChangedError
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.registry.store import REGISTRY
from langchain_hf_endpoint.testing import faults


@pytest.fixture
def path(tmp_path):
    return tmp_path / "endpoints.db"


def put(endpoints, double, **more):
    config = {"service_settings": {"url": double.url}}
    return endpoints.put(inference_id="a", inference_config=config, **more)


def another_process(double):
    """It knows nothing of the server, which is another by now or not."""
    close_sessions()
    double.forget()


def sent(double):
    return [len(one.texts) for one in double.requests]


def test_a_put_keeps_it_at_no_cost_and_another_process_compares_it_once(path, tei_double):
    with InferenceEndpoints(path) as endpoints:
        config = put(endpoints, tei_double)
        assert sent(tei_double) == [1]
        HFEndpointEmbeddings(endpoint=endpoints["a"]).embed_query("in this process")
        assert sent(tei_double) == [1, 1]
        assert "fingerprint" not in json.dumps([config, endpoints.get(inference_id="a")])
    another_process(tei_double)
    with InferenceEndpoints(path) as endpoints:
        embeddings = HFEndpointEmbeddings(endpoint=endpoints["a"])
    for text in ("one", "two"):
        embeddings.embed_query(text)
    assert sent(tei_double) == [3, 1, 1]


def test_another_model_of_the_same_name_and_width_is_refused(path, tei_double, drive):
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, tei_double)
        another_process(tei_double)
        tei_double.script(faults.swapped())
        embeddings = HFEndpointEmbeddings(endpoint=endpoints["a"])
        with pytest.raises(ModelChangedError):
            drive.query(embeddings, "one")
        assert sent(tei_double) == [3]
        endpoints.update(
            inference_id="a", inference_config={"service_settings": {"max_batch_size": 4}}
        )
        with pytest.raises(ModelChangedError):  # an update changes no model
            drive.query(HFEndpointEmbeddings(endpoint=endpoints["a"]), "one")


def describe(endpoint, _embeddings):
    endpoint.describe()


def embed_two(_endpoint, embeddings):
    with pytest.raises(ModelChangedError):
        embeddings.embed_documents(["two", "three"])


@pytest.mark.parametrize("look", [describe, embed_two])
def test_one_who_only_queries_notices_another_model_when_it_looks(path, tei_double, look):
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, tei_double)
        endpoint = endpoints["a"]
    embeddings = HFEndpointEmbeddings(endpoint=endpoint)
    embeddings.embed_query("one")
    tei_double.script(faults.swapped())
    embeddings.embed_query("not noticed")
    look(endpoint, embeddings)
    with pytest.raises(ModelChangedError):
        embeddings.embed_query("noticed")


def test_a_name_comes_back_with_other_vectors_only_if_that_is_wanted(path, tei_double):
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, tei_double)
        endpoints.delete(inference_id="a")
        tei_double.script(faults.swapped())
        with pytest.raises(ModelChangedError, match="allow_model_change"):
            put(endpoints, tei_double)
        put(endpoints, tei_double, allow_model_change=True)
        HFEndpointEmbeddings(endpoint=endpoints["a"]).embed_query("one")
        tei_double.resume()
        another_process(tei_double)
        with pytest.raises(ModelChangedError):
            HFEndpointEmbeddings(endpoint=endpoints["a"]).embed_query("one")


def test_it_is_accepted_from_nobody(path, tei_double):
    with InferenceEndpoints(path) as endpoints:
        refused = {"service_settings": {"url": tei_double.url, "fingerprint": "00"}}
        with pytest.raises(ValueError, match="fingerprint"):
            endpoints.put(inference_id="a", inference_config=refused)


def test_of_one_that_was_not_tried_out_check_keeps_it(path, tei_double):
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, tei_double, skip_validation=True)
        assert endpoints["a"].expected_fingerprint is None
        assert run("check", "a", "--database", path).exit_code in (0, 3)
        kept = endpoints["a"].expected_fingerprint
        assert kept is not None
        another_process(tei_double)
        tei_double.script(faults.swapped())
        told = run("check", "a", "--database", path)
        assert told.exit_code == 3
        assert "other vectors than when it was put" in told.output
        assert endpoints["a"].expected_fingerprint == kept


def test_a_file_without_them_and_one_with_those_of_a_newer_version_are_used(path, tei_double):
    with InferenceEndpoints(path) as endpoints:
        put(endpoints, tei_double)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE fingerprints SET fingerprint = x'686d32'")
        connection.commit()
    with InferenceEndpoints(path) as endpoints:
        HFEndpointEmbeddings(endpoint=endpoints["a"]).embed_query("one")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE fingerprints")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    with InferenceEndpoints(path) as endpoints:
        assert endpoints["a"].expected_fingerprint is None
        HFEndpointEmbeddings(endpoint=endpoints["a"]).embed_query("one")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(REGISTRY.steps),)
