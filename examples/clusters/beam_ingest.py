"""Embed a book with Beam: two worker processes, one limit in Redis, lines of JSON.

export HF_ENDPOINT_URL=https://…  HF_ENDPOINT_REDIS_URL=redis://…
python examples/clusters/beam_ingest.py examples/data/alice_in_wonderland.txt vectors/
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from langchain_hf_endpoint import (
    EmbeddingError,
    HFEndpointEmbeddings,
    RedisRequestsPerMinuteLimiter,
)

LIMIT = int(os.environ.get("HF_ENDPOINT_LIMIT", "3000"))


def embed_batch(texts: list[str], embeddings: HFEndpointEmbeddings) -> list[str]:
    try:
        vectors, failures = dict(enumerate(embeddings.embed_documents(texts))), {}
    except EmbeddingError as error:  # the others' vectors are in it
        vectors, failures = dict(error.completed), dict(error.failures)
    beam.metrics.Metrics.counter("embedding", "failed").inc(len(failures))
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
    # A runner of yours: its options, such as --runner=DataflowRunner.
    options = PipelineOptions(["--direct_running_mode=multi_processing", "--direct_num_workers=2"])
    pipeline = beam.Pipeline(options=options)
    (
        pipeline
        | beam.Create(texts)
        | beam.Reshuffle()
        | beam.BatchElements(min_batch_size=16, max_batch_size=64)
        | beam.FlatMap(embed_batch, embeddings)
        | beam.io.WriteToText(f"{folder}/vectors", file_name_suffix=".jsonl")
    )
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query()["counters"]
    failed = sum(one.result for one in counters if one.key.metric.name == "failed")
    print(f"{len(texts)} paragraphs are in {folder}, {failed} of them without a vector")


if __name__ == "__main__":
    main(*sys.argv[1:])
