"""Each fault, once, and what this package makes of it: the right vectors, or which error."""

import asyncio

import numpy as np
import pytest
from driving import DRIVES

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    EndpointNotFoundError,
    EndpointPausedError,
    HFEndpointEmbeddings,
    InputError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    TransportError,
)
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.testing import FaultPlan, ScriptedEndpoint, expected_vector, faults

KEY = "hf_the_key"
TEXTS = ["a first text", "another", "and a third"]
RIGHT = np.stack([expected_vector(text, 64) for text in TEXTS])

GOT_OVER = [
    faults.rate_limited(),
    faults.rate_limited(0),
    faults.rate_limited("Sun, 06 Nov 1994 08:49:37 GMT"),
    faults.rate_limited("-5"),
    faults.rate_limited("when it suits us"),
    faults.cold_start(0.2),
    faults.cold_start(retry_after=0.1),
    faults.loading(0.1),
    faults.server_error(502),
    faults.hang(),
    faults.hang("body"),
    faults.slow(60.0),
    faults.reset("before"),
    faults.reset("head"),
    faults.reset("body"),
    faults.reset("after"),
    faults.closed(),
    faults.truncated(),
    faults.late(0.05),
    faults.slow(0.05),
    faults.permuted(),
    faults.wrong_content_type(),
    faults.batch_too_large(2),
    faults.body_too_large(),
    faults.empty_input(),
    faults.input_rejected(),
    faults.wrong_count(-1),
    faults.ragged(),
    faults.repeated_index(),
    faults.null(),
    faults.malformed(),
    faults.web_page(),
    faults.backend_error(),
    # Milliseconds since 1970 that are long over.
    faults.rate_limited(10**12),
]
IS_AN_ERROR = [
    (faults.wrong_count(-1), ProtocolError),
    (faults.wrong_count(1), ProtocolError),
    (faults.no_vectors(), ProtocolError),
    (faults.null(), ProtocolError),
    (faults.not_a_number(), ProtocolError),
    (faults.infinite(), ProtocolError),
    (faults.duplicates(), ProtocolError),
    (faults.malformed(), ProtocolError),
    (faults.web_page(), ProtocolError),
    (faults.huge(3_000_000), ProtocolError),
    (faults.compressed(), ProtocolError),
    (faults.compressed(declared=False), ProtocolError),
    (faults.rate_limited(10**7), RateLimitedError),
    (faults.paused(), EndpointPausedError),
    (faults.unauthorized(), AuthenticationError),
    (faults.answer(402, {"error": "no credit"}), PaymentRequiredError),
    (faults.backend_error(), ServerError),
]


@pytest.fixture(autouse=True)
def _nothing_left_over():
    yield
    close_sessions()


@pytest.fixture(params=list(DRIVES))
def drive(request):
    return DRIVES[request.param]


def kind(value):
    return getattr(value, "kind", getattr(value, "__name__", ""))


def embeddings_of(server, path="/v1/embeddings", **settings):
    return HFEndpointEmbeddings(
        url=server.url + path, api_key=KEY, **{"timeout": 1.5, "max_wait": 30.0, **settings}
    )


@pytest.mark.parametrize("fault", GOT_OVER, ids=kind)
def test_what_passes_or_is_odd_is_got_over(fault):
    # One driver a fault, in turn: that both do the same is what the wire tests show.
    drive = list(DRIVES.values())[GOT_OVER.index(fault) % 2]
    with ScriptedEndpoint(dimensions=64, api_key=KEY) as server:
        server.script(fault)
        vectors = drive.documents(embeddings_of(server), TEXTS)
        assert np.array_equal(np.asarray(vectors, np.float32), RIGHT)
        assert server.arrivals[0].fault == fault.kind


@pytest.mark.parametrize(("fault", "error"), IS_AN_ERROR, ids=kind)
def test_what_is_never_right_or_will_not_pass_is_an_error(drive, fault, error):
    with ScriptedEndpoint(dimensions=64, api_key=KEY) as server:
        server.script(*[fault] * 40)
        with pytest.raises(error) as caught:
            drive.documents(embeddings_of(server), TEXTS)
        assert isinstance(caught.value, EmbeddingError)
        assert list(caught.value.failures) == [0, 1, 2]
        assert KEY not in str(caught.value)
        # A server that fails everything is found out with few requests.
        assert len(server.requests) <= 10


def test_a_redirect_is_not_followed_with_the_key(drive):
    with ScriptedEndpoint() as other, ScriptedEndpoint(api_key=KEY) as server:
        server.script(faults.redirect(f"{other.url}/v1/embeddings"))
        with pytest.raises(EndpointNotFoundError, match="redirects to"):
            drive.query(embeddings_of(server), "a question")
        assert not other.arrivals


def test_a_certificate_for_another_name_is_refused_at_once(drive, tmp_path, monkeypatch):
    with ScriptedEndpoint(certificate_for="elsewhere.example", api_key=KEY) as server:
        server.write_authority(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        with pytest.raises(TransportError, match="certificate is not accepted"):
            drive.query(embeddings_of(server), "a question")
        assert not server.arrivals


def test_a_rejected_text_fails_alone_under_every_version(drive):
    for version in ("1.2.3", "1.8.3", "1.9.3"):
        with ScriptedEndpoint(dimensions=64, version=version, rejects="another") as server:
            with pytest.raises(InputError) as caught:
                drive.documents(embeddings_of(server, "/embed"), TEXTS)
            assert caught.value.index == 1
            assert list(caught.value.completed) == [0, 2]


def test_paused_in_mid_run_what_was_done_is_kept(drive):
    with ScriptedEndpoint(dimensions=64) as server:
        server.script(None, None, faults.paused())
        embeddings = embeddings_of(server, max_batch_size=1, max_concurrent_requests=1)
        with pytest.raises(EndpointPausedError) as caught:
            drive.documents(embeddings, TEXTS)
        assert len(caught.value.completed) == 2
        assert len(server.requests) == 3


def test_permits_are_not_overrun_where_the_server_states_them():
    with ScriptedEndpoint(
        dimensions=64, max_concurrent_requests=8, seconds_per_request=0.01
    ) as server:
        texts = [f"text {number}" for number in range(60)]
        vectors = asyncio.run(embeddings_of(server, "", max_batch_size=4).aembed_array(texts))
        assert np.array_equal(vectors, [expected_vector(text, 64) for text in texts])
        assert max(arrival.texts_in_flight for arrival in server.arrivals) <= 8


def test_a_plan_with_mercy_is_got_through(drive):
    chances = {faults.rate_limited(0): 0.2, faults.reset("body"): 0.2, faults.permuted(): 0.2}
    with ScriptedEndpoint(plan=FaultPlan("a seed", chances), dimensions=64) as server:
        texts = [f"text {number}" for number in range(12)]
        vectors = drive.array(embeddings_of(server, max_batch_size=2), texts)
        assert np.array_equal(vectors, [expected_vector(text, 64) for text in texts])
        assert {arrival.fault for arrival in server.arrivals} > {""}
