import pytest
from wire_samples import reply

from langchain_hf_endpoint._messages import ServerInfo
from langchain_hf_endpoint._protocols import (
    info_request,
    models_request,
    read_info,
    read_models,
    read_tokens,
)

TEI_183 = {
    "model_id": "/repository",
    "model_sha": None,
    "model_dtype": "float16",
    "model_type": {"embedding": {"pooling": "mean"}},
    "max_concurrent_requests": 512,
    "max_input_length": 512,
    "max_batch_tokens": 16384,
    "max_batch_requests": None,
    "max_client_batch_size": 32,
    "auto_truncate": False,
    "tokenization_workers": 4,
    "version": "1.8.3",
    "sha": "f4d2a4a",
    "docker_label": "sha-f4d2a4a",
}
TEI_193 = {
    **TEI_183,
    "model_id": "BAAI/bge-m3",
    "served_model_name": "BAAI/bge-m3",
    "auto_truncate": True,
    "version": "1.9.3",
}
TGI = {
    "model_id": "meta-llama/Llama-3.1-8B",
    "max_concurrent_requests": 128,
    "max_input_tokens": 4095,
    "max_total_tokens": 4096,
    "router": "text-generation-router",
    "version": "3.0.0",
}
NO_RERANKER = "it has a model of the type embedding, not a reranker"
LABELS = {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}


def test_tei_on_an_inference_endpoint():
    assert read_info(reply(TEI_183)) == ServerInfo(
        kind="tei",
        version="1.8.3",
        model_id=None,
        model_path="/repository",
        max_input_tokens=512,
        max_batch_size=32,
        max_concurrent_inputs=512,
        unfit=None,
        unfit_to_score=NO_RERANKER,
    )


def test_tei_from_1_9():
    info = read_info(reply(TEI_193))
    assert (info.model_id, info.version) == ("BAAI/bge-m3", "1.9.3")


@pytest.mark.parametrize(
    ("served", "model_id"),
    [("my-model", "my-model"), ("/repository", None), (None, None), (7, None), ("", None)],
)
def test_the_name_of_a_folder_is_no_model(served, model_id):
    info = read_info(reply({**TEI_193, "model_id": "/data/m", "served_model_name": served}))
    assert info.model_id == model_id


@pytest.mark.parametrize(
    ("model_type", "part"),
    [
        ({"reranker": LABELS}, "reranker"),
        ({"classifier": LABELS}, "classifier"),
        ({"Reranker": LABELS}, "Reranker"),
        ({"embedding": {"pooling": "splade"}}, "SPLADE"),
    ],
)
def test_models_that_make_no_embeddings(model_type, part):
    assert part in read_info(reply({**TEI_193, "model_type": model_type})).unfit


@pytest.mark.parametrize(
    "model_type", [{"embedding": {"pooling": "cls"}}, {"embedding": None}, {}, None, "embedding"]
)
def test_models_that_may(model_type):
    assert read_info(reply({**TEI_193, "model_type": model_type})).unfit is None


def test_text_generation():
    info = read_info(reply(TGI))
    assert info.kind == "tgi"
    assert "no embeddings" in info.unfit


def test_absurd_values_are_unknown():
    info = read_info(
        reply(
            {
                **TEI_193,
                "max_input_length": -1,
                "max_client_batch_size": True,
                "max_concurrent_requests": "512",
                "version": ["1"],
                "auto_truncate": "yes",
            }
        )
    )
    assert info == ServerInfo(kind="tei", model_id="BAAI/bge-m3", unfit_to_score=NO_RERANKER)


@pytest.mark.parametrize(
    "answer",
    [
        reply({"detail": "Not Found"}, 404),
        reply(TEI_193, 401),
        reply(b""),
        reply("<html>"),
        reply("[]"),
        reply("null"),
        reply({"status": "ok"}),
        reply({"model_id": "x", "version": "1"}),
    ],
)
def test_whoever_has_no_info(answer):
    assert read_info(answer) is None


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://h:80", "http://h:80/info"),
        ("http://h/", "http://h/info"),
        ("http://h/embed", "http://h/info"),
        ("http://h/embed/?key=1", "http://h/info?key=1"),
        ("http://h/v1", "http://h/info"),
        ("http://h/v1/embeddings", "http://h/info"),
        ("http://h/embeddings", "http://h/info"),
        ("http://h/invocations", "http://h/info"),
        ("http://h/team/bge/embed#x", "http://h/team/bge/info"),
        ("http://h/team/bge", "http://h/team/bge/info"),
    ],
)
def test_where_to_ask(url, asked):
    request = info_request(url)
    assert (request.method, request.url, request.body) == ("GET", asked, b"")
    assert "Content-Type" not in request.headers


@pytest.mark.parametrize(
    "url",
    [
        "https://router.huggingface.co/hf-inference/models/x/pipeline/feature-extraction",
        "https://router.huggingface.co/hf-inference/models/x",
        "https://api-inference.huggingface.co/models/x",
        "https://example.org/pipeline/feature-extraction/x",
        "http://[broken",
        "no-url",
    ],
)
def test_where_not_to(url):
    assert info_request(url) is None


def test_the_models_of_an_openai_server():
    assert models_request("http://h/v1/embeddings?k=1").url == "http://h/v1/models?k=1"
    assert models_request("http://h/embeddings").url == "http://h/models"
    assert models_request("http://h/embed") is None
    assert models_request("http://[broken/embeddings") is None


@pytest.mark.parametrize(
    ("body", "model"),
    [
        ({"object": "list", "data": [{"id": "BAAI/bge-m3", "object": "model"}]}, "BAAI/bge-m3"),
        ({"data": [{"id": "llama3"}, {"id": "nomic-embed-text"}]}, "nomic-embed-text"),
        ({"data": [{"id": "a-embed"}, {"id": "b-embed"}]}, None),
        ({"data": [{"id": "a"}, {"id": "b"}]}, None),
        ({"data": [{"id": 7}]}, None),
        ({"data": [{}]}, None),
        ({"data": 7}, None),
        ({"data": []}, None),
        ({"data": ["x"]}, None),
        ({}, None),
        ([], None),
        (b"", None),
    ],
)
def test_which_model_to_ask_for(body, model):
    assert read_models(reply(body)).choice == model
    assert read_models(reply(body, 404)).names == ()


@pytest.mark.parametrize(("told", "end"), [(0, 0), (7, 7), (-1, None), (7.0, None), (None, None)])
def test_where_a_token_ends(told, end):
    tokens = read_tokens(reply([[{"special": True}, {"special": False, "stop": told}]]), 1)
    assert [(each.marks, each.ends) for each in tokens] == [(1, [end])]
