"""Cut texts into pieces that an embedding model can take, without asking any server.

::

    from langchain_hf_endpoint.chunking import chunk

    for piece in chunk(text, {"strategy": "word", "max_chunking_size": 100, "overlap": 20}):
        assert text[piece.start : piece.end] == piece.text

It knows words, sentences and windows of them. It must not know endpoints, requests or vectors.
Every strategy comes down to the same three steps, a module each::

    words.py       where the words are                  text -> offsets
    units.py       and where no blanks part them        code points -> offsets
    sentences.py   which words end a sentence           text -> word indexes (NLTK's punkt)
    windows.py     which words go together              word indexes -> windows of word indexes

Importing this package loads neither numpy nor NLTK nor any trained table; the first text that is
longer than a chunk does, NLTK and the table under the ``sentence`` strategy only.
"""

from __future__ import annotations

from langchain_hf_endpoint.chunking.chunks import Chunk, chunk
from langchain_hf_endpoint.settings import PUNKT_LANGUAGES

__all__ = ["PUNKT_LANGUAGES", "Chunk", "chunk"]
