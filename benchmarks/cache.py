"""What finding a vector in a cache of a million costs, in the order of writing and in none."""

from __future__ import annotations

import os
import random
import tempfile
import time
from pathlib import Path
from statistics import median

from langchain_hf_endpoint import ChunkCache, HFEndpointEmbeddings, InferenceEndpoint
from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.chunk_cache import look_up
from langchain_hf_endpoint._engine.drivers import ThreadDriver
from langchain_hf_endpoint._engine.vectors import ARRAYS
from langchain_hf_endpoint._protocols.base import as_json
from langchain_hf_endpoint.testing import ScriptedEndpoint

ENTRIES = int(os.environ.get("ENTRIES", "1000000"))
AT_ONCE = 512  # a look-ahead of batches
_WORDS = " of words that are as many as those of a short paragraph in a book" * 8


def texts_of(start: int, count: int) -> list[str]:
    """Of half a kilobyte each."""
    return [f"{number}{_WORDS}" for number in range(start, start + count)]


def show() -> None:
    """Print microseconds for each look-up."""
    with tempfile.TemporaryDirectory() as folder, ScriptedEndpoint() as server:
        path = Path(folder) / "vectors.cache"
        cache = ChunkCache(path)
        endpoint = InferenceEndpoint(
            url=server.url,
            rate_limit={"requests_per_minute": 100_000_000},
            chunking_settings={"strategy": "none"},
        )
        embeddings = HFEndpointEmbeddings(endpoint=endpoint, cache=cache)
        for start in range(0, ENTRIES, 10_000):
            embeddings.embed_array(texts_of(start, min(10_000, ENTRIES - start)))
            server.forget()
        print(f"{'bytes of the file for each entry':<44}{path.stat().st_size / ENTRIES:>8,.0f}")
        call = EmbeddingCall.for_documents(endpoint, ARRAYS, cache=cache).of_this_model()
        driver = ThreadDriver(call.sync_transport())
        order = list(range(0, ENTRIES - AT_ONCE + 1, AT_ONCE))
        for name in ("in the order of writing", "in any order of blocks", "of texts all over it"):
            walls: list[float] = []
            processor, found = 0.0, 0
            if name != "in the order of writing":
                random.Random(1).shuffle(order)
            for start in order:
                texts = texts_of(start, AT_ONCE)
                if name == "of texts all over it":
                    texts = [texts_of(random.randrange(ENTRIES), 1)[0] for _ in range(AT_ONCE)]
                inputs = list(enumerate(as_json(texts)))
                begun, used = time.perf_counter(), time.process_time()
                numbers, _ = driver.run(look_up(inputs, call))
                walls.append(time.perf_counter() - begun)
                processor += time.process_time() - used
                found += len(numbers)
            assert found == len(order) * AT_ONCE
            middle, mean = median(walls) / AT_ONCE, processor / found
            what = f"a look-up {name}, µs: median; processor"
            print(f"{what:<64}{1e6 * middle:>8.1f}{1e6 * mean:>8.1f}")
