"""Embed a book with Ray Data: two actors, one limit in Redis, chunks to Parquet.

export HF_ENDPOINT_URL=https://…  HF_ENDPOINT_REDIS_URL=redis://…
python examples/ray_ingest.py examples/data/alice_in_wonderland.txt chunks/
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import ray

from langchain_hf_endpoint import HFEndpointEmbeddings, RedisRequestsPerMinuteLimiter
from langchain_hf_endpoint.ray import EmbedChunks

LIMIT = int(os.environ.get("HF_ENDPOINT_LIMIT", "3000"))


def main(book: str, folder: str) -> None:
    limiter = RedisRequestsPerMinuteLimiter(LIMIT, url_env="HF_ENDPOINT_REDIS_URL", key="book")
    embeddings = HFEndpointEmbeddings(url=os.environ["HF_ENDPOINT_URL"], rate_limiter=limiter)
    paragraphs = Path(book).read_text(encoding="utf-8").split("\n\n")
    rows = [
        {"paragraph": number, "text": text.strip()}
        for number, text in enumerate(paragraphs)
        if text.strip()
    ]
    # A cluster of yours: ray.init("auto"). This one is this machine, with two workers.
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    dataset = ray.data.from_items(rows, override_num_blocks=8)
    chunks = dataset.map_batches(
        EmbedChunks,
        fn_constructor_args=(embeddings,),
        fn_constructor_kwargs={"on_error": "column"},
        batch_size=16,
        concurrency=2,
    )
    chunks.write_parquet(folder)
    written = ray.data.read_parquet(folder, columns=["error"])
    failed = sum(bool(row["error"]) for row in written.iter_rows())
    print(f"{len(rows)} paragraphs are in {folder}, {failed} of them without a vector")


if __name__ == "__main__":
    main(*sys.argv[1:])
