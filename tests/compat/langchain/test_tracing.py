"""LangChain's callbacks and tracers record what a chain does; the key is in none of it."""

import json
import logging

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumps
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.base import BaseTracer
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_hf_endpoint import AuthenticationError, EmbeddingError, HFEndpointEmbeddings
from langchain_hf_endpoint.testing import faults

KEY = "hf_a-key-that-must-not-show"


class Everything(BaseTracer):
    """A tracer that keeps each run whole, as LangSmith's sends it."""

    def __init__(self):
        super().__init__()
        self.runs = []

    def _persist_run(self, run):
        self.runs.append(run)

    def written(self):
        return "\n".join(json.dumps(run.model_dump(), default=repr) for run in self.runs)


class Calls(BaseCallbackHandler):
    """Keeps what each callback is given."""

    raise_error = True

    def __init__(self):
        self.seen = []

    def on_chain_start(self, serialized, inputs, **more):
        self.seen.append(("chain", serialized, inputs, more))

    def on_retriever_start(self, serialized, query, **more):
        self.seen.append(("retriever", serialized, query, more))

    def on_retriever_end(self, documents, **more):
        self.seen.append(("found", documents, more))

    def on_retriever_error(self, error, **more):
        self.seen.append(("failed", error, str(error), more))


@pytest.fixture
def embeddings(tei_double):
    tei_double.configure(api_key=KEY)
    return HFEndpointEmbeddings(url=tei_double.url, api_key=KEY)


@pytest.fixture
def chain(embeddings):
    store = InMemoryVectorStore.from_documents([Document("A text.")], embeddings)
    return RunnableLambda(lambda question: question) | store.as_retriever(search_kwargs={"k": 1})


async def asked(chain, mode, config):
    if mode == "sync":
        return chain.invoke("Which text?", config)
    return await chain.ainvoke("Which text?", config)


def shown(tracer, calls, caplog):
    return "\n".join([tracer.written(), repr(calls.seen), dumps(calls.seen), caplog.text])


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_traced_chain_shows_no_key(chain, mode, caplog):
    tracer, calls = Everything(), Calls()
    config = {"callbacks": [tracer, calls]}
    with caplog.at_level(logging.DEBUG):
        found = await asked(chain, mode, config)
    assert found[0].page_content == "A text."
    assert tracer.runs
    assert {kind for kind, *_ in calls.seen} == {"chain", "retriever", "found"}
    assert KEY not in shown(tracer, calls, caplog)


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_a_traced_failure_shows_no_key(chain, tei_double, mode, caplog):
    tei_double.script(faults.answer(401, {"error": f"Invalid token {KEY}"}))
    tracer, calls = Everything(), Calls()
    config = {"callbacks": [tracer, calls]}
    with caplog.at_level(logging.DEBUG), pytest.raises((AuthenticationError, EmbeddingError)):
        await asked(chain, mode, config)
    assert "Invalid token" in tracer.written()  # the failure itself is in it
    assert KEY not in shown(tracer, calls, caplog)


async def test_the_events_of_a_chain_show_no_key(chain):
    events = [event async for event in chain.astream_events("Which text?", version="v2")]
    assert any(event["event"] == "on_retriever_end" for event in events)
    assert KEY not in repr(events)
    assert KEY not in dumps(chain)
