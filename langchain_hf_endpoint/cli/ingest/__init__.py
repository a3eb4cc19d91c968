"""Files of texts in, a file of vectors out; what was paid for once is not paid for again.

::

    records.py     a text of a source, or why there is none
    formats.py     one file -> its records
    sources.py     files, folders and standard input -> all records, in one order
    journal.py     what was received, safe on the disk from the moment it is there
    ingesting.py   records -> chunks -> vectors, over the journal: not loaded by those who only read
    rows.py        the journal -> the rows of the output
    outputs.py     rows -> Parquet, JSONL or .npy, whole or not at all
    tally.py       how far it is

It knows files and what is sure to survive a power cut. It must not know any terminal.
"""

from __future__ import annotations

from langchain_hf_endpoint.cli.ingest.records import Record, Unreadable
from langchain_hf_endpoint.cli.ingest.sources import FORMATS, Columns, Sources
from langchain_hf_endpoint.cli.ingest.stats import Tally

__all__ = ["FORMATS", "Columns", "Record", "Sources", "Tally", "Unreadable"]
