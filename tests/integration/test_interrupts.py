"""Ctrl-C at random moments: nothing is sent after it, nothing is left, and the next call is right.

Judged at the server's arrival log. The moments are drawn by seeds; whatever lies there is cut off.
"""

from __future__ import annotations

import _thread
import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import interruptible
import pytest
from arrivals import ENOUGH
from interruptible import SETTINGS, TEXTS, WAYS
from thoroughness import in_pairs

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint.testing import ScriptedEndpoint, faults

SEEDS = range(int(os.environ.get("INTERRUPTS", "6")))
"""Of each way; ``INTERRUPTS=200`` for a hunt."""
A_CALL = 0.1
"""Seconds: about what a whole call takes, so that some moments lie at its end."""
AT_ONCE = SETTINGS["max_concurrent_requests"]


@pytest.fixture(scope="module")
def server():
    with ScriptedEndpoint(dimensions=16, seconds_per_request=0.02) as server:
        yield server


class Child:
    """The child of `interruptible`."""

    def __init__(self, url):
        self._process = subprocess.Popen(
            [sys.executable, interruptible.__file__, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def said(self):
        return json.loads(self._process.stdout.readline())

    def interrupt(self):
        self._process.send_signal(signal.SIGINT)

    def end(self):
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def idle():
    """Children that wait for the next way."""
    children = []
    yield children
    for child in children:
        child.end()


@pytest.fixture
def child(server, idle):
    child = idle.pop() if idle else Child(server.url)
    yield child
    if child not in idle:
        child.end()


@contextlib.contextmanager
def standing_still(server):
    """The server reads and answers nothing meanwhile. Gives what it had answered."""
    still, go_on = threading.Event(), threading.Event()

    def stand():
        still.set()
        go_on.wait(ENOUGH)

    server._loop.call_soon_threadsafe(stand)
    still.wait(ENOUGH)
    try:
        yield sum(request.finished > 0 for request in server.requests)
    finally:
        go_on.set()


def arrived(server):
    """How many requests there were, those included that the server has not read yet.

    It has read them when it has answered a few later ones: it looks at all connections in turn.
    """
    connection = http.client.HTTPConnection(*server.url.removeprefix("http://").split(":"))
    with contextlib.closing(connection):
        for _ in range(4):
            connection.request("GET", "/health")
            connection.getresponse().read()
    return len(server.requests)


@pytest.mark.parametrize("way", WAYS)
def test_after_an_interrupt_nothing_is_sent_or_left_and_the_next_call_is_right(
    server, child, idle, way
):
    for seed in SEEDS:
        server.forget()
        child.tell(way)
        assert child.said() == "go"
        time.sleep(random.Random(f"{way} {seed}").uniform(0, A_CALL))
        with standing_still(server) as answered:
            child.interrupt()
            assert child.said() in ("interrupted", "done")
        assert child.said() == [], f"something is left, seed {seed}"
        # Each of those that were not answered had its place before.
        at_once = 1 if way == "queries" else AT_ONCE
        assert arrived(server) <= answered + at_once, f"requests go on, seed {seed}"
        child.tell("go on")
        assert child.said() is True, f"the next call is wrong, seed {seed}"
    idle.append(child)


STUCK = {"hanging": faults.hang(), "refused": faults.rate_limited(3600)}
CALLS = {
    "documents": lambda embeddings: embeddings.embed_documents(TEXTS),
    "query": lambda embeddings: embeddings.embed_query("a question"),
    "stream": lambda embeddings: list(embeddings.stream_chunks(TEXTS)),
}


@in_pairs(stuck=STUCK, call=CALLS, transport=["httpx", "aiohttp"])
def test_an_interrupt_that_wakes_nobody_ends_the_call_all_the_same(transport, call, stuck):
    """Python raises one that comes just before a wait begins only when that wait is over."""
    with ScriptedEndpoint(dimensions=16) as server:
        server.script(*[STUCK[stuck]] * 40)
        embeddings = HFEndpointEmbeddings(
            url=server.url,
            transport=transport,
            **{**SETTINGS, "dialect": "tei", "timeout": 600.0, "max_wait": 7200.0},
        )

        def interrupt():
            server.wait_for(1)
            time.sleep(0.2)  # the call has come to wait for the answer, or for an hour
            _thread.interrupt_main()  # as a signal does, without ending what the thread waits in

        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            CALLS[call](embeddings)
        interrupting.join()
