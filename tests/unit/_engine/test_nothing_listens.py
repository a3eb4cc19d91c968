"""A server that is not up: said at once and in words, and on this machine not waited for long."""

import errno
import logging
import os
import socket

import httpx
import pytest
from scripted_server import failing, numbered, vector, vectors

from langchain_hf_endpoint import EmbeddingError, HFEndpointEmbeddings, TransportError
from langchain_hf_endpoint._http.errors import network_failure
from langchain_hf_endpoint._messages import Cause

LOCAL = "http://127.0.0.1:8080"
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 8080)")


class _Several(Exception):  # noqa: N818 - Python's own is ExceptionGroup, from 3.11 on
    exceptions = (OSError(errno.EADDRNOTAVAIL, "x"), REFUSED)


def _refused(request):
    raise httpx.ConnectError("it broke", request=request) from REFUSED


def test_it_is_said_at_once_and_in_words(drive, server, make, clock, caplog):
    server.script(_refused, vectors)
    with caplog.at_level(logging.WARNING, "langchain_hf_endpoint"):
        assert drive.query(make("https://embed.example.org:8443"), "one") == vector("one")
    (record,) = caplog.records
    assert record.message == (
        "nothing listens at embed.example.org:8443; trying again for 600 s (max_wait)"
    )


def test_it_is_said_once(drive, server, make, clock, caplog):
    server.script(*[_refused] * 8, vectors)
    drive.query(make(), "one text")
    assert len(caplog.records) == 1


def test_on_this_machine_it_is_given_up_soon(drive, server, make, clock, caplog):
    server.behave(_refused)
    with pytest.raises(TransportError, match="nothing listens there") as caught:
        drive.query(make(LOCAL), "one text")
    assert "127.0.0.1:8080" in str(caught.value)
    assert clock.waited <= 16
    assert "nothing listens at 127.0.0.1:8080; trying again for 15 s" in caplog.text


def test_elsewhere_it_is_waited_for(drive, server, make, clock):
    server.behave(_refused)
    with pytest.raises(TransportError):
        drive.query(make(), "one text")
    assert clock.waited > 590


def test_a_shorter_max_wait_holds(drive, server, make, clock, caplog):
    server.behave(_refused)
    with pytest.raises(TransportError):
        drive.query(make(LOCAL, max_wait=3.0), "one text")
    assert clock.waited <= 3.1
    assert "trying again for 3 s (max_wait)" in caplog.text


def test_a_server_on_this_machine_that_was_up_is_waited_for(drive, server, make, clock):
    server.script(vectors, *[_refused] * 12, vectors)
    embeddings = make(LOCAL)
    drive.query(embeddings, "one text")
    assert drive.query(embeddings, "another") == vector("another")
    assert clock.waited > 20


def test_no_batch_is_halved_for_it(drive, server, make, clock):
    server.behave(_refused)
    with pytest.raises(EmbeddingError):
        drive.documents(make(LOCAL), numbered(32))
    assert {len(batch) for batch in server.batches} == {32}


def test_words_of_a_long_trial_name_no_status_that_there_is_not(drive, server, make, clock, caplog):
    server.behave(failing(httpx.ReadError))
    with pytest.raises(TransportError):
        drive.query(make(max_wait=20.0), "one text")
    (record,) = caplog.records
    assert "None" not in record.message
    assert "it broke" in record.message
    assert "for 20 s in all (max_wait)" in record.message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_closed_port_by_real_sockets(drive, host):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    embeddings = HFEndpointEmbeddings(url=f"http://{host}:{port}", max_wait=0.0)
    with pytest.raises(TransportError, match="nothing listens there"):
        drive.query(embeddings, "one text")


def test_several_addresses_are_understood_as_libraries_tell_of_them():
    several = OSError(f"Multiple exceptions: [Errno {errno.ECONNREFUSED}] …, [Errno 99] …")
    group = OSError("All connection attempts failed")
    group.__cause__ = _Several()
    for error in (REFUSED, several, group):
        failure = network_failure(error, connected=False)
        assert (failure.cause, failure.refused) == (Cause.TRANSPORT, True)
    reset = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    assert not network_failure(reset, connected=False).refused
