"""TLS: whom a client trusts, what it shows of itself, and that nothing turns the check off."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest
import trustme
from driving import DRIVES

from langchain_hf_endpoint import HFEndpointEmbeddings, SettingsError, TransportError
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.testing import expected_vector

KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRy"
TEXT = "a question"
BODY = orjson.dumps([expected_vector(TEXT, 16).tolist()])
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
WAYS = {
    "threads": (DRIVES["sync"], "httpx"),
    "own": (DRIVES["async"], "httpx"),
    "aiohttp": (DRIVES["async"], "aiohttp"),
}


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in (
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("PYTHONHTTPSVERIFY", "HTTPS_PROXY", "ALL_PROXY"),
    ):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture(params=list(WAYS))
def ask(request):
    """Embed a text over each transport; `array` and `documents` are the faces beside `query`."""
    drive, transport = WAYS[request.param]

    def ask(url, method="query", **settings):
        embeddings = HFEndpointEmbeddings(
            **{"url": url, "api_key": KEY, "dialect": "openai", "max_wait": 0.0, **settings},
            transport=transport,
        )
        if method == "query":
            return drive.query(embeddings, TEXT)
        return getattr(drive, method)(embeddings, [TEXT])

    return ask


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def other_authority():
    return trustme.CA(organization_name="Somebody Else")


@pytest.fixture
def pem(tmp_path):
    """Write certificates and keys to files, to be named in settings."""

    def pem(name, *blobs):
        path = tmp_path / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(path)

    return pem


@pytest.fixture
def ca_file(authority, pem):
    return pem("authority.pem", authority.cert_pem)


@dataclass
class Heard:
    """The requests that came through, and the certificates that were shown."""

    requests: list[bytes] = field(default_factory=list)
    certificates: list[object] = field(default_factory=list)


def linger(connection):
    """Take what the client still sends, as web servers do: a reset would overtake the alert."""
    with socket.socket(fileno=connection.detach()) as plain:
        plain.settimeout(10)
        plain.shutdown(socket.SHUT_WR)
        while plain.recv(1 << 16):
            pass


@contextmanager
def serving(certificate, clients=None):
    """A server with this certificate; it asks for that of clients of the authority `clients`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    heard, threads = Heard(), []
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(plain):
        # OpenSSL on a blocking socket: asyncio's servers keep their alerts to themselves.
        connection = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        with suppress(OSError), connection:
            try:
                connection.do_handshake()
            except ssl.SSLError:
                linger(connection)
                return
            heard.certificates.append(connection.getpeercert())
            while head := connection.recv(1 << 16):
                while b"\r\n\r\n" not in head or not head.endswith(b"}"):
                    head += connection.recv(1 << 16)
                heard.requests.append(head)
                connection.sendall(REPLY)

    def accept():
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            plain.settimeout(10)
            threads.append(threading.Thread(target=answer, args=(plain,), daemon=True))
            threads[-1].start()

    threads.append(threading.Thread(target=accept, daemon=True))
    threads[0].start()
    try:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}", heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        close_sessions()  # and with them the connections that are kept alive
        for thread in threads:
            thread.join(20)


def is_right(vector):
    return np.array_equal(np.asarray(vector, np.float32), expected_vector(TEXT, 16))


# Whom the client trusts


def test_a_private_authority_is_trusted_where_it_is_named(ask, authority, ca_file):
    with serving(authority.issue_cert("127.0.0.1")) as (url, heard):
        tls = {"ca_file": ca_file}
        assert is_right(ask(url, tls=tls))
        assert is_right(ask(url, "documents", tls=tls)[0])
        assert is_right(ask(url, "array", tls=tls)[0])
        assert is_right(ask(url, "chunks", tls=tls)[0][0].embedding)
        assert is_right(ask(url, "stream", tls=tls)[0].embedding)
        assert len(heard.requests) == 5
        assert all(KEY.encode() in request for request in heard.requests)


@pytest.mark.parametrize("method", ["query", "documents", "array", "chunks", "stream"])
def test_a_private_authority_is_not_trusted_otherwise(ask, authority, other_authority, pem, method):
    with serving(authority.issue_cert("127.0.0.1")) as (url, heard):
        for tls in (None, {"ca_file": pem("other.pem", other_authority.cert_pem)}):
            with pytest.raises(TransportError, match="certificate is not accepted") as caught:
                ask(url, method, **({"tls": tls} if tls else {}))
            assert KEY not in str(caught.value)
        assert not heard.requests  # no byte of a request, and so no key


def test_a_certificate_that_vouches_for_itself_is_refused(ask, ca_file):
    alone = trustme.CA(organization_name="Self")  # its server's certificate is in nobody's file
    with serving(alone.issue_cert("127.0.0.1")) as (url, heard):
        with pytest.raises(TransportError, match="certificate is not accepted"):
            ask(url, tls={"ca_file": ca_file})
        assert not heard.requests


@pytest.mark.parametrize(
    "names", [("elsewhere.example",), ("127.0.0.2",), ("*.example.org",)], ids=str
)
def test_a_certificate_for_another_name_is_refused(ask, authority, ca_file, names):
    with serving(authority.issue_cert(*names)) as (url, heard):
        with pytest.raises(TransportError, match=r"certificate is not accepted: .*mismatch"):
            ask(url, tls={"ca_file": ca_file})
        assert not heard.requests


def test_a_name_is_compared_with_the_name_in_the_url(ask, authority, ca_file):
    with serving(authority.issue_cert("localhost")) as (url, heard):
        assert is_right(ask(url.replace("127.0.0.1", "localhost"), tls={"ca_file": ca_file}))
        with pytest.raises(TransportError, match="mismatch"):
            ask(url, tls={"ca_file": ca_file})
        assert len(heard.requests) == 1


@pytest.mark.parametrize(
    ("days", "words"), [((-20, -10), "expired"), ((10, 20), "not yet valid")], ids=str
)
def test_a_certificate_out_of_its_time_is_refused(ask, authority, ca_file, days, words):
    begin, end = (datetime.now(UTC) + timedelta(days=day) for day in days)
    times = {"not_before": begin, "not_after": end}
    with serving(authority.issue_cert("127.0.0.1", **times)) as (url, heard):
        with pytest.raises(TransportError, match=f"certificate is not accepted.*{words}"):
            ask(url, tls={"ca_file": ca_file})
        assert not heard.requests


def test_a_renewed_authority_is_taken_from_the_file_without_a_restart(
    ask, authority, other_authority, pem
):
    ca_file = pem("ca.pem", other_authority.cert_pem)
    with serving(authority.issue_cert("127.0.0.1")) as (url, _heard):
        with pytest.raises(TransportError, match="not accepted"):
            ask(url, tls={"ca_file": ca_file})
        assert pem("ca.pem", authority.cert_pem, other_authority.cert_pem) == ca_file
        assert is_right(ask(url, tls={"ca_file": ca_file}, timeout=59))


# What the client shows of itself


def test_a_client_certificate_is_shown_where_it_is_asked_for(ask, authority, ca_file, pem):
    client = authority.issue_cert("client@example.org")
    one_file = pem("both.pem", client.private_key_pem, *client.cert_chain_pems)
    certificate = pem("certificate.pem", *client.cert_chain_pems)
    key = pem("key.pem", client.private_key_pem)
    with serving(authority.issue_cert("127.0.0.1"), authority) as (url, heard):
        assert is_right(ask(url, tls={"ca_file": ca_file, "certificate_file": one_file}))
        files = {"ca_file": ca_file, "certificate_file": certificate, "key_file": key}
        assert is_right(ask(url, tls=files))
        assert len(heard.requests) == 2
        shown = {dict(one["subjectAltName"])["email"] for one in heard.certificates}
        assert shown == {"client@example.org"}


def test_a_missing_client_certificate_is_named_and_no_request_is_sent_twice(
    ask, authority, ca_file
):
    with serving(authority.issue_cert("127.0.0.1"), authority) as (url, heard):
        with pytest.raises(TransportError) as caught:
            ask(url, tls={"ca_file": ca_file}, timeout=5)
        assert "client certificate" in str(caught.value)
        assert "tls.certificate_file" in str(caught.value)
        assert not heard.requests


def test_a_client_certificate_of_somebody_else_is_refused(
    ask, authority, other_authority, ca_file, pem
):
    client = other_authority.issue_cert("client@example.org")
    files = {
        "ca_file": ca_file,
        "certificate_file": pem("c.pem", client.private_key_pem, *client.cert_chain_pems),
    }
    with serving(authority.issue_cert("127.0.0.1"), authority) as (url, heard):
        with pytest.raises(TransportError, match="does not accept the client certificate"):
            ask(url, tls=files)
        assert not heard.requests


def test_files_that_cannot_be_used_are_named_without_their_content(ask, authority, pem, tmp_path):
    one, two = (authority.issue_cert(f"{name}@example.org") for name in ("one", "two"))
    (tmp_path / "text.pem").write_text("the secret of the text")
    certificate = pem("one.pem", *one.cert_chain_pems)
    cases = [
        ({"ca_file": str(tmp_path / "nowhere.pem")}, "tls.ca_file.*No such file"),
        ({"ca_file": str(tmp_path)}, "tls.ca_file"),
        ({"ca_file": str(tmp_path / "text.pem")}, "tls.ca_file.*holds no certificate"),
        ({"certificate_file": str(tmp_path / "text.pem")}, "tls.certificate_file"),
        ({"certificate_file": certificate}, "tls.certificate_file"),  # its key is elsewhere
        (
            {"certificate_file": certificate, "key_file": pem("two.key", two.private_key_pem)},
            "not that of the certificate",
        ),
    ]
    for tls, words in cases:
        with pytest.raises(SettingsError, match=words) as caught:
            ask("https://127.0.0.1:1", tls=tls)
        assert "secret of the text" not in str(caught.value)


# What the environment may say


VARIABLES = ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_environment_may_name_authorities(ask, authority, environment, tmp_path, variable):
    place = tmp_path / "authority.pem"
    if variable == "SSL_CERT_DIR":
        hashed = tmp_path / "raw.pem"
        authority.cert_pem.write_to_path(str(hashed))
        command = ["openssl", "x509", "-hash", "-noout", "-in", str(hashed)]
        try:
            name = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        except FileNotFoundError:
            pytest.skip("needs openssl for the names in the folder")
        place = tmp_path / f"{name.strip()}.0"
    authority.cert_pem.write_to_path(str(place))
    environment.setenv(variable, str(tmp_path if variable == "SSL_CERT_DIR" else place))
    with serving(authority.issue_cert("127.0.0.1")) as (url, _heard):
        assert is_right(ask(url))


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_missing_file_of_the_environment_is_named(ask, environment, tmp_path, variable):
    missing = tmp_path / "missing.pem"
    environment.setenv(variable, str(missing))
    with pytest.raises(TransportError, match=variable) as caught:
        ask("https://127.0.0.1:1")
    assert str(missing) in str(caught.value)


def test_the_first_variable_that_is_set_counts(ask, authority, other_authority, pem, environment):
    environment.setenv("SSL_CERT_FILE", pem("authority.pem", authority.cert_pem))
    environment.setenv("REQUESTS_CA_BUNDLE", pem("other.pem", other_authority.cert_pem))
    environment.setenv("CURL_CA_BUNDLE", "/nowhere.pem")
    with serving(authority.issue_cert("127.0.0.1")) as (url, _heard):
        assert is_right(ask(url))


def test_an_authority_that_is_not_known_is_said_with_where_to_name_it(ask, authority):
    with serving(authority.issue_cert("127.0.0.1")) as (url, _heard):
        with pytest.raises(TransportError, match="not accepted") as caught:
            ask(url)
        assert "tls.ca_file" in str(caught.value)
        assert "SSL_CERT_FILE" in str(caught.value)


def test_a_file_of_the_settings_comes_before_that_of_the_environment(
    ask, authority, other_authority, pem, environment
):
    environment.setenv("SSL_CERT_FILE", pem("authority.pem", authority.cert_pem))
    with serving(authority.issue_cert("127.0.0.1")) as (url, heard):
        with pytest.raises(TransportError, match="not accepted"):
            ask(url, tls={"ca_file": pem("other.pem", other_authority.cert_pem)})
        assert not heard.requests


SCRIPT = """
import asyncio, os, ssl, sys
from langchain_hf_endpoint import HFEndpointEmbeddings, TransportError

for transport in ("httpx", "aiohttp"):
    embeddings = HFEndpointEmbeddings(
        url=sys.argv[1], dialect="openai", transport=transport, max_wait=0.0
    )
    for call in (
        lambda: embeddings.embed_query("a question"),
        lambda: asyncio.run(embeddings.aembed_query("a question")),
    ):
        try:
            call()
        except TransportError as error:
            assert "certificate is not accepted" in str(error), error
        else:
            raise SystemExit("it was accepted")
"""


def test_python_and_curl_switches_do_not_turn_the_check_off(authority):
    switches = {
        "PYTHONHTTPSVERIFY": "0",
        "CURL_CA_BUNDLE": "",
        "REQUESTS_CA_BUNDLE": "",
        "HF_HUB_DISABLE_SSL_VERIFY": "1",
        "NODE_TLS_REJECT_UNAUTHORIZED": "0",
    }
    with serving(authority.issue_cert("127.0.0.1")) as (url, heard):
        subprocess.run(
            [sys.executable, "-c", SCRIPT, url], check=True, env={**os.environ, **switches}
        )
        assert not heard.requests


@pytest.mark.parametrize(
    "settings",
    [
        {"verify": False},
        {"verify_ssl": False},
        {"ssl": False},
        {"tls": {"verify": False}},
        {"tls": {"ca_file": None, "check_hostname": False}},
        {"tls": {"ca_file": ""}},
        {"tls": {"ca_file": False}},
        {"tls": False},
        {"tls": {"key_file": "alone.pem"}},
    ],
    ids=str,
)
def test_there_is_no_setting_that_does(settings):
    with pytest.raises(SettingsError):
        HFEndpointEmbeddings(url="https://embed.example.org", **settings)


@pytest.mark.filterwarnings("ignore:.*TLSv1.*:DeprecationWarning")
def test_an_old_protocol_is_refused(ask, authority, ca_file):
    certificate = authority.issue_cert("127.0.0.1")
    plain = certificate.configure_cert

    class Old:
        """TLS 1.1 and nothing newer."""

        def configure_cert(self, context):
            plain(context)
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1

    with serving(Old()) as (url, heard):
        with pytest.raises(TransportError, match=r"TLS 1\.2") as caught:
            ask(url, tls={"ca_file": ca_file}, max_wait=4.0)
        assert caught.value.attempts == 1
        assert not heard.requests


@contextmanager
def plain_server():
    """It takes a handshake for a request, and says so as web servers do."""
    listening = socket.create_server(("127.0.0.1", 0))

    def refuse():
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(20)


def test_a_server_without_tls_is_not_asked_twice(ask):
    with plain_server() as port:
        with pytest.raises(TransportError, match="does not speak TLS") as caught:
            ask(f"https://127.0.0.1:{port}", max_wait=4.0)
        assert caught.value.attempts == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
def test_a_missing_client_certificate_is_not_asked_for_twice(ask, authority, ca_file, version):
    certificate = authority.issue_cert("127.0.0.1")
    plain = certificate.configure_cert

    class Only:
        """One version of TLS."""

        def configure_cert(self, context):
            plain(context)
            context.minimum_version = context.maximum_version = version

    with serving(Only(), authority) as (url, heard):
        with pytest.raises(TransportError, match=r"certificate|handshake") as caught:
            ask(url, tls={"ca_file": ca_file}, max_wait=4.0)
        assert caught.value.attempts == 1
        assert not heard.requests
