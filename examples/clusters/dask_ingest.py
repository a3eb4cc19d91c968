"""Embed a book with Dask: two worker processes, one limit in Redis, lines of JSON.

export HF_ENDPOINT_URL=https://…  HF_ENDPOINT_REDIS_URL=redis://…
python examples/clusters/dask_ingest.py examples/data/alice_in_wonderland.txt vectors/
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import dask.bag
from distributed import Client, LocalCluster

from langchain_hf_endpoint import (
    EmbeddingError,
    HFEndpointEmbeddings,
    RedisRequestsPerMinuteLimiter,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = int(os.environ.get("HF_ENDPOINT_LIMIT", "3000"))


def embed_partition(texts: Iterable[str], embeddings: HFEndpointEmbeddings) -> list[str]:
    texts = list(texts)
    try:
        vectors, failures = dict(enumerate(embeddings.embed_documents(texts))), {}
    except EmbeddingError as error:  # the others' vectors are in it
        vectors, failures = dict(error.completed), dict(error.failures)
    return [
        json.dumps(
            {
                "text": text,
                "embedding": vectors.get(index),
                "error": str(failures[index]) if index in failures else None,
            }
        )
        for index, text in enumerate(texts)
    ]


def main(book: str, folder: str) -> None:
    limiter = RedisRequestsPerMinuteLimiter(LIMIT, url_env="HF_ENDPOINT_REDIS_URL", key="book")
    embeddings = HFEndpointEmbeddings(url=os.environ["HF_ENDPOINT_URL"], rate_limiter=limiter)
    paragraphs = Path(book).read_text(encoding="utf-8").split("\n\n")
    texts = [text.strip() for text in paragraphs if text.strip()]
    # A cluster of yours: Client("tcp://scheduler:8786").
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster):
        bag = dask.bag.from_sequence(texts, npartitions=8)
        # The embeddings are unpickled once for each partition; limiter, window and connections
        # are one in each process all the same.
        bag.map_partitions(embed_partition, embeddings).to_textfiles(f"{folder}/*.jsonl")
        rows = dask.bag.read_text(f"{folder}/*.jsonl").map(json.loads)
        failed = rows.filter(lambda row: row["error"] is not None).count().compute()
    print(f"{len(texts)} paragraphs are in {folder}, {failed} of them without a vector")


if __name__ == "__main__":
    main(*sys.argv[1:])
