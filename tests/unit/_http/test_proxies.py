"""Which proxy of the environment is between this machine and a URL, and which hosts have none."""

import pytest

from langchain_hf_endpoint._http.errors import NoClientError
from langchain_hf_endpoint._http.proxies import proxy_to

PASSWORD = "pa#ss/wo?rd"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


def origin_of(proxy):
    return proxy and proxy.origin


@pytest.mark.parametrize(
    ("value", "origin", "user", "password"),
    [
        ("http://proxy:3128", "http://proxy:3128", None, ""),
        ("proxy:3128", "http://proxy:3128", None, ""),
        ("http://proxy", "http://proxy:80", None, ""),
        ("https://proxy/", "https://proxy:443", None, ""),
        ("HTTP://[::1]:3128/", "http://[::1]:3128", None, ""),
        (f"http://me:{PASSWORD}@proxy:3128", "http://proxy:3128", "me", PASSWORD),
        ("http://me:a@b:c@proxy:3128", "http://proxy:3128", "me", "a@b:c"),
        ("http://me:a%23b%2Fc@proxy:3128", "http://proxy:3128", "me", "a#b/c"),
        ("http://me:100%@proxy:3128", "http://proxy:3128", "me", "100%"),
        ("me@proxy:3128", "http://proxy:3128", "me", ""),
        (" http://proxy:3128 ", "http://proxy:3128", None, ""),
    ],
)
def test_a_proxys_password_may_hold_any_character(environment, value, origin, user, password):
    environment.setenv("HTTPS_PROXY", value)
    proxy = proxy_to("https://embed.example.org")
    assert (proxy.origin, proxy.user, proxy.password) == (origin, user, password)
    assert proxy.variable == "HTTPS_PROXY"
    assert not password or password not in repr(proxy)


@pytest.mark.parametrize(
    ("url", "variables", "origin"),
    [
        ("https://a.example", {"HTTPS_PROXY": "one:1", "ALL_PROXY": "two:2"}, "http://one:1"),
        ("https://a.example", {"HTTP_PROXY": "one:1"}, None),
        ("https://a.example", {"ALL_PROXY": "two:2"}, "http://two:2"),
        ("http://a.example", {"HTTP_PROXY": "one:1", "HTTPS_PROXY": "two:2"}, "http://one:1"),
        ("https://a.example", {"https_proxy": "three:3", "HTTPS_PROXY": "one:1"}, "http://three:3"),
        ("https://a.example", {"HTTPS_PROXY": ""}, None),
        ("https://a.example", {}, None),
        ("http://127.0.0.1:8080", {"ALL_PROXY": "two:2"}, None),
        ("http://[::1]:8080", {"ALL_PROXY": "two:2"}, None),
        ("http://a.localhost:8080", {"ALL_PROXY": "two:2"}, None),
    ],
)
def test_which_variable_counts(environment, url, variables, origin):
    for name, value in variables.items():
        environment.setenv(name, value)
    assert origin_of(proxy_to(url)) == origin


DIRECT = [
    ("https://embed.example.org", "embed.example.org"),
    ("https://embed.example.org", "example.org"),
    ("https://embed.example.org", ".example.org"),
    ("https://embed.example.org", "*.example.org"),
    ("https://embed.example.org", "EXAMPLE.ORG"),
    ("https://embed.example.org.", "example.org"),
    ("https://embed.example.org", "example.org."),
    ("https://embed.example.org", "example.org:443"),
    ("https://embed.example.org:8443", "example.org:8443"),
    ("https://embed.example.org", "https://example.org"),
    ("https://embed.example.org", "a.org example.org"),
    ("https://embed.example.org", " a.org , example.org ,"),
    ("https://embed.example.org", "*"),
    ("https://embed.example.org", "other.org,*"),
    ("https://10.1.2.3", "10.0.0.0/8"),
    ("https://10.1.2.3:9000", "localhost,127.0.0.0/8,10.0.0.0/8,::1/128"),
    ("https://10.1.2.3", "10.1.2.3"),
    ("https://10.1.2.3", "10.1.2.3:443"),
    ("https://[fe80::1]", "fe80::/10"),
    ("https://[fd00::1]", "[fd00::1]"),
    ("https://[fd00::1]", "[fd00::]/8"),
    ("https://[fd00::1]", "fd00:0:0:0:0:0:0:1"),
    ("https://[fd00::1]:8443", "[fd00::1]:8443"),
]
PROXIED = [
    ("https://embed.example.org", "xample.org"),
    ("https://embed.example.org", "other.org"),
    ("https://embed.example.org", "example.org:8443"),
    ("https://embed.example.org", "http://example.org"),
    ("https://embed.example.org", "localhost,127.0.0.0/8,::1/128"),
    ("https://embed.example.org", "[::1]"),
    ("https://embed.example.org", "fe80::/10"),
    ("https://embed.example.org", "0.0.0.0/0"),
    ("https://embed.example.org", "[::1"),
    ("https://embed.example.org", "::/999"),
    ("https://embed.example.org", "http://["),
    ("https://embed.example.org", "a:b:c,???,#,@,/,:,."),
    ("https://11.1.2.3", "10.0.0.0/8"),
    ("https://10.1.2.3", "10.1.2.4"),
    ("https://[fd00::1]", "[fd00::1]:8443"),
    ("https://[fd00::1]", "10.0.0.0/8"),
]


@pytest.mark.parametrize(("url", "exceptions"), DIRECT)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_what_an_exception_names_is_reached_directly(environment, url, exceptions, name):
    environment.setenv("ALL_PROXY", "http://proxy:3128")
    environment.setenv(name, exceptions)
    assert proxy_to(url) is None


@pytest.mark.parametrize(("url", "exceptions"), PROXIED)
def test_an_entry_that_is_no_rule_for_a_host_is_passed_over(environment, url, exceptions):
    environment.setenv("ALL_PROXY", "http://proxy:3128")
    environment.setenv("NO_PROXY", exceptions)
    assert origin_of(proxy_to(url)) == "http://proxy:3128"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("gopher://me:secret@proxy:70", "http, https, socks5"),
        ("http://me:secret@:3128", "must be like"),
        ("http://me:secret@proxy:port", "must be like"),
        ("http://me:secret@proxy:99999", "must be like"),
        ("http://me:secret@[::1", "must be like"),
        ("http://me:secret@pro xy:1", "must be like"),
        ("://me:secret@proxy:1", "http, https, socks5"),
    ],
)
def test_what_is_wrong_names_the_variable_and_never_its_password(environment, value, words):
    environment.setenv("HTTPS_PROXY", value)
    with pytest.raises(NoClientError, match=f"HTTPS_PROXY: .*{words}") as caught:
        proxy_to("https://embed.example.org")
    assert "secret" not in str(caught.value)
