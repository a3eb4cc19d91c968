"""Cut texts into pieces that an embedding model can take, without asking any server.

::

    from langchain_hf_endpoint.chunking import chunk

    for piece in chunk(text, {"strategy": "word", "max_chunking_size": 100, "overlap": 20}):
        assert text[piece.start : piece.end] == piece.text

The steps, a module each::

    words.py       where the words are                  text -> offsets
    units.py       words of scripts without blanks      code points -> offsets
    punkt.py       where sentences start (NLTK)         text -> offsets
    windows.py     which words go together              word indexes -> windows of word indexes

numpy, NLTK and its trained tables are loaded with the first text that is longer than a chunk.
"""

from __future__ import annotations

from langchain_hf_endpoint.chunking.chunks import Chunk, chunk
from langchain_hf_endpoint.chunking_settings import PUNKT_LANGUAGES

__all__ = ["PUNKT_LANGUAGES", "Chunk", "chunk"]
