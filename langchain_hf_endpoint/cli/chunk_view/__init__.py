"""How a text was cut, made to be looked at: which chunk has what, where they overlap, how long.

It knows chunks and a page of HTML. It must not know any terminal, nor how texts are cut.
"""

from __future__ import annotations

from langchain_hf_endpoint.cli.chunk_view.html import page
from langchain_hf_endpoint.cli.chunk_view.layout import Bar, Cuts, Span, bars

__all__ = ["Bar", "Cuts", "Span", "bars", "page"]
