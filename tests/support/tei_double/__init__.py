"""A double of text-embeddings-inference (TEI), optionally behind Hugging Face's proxy.

::

    with TeiDouble(version="1.9.3", dimensions=384) as double:
        client.embed(double.url, texts)            # vectors: expected_vector(text)
        double.script(Scripted(status=429, headers={"retry-after": "1"}, times=3))
        double.configure(seconds_per_batch=0.02)   # from the next request on
        double.log("/embed")                       # what arrived, when, how it was answered
        double.reset()                             # defaults, empty log, empty script

It runs in its own process, so that neither its work nor its event loop is the test's. The
vectors, TEI's words and the ways to spoil a reply are those of `langchain_hf_endpoint.testing`.
"""

from langchain_hf_endpoint.testing.corruptions import CHANGES
from langchain_hf_endpoint.testing.vectors import RAW_LENGTH, expected_vector

from .client import TeiDouble
from .settings import Entry, Scripted, Settings

__all__ = ["CHANGES", "RAW_LENGTH", "Entry", "Scripted", "Settings", "TeiDouble", "expected_vector"]
