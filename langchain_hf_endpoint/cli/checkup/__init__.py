"""What an endpoint is, how it does, and what is likely to go wrong with it.

::

    checkup.py     the result: plain values
    tokenizing.py  chunks -> their tokens, by the server's own tokenizer
    window.py      tokens -> which part of the texts is over the model's window
    findings.py    all that is known -> what to warn of
    checking.py    the order of things

It knows servers, limits and windows. It must not know any terminal, nor where texts are read from.
"""

from __future__ import annotations

from langchain_hf_endpoint.cli.checkup.report import (
    Checkup,
    Finding,
    Latency,
    Limits,
    Prompts,
    Registered,
    WindowUse,
)
from langchain_hf_endpoint.cli.checkup.run import Wanted, check

__all__ = [
    "Checkup",
    "Finding",
    "Latency",
    "Limits",
    "Prompts",
    "Registered",
    "Wanted",
    "WindowUse",
    "check",
]
