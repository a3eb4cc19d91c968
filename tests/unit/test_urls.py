"""What a URL says of the machine behind it. A mistake here would send a token to a stranger."""

from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_hf_endpoint import HFEndpointEmbeddings, InferenceEndpoint
from langchain_hf_endpoint._urls import (
    host_of,
    is_dedicated_endpoint,
    is_hugging_face,
    is_loopback,
    url_problem,
)

HUGGING_FACE = [
    "https://x.us-east-1.aws.endpoints.huggingface.cloud",
    "https://x.endpoints.huggingface.cloud/embed",
    "https://X.ENDPOINTS.HuggingFace.Cloud/embed",
    "HTTPS://x.endpoints.huggingface.cloud",
    "https://x.endpoints.huggingface.cloud:443/",
    "https://x.endpoints.huggingface.cloud:8443/",
    "https://router.huggingface.co/hf-inference/models/intfloat/e5-small-v2",
    "https://router.huggingface.co/hf-inference/models/x?wait=1",
    "https://user-space.hf.space/embed",
]
OTHERS = [
    "http://x.endpoints.huggingface.cloud",
    "HTTP://router.huggingface.co",
    "https://huggingface.co.evil.com/",
    "https://x.huggingface.co.evil.com/",
    "https://evil-huggingface.co/",
    "https://evil.com/x.huggingface.co",
    "https://evil.com/.huggingface.co",
    "https://evil.com?.huggingface.co",
    "https://evil.com?x=https://router.huggingface.co",
    "https://evilhf.space/",
    "https://x.hf.space.evil.com",
    "https://x.hf-space.com",
    "https://endpoints.huggingface.cloud.evil.com",
    "https://xendpoints.huggingface.cloud.evil.com",
    "https://evil-endpoints.huggingface.cloud",
    "https://huggingface.com",
    "https://127.0.0.1",
    "https://[::1]:8080",
    "http://localhost:8080",
    "https://example.org",
]
REFUSED = [
    "https://router.huggingface.co@evil.com/",
    "https://router.huggingface.co:x@evil.com/",
    "https://evil.com@router.huggingface.co/",
    "https://user:hf_x@router.huggingface.co/",
    "https://evil.com\\@router.huggingface.co/",
    "https://evil.com\\.huggingface.co/",
    "https://evil.com%2F.huggingface.co/",
    "https://evil.com%00.huggingface.co/",
    "https://evil.com;.huggingface.co/",
    "https://evil.com,router.huggingface.co/",
    "https://evil.com#.huggingface.co/",
    "https://evil.com#@router.huggingface.co/",
    "https://evil.com/\r\nHost: router.huggingface.co",
    "https://evil.com\t.huggingface.co",
    "https://xn--\u0131.huggingface.co",
    "https://evil\u3002huggingface.co",
    "https://.huggingface.co",
    "https://a..huggingface.co",
    f"https://{'a' * 64}.huggingface.co",
    "https://x.huggingface.co:port",
    "https://x.huggingface.co:99999",
    "https://x.huggingface.co:-1",
    "https://[::1",
    "https://::1]",
    "https://[::1].huggingface.co",
    "https://[::1]x",
    "https://x[::1]",
    "https://[router.huggingface.co]",
    "https://[127.0.0.1]",
    "http://127.1",
    "http://300.0.0.1",
    "http://1270.0.0.1",
    "https://",
    "https:///embed",
    "https://?x",
    "https://:443",
    "https:x.huggingface.co",
    "https:/x.huggingface.co",
    "//x.huggingface.co",
    "x.huggingface.co",
    "ftp://x.huggingface.co",
    "file:///etc/passwd",
    "javascript:alert(1)",
    " https://x.huggingface.co",
    "https://x.huggingface.co ",
    "https://x.huggingface.co/a b",
    "https://x.huggingface.co/\n",
    "",
]


@pytest.mark.parametrize("url", HUGGING_FACE)
def test_hugging_faces_hosts_over_https_are_known(url):
    assert url_problem(url) is None
    assert is_hugging_face(url)
    assert not is_loopback(url)


@pytest.mark.parametrize("url", OTHERS)
def test_other_hosts_are_not_taken_for_hugging_faces(url):
    assert url_problem(url) is None
    assert not is_hugging_face(url)
    assert not is_dedicated_endpoint(url)


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_parsers_read_differently_is_refused(url):
    problem = url_problem(url)
    assert problem
    assert "evil" not in problem
    assert "hf_x" not in problem


ROUTED = "https://router.huggingface.co/hf-inference/models/{}/pipeline/feature-extraction"
E5 = ROUTED.format("intfloat/e5-small-v2")
ANY = ROUTED.format("<organization>/<model>")


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://huggingface.co/intfloat/e5-small-v2", E5),
        ("https://huggingface.co/intfloat/e5-small-v2/", E5),
        ("https://huggingface.co/intfloat/e5-small-v2/tree/main", E5),
        ("http://huggingface.co/intfloat/e5-small-v2?library=tei", E5),
        ("https://www.huggingface.co/intfloat/e5-small-v2", E5),
        ("https://hf.co/intfloat/e5-small-v2", E5),
        ("HTTPS://HuggingFace.co:443/intfloat/e5-small-v2", E5),
        ("https://huggingface.co/models/intfloat/e5-small-v2", E5),
        ("https://huggingface.co", ANY),
        ("https://huggingface.co/intfloat", ANY),
        ("https://huggingface.co/spaces/Some_User/my.space", "https://some-user-my-space.hf.space"),
        ("https://endpoints.huggingface.co", ".endpoints.huggingface.cloud"),
        ("https://endpoints.huggingface.co/org/endpoints/mine", ".endpoints.huggingface.cloud"),
        ("https://ui.endpoints.huggingface.co/org/endpoints/a", ".endpoints.huggingface.cloud"),
        ("https://api.endpoints.huggingface.cloud/v2/endpoint/a/b", ".endpoints.huggingface.cloud"),
        ("https://api-inference.huggingface.co/models/intfloat/e5-small-v2", E5),
        (
            "https://api-inference.huggingface.co/pipeline/feature-extraction/intfloat/e5-small-v2",
            E5,
        ),
        ("https://api-inference.huggingface.co", ANY),
        ("https://router.huggingface.co", ANY),
        ("https://router.huggingface.co/", ANY),
        ("https://router.huggingface.co/v1", ANY),
        ("https://router.huggingface.co/hf-inference", ANY),
        ("https://router.huggingface.co/hf-inference/models/", ANY),
    ],
)
def test_a_page_of_hugging_face_that_is_no_endpoint_is_met_with_the_right_place(url, right):
    assert right in url_problem(url)


def test_a_page_is_one_without_its_beginning_too():
    assert url_problem("huggingface.co/intfloat/e5-small-v2").startswith("is a page of the Hub")


@pytest.mark.parametrize("url", [E5, ROUTED.format("m"), "https://some-user-my-space.hf.space"])
def test_the_places_that_are_named_are_urls_of_endpoints(url):
    assert url_problem(url) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("localhost:8090", "http://localhost:8090"),
        ("localhost", "http://localhost"),
        ("localhost:8090/embed", "http://localhost:8090/embed"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("10.0.0.1", "http://10.0.0.1"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("tei:80", "http://tei:80"),
        ("tei.internal", "http://tei.internal"),
        ("embed.example.org:8080", "http://embed.example.org:8080"),
        ("embed.example.org", "https://embed.example.org"),
        ("embed.example.org:443", "https://embed.example.org:443"),
        ("x.endpoints.huggingface.cloud", "https://x.endpoints.huggingface.cloud"),
        ("//x.hf.space", "https://x.hf.space"),
        ("https:x.hf.space", "https://x.hf.space"),
        ("https:/x.hf.space", "https://x.hf.space"),
        ("https//x.hf.space/a", "https://x.hf.space/a"),
        ("htps://x.hf.space", "https://x.hf.space"),
        (" localhost:8090\n", "http://localhost:8090"),
    ],
)
def test_a_url_without_its_beginning_is_met_with_the_one_that_is_meant(text, meant):
    assert url_problem(text).endswith(f": did you mean {meant}?")
    assert url_problem(meant) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "my-endpoint",
        "e5",
        "user:password@example.org",
        "localhost:8090?token=x",
        "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNa",
        "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNa.com",
        "sk-abcDEF1234567890abcDEF12",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_what_may_be_a_secret_is_not_taken_for_a_host(text):
    assert url_problem(text) == "must start with http:// or https://"


@pytest.mark.parametrize(
    ("url", "is_dedicated"),
    [
        ("https://x.endpoints.huggingface.cloud/embed", True),
        ("https://X.Endpoints.HuggingFace.cloud", True),
        ("http://x.endpoints.huggingface.cloud", False),
        ("https://router.huggingface.co", False),
        ("https://x.hf.space", False),
    ],
)
def test_only_dedicated_endpoints_stand_behind_the_proxy_that_holds_a_cold_start(url, is_dedicated):
    assert is_dedicated_endpoint(url) is is_dedicated


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://127.0.0.1", True),
        ("http://127.0.0.1:8080/embed", True),
        ("http://127.9.8.7", True),
        ("http://localhost:80", True),
        ("http://LOCALHOST", True),
        ("http://tei.localhost", True),
        ("http://[::1]:8080", True),
        ("http://0.0.0.0", False),
        ("http://10.0.0.1", False),
        ("http://128.0.0.1", False),
        ("http://localhost.evil.com", False),
        ("http://notlocalhost", False),
        ("http://127.0.0.1.evil.com", False),
        ("http://evil.com/127.0.0.1", False),
        ("http://evil.com?127.0.0.1", False),
        ("http://[2001:db8::1]", False),
    ],
)
def test_loopback_is_this_machine_and_nothing_that_looks_like_it(url, is_local):
    assert url_problem(url) is None
    assert is_loopback(url) is is_local


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://x.hf.space/embed?a=b", "x.hf.space"),
        ("https://x.hf.space:8443/embed", "x.hf.space:8443"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_a_host_is_named_with_its_port_and_nothing_else(url, host):
    assert host_of(url) == host


PIECES = st.one_of(
    st.sampled_from([".", "..", "/", "//", ":", "@", "?", "%", "%2F", "%40", "[", "]", "::1"]),
    st.sampled_from([";", ",", "&", "=", "(", "*", "+", "~", "_", "-", "443", "a", "A", "0x7f.1"]),
    st.sampled_from(["evil.com", "x.huggingface.co", ".hf.space", "127.0.0.1", "localhost"]),
)


@settings(deadline=None)
@given(st.sampled_from(["http://", "https://", "HTTPS://"]), st.lists(PIECES, min_size=1))
def test_a_url_that_is_taken_leads_the_sender_to_the_host_that_was_judged(scheme, pieces):
    url = scheme + "".join(pieces)
    if url_problem(url) is None:
        assert httpx.URL(url).host == (urlsplit(url).hostname or "").lower()
        assert httpx.URL(url).userinfo == b""


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org//a@b",
        "https://example.org/some/embed@v2",
        "https://example.org/embed?next=http://u@h",
    ],
)
def test_an_at_sign_behind_the_host_stays_as_it_is(url):
    assert InferenceEndpoint(url=url).service_settings.url == url
    assert HFEndpointEmbeddings(url=url).endpoint.service_settings.url == url
