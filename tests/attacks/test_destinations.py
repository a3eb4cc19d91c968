"""The URLs of this machine in every spelling, sent to a gateway that takes none of them."""

from __future__ import annotations

import httpx
import pytest

from langchain_hf_endpoint import InferenceEndpoints
from langchain_hf_endpoint.gateway import create_app

KEY = "gateway-key-of-a-test"
HEADERS = {"authorization": f"ApiKey {KEY}"}
PATH = "/_inference/text_embedding/mine"

SPELLINGS = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1",
    "017700000001", "127.0.0.1.", "localhost", "LOCALHOST", "localhost.", "a.localhost",
    "localhost.localdomain", "0.0.0.0", "0", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]", "[fe80::1%25lo]", "[::1%25lo]", "\u2460\u2461\u2466.0.0.1",
    "127\u30020\u30020\u30021", "\uff11\uff12\uff17.0.0.1", "loc\u00adalhost", "%31%32%37.0.0.1",
    "127.0.0.1%00.hf.space", "127.0.0.1%2f.hf.space", "x.hf.space@127.0.0.1",
    "127.0.0.1#.hf.space", "127.0.0.1\\@x.hf.space", "127.0.0.1\\.hf.space", "127.0.0.1/.hf.space",
    "127.0.0.1?.hf.space", "127.0.0.1;.hf.space", "127.0.0.1,x.hf.space", "127.0.0.1 .hf.space",
    "127.0.0.1\t.hf.space", "127.0.0.1\r\nHost: x.hf.space", "[127.0.0.1]",
    "[x.hf.space]@127.0.0.1",    "x.hf.space:80@127.0.0.1", "127.0.0.1:80:",
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["http", "https", "HTTP"])
async def test_no_spelling_leads_to_this_machine(scheme, tei_double):
    port = tei_double.url.rpartition(":")[2]
    with InferenceEndpoints() as endpoints:
        transport = httpx.ASGITransport(create_app(endpoints, api_key=KEY))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            for host in SPELLINGS:
                for url in (f"{scheme}://{host}:{port}/embed", f"{scheme}://{host}/embed"):
                    settings = {"url": url, "api_key": "hf_not_for_you", "max_wait": 0}
                    config = {"service": "hugging_face", "service_settings": settings}
                    answer = await client.put(PATH, json=config, headers=HEADERS)
                    assert answer.status_code == 400, url
                    assert "error" in answer.json()
        assert len(endpoints) == 0
    assert tei_double.arrivals == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/", "unix:///run/x",
            "//127.0.0.1/", "data:,a", "", "http:127.0.0.1", "http:///embed", "javascript:0"],
)  # fmt: skip
async def test_no_other_scheme_leads_anywhere(url):
    with InferenceEndpoints() as endpoints:
        transport = httpx.ASGITransport(create_app(endpoints, api_key=KEY))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            config = {"service": "hugging_face", "service_settings": {"url": url}}
            answer = await client.put(PATH, json=config, headers=HEADERS)
    assert answer.status_code == 400
