"""What is promised of every server that embeds, tried with each that is there."""

from __future__ import annotations

import json

import httpx
import numpy as np
import pytest
from served import weights_folder

from langchain_hf_endpoint import InputError, SettingsError

SAME = 0.999  # of cosines: in half precision a text's vector depends a little on its batch
MOST_OF_A_BATCH, LONGEST_WINDOW = 128, 2048
MARKS = 2  # that MiniLM puts around a text
TEXTS = [
    "Bread rises because yeast turns sugar into carbon dioxide.",
    "Jupiter has four large moons.",
    "Lighthouses warn ships of rocks and show them the way into the harbour at night.",
    "The treaty was signed in 1648.",
    "Copper conducts electricity better than iron does.",
    "She plays the cello.",
    "Die Katze schläft auf dem Sofa.",
    "Water boils at a lower temperature on a mountain.",
    "The striker missed a penalty in the last minute of the match.",
    "def add(a, b): return a + b",
    "Interest rates were left unchanged.",
    "Wolves hunt in packs, bears alone.",
]
PROSE = " ".join(TEXTS)


def cosines(rows, others):
    rows, others = np.asarray(rows, np.float64), np.asarray(others, np.float64)
    return (rows * others).sum(-1) / np.linalg.norm(rows, axis=-1) / np.linalg.norm(others, axis=-1)


def window_of(served, told):
    """Tokens that the model reads, where that is little enough to send more."""
    known = told.max_input_tokens or (512 if served.long_text else None)
    if known is None:
        pytest.skip("the server does not say how many tokens its model reads")
    if known > LONGEST_WINDOW:
        pytest.skip(f"texts of more than the {known} tokens that its model reads are much to send")
    return known


def test_the_server_is_recognised(served, told):
    assert told.dialect in {"tei", "hugging_face", "openai"}
    assert told.dimensions > 0
    assert told.latency_seconds > 0
    assert {name: getattr(told, name) for name in served.said} == served.said


def test_a_text_has_one_vector_whatever_it_is_sent_with(told):
    assert told.parity.is_good, str(told.parity)


def test_a_query_without_a_prompt_has_the_vector_of_a_document(served, told, usage):
    embeddings = served.embeddings()
    query, [document] = embeddings.embed_query(TEXTS[0]), embeddings.embed_documents([TEXTS[0]])
    assert len(query) == told.dimensions == embeddings.dimensions
    assert cosines(query, document) > SAME
    assert np.linalg.norm(document) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("blank", ["", " \n\t"])
def test_a_blank_text_is_refused_before_anything_is_sent(served, usage, blank):
    embeddings = served.embeddings()
    with pytest.raises(InputError):
        embeddings.embed_query(blank)
    with pytest.raises(InputError) as refused:
        embeddings.embed_documents([TEXTS[0], blank])
    assert refused.value.index == 1
    assert usage.requests == 0


def test_a_text_over_the_window_is_cut_or_read_or_refused_as_a_text(served, told, usage, findings):
    text = "yeast " * (window_of(served, told) * 5 // 4)
    embeddings = served.embeddings()
    try:
        vector = embeddings.embed_query(text)
    except InputError:
        happened = "is refused"
    else:
        longer = embeddings.embed_query(f"{text} telescope harbour")
        happened = "is cut" if cosines(vector, longer) > SAME else "is read to its end"
    findings.told["a text over max_input_tokens"] = happened
    assert served.long_text in (happened, None)


def test_a_text_over_the_window_is_refused_where_it_may_not_be_cut(served, told, usage):
    text = "yeast " * (window_of(served, told) * 5 // 4)
    embeddings = served.embeddings(task_settings={"truncate": False})
    # OpenAI's protocol has no word for it, which is said before anything is sent.
    refusal = SettingsError if told.dialect == "openai" else InputError
    try:
        embeddings.embed_query(text)
    except refusal:
        return
    assert told.dialect != "openai"
    pytest.xfail("the server cuts a text off although it is told not to")


def test_more_inputs_than_the_server_takes_are_sent_in_several_requests(served, told, usage):
    most = told.max_batch_size or served.most_inputs or 32
    if most >= MOST_OF_A_BATCH and served.is_the_users:
        pytest.skip(f"more than the {most} inputs that it takes at once are much to send")
    texts = [f"{number} {TEXTS[number % len(TEXTS)][:12]}" for number in range(most + 1)]
    rows = served.embeddings(max_batch_size=most + 1).embed_array(texts)
    assert rows.shape == (most + 1, told.dimensions)
    assert usage.requests == (1 if served.most_inputs is None else 3) or served.is_the_users
    ends = served.embeddings().embed_array([texts[0], texts[-1]])
    assert cosines(rows[[0, -1]], ends).min() > SAME


class _InDigits(httpx.HTTPTransport):
    """Takes the wish for base64 out of requests."""

    was_wished = False

    def handle_request(self, request):
        content = json.loads(request.read() or b"{}")
        if content.pop("encoding_format", None) is None:
            return super().handle_request(request)
        self.was_wished = True
        headers = {
            name: value for name, value in request.headers.items() if name != "content-length"
        }
        return super().handle_request(
            httpx.Request(request.method, request.url, headers=headers, json=content)
        )


def test_numbers_in_base64_are_those_in_digits(served, told, usage):
    transport = _InDigits()
    with httpx.Client(transport=transport) as client:
        digits = served.embeddings(http_client=client).embed_query(TEXTS[2])
    if not transport.was_wished:
        pytest.skip("there is no base64 on this route")
    assert np.allclose(served.embeddings().embed_query(TEXTS[2]), digits, rtol=0, atol=1e-6)


def tokens_of(text):
    """Counted by the tokenizer of MiniLM, marks included."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - of the group "servers"

    tokenizer = Tokenizer.from_file(str(weights_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return len(tokenizer.encode(text).ids)


def test_chunks_have_as_many_tokens_as_are_allowed_at_most(served, told, usage):
    chunking = {"strategy": "sentence", "max_chunk_tokens": 64}
    [chunks] = served.embeddings(chunking_settings=chunking).embed_chunks([PROSE])
    assert 1 < len(chunks) < len(TEXTS)  # several sentences have room in one
    assert chunks[0].start == 0
    assert chunks[-1].end == len(PROSE)
    if served.is_minilm:
        assert max(tokens_of(chunk.text) for chunk in chunks) <= 64 + MARKS


def test_no_chunk_is_over_the_window_where_chunks_are_as_large_as_that(served, told, usage):
    if told.max_input_tokens is None:
        pytest.skip("the server does not say how many tokens its model reads")
    window = window_of(served, told)
    text = " ".join(f"{one} {number}." for number in range(window // 90) for one in TEXTS)
    chunking = {"strategy": "sentence", "max_chunk_tokens": "auto", "max_chunking_size": 300}
    # Where a server can be told not to cut, it refuses a chunk that is over.
    may_cut = told.dialect == "openai"
    embeddings = served.embeddings(chunking_settings=chunking, task_settings={"truncate": may_cut})
    [chunks] = embeddings.embed_chunks([text])
    assert len(chunks) > 1
    if served.is_minilm:
        assert max(tokens_of(chunk.text) for chunk in chunks) <= window


def test_vectors_are_in_the_order_of_the_texts_under_concurrency(served, told, usage):
    together = served.embeddings().embed_array(TEXTS)
    apart = served.embeddings(max_batch_size=3, max_concurrent_requests=4).embed_array(TEXTS)
    assert cosines(together, apart).min() > SAME
    assert (apart @ together.T).argmax(axis=1).tolist() == list(range(len(TEXTS)))
