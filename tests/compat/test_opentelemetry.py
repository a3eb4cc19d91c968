"""What OpenTelemetry sees of a call, alone and together with httpx's own instrumentation."""

from __future__ import annotations

import json
import sys

import pytest
from opentelemetry import metrics, trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from own_tracing import own_tracing

from langchain_hf_endpoint import (
    EmbeddingError,
    HFEndpointEmbeddings,
    HFEndpointReranker,
    SettingsError,
)
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.testing import ScriptedEndpoint, faults

KEY = "hf_only-for-the-endpoint"
TEXTS = [f"text number {number}" for number in range(100)]


@pytest.fixture(scope="module")
def exporter():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with own_tracing():
        trace.set_tracer_provider(provider)
        HTTPXClientInstrumentor().instrument()
        yield exporter
        HTTPXClientInstrumentor().uninstrument()
        provider.shutdown()


@pytest.fixture
def spans(exporter):
    """The spans that ended in the test, by name."""
    exporter.clear()

    def spans(name=None):
        finished = exporter.get_finished_spans()
        return [span for span in finished if name in (None, span.name)]

    return spans


@pytest.fixture
def embeddings(tei_double):
    yield HFEndpointEmbeddings(url=tei_double.url, api_key=KEY)
    close_sessions()


async def _documents(embeddings, *, is_async):
    if is_async:
        return await embeddings.aembed_documents(TEXTS)
    return embeddings.embed_documents(TEXTS)


async def _query(embeddings, *, is_async):
    return await embeddings.aembed_query("why?") if is_async else embeddings.embed_query("why?")


both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


@both
async def test_a_call_is_a_span_and_its_requests_are_under_it(spans, embeddings, is_async):
    with trace.get_tracer("test").start_as_current_span("the user's own"):
        await _documents(embeddings, is_async=is_async)
    (own,) = spans("the user's own")
    (call,) = spans("embed_documents")
    assert call.parent.span_id == own.context.span_id
    assert call.attributes["gen_ai.operation.name"] == "embeddings"
    assert call.attributes["server.address"] == "127.0.0.1"
    assert call.attributes["hf_endpoint.chunks.done"] == len(TEXTS)
    assert call.attributes["hf_endpoint.chunks.planned"] == len(TEXTS)
    assert call.status.status_code is StatusCode.UNSET
    requests = [span for span in spans() if span.kind is SpanKind.CLIENT]
    assert len(requests) >= 5  # /info, and four batches of at most 32
    assert {span.parent.span_id for span in requests} == {call.context.span_id}


@both
async def test_a_query_is_a_span(spans, embeddings, is_async):
    await _query(embeddings, is_async=is_async)
    (call,) = spans("embed_query")
    assert call.attributes["hf_endpoint.chunks.done"] == 1


@both
async def test_reranking_is_an_operation_of_its_own(spans, is_async):
    with ScriptedEndpoint(shape="reranker") as server:
        reranker = HFEndpointReranker(url=server.url)
        if is_async:
            await reranker.arerank(TEXTS, "why?")
        else:
            reranker.rerank(TEXTS, "why?")
        reranker.score([("why?", TEXTS[0])])
    calls = spans("rerank")
    assert len(calls) == 2
    assert {call.attributes["gen_ai.operation.name"] for call in calls} == {"rerank"}


@both
async def test_retries_are_events(spans, embeddings, tei_double, is_async):
    tei_double.script(*[faults.answer(500)] * 2)
    await _documents(embeddings, is_async=is_async)
    (call,) = spans("embed_documents")
    assert [event.name for event in call.events] == ["waiting to try again"] * 2
    assert all(event.attributes["hf_endpoint.wait.seconds"] > 0 for event in call.events)
    assert call.attributes["hf_endpoint.wait.retry.seconds"] > 0


@both
async def test_a_failed_call_names_the_class_of_its_error_and_no_text(
    spans, embeddings, tei_double, is_async
):
    tei_double.configure(rejects="number 7")
    with pytest.raises(EmbeddingError):
        await _documents(embeddings, is_async=is_async)
    (call,) = spans("embed_documents")
    assert call.status.status_code is StatusCode.ERROR
    assert "EmbeddingError" in call.attributes["error.type"]
    assert "number 7" not in call.to_json()


@both
async def test_a_span_says_what_its_call_cost(spans, embeddings, tei_double, is_async):
    tei_double.script(faults.answer(500))
    await _documents(embeddings, is_async=is_async)
    (call,) = spans("embed_documents")
    said = {
        name.removeprefix("hf_endpoint.usage."): value for name, value in call.attributes.items()
    }
    assert said["requests"] == len(tei_double.arrivals)
    assert said["inputs_sent"] == sum(len(one.texts) for one in tei_double.arrivals)
    assert said["texts"] == said["chunks"] == len(TEXTS)
    assert said["retries"] == 1
    assert said["tokens"] == said["gen_ai.usage.input_tokens"] == 5 * len(TEXTS)


@pytest.fixture
def measured():
    """The metrics so far, by name; of each the sum of its points, and the attributes of one."""
    reader = InMemoryMetricReader()
    with own_tracing():
        provider = MeterProvider([reader])
        metrics.set_meter_provider(provider)

        def measured():
            (resource,) = reader.get_metrics_data().resource_metrics
            scopes = {one.scope.name: one.metrics for one in resource.scope_metrics}
            found = {}
            for metric in scopes["langchain_hf_endpoint"]:  # httpx has its own
                points = metric.data.data_points
                total = sum(getattr(one, "value", None) or getattr(one, "sum", 0) for one in points)
                found[metric.name] = (total, dict(points[0].attributes))
            return found

        yield measured
        provider.shutdown()


@both
async def test_metrics_add_up_what_calls_cost(measured, embeddings, tei_double, is_async):
    await _documents(embeddings, is_async=is_async)
    await _query(embeddings, is_async=is_async)
    found = measured()
    total = {name.removeprefix("hf_endpoint.usage."): value for name, (value, _) in found.items()}
    assert total["requests"] == len(tei_double.arrivals)
    assert total["inputs_sent"] == total["texts"] == len(TEXTS) + 1
    assert total["tokens"] == total["gen_ai.client.token.usage"] == 5 * len(TEXTS) + 3
    assert total["gen_ai.client.operation.duration"] > 0
    assert total["retries"] == 0
    about = found["hf_endpoint.usage.requests"][1]
    assert about["gen_ai.operation.name"] == "embeddings"
    assert about["server.address"] == "127.0.0.1"


async def test_a_stream_is_a_span_that_leaves_the_users_own_work_alone(spans, embeddings):
    tracer = trace.get_tracer("test")
    with tracer.start_as_current_span("outer"):
        for _ in embeddings.stream_chunks(TEXTS):
            with tracer.start_as_current_span("between"):
                pass
    outer = spans("outer")[0].context.span_id
    assert {span.parent.span_id for span in spans("between")} == {outer}
    (call,) = spans("stream_chunks")
    assert call.parent.span_id == outer
    assert call.attributes["hf_endpoint.chunks.done"] == len(TEXTS)


async def test_a_stream_that_is_left_ends_its_span(spans, embeddings):
    stream = embeddings.astream_chunks(TEXTS)
    await anext(stream)
    await stream.aclose()
    (call,) = spans("stream_chunks")
    assert call.status.status_code is StatusCode.UNSET


@both
async def test_no_span_holds_the_key_or_a_text(spans, embeddings, is_async):
    await _documents(embeddings, is_async=is_async)
    told = json.dumps([json.loads(span.to_json()) for span in spans()])
    assert KEY not in told
    assert "text number" not in told


async def test_a_progress_bar_and_a_span_are_both_told(spans, tei_double, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    embeddings = HFEndpointEmbeddings(url=tei_double.url, show_progress_bar=True)
    embeddings.embed_documents(TEXTS)
    close_sessions()
    assert " 100/100 " in capfd.readouterr().err
    assert spans("embed_documents")[0].attributes["hf_endpoint.chunks.done"] == len(TEXTS)


@both
@pytest.mark.parametrize("ask", [_documents, _query])
async def test_a_call_that_cannot_begin_leaves_no_span_behind(
    spans, tei_double, monkeypatch, is_async, ask
):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    embeddings = HFEndpointEmbeddings(url=tei_double.url, api_key_env="NO_SUCH_KEY")
    before = trace.get_current_span()
    with pytest.raises(SettingsError, match="NO_SUCH_KEY"):
        await ask(embeddings, is_async=is_async)
    assert trace.get_current_span() is before
    assert [span.name for span in spans()] == []
