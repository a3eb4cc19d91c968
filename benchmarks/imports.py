"""What importing costs, above LangChain's own embeddings interface, which everyone has anyway."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.children import ROOT, child_environment
from benchmarks.records import Topic, say

if TYPE_CHECKING:
    from benchmarks.children import Record
    from benchmarks.records import Scale

NAME = "imports"
PACKAGE = "import langchain_hf_endpoint"
STATEMENTS = (
    PACKAGE,
    "from langchain_hf_endpoint import InferenceEndpoint",
    "from langchain_hf_endpoint import HFEndpointEmbeddings",
    "from langchain_hf_endpoint import HFEndpointTextSplitter",
    "from langchain_hf_endpoint import RequestsPerMinuteLimiter",
    "from langchain_hf_endpoint import InferenceEndpoints",
    "import langchain_hf_endpoint.gateway",
    "import langchain_hf_endpoint.cli",
    "import langchain_hf_endpoint.local",
    "import langchain_hf_endpoint.llama_index",
    "import langchain_hf_endpoint.haystack",
    "import langchain_hf_endpoint.redis",
    "import langchain_hf_endpoint.testing",
    "from langchain_openai import OpenAIEmbeddings",
    "from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference",
)
HEAVY = ("nltk", "numpy", "httpx", "aiohttp", "starlette", "onnxruntime", "typer", "rich", "tqdm")
_SCRIPT = """
import json, sys, time
from langchain_core.embeddings import Embeddings
held, begin, cpu = set(sys.modules), time.perf_counter(), time.process_time()
{statement}
taken, cpu = time.perf_counter() - begin, time.process_time() - cpu
new = sorted({{name.partition(".")[0] for name in set(sys.modules) - held}})
print(json.dumps([{{"ms": 1e3 * taken, "cpu_ms": 1e3 * cpu}}, new]))
"""


def is_there(statement: str) -> bool:
    """Whether what a statement imports exists: faces come and go, and packages may be absent."""
    module = statement.split()[1]
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def run(statement: str) -> tuple[Record, list[str]]:
    """Milliseconds of a statement in a fresh interpreter, and what it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(statement=statement)],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=child_environment(),
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    taken, loaded = json.loads(done.stdout.splitlines()[-1])
    return taken, loaded


def measure(scale: Scale) -> Topic:
    """All statements in turn, round by round, each in a fresh interpreter."""
    topic = Topic(NAME)
    for number in range(scale.runs + 1):
        say(f"imports, {f'round {number}' if number else 'warm-up'}")
        for statement in filter(is_there, STATEMENTS):
            row = topic.row(statement)
            try:
                taken, loaded = run(statement)
            except RuntimeError as error:
                row.error = str(error)
                continue
            row.note = ", ".join(name for name in HEAVY if name in loaded)
            if number:
                row.add(taken)
    return topic
