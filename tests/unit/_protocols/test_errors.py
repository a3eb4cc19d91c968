import pytest
from wire_samples import FAILURES, HTML, TEXT, reply

from langchain_hf_endpoint._messages import Cause
from langchain_hf_endpoint._protocols import DIALECTS, explain, unknown_model

DIALECT = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)


@DIALECT
@pytest.mark.parametrize(
    ("answer", "cause", "text", "limit"),
    [sample[1:] for sample in FAILURES],
    ids=[sample[0] for sample in FAILURES],
)
def test_recorded_failures(dialect, answer, cause, text, limit):
    failure = dialect.decode(answer, 33)
    assert failure.cause is cause
    assert failure.status == answer.status
    assert failure.batch_limit == limit
    assert text in failure.text
    assert "private" not in failure.text


def test_every_status_means_something():
    for status in (*range(1000), -1, 10_000):
        failure = explain(reply(b"", status, {}))
        assert failure.status == status
        if 300 <= status <= 399:
            assert failure.cause is Cause.NOT_FOUND
        elif 500 <= status <= 599:
            assert failure.cause in {Cause.SERVER, Cause.NOT_READY, Cause.BACKEND}
        elif not 400 <= status <= 499:
            assert failure.cause is Cause.PROTOCOL


def test_what_is_worth_another_try_is_what_the_contract_lists():
    again = {Cause.SERVER, Cause.NOT_READY, Cause.RATE_LIMITED}
    found = {status for status in range(1000) if explain(reply(b"", status, {})).cause in again}
    for_good = {501, 505, 506, 510, 511}  # about the request itself, whoever answers it
    assert found == {408, 425, 429, *range(500, 600)} - for_good


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (
            "https://user:pw@login.example.org:8443/sign-in?token=secret#x",
            "https://login.example.org:8443/sign-in",
        ),
        ("/docs?next=secret", "it redirects to /docs"),
        ("http://[not-an-address", "it redirects to nowhere"),
        ("", "it redirects to nowhere"),
    ],
)
def test_redirects_say_where_to(location, text):
    for status in (301, 302, 303, 307, 308):
        failure = explain(reply(b"", status, {"location": location}))
        assert failure.cause is Cause.NOT_FOUND
        assert text in failure.text
        assert "secret" not in failure.text
        assert "pw" not in failure.text


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 503])
def test_a_paused_endpoint_by_whatever_status(status):
    words = {"error": "the endpoint ABC has been paused by its owner"}
    assert explain(reply(words, status)).cause is Cause.PAUSED


def test_the_limit_is_found_beyond_the_cut_of_the_text():
    words = {"error": "x" * 500 + " batch size 70 > maximum allowed batch size 8"}
    failure = explain(reply(words, 422))
    assert failure.batch_limit == 8
    assert len(failure.text) == 300


@pytest.mark.parametrize(
    ("words", "share"),
    [
        ("Requested 400 tokens, max 300 tokens per request", 0.75),
        ("At most 300 tokens per request", None),
        ("Request 7: 400 tokens, max 300 tokens per request", None),
    ],
)
def test_a_share_of_the_tokens_is_told_by_two_numbers(words, share):
    assert explain(reply({"error": words}, 400)).share == share


@pytest.mark.parametrize("limit", ["0", "00", "1234567890", "1234567890123"])
def test_a_limit_that_is_no_limit(limit):
    words = {"error": f"batch size 70 > maximum allowed batch size {limit}"}
    failure = explain(reply(words, 422))
    assert (failure.cause, failure.batch_limit) == (Cause.INPUT_REJECTED, None)


def test_words_about_batches_mean_nothing_in_other_failures():
    words = {"error": "batch size 70 > maximum allowed batch size 8"}
    assert explain(reply(words, 500)).cause is Cause.SERVER
    assert explain(reply(words, 401)).cause is Cause.AUTHENTICATION


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        ({"error": "one"}, None, "one"),
        ({"error": {"message": "one", "type": "t"}}, None, "one"),
        ({"message": "one"}, None, "one"),
        ({"detail": "one"}, None, "one"),
        ({"error": "Bad Request", "message": "two"}, None, "Bad Request: two"),
        ({"error": "same", "message": "same"}, None, "same"),
        ({"error": ["one", "two"]}, None, "one; two"),
        (
            {"detail": [{"loc": ["body", "inputs", 0], "msg": "m"}, {"loc": [], "msg": "n"}]},
            None,
            "body.inputs.0: m; : n",
        ),
        ('"just a string"', None, "just a string"),
        ("plain  text\n", TEXT, "plain text"),
        ("<html><head><TITLE lang=en>A &lt;b&gt; \n</TITLE>", HTML, "A <b>"),
        ("<html>no title", HTML, "no explanation"),
        ("<?xml version='1.0'?><Error><Code>x</Code></Error>", {}, "no explanation"),
        (b"", {}, "no explanation"),
        (b"  ", {}, "no explanation"),
        ({"error": None}, None, "no explanation"),
        ({"error": ""}, None, "no explanation"),
        ({"error": {"a": 1}}, None, "no explanation"),
        ([[0.5]], None, "no explanation"),
        ("17", None, "no explanation"),
        (b'{"error": "cut off, and \\"inputs\\": [\\"private', None, "no explanation"),
        ({"error": "a\x00b\x1b[31mc\u202e\u2028d\r\n"}, None, "a b [31mc d"),
        (b"\xff\xfe caf\xc3\xa9", TEXT, "\ufffd\ufffd caf\u00e9"),
    ],
)
def test_the_words_of_a_server(body, headers, text):
    assert explain(reply(body, 500, headers)).text == text


@pytest.mark.parametrize(
    "body",
    [
        {"error": "w" * 100_000},
        {"detail": [{"loc": ["body"], "msg": "w" * 1000}] * 1000},
        "w" * 100_000,
        f"<title>{'w' * 2000}</title>",
    ],
)
def test_long_words_are_cut_at_300_characters(body):
    text = explain(reply(body, 500)).text
    assert len(text) == 300
    assert text.endswith("…")


@pytest.mark.parametrize(
    "words",
    [
        'Body needs to provide a inputs key, received: b\'{"input": ["private"]}\'',
        "1 validation error for EmbeddingRequest [type=missing, input_value={'inputs': ['private",
        "[{'type': 'missing', 'msg': 'Field required', 'input': {'inputs': ['private']}}]",
        "rejected Authorization: Bearer private-private-private",
        "unknown key hf_private0123456789",
    ],
)
def test_texts_and_keys_that_a_server_repeats_are_left_out(words):
    for field in ("error", "message", "detail"):
        text = explain(reply({field: words}, 400)).text
        assert "private" not in text
        assert len(text) > 10


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "The model `tei` does not exist."),
        (404, 'model "tei" not found, try pulling it first'),
        (400, "Invalid model: tei. Available models: ['x']"),
    ],
)
def test_an_unknown_model_is_a_wrong_setting_of_the_openai_dialect(status, words):
    answer = reply({"error": {"message": words}}, status)
    failure = DIALECTS["openai"].decode(answer, 1)
    assert failure.cause is Cause.SETTING_REJECTED
    assert unknown_model(failure)
    assert not unknown_model(explain(reply({"detail": "Not Found"}, 404)))
    for other in (200, 429, 500, 503):  # about a server that has it, later or elsewhere
        assert DIALECTS["openai"].decode(reply(answer.body, other), 1).cause is not failure.cause
    if status == 404:
        assert DIALECTS["hugging_face"].decode(answer, 1).cause is Cause.NOT_FOUND
