"""How a text was cut, made to be looked at: which chunk has what, where they overlap, how long.

It knows chunks and a page of HTML. It must not know any terminal, nor how texts are cut.
"""

from __future__ import annotations

from langchain_hf_endpoint._cuts.cuts import Bar, Cuts, Span, bars
from langchain_hf_endpoint._cuts.page import page

__all__ = ["Bar", "Cuts", "Span", "bars", "page"]
