"""Named inference endpoints in a file of SQLite."""

from __future__ import annotations

from langchain_hf_endpoint.registry.registry import InferenceEndpoints

__all__ = ["InferenceEndpoints"]
