"""Many callers, few requests: what the double saw is the proof."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

import pytest

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    InferenceEndpoint,
    InputError,
    ServerError,
    TaskSettings,
)
from langchain_hf_endpoint._engine.isolation import Outcome
from langchain_hf_endpoint.gateway import batcher
from langchain_hf_endpoint.gateway.batcher import DynamicBatcher, QueueFullError
from langchain_hf_endpoint.registry.configs import fingerprint_of
from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector, faults


@pytest.fixture
def endpoint(tei_double: ScriptedEndpoint) -> InferenceEndpoint:
    return InferenceEndpoint(url=tei_double.url)


def sent(double: ScriptedEndpoint) -> list[list[str]]:
    return [list(entry.texts) for entry in double.requests]


async def until_sent(double: ScriptedEndpoint, requests: int) -> None:
    while len(double.requests) < requests:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.01)


async def known(endpoint: InferenceEndpoint, double: ScriptedEndpoint) -> DynamicBatcher:
    """A batcher whose server was met before, so that its window is open; the log is empty."""
    batcher_ = DynamicBatcher(endpoint)
    await batcher_.embed(["first"])
    double.forget()
    return batcher_


async def test_each_caller_gets_the_vectors_of_its_own_texts_in_order(endpoint):
    batcher_ = DynamicBatcher(endpoint)
    asked = [[f"caller {caller} text {text}" for text in range(5)] for caller in range(20)]
    answers = await asyncio.gather(*map(batcher_.embed, asked))
    for texts, vectors in zip(asked, answers, strict=True):
        for text, vector in zip(texts, vectors, strict=True):
            assert vector == pytest.approx(expected_vector(text, 384), abs=1e-6)
    await batcher_.close()


async def test_requests_that_come_together_share_full_batches(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    await asyncio.gather(*(batcher_.embed([f"text {number}"]) for number in range(320)))
    assert [len(texts) for texts in sent(tei_double)] == [32] * 10


async def test_an_idle_endpoint_is_asked_at_once(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    await batcher_.embed(["alone"])
    assert sent(tei_double) == [["alone"]]
    assert batcher_.waiting == 0


async def test_equal_texts_of_several_callers_are_sent_once(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    answers = await asyncio.gather(*(batcher_.embed(["same", "same"]) for _ in range(10)))
    assert sent(tei_double) == [["same"]]
    assert all(answer == answers[0] and len(answer) == 2 for answer in answers)


async def test_while_the_first_request_is_out_others_gather(endpoint, tei_double):
    batcher_ = DynamicBatcher(endpoint)
    tei_double.script(faults.late(0.3))
    first = asyncio.create_task(batcher_.embed(["first"]))
    await until_sent(tei_double, 1)
    others = [asyncio.create_task(batcher_.embed([f"text {number}"])) for number in range(20)]
    await asyncio.gather(first, *others)
    assert [len(texts) for texts in sent(tei_double)] == [1, 20]


async def test_queries_go_before_documents_that_waited_longer(endpoint, tei_double):
    batcher_ = DynamicBatcher(endpoint)
    tei_double.script(faults.late(0.3))
    first = asyncio.create_task(batcher_.embed(["first"]))
    await until_sent(tei_double, 1)
    documents = asyncio.create_task(batcher_.embed([f"document {number}" for number in range(64)]))
    await asyncio.sleep(0)
    query = asyncio.create_task(batcher_.embed(["query"], "query"))
    await asyncio.gather(first, documents, query)
    assert sent(tei_double)[1] == ["query"]


async def test_other_dimensions_travel_in_batches_of_their_own(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    short = TaskSettings(dimensions=8)
    answers = await asyncio.gather(
        *(
            batcher_.embed([f"text {number}"], task=short if number % 2 else None)
            for number in range(8)
        )
    )
    assert [len(answer[0]) for answer in answers] == [384, 8] * 4
    assert [len(texts) for texts in sent(tei_double)] == [4, 4]


async def test_a_long_request_lets_the_short_ones_through(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    tei_double.configure(seconds_per_request=0.05)
    long = asyncio.create_task(batcher_.embed([f"long {number}" for number in range(640)]))
    await until_sent(tei_double, 1)
    await batcher_.embed(["short"])
    assert not long.done()
    await long


async def test_a_caller_that_leaves_takes_its_unsent_inputs_along(endpoint, tei_double):
    batcher_ = DynamicBatcher(endpoint)
    tei_double.script(faults.late(0.3))
    first = asyncio.create_task(batcher_.embed(["first"]))
    await until_sent(tei_double, 1)
    gone = asyncio.create_task(batcher_.embed(["gone", "both"]))
    stays = asyncio.create_task(batcher_.embed(["stays", "both"]))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(first, stays)
    assert sent(tei_double) == [["first"], ["stays", "both"]]
    assert batcher_.waiting == 0


async def test_leaving_while_the_batch_waits_for_its_permit_takes_the_inputs_out(tei_double):
    rate_limit = {"requests_per_minute": 60}
    batcher_ = DynamicBatcher(InferenceEndpoint(url=tei_double.url, rate_limit=rate_limit))
    await batcher_.embed(["first"])
    await asyncio.sleep(0)  # the task that ended is taken off the books in the next turn
    gone = asyncio.create_task(batcher_.embed(["gone"]))
    stays = asyncio.create_task(batcher_.embed(["stays"]))
    while not batcher_.in_flight:  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert sent(tei_double) == [["first"], ["stays"]]


async def test_when_the_last_caller_leaves_the_request_is_broken_off(endpoint, tei_double):
    batcher_ = DynamicBatcher(endpoint)
    tei_double.script(faults.hang())
    alone = asyncio.create_task(batcher_.embed(["alone"]))
    await until_sent(tei_double, 1)
    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone
    assert await batcher_.embed(["next"])
    await asyncio.sleep(0)  # the task that ended is taken off the books in the next turn
    assert batcher_.in_flight == 0


async def test_a_full_queue_refuses_and_says_when_to_come_back(endpoint, tei_double):
    batcher_ = DynamicBatcher(endpoint, max_queue=3)
    tei_double.script(faults.late(0.3))
    first = asyncio.create_task(batcher_.embed(["first"]))
    await until_sent(tei_double, 1)
    waiting = [asyncio.create_task(batcher_.embed([f"text {number}"])) for number in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError) as refused:
        await batcher_.embed(["one too many"])
    assert 1 <= refused.value.retry_after <= 60
    await asyncio.gather(first, *waiting)
    assert await batcher_.embed(["room again"])


async def test_a_rejected_input_fails_its_own_caller_alone(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    tei_double.configure(rejects="☠")
    good, bad = await asyncio.gather(
        batcher_.embed(["good", "fine"]), batcher_.embed(["also good", "☠"]), return_exceptions=True
    )
    assert len(good) == 2
    assert isinstance(bad, EmbeddingError)
    assert isinstance(bad.failures[1], InputError)
    assert list(bad.completed) == [0]


async def test_after_a_refused_key_the_rest_of_the_request_is_not_sent(tei_double):
    tei_double.configure(api_key="right")
    batcher_ = DynamicBatcher(
        InferenceEndpoint(url=tei_double.url, api_key="wrong", dialect="hugging_face")
    )
    with pytest.raises(AuthenticationError):
        await batcher_.embed([f"text {number}" for number in range(640)])
    assert len(sent(tei_double)) <= 4


async def test_a_retry_serves_every_caller_of_its_batch(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    tei_double.script(faults.answer(429, headers={"retry-after": "0"}))
    await asyncio.gather(batcher_.embed(["a"]), batcher_.embed(["b"]))
    assert sent(tei_double)[-1] == ["a", "b"]


async def test_callers_that_come_and_go_at_random_leave_nothing_behind(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    tei_double.configure(seconds_per_request=0.002)
    calls = [
        asyncio.create_task(batcher_.embed([f"{number}", f"{number % 7}"])) for number in range(200)
    ]
    for number, call in enumerate(calls):
        if number % 3 == 0:
            await asyncio.sleep(0)
            call.cancel()
    results = await asyncio.gather(*calls, return_exceptions=True)
    kinds = Counter(type(result).__name__ for result in results)
    assert kinds.keys() <= {"list", "CancelledError"}
    assert kinds["list"] >= 133
    await asyncio.sleep(0.01)
    assert (batcher_.waiting, batcher_.in_flight) == (0, 0)


async def test_a_blank_text_is_refused_before_anything_is_sent(endpoint, tei_double):
    with pytest.raises(InputError, match="text 1"):
        await DynamicBatcher(endpoint).embed(["fine", " "])
    assert sent(tei_double) == []


async def test_closing_breaks_off_and_answers_everyone(endpoint, tei_double):
    batcher_ = DynamicBatcher(endpoint)
    tei_double.script(faults.hang())
    first = asyncio.create_task(batcher_.embed(["first"]))
    await until_sent(tei_double, 1)
    second = asyncio.create_task(batcher_.embed(["second"]))
    await asyncio.sleep(0)
    await batcher_.close()
    answers = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(answer).__mro__[1] for answer in answers] == [EmbeddingError] * 2
    assert len(sent(tei_double)) == 1


async def test_the_tokens_of_a_shared_batch_are_shared_by_characters(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    short, long = await asyncio.gather(
        batcher_.embed_counting(["word " * 10]), batcher_.embed_counting(["word " * 30])
    )
    assert len(sent(tei_double)) == 1
    assert long.tokens == pytest.approx(3 * short.tokens, abs=2)


async def test_a_defect_reaches_its_callers_and_the_next_are_served(
    endpoint, tei_double, monkeypatch
):
    batcher_ = await known(endpoint, tei_double)
    with monkeypatch.context() as broken:
        broken.setattr(batcher, "way_to_embed", None)
        with pytest.raises(TypeError):
            await batcher_.embed(["first"])
    assert await batcher_.embed(["second"])


async def operations(endpoint, double, callers: int, texts: list[str]) -> float:
    """Lines of the batcher_'s own modules that run for so many callers of the same texts."""
    batcher_ = await known(endpoint, double)
    count = 0

    def trace(frame, _event, _argument):
        nonlocal count
        if not frame.f_code.co_filename.endswith(("/batcher.py", "/pending.py")):
            return None
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        await asyncio.gather(*(batcher_.embed(texts) for _ in range(callers)))
    finally:
        sys.settrace(before)  # of who measures coverage
    await batcher_.close()
    return count / callers


async def test_the_work_for_a_caller_does_not_grow_with_the_others(endpoint, tei_double):
    texts = [f"text {number}" for number in range(8)]
    few = await operations(endpoint, tei_double, 20, texts)
    many = await operations(endpoint, tei_double, 200, texts)
    assert many < 1.2 * few


async def test_a_full_batch_serves_whoever_wants_its_texts(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    texts = [f"text {number}" for number in range(96)]
    answers = await asyncio.gather(*(batcher_.embed(texts) for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert sum(map(len, sent(tei_double))) == 96


async def test_leaving_a_shared_batch_that_waits_does_not_undo_it(tei_double):
    batcher_ = DynamicBatcher(
        InferenceEndpoint(url=tei_double.url, rate_limit={"requests_per_minute": 60})
    )
    await batcher_.embed(["first"])
    await asyncio.sleep(0)  # the task that ended is taken off the books in the next turn
    gone, stays = (asyncio.create_task(batcher_.embed(["same", "more"])) for _ in range(2))
    while not batcher_.in_flight:  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0)
    gone.cancel()
    assert len(await stays) == 2
    assert sent(tei_double) == [["first"], ["same", "more"]]


async def test_others_in_the_batch_of_a_rejected_text_get_all_their_vectors(endpoint, tei_double):
    batcher_ = await known(endpoint, tei_double)
    tei_double.configure(rejects="☠")
    others = [batcher_.embed([f"{caller} {text}" for text in range(40)]) for caller in range(39)]
    *answers, bad = await asyncio.gather(*others, batcher_.embed(["☠"]), return_exceptions=True)
    assert [len(answer) for answer in answers] == [40] * 39
    assert list(bad.failures) == [0]


async def test_an_outcome_that_fails_beside_others_fails_its_own_callers_alone(
    endpoint, tei_double, monkeypatch
):
    batcher_ = await known(endpoint, tei_double)

    def embed_batch(inputs, _call):
        return [
            Outcome(at, at + 1, ServerError("424") if text == b'"bad"' else [[1.0]])
            for at, text in enumerate(inputs)
        ]
        yield

    monkeypatch.setattr(batcher, "way_to_embed", lambda _call: embed_batch)
    others = [batcher_.embed([f"{caller} {text}" for text in range(40)]) for caller in range(39)]
    *answers, bad = await asyncio.gather(*others, batcher_.embed(["bad"]), return_exceptions=True)
    assert [len(answer) for answer in answers] == [40] * 39
    assert isinstance(bad.failures[0], ServerError)


@pytest.mark.parametrize(
    "fault",
    [
        faults.backend_error(),
        faults.answer(403, "<html><title>Access denied</title></html>"),
        faults.server_error(529),
        faults.null(),
        faults.wrong_count(),
        faults.reset(),
    ],
    ids=lambda fault: fault.kind,
)
async def test_a_text_that_the_server_fails_on_costs_its_own_caller_alone(fault):
    def fails_on_the_bad(asked):
        return fault if any("bad" in text for text in asked.texts) else None

    with ScriptedEndpoint(plan=fails_on_the_bad, dimensions=8) as server:
        batcher_ = DynamicBatcher(InferenceEndpoint(url=server.url, max_wait=60.0))
        await batcher_.embed(["first"])
        texts = [f"{'bad' if number == 20 else 'caller'} {number}" for number in range(40)]
        answers = await asyncio.gather(
            *(batcher_.embed([text]) for text in texts), return_exceptions=True
        )
        await batcher_.close()
    assert [n for n, one in enumerate(answers) if isinstance(one, Exception)] == [20]
    assert isinstance(answers[20], EmbeddingError)


async def test_a_model_that_changes_without_a_failure_is_noticed_within_a_minute(
    endpoint, tei_double
):
    shown = await endpoint.adescribe()
    expecting = endpoint.expecting(fingerprint_of(bytes.fromhex(shown.fingerprint)))
    now = [0.0]
    batcher_ = DynamicBatcher(expecting, clock=lambda: now[0])
    await batcher_.embed(["first"])
    tei_double.forget()
    await asyncio.gather(*(batcher_.embed([f"text {number}"]) for number in range(32)))
    assert len(tei_double.requests) == 1  # nothing is asked meanwhile
    tei_double.script(faults.swapped())
    now[0] = 61.0
    with pytest.raises(EmbeddingError, match="another model"):
        await batcher_.embed(["second"])
    await batcher_.close()
