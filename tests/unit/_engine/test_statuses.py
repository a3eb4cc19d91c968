"""What each status and wording of a server becomes: the class of the error, another try or not."""

import socket
import ssl

import httpx
import pytest
from scripted_server import (
    ASLEEP,
    HOST,
    OVERLOADED,
    PAUSED,
    answer,
    failing,
    numbered,
    vector,
    vectors,
)
from wire_samples import NGINX_502, NO_SUCH_PROMPT, TOO_LONG, fastapi, tei

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointPausedError,
    HFEndpointError,
    InputError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransportError,
)

NEVER_RETRIED = {
    "paused": (400, PAUSED, EndpointPausedError, "ask a maintainer to restart it"),
    "toolkit 400": (400, {"error": "CUDA out of memory"}, InputError, "CUDA out of memory"),
    "401 of the proxy": (
        401,
        {"error": "401 Unauthorized", "code": "UNAUTHORIZED"},
        AuthenticationError,
        "401 Unauthorized",
    ),
    "401 of TEI": (401, b"", AuthenticationError, "HTTP 401"),
    "402": (402, {"error": "exceeded your monthly credits"}, PaymentRequiredError, "monthly"),
    "403": (403, {"error": "Forbidden"}, AuthenticationError, "Forbidden"),
    "404": (404, {"detail": "Not Found"}, EndpointNotFoundError, "Not Found"),
    "405": (405, {"detail": "Method Not Allowed"}, EndpointNotFoundError, "Not Allowed"),
    "410": (410, {"error": "Gone for good"}, EndpointNotFoundError, "Gone for good"),
    "413 too long": (413, tei(TOO_LONG), InputError, "less than 512 tokens"),
    "422 too long": (422, tei(TOO_LONG), InputError, "less than 512 tokens"),
    "413 prompt": (413, tei(NO_SUCH_PROMPT), SettingsError, "Available prompts"),
    "422 prompt": (422, tei(NO_SUCH_PROMPT), SettingsError, "Available prompts"),
    "422 of hf-serve": (
        422,
        fastapi(["inputs"], "Value error, inputs must not be empty", "value_error"),
        InputError,
        "must not be empty",
    ),
    "415": (415, "Expected request with `Content-Type: application/json`", ProtocolError, "Expec"),
    "424": (424, tei("Backend error: out of memory", "Backend"), ServerError, "out of memory"),
    "501": (501, {"error": "no embeddings here"}, ServerError, "no embeddings here"),
    "301": (301, b"", EndpointNotFoundError, "redirects"),
}

RETRIED = {
    "408": (408, b"", ServerError, "HTTP 408"),
    "425": (425, b"", ServerError, "HTTP 425"),
    "429": (429, OVERLOADED, RateLimitedError, "Model is overloaded"),
    "500": (500, {"detail": "boom"}, ServerError, "boom"),
    "502": (502, NGINX_502, ServerError, "502 Bad Gateway"),
    "503": (503, ASLEEP, EndpointNotReadyError, "503 Service Unavailable"),
    "504": (504, "upstream request timeout", ServerError, "upstream request timeout"),
}

TRANSPORT = {
    "refused": (httpx.ConnectError, "no reply"),
    "no connection in time": (httpx.ConnectTimeout, "no connection within"),
    "reset": (httpx.ReadError, "no reply"),
    "closed": (httpx.RemoteProtocolError, "no reply"),
    "silent": (httpx.ReadTimeout, "no complete reply within"),
}


def _bad_certificate():
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def _of(table):
    return pytest.mark.parametrize("case", table.values(), ids=table.keys())


def _check_message(error, host, attempts):
    message = str(error)
    assert host in message
    assert ("tried once" if attempts == 1 else f"tried {attempts} times") in message
    assert error.attempts == attempts
    assert error.host == host
    assert error.advice
    assert error.advice in message


@_of(NEVER_RETRIED)
def test_what_no_other_try_can_mend_is_sent_once_and_raised_by_its_class(drive, server, make, case):
    status, body, error_class, words = case
    server.script(answer(status, body))
    with pytest.raises(error_class) as caught:
        drive.query(make(), "one text")
    error = caught.value
    assert not isinstance(error, EmbeddingError)
    assert error.status == status
    assert words in str(error)
    _check_message(error, HOST, 1)
    assert len(server.requests) == 1


@_of(NEVER_RETRIED)
def test_documents_fail_by_the_same_class_with_every_text_named(drive, server, make, case):
    status, body, error_class, words = case
    server.script(answer(status, body))
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(), ["one text"])
    error = caught.value
    assert isinstance(error, error_class)
    assert error.status == status
    assert error.completed == {}
    assert error.failures.keys() == {0}
    assert type(error.failures[0]) is error_class
    assert error.__cause__ is error.failures[0]
    assert words in str(error)
    assert HOST in str(error)
    _check_message(error.failures[0], HOST, 1)


@_of(RETRIED)
def test_what_may_pass_is_tried_again(drive, server, make, clock, case):
    status, body, _, _ = case
    server.script(answer(status, body), answer(status, body), vectors)
    assert drive.documents(make(), ["one text"]) == [vector("one text")]
    assert server.batches == [["one text"]] * 3
    assert len(clock.waits) == 2


@_of(RETRIED)
def test_what_does_not_pass_within_max_wait_is_raised_by_its_class(
    drive, server, make, clock, case
):
    status, body, error_class, words = case
    server.behave(answer(status, body))
    with pytest.raises(error_class) as caught:
        drive.query(make(max_wait=30.0), "one text")
    assert caught.value.status == status
    assert words in str(caught.value)
    _check_message(caught.value, HOST, len(server.requests))
    assert 5 <= len(server.requests) <= 30
    assert 29 < clock.waited <= 30.5


@_of(RETRIED)
def test_max_wait_of_zero_means_one_try(drive, server, make, case):
    status, body, error_class, _ = case
    server.script(answer(status, body))
    with pytest.raises(error_class) as caught:
        drive.query(make(max_wait=0.0), "one text")
    _check_message(caught.value, HOST, 1)


@_of(TRANSPORT)
def test_a_lost_connection_is_tried_again(drive, server, make, clock, case):
    error, _ = case
    server.script(failing(error), failing(error), vectors)
    assert drive.query(make(), "one text") == vector("one text")
    assert len(clock.waits) == 2


@_of(TRANSPORT)
def test_a_connection_that_stays_lost_is_a_transport_error(drive, server, make, clock, case):
    error, words = case
    server.behave(failing(error))
    with pytest.raises(TransportError, match=words) as caught:
        drive.query(make(max_wait=10.0), "one text")
    assert caught.value.status is None
    _check_message(caught.value, HOST, len(server.requests))
    assert len(server.requests) > 2


def test_back_off_grows_and_has_a_bound(drive, server, make, clock):
    server.behave(answer(500))
    with pytest.raises(ServerError):
        drive.query(make(max_wait=200.0), "one text")
    seconds = [seconds for _, seconds in clock.waits]
    assert seconds[0] <= 0.5
    assert seconds[5] >= 4
    assert max(seconds) <= 8
    assert len(set(seconds)) > len(seconds) // 2, "there is no jitter"


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_a_servers_text_is_cut_at_300_characters(drive, server, make, status):
    server.behave(answer(status, {"error": "x" * 5000}))
    with pytest.raises(HFEndpointError) as caught:
        drive.query(make(max_wait=0.0), "one text")
    assert 250 <= str(caught.value).count("x") <= 305
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(max_wait=0.0), ["one text"])
    assert str(caught.value).count("x") <= 310


@pytest.mark.parametrize(
    "body",
    [
        fastapi(["inputs"], "my private text is too long", "value_error"),
        {"detail": [{"loc": ["body"], "msg": "wrong", "input": "my private text"}]},
        "<html><title>Error</title><body>my private text</body></html>",
        '{"inputs": ["my private text"], "trunc',
    ],
    ids=["echo", "input", "page", "half"],
)
def test_a_text_that_the_server_repeats_is_not_in_the_message(drive, server, make, body):
    if isinstance(body, dict) and "body" in body:
        body["detail"][0]["msg"] = "is too long"
    server.script(answer(422, body))
    with pytest.raises(HFEndpointError) as caught:
        drive.query(make(), "my private text")
    assert "private" not in _everything_said(caught.value)


def test_a_key_that_the_server_repeats_is_nowhere_in_the_error(drive, server, make):
    key = "a-secret-of-no-usual-form"
    server.script(answer(400, {"error": f"who is {key}?"}), answer(401, f"no {key} here"))
    for _ in range(2):
        with pytest.raises(HFEndpointError) as caught:
            drive.documents(make(api_key=key), ["one text"])
        assert "***" in str(caught.value)
        assert key not in _everything_said(caught.value)


def test_a_key_is_nowhere_in_the_error_of_a_lost_connection(drive, server, make):
    key = "a-secret-of-no-usual-form"
    server.script(failing(httpx.ReadError, f"could not send Authorization: Bearer {key}"))
    with pytest.raises(TransportError) as caught:
        drive.query(make(api_key=key, max_wait=0.0), "one text")
    assert key not in _everything_said(caught.value)


def _everything_said(error):
    said, seen = "", set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        said += f"{error}{error!r}{error.args}{vars(error)}"
        error = error.__cause__ or error.__context__
    return said


def test_the_advice_after_a_401_knows_whether_a_key_was_sent(drive, server, make):
    server.behave(answer(401))
    with pytest.raises(AuthenticationError, match="No key was sent"):
        drive.query(make(), "one text")
    with pytest.raises(AuthenticationError, match="Check api_key"):
        drive.query(make(api_key="k"), "one text")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(drive, server, make, status):
    headers = {"location": "https://elsewhere.example.net/embed?token=x"}
    server.script(answer(status, headers=headers))
    with pytest.raises(EndpointNotFoundError, match=r"elsewhere\.example\.net/embed\b") as caught:
        drive.query(make(api_key="k"), "one text")
    assert "token" not in str(caught.value)
    assert [request.url.host for request in server.requests] == [HOST]


@pytest.mark.parametrize(
    ("refusal", "error_class"),
    [(answer(401), AuthenticationError), (answer(400, PAUSED), EndpointPausedError)],
    ids=["401", "paused"],
)
def test_an_error_that_all_batches_would_meet_stops_the_sending(
    drive, server, make, refusal, error_class
):
    texts = numbered(60)
    server.script(*[vectors] * 3)
    server.behave(refusal)
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(max_batch_size=1, max_concurrent_requests=2), texts)
    error = caught.value
    assert isinstance(error, error_class)
    # What was under way when the first refusal came may have gone out, but no more than that.
    assert len(server.requests) <= 3 + 4
    assert len(error.completed) == 3
    assert error.completed.keys() | error.failures.keys() == set(range(60))
    assert error.completed.keys() & error.failures.keys() == set()
    assert all(error.completed[index] == vector(texts[index]) for index in error.completed)
    assert {type(cause) for cause in error.failures.values()} == {error_class}


def _chained(cause):
    """A failure as httpx reports it: its own error over the socket's."""

    def fail(request):
        raise httpx.ConnectError("it broke", request=request) from cause

    return fail


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "host is unknown"),
        (_bad_certificate(), "certificate is not accepted: self-signed"),
    ],
    ids=["unknown host", "certificate"],
)
def test_a_host_that_no_waiting_will_mend_is_tried_once(drive, server, make, cause, words):
    server.script(_chained(cause))
    with pytest.raises(TransportError, match=words) as caught:
        drive.query(make(), "one text")
    _check_message(caught.value, HOST, 1)


def test_a_name_server_that_fails_for_the_moment_is_asked_again(drive, server, make, clock):
    server.script(_chained(socket.gaierror(socket.EAI_AGAIN, "try again")), vectors)
    assert drive.query(make(), "one text") == vector("one text")
