"""`http_client` and `http_async_client`: the user's own, used as they are."""

import copy
import pickle

import httpx
import pytest
from langchain_core.load import dumps
from scripted_server import URL, answer, numbered, vector, vectors

from langchain_hf_endpoint import (
    EndpointNotFoundError,
    HFEndpointEmbeddings,
    InferenceEndpoint,
    SettingsError,
    TransportError,
)
from langchain_hf_endpoint._session.session import session_for

KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRy"


def own(**options):
    """A client for either drive, as the constructor takes them."""
    return {
        "http_client": httpx.Client(**options),
        "http_async_client": httpx.AsyncClient(**options),
    }


def test_requests_go_through_the_client_with_its_own_headers_and_the_key(drive, server, make):
    server.behave(vectors)
    clients = own(headers={"X-Team": "search"}, auth=("somebody", "else"))
    embeddings = make(api_key=KEY, **clients)
    assert drive.query(embeddings, "a question") == vector("a question")
    assert {one.headers["X-Team"] for one in server.requests} == {"search"}
    assert {one.headers["Authorization"] for one in server.requests} == {f"Bearer {KEY}"}
    assert not any(client.is_closed for client in clients.values())


def test_without_a_key_the_client_authenticates_in_its_own_way(drive, server, make):
    server.behave(vectors)
    drive.query(make(**own(auth=("somebody", "else"))), "a question")
    assert server.requests[-1].headers["Authorization"].startswith("Basic ")


def test_a_redirect_is_not_followed_even_where_the_client_would(drive, server, make):
    server.behave(answer(307, headers={"Location": "https://other.example.org/"}))
    embeddings = make(api_key=KEY, **own(follow_redirects=True))
    with pytest.raises(EndpointNotFoundError, match="redirects to"):
        drive.query(embeddings, "a question")
    assert {one.url.host for one in server.requests} == {httpx.URL(URL).host}


def test_what_was_learned_and_the_limits_are_shared_with_everybody_else(drive, server, make):
    server.behave(vectors)
    ours, theirs = make(), make(**own())
    assert drive.documents(theirs, numbered(3))
    assert ours.dimensions == theirs.dimensions == len(vector(""))
    runtimes = {id(session_for(one.endpoint.service_settings)) for one in (ours, theirs)}
    assert len(runtimes) == 1


def test_a_closed_client_is_named(drive, server, make):
    embeddings = make(max_wait=0.0, **own())
    embeddings.http_client.close()
    embeddings.http_async_client._state = httpx._client.ClientState.CLOSED  # without a loop
    with pytest.raises(TransportError, match=r"the http_(async_)?client is closed"):
        drive.query(embeddings, "a question")
    assert not server.requests


def test_describe_takes_a_client_too(server):
    server.behave(vectors)
    endpoint = InferenceEndpoint(url=URL, dialect="hugging_face")
    with httpx.Client(headers={"X-Team": "search"}) as client:
        assert endpoint.describe(http_client=client).dimensions == len(vector(""))
    assert {one.headers["X-Team"] for one in server.requests} == {"search"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"http_client": httpx.AsyncClient()}, r"\[http_client\] must be an httpx.Client"),
        (
            {"http_async_client": httpx.Client()},
            r"\[http_async_client\] must be an httpx.AsyncClient",
        ),
        (
            {"http_client": "http://a.proxy:3128"},
            r"\[http_client\] must be an httpx.Client or httpx2.Client, not str",
        ),
        ({"http_client": httpx.Client(), "tls": {"ca_file": "a.pem"}}, "service_settings.tls"),
        (
            {"http_async_client": httpx.AsyncClient(), "transport": "aiohttp"},
            "service_settings.transport.*http_async_client",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(fields, named):
    with pytest.raises(SettingsError, match=named):
        HFEndpointEmbeddings(url=URL, **fields)


def test_a_client_is_in_no_dump_or_repr_and_not_pickled(make):
    embeddings = make(api_key=KEY, **own(headers={"X-Secret": "of the client"}))
    for written in (repr(embeddings), dumps(embeddings), embeddings.model_dump_json()):
        assert "http_client" not in written
        assert "of the client" not in written
    with pytest.raises(TypeError, match="cannot pickle embeddings that have an http_client"):
        pickle.dumps(embeddings)


def test_copies_use_the_same_client(make):
    embeddings = make(**own())
    copies = [copy.copy(embeddings), copy.deepcopy(embeddings), embeddings.model_copy(deep=True)]
    for one in copies:
        assert one.http_client is embeddings.http_client
        assert one.http_async_client is embeddings.http_async_client
    apart = copy.deepcopy([embeddings, embeddings])
    assert apart[0] is apart[1]
