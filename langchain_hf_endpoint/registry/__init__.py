"""Named endpoints in a file of SQLite.

`registry` is the public face; `configs` says what may be put and updated; `store` has the tables,
`migrations` the steps from one version of them to the next; `connections` keeps one connection per
thread, `files` the file and its mode.
"""

from __future__ import annotations

from langchain_hf_endpoint.registry.registry import InferenceEndpoints

__all__ = ["InferenceEndpoints"]
