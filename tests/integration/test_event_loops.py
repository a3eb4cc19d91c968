"""Loops that are not asyncio's, and loops that nobody closes."""

import subprocess
import sys
from pathlib import Path

import pytest

from langchain_hf_endpoint import (
    HFEndpointEmbeddings,
    HFEndpointError,
    InferenceEndpoint,
    RequestsPerMinuteLimiter,
)

PACKAGE = str(Path(__file__).parents[2])


async def streamed(embeddings):
    async for _ in embeddings.astream_chunks(["a"]):
        pass


def a_full_limiter():
    limiter = RequestsPerMinuteLimiter(1)
    limiter.acquire()
    return limiter


@pytest.mark.parametrize(
    "call",
    [
        lambda embeddings: embeddings.aembed_query("a"),
        lambda embeddings: embeddings.aembed_documents(["a"]),
        lambda embeddings: embeddings.aembed_array(["a"]),
        lambda embeddings: embeddings.aembed_chunks(["a"]),
        streamed,
        lambda embeddings: embeddings.endpoint.adescribe(),
        lambda _: a_full_limiter().aacquire(),
    ],
)
def test_without_asyncios_loop_it_is_said_in_words(call):
    embeddings = HFEndpointEmbeddings(endpoint=InferenceEndpoint("http://127.0.0.1:9"))
    coroutine = call(embeddings)
    with pytest.raises(HFEndpointError, match=r"need asyncio's event loop.*trio"):
        coroutine.send(None)  # as trio's loop does


PROGRAM = """
import asyncio, sys
{patch}
from langchain_hf_endpoint import HFEndpointEmbeddings

embeddings = HFEndpointEmbeddings(url=sys.argv[1], transport=sys.argv[2])

async def main():
    print(len(await embeddings.aembed_documents(["a", "b"])))

{run}
"""
NESTED = "import nest_asyncio; nest_asyncio.apply()"
LEFT_OPEN = "loop = asyncio.new_event_loop(); loop.run_until_complete(main())"


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
@pytest.mark.parametrize(("patch", "run"), [(NESTED, "asyncio.run(main())"), ("", LEFT_OPEN)])
def test_a_loop_that_nobody_closes_ends_without_a_word(tei_double, patch, run, transport):
    if patch:
        pytest.importorskip("nest_asyncio")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(patch=patch, run=run), tei_double.url, transport],
        env={"PYTHONPATH": PACKAGE, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_tasks_that_are_left_on_an_open_loop_are_not_run_on_by_us(tei_double):
    run = f"""
async def later():
    await asyncio.sleep(0)
    print("ran on")

async def both():
    await main()
    global task
    task = asyncio.ensure_future(later())

{LEFT_OPEN.replace("main()", "both()")}
"""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(patch="", run=run), tei_double.url, "httpx"],
        env={"PYTHONPATH": PACKAGE, "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "2\n"
    assert "Exception ignored" not in done.stderr
