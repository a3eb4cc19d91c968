"""From a failure to the error that the user reads, and what it means for the rest of the call."""

import pytest

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointPausedError,
    HFEndpointEmbeddings,
    InputError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransportError,
)
from langchain_hf_endpoint._engine.failures import error_of, named, rejects_everything
from langchain_hf_endpoint._messages import Cause, Failure

ERRORS = {
    Cause.AUTHENTICATION: AuthenticationError,
    Cause.BLOCKED: AuthenticationError,
    Cause.PAYMENT_REQUIRED: PaymentRequiredError,
    Cause.NOT_FOUND: EndpointNotFoundError,
    Cause.PAUSED: EndpointPausedError,
    Cause.NOT_READY: EndpointNotReadyError,
    Cause.RATE_LIMITED: RateLimitedError,
    Cause.SERVER: ServerError,
    Cause.BACKEND: ServerError,
    Cause.TRANSPORT: TransportError,
    Cause.UNREACHABLE: TransportError,
    Cause.BATCH_TOO_LARGE: ServerError,
    Cause.BODY_TOO_LARGE: InputError,
    Cause.INPUT_REJECTED: InputError,
    Cause.SETTING_REJECTED: SettingsError,
    Cause.PROTOCOL: ProtocolError,
    Cause.DIMENSIONS: ProtocolError,
}


def error(cause, *, sent_key=True, attempts=3, **details):
    failure = Failure(cause, "the server's words", **{"status": 418, **details})
    return error_of(failure, host="x.hf.space", attempts=attempts, sent_key=sent_key)


def test_every_cause_has_its_error():
    assert {cause: type(error(cause)) for cause in Cause} == ERRORS


@pytest.mark.parametrize("cause", Cause)
def test_every_error_says_what_where_how_often_and_what_to_do(cause):
    found = error(cause)
    assert (found.host, found.attempts, found.status) == ("x.hf.space", 3, 418)
    assert found.advice
    assert found.advice[-1] == "."
    for part in ("the server's words", "HTTP 418", "x.hf.space", "tried 3 times", found.advice):
        assert part in str(found)


@pytest.mark.parametrize("cause", Cause)
def test_no_error_of_a_reranker_speaks_of_embeddings(cause):
    failure = Failure(cause, "the server's words", 418)
    found = error_of(failure, host="x.hf.space", attempts=1, sent_key=True, reranks=True)
    assert type(found) is ERRORS[cause]
    assert "embed" not in str(found)


def test_a_failure_without_a_reply_names_no_status():
    found = error(Cause.TRANSPORT, status=None)
    assert found.status is None
    assert "HTTP" not in str(found)
    assert "None" not in str(found)


def test_a_refused_key_is_told_from_one_that_was_not_sent():
    assert "Check api_key" in error(Cause.AUTHENTICATION).advice
    assert "No key was sent" in error(Cause.AUTHENTICATION, sent_key=False).advice
    assert "No key was sent" not in error(Cause.PAUSED, sent_key=False).advice


@pytest.mark.parametrize("cause", [Cause.RATE_LIMITED, Cause.NOT_READY])
def test_a_wait_that_was_asked_for_is_named(cause):
    assert "wait 3600 s" in error(cause, retry_after=3600.0).advice
    assert "wait" not in error(Cause.BACKEND).advice


def test_a_rejected_setting_names_the_section():
    assert error(Cause.SETTING_REJECTED).problems == (("task_settings", "the server's words"),)


def test_a_rejected_text_gets_its_index_and_keeps_all_else():
    found = error(Cause.INPUT_REJECTED)
    with_index = named(found, 7)
    assert isinstance(with_index, InputError)
    assert with_index.index == 7
    assert found.index is None
    assert str(with_index) == f"text 7: {found}"
    assert (with_index.status, with_index.attempts, with_index.host) == (418, 3, "x.hf.space")


def test_an_index_that_is_known_is_kept():
    found = InputError("is blank", index=2)
    assert named(found, 7) is found


@pytest.mark.parametrize("cause", [cause for cause in Cause if ERRORS[cause] is not InputError])
def test_other_errors_are_not_about_one_text(cause):
    found = error(cause)
    assert named(found, 7) is found


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (Cause.BACKEND, 424),
        (Cause.SERVER, 500),
        (Cause.TRANSPORT, None),
        (Cause.PROTOCOL, 200),
        (Cause.AUTHENTICATION, 403),
        (Cause.BLOCKED, 403),
    ],
)
def test_what_befalls_one_text_alone_blames_neither_key_nor_server(cause, status):
    failure = Failure(cause, "the server's words", status)
    found = error_of(failure, host="x.hf.space", attempts=9, sent_key=False, of_input=True)
    forbidden = status == 403
    assert type(found) is (InputError if forbidden else ERRORS[cause])
    assert "the text" in str(found)
    assert "the server's words" in str(found)
    assert "other" in str(found)
    assert "key" not in str(found)
    assert "serve no embedding model" not in str(found)


def test_texts_that_were_not_sent_are_told_why_and_are_not_called_wrong():
    rejected = error(Cause.INPUT_REJECTED)
    unsent = rejects_everything(rejected)
    assert not isinstance(unsent, InputError)
    assert "not sent" in str(unsent)
    assert "the server's words" in str(unsent)
    assert unsent.status == 418


def test_texts_that_are_rejected_before_any_was_embedded_fail_alone(httpx_mock):
    too_long = {"error": "Input validation error: `inputs` must have less than 512 tokens."}
    httpx_mock.add_response(status_code=422, json=too_long, match_json=_sent("long " * 40))
    httpx_mock.add_response(json=[[1.0, 0.0]], match_json=_sent("short"), is_optional=True)
    embeddings = HFEndpointEmbeddings(
        url="https://tei.example.org/embed", dialect="hugging_face", max_batch_size=1
    )
    with pytest.raises(EmbeddingError) as caught:
        embeddings.embed_documents(["long " * 40, "short"])
    assert list(caught.value.failures) == [0]
    assert caught.value.completed == {1: [1.0, 0.0]}


def _sent(text):
    return {"inputs": [text.strip()], "truncate": True, "normalize": True}
