"""The dialects there are. It knows their list and nothing of what they do."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from langchain_hf_endpoint._protocols.hugging_face import HuggingFace
from langchain_hf_endpoint._protocols.openai import OpenAI
from langchain_hf_endpoint._protocols.tei import TextEmbeddingsInference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint._protocols.base import Dialect

TEI: Dialect = TextEmbeddingsInference()
HUGGING_FACE: Dialect = HuggingFace()
OPENAI: Dialect = OpenAI()

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {dialect.name: dialect for dialect in (TEI, HUGGING_FACE, OPENAI)}
)
"""Every dialect by its name in the setting ``dialect``."""
