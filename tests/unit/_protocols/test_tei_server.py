import orjson
import pytest
from wire_samples import reply

from langchain_hf_endpoint._messages import Cause
from langchain_hf_endpoint._protocols import explain, read_info, tei_server
from langchain_hf_endpoint._protocols.tei_server import RefusedError, TeiServer

VERSIONS = ("1.2.3", "1.8.2", "1.8.3", "1.9.3")
PATHS = pytest.mark.parametrize("path", ["/embed", "/v1/embeddings"])


def server(version="1.9.3", **options):
    return TeiServer(model_id="a/model", dimensions=8, version=version, **options)


def refused(content, path, **options):
    with pytest.raises(RefusedError) as caught:
        tei_server.embed_request(content, path, server(**options))
    return caught.value


@PATHS
@pytest.mark.parametrize("version", VERSIONS)
def test_our_client_understands_every_refusal_of_every_version(path, version):
    release = server(version).release
    for refusal, cause in (
        (tei_server.batch_too_large(release, 33, 32), Cause.BATCH_TOO_LARGE),
        (tei_server.too_long(release, 600, 512), Cause.INPUT_REJECTED),
        (tei_server.empty(release), Cause.INPUT_REJECTED),
        (tei_server.tokenizer_error(), Cause.INPUT_REJECTED),
        (tei_server.overloaded(), Cause.RATE_LIMITED),
        (tei_server.body_too_large(), Cause.BODY_TOO_LARGE),
    ):
        failure = explain(reply(refusal.body(path), refusal.status, {}))
        assert failure.cause is cause, refusal
    limit = tei_server.batch_too_large(release, 33, 32)
    assert explain(reply(limit.body(path), limit.status, {})).batch_limit == 32


@PATHS
def test_the_status_of_what_is_wrong_with_an_input_depends_on_the_version(path):
    name = "inputs" if path == "/embed" else "input"
    many, empty = {name: ["a"] * 33}, {name: ["a", ""]}
    statuses = [
        (refused(many, path, version=version).status, refused(empty, path, version=version).status)
        for version in VERSIONS
    ]
    assert statuses == [(413, 413), (413, 413), (413, 400), (422, 400)]


def test_a_body_is_flat_on_the_routes_of_openai_and_plain_text_without_a_kind():
    refusal = tei_server.overloaded()
    words = "Model is overloaded"
    assert orjson.loads(refusal.body("/")) == {"error": words, "error_type": "Overloaded"}
    flat = {"message": words, "code": 429, "type": "Overloaded"}
    assert orjson.loads(refusal.body("/embeddings")) == flat
    for content in (b"{", b"[]"):
        with pytest.raises(RefusedError) as caught:
            tei_server.json_object(content)
        assert caught.value.body("/") == caught.value.message.encode()
        assert caught.value.content_type.startswith("text/plain")


def test_our_client_reads_what_the_server_says_of_itself():
    options = {"max_input_length": 256, "max_client_batch_size": 8, "max_concurrent_requests": 16}
    info = read_info(reply(orjson.dumps(server("1.8.3", **options).info())))
    assert (info.model_id, info.version, info.truncates) == ("a/model", "1.8.3", False)
    assert (info.max_input_tokens, info.max_batch_size, info.max_concurrent_inputs) == (256, 8, 16)


def test_what_a_version_does_not_know_is_not_read():
    content = {"inputs": "a", "dimensions": 9, "prompt_name": "no", "normalize": False}
    request = tei_server.embed_request(content, "/embed", server("1.2.3"))
    assert (request.dimensions, request.prompt, request.normalize) == (None, "", False)
    content = {"input": "a", "encoding_format": "base64"}
    assert not tei_server.embed_request(content, "/v1/embeddings", server("1.2.3")).base64
    assert tei_server.embed_request(content, "/v1/embeddings", server()).base64
