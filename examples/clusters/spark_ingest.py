"""Embed a book with Spark: mapInPandas on two cores, one limit in Redis, Parquet.

export HF_ENDPOINT_URL=https://…  HF_ENDPOINT_REDIS_URL=redis://…
python examples/clusters/spark_ingest.py examples/data/alice_in_wonderland.txt vectors/
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession

from langchain_hf_endpoint import (
    EmbeddingError,
    HFEndpointEmbeddings,
    RedisRequestsPerMinuteLimiter,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

LIMIT = int(os.environ.get("HF_ENDPOINT_LIMIT", "3000"))
SCHEMA = "paragraph long, text string, embedding array<float>, error string"


def main(book: str, folder: str) -> None:
    limiter = RedisRequestsPerMinuteLimiter(LIMIT, url_env="HF_ENDPOINT_REDIS_URL", key="book")
    embeddings = HFEndpointEmbeddings(url=os.environ["HF_ENDPOINT_URL"], rate_limiter=limiter)
    paragraphs = Path(book).read_text(encoding="utf-8").split("\n\n")
    rows = [(number, text.strip()) for number, text in enumerate(paragraphs) if text.strip()]

    def embed(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            texts = frame["text"].tolist()
            try:
                vectors, failures = dict(enumerate(embeddings.embed_array(texts))), {}
            except EmbeddingError as error:  # the others' vectors are in it
                vectors, failures = dict(error.completed), dict(error.failures)
            yield frame.assign(
                embedding=[vectors.get(index) for index in range(len(texts))],
                error=[
                    str(failures[index]) if index in failures else None
                    for index in range(len(texts))
                ],
            )

    # A cluster of yours: its master's URL, or spark-submit. There a task is tried up to four times,
    # as when its worker is killed; here only where the 4 says so.
    spark = SparkSession.builder.master("local[2, 4]").config("spark.ui.enabled", "false")
    with spark.getOrCreate() as session:
        texts = session.createDataFrame(rows, "paragraph long, text string").repartition(8)
        vectors = texts.mapInPandas(embed, SCHEMA)
        # Written before anything else is done with it: Spark computes a frame anew for each use,
        # and each time would be paid for.
        vectors.write.mode("overwrite").parquet(folder)
        failed = session.read.parquet(folder).where("error is not null").count()
    print(f"{len(rows)} paragraphs are in {folder}, {failed} of them without a vector")


if __name__ == "__main__":
    main(*sys.argv[1:])
