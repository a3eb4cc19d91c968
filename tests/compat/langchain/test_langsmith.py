"""What LangSmith's real client sends of a traced program: everything, but the key."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from langchain_hf_endpoint.testing import faults

PROGRAM = Path(__file__).with_name("traced_program.py")
KEY = "hf_a-key-that-must-not-show"
LANGSMITH_KEY = "lsv2_of-the-test"


class LangSmith:
    """Takes what the client sends, uncompressed, and keeps it."""

    def __init__(self):
        self.received = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.langsmith = self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self):
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def text(self):
        return b"\n".join(self.received).decode()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # /info: what this server can do, which is nothing special
        self._say(200, b'{"version": "0.0.0", "batch_ingest_config": {}}')

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.langsmith.received += [str(self.headers).encode(), body]
        self._say(202, b"{}")

    do_PATCH = do_POST  # noqa: N815 - the server's name

    def _say(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def langsmith():
    langsmith = LangSmith()
    yield langsmith
    langsmith.stop()


def test_what_langsmith_is_sent_holds_no_key(langsmith, tei_double):
    tei_double.configure(api_key=KEY)
    echo = {"error": f"Invalid token {KEY}-of-yesterday"}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LANG")},
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_ENDPOINT": langsmith.url,
        "LANGSMITH_API_KEY": LANGSMITH_KEY,
        "THE_KEY": KEY,
        "HF_TOKEN": KEY,
    }
    tei_double.script(*[faults.answer(401, echo)] * 2, containing="fails")
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), tei_double.url],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    sent = langsmith.text()
    for told in (
        "Which text, in sync?",
        "Which text, in async?",
        "Which function?",
        "Which retriever fails?",
        "HFEndpointEmbeddings",
        tei_double.url,
        "Invalid token",
        LANGSMITH_KEY,  # a canary of the canary: headers are looked at too
    ):
        assert told in sent, f"{told} was not recorded: nothing is shown by what is not there"
    assert KEY not in sent
    assert KEY not in ran.stdout + ran.stderr
