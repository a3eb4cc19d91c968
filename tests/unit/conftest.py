"""No sockets here: a scripted server stands in the place of httpx's transport, and time is ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial, partialmethod
from typing import TYPE_CHECKING

import pytest
from scripted_server import URL, ScriptedServer

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint._engine.actions import Sleep
from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.drivers import CallStopped, TaskDriver, ThreadDriver
from langchain_hf_endpoint._session import session

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_httpx import HTTPXMock

    from langchain_hf_endpoint._engine.actions import WaitReason


@pytest.fixture
def server(httpx_mock: HTTPXMock) -> ScriptedServer:
    """A server without a socket."""
    return ScriptedServer(httpx_mock)


@pytest.fixture
def make() -> Callable[..., HFEndpointEmbeddings]:
    """Embeddings over the scripted server, by Hugging Face's protocol unless told otherwise."""

    def make(url: str = URL, **settings: object) -> HFEndpointEmbeddings:
        return HFEndpointEmbeddings(url=url, **{"dialect": "hugging_face", **settings})

    return make


@dataclass
class Clock:
    """Time that passes only where somebody waits, at once, and is written down."""

    now: float = 1000.0
    waits: list[tuple[WaitReason, float]] = field(default_factory=list)
    during_a_wait: Callable[[], object] = int

    def __call__(self) -> float:
        return self.now

    def wait(self, step: Sleep) -> None:
        """Let the time of a pause pass."""
        self.during_a_wait()
        self.now += step.seconds
        self.waits.append((step.why, step.seconds))

    @property
    def waited(self) -> float:
        """Seconds that passed in all."""
        return sum(seconds for _, seconds in self.waits)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """No pause of a conversation takes time; the limiter and the retries go by this clock."""
    clock = Clock()
    limiter = partial(session.RequestsPerMinuteLimiter, clock=clock)
    monkeypatch.setattr(session, "RequestsPerMinuteLimiter", limiter)
    by_clock = partialmethod(EmbeddingCall.__init__, clock=clock)
    monkeypatch.setattr(EmbeddingCall, "__init__", by_clock)
    block, suspend = ThreadDriver._perform, TaskDriver._perform

    def perform(driver, step):
        if not isinstance(step, Sleep):
            return block(driver, step)
        clock.wait(step)
        if driver.stop.is_set():
            raise CallStopped
        return None

    async def aperform(driver, step):
        if not isinstance(step, Sleep):
            return await suspend(driver, step)
        clock.wait(step)
        if driver.stop.is_set():
            raise CallStopped
        return None

    monkeypatch.setattr(ThreadDriver, "_perform", perform)
    monkeypatch.setattr(TaskDriver, "_perform", aperform)
    return clock
