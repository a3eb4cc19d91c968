"""Elasticsearch's index side as far as a vector store uses it, recorded; inference is passed on.

No Elasticsearch can be installed from a package index. The inference calls, which are what this
project answers, go to a real gateway; what is asked of the index is written down, and answered in
Elasticsearch's words with an exact search instead of an approximate one.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import numpy as np

if TYPE_CHECKING:
    from typing import Self

FROM_US = {"X-Elastic-Product": "Elasticsearch"}  # without it the official client refuses to speak


class RecordedIndex:
    """A node at `url`, before a gateway.

    Attributes:
        indices: The body each index was created with.
        documents: What bulk requests put, by index and id.
        searches: The bodies of the searches.
        inference: Methods and paths that were passed on to the gateway.
    """

    def __init__(self, gateway_url: str) -> None:
        self.indices: dict[str, dict] = {}
        self.documents: dict[str, dict[str, dict]] = {}
        self.searches: list[dict] = []
        self.inference: list[tuple[str, str]] = []
        self.gateway = httpx.Client(base_url=gateway_url, timeout=30)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.node = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.gateway.close()

    def create(self, index: str, body: dict) -> dict:
        self.indices[index] = body
        self.documents[index] = {}
        return {"acknowledged": True, "shards_acknowledged": True, "index": index}

    def bulk(self, lines: list[dict]) -> dict:
        items = []
        waiting = iter(lines)
        for line in waiting:
            [(action, place)] = line.items()
            documents = self.documents[place["_index"]]
            if action == "delete":
                del documents[place["_id"]]
            else:
                documents[place["_id"]] = next(waiting)
            items.append({action: {**place, "result": "done", "status": 200}})
        return {"took": 1, "errors": False, "items": items}

    def search(self, index: str, body: dict) -> dict:
        self.searches.append(body)
        knn, documents = body["knn"], self.documents[index]
        vectors = np.array([source[knn["field"]] for source in documents.values()])
        scores = (1 + vectors @ np.array(knn["query_vector"])) / 2  # as for vectors of length 1
        best = sorted(zip(scores.tolist(), documents.items(), strict=True), reverse=True)
        hits = [
            {"_index": index, "_id": name, "_score": score, "_source": source}
            for score, (name, source) in best[: body["size"]]
        ]
        return {"took": 1, "timed_out": False, "hits": {"hits": hits}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        node: RecordedIndex = self.server.node
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0].strip("/")
        if path.startswith("_inference"):
            self._pass_on(node, content)
        elif self.command == "HEAD":
            self._say(200 if path in node.indices else 404)
        elif path == "_bulk":
            self._say(200, node.bulk([json.loads(line) for line in content.splitlines()]))
        elif path.endswith("/_search"):
            self._say(200, node.search(path.partition("/")[0], json.loads(content)))
        elif self.command == "PUT":
            self._say(200, node.create(path, json.loads(content)))
        else:
            self._say(501, {"error": f"{self.command} {self.path} is not recorded"})

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the server's names

    def _pass_on(self, node: RecordedIndex, content: bytes) -> None:
        node.inference.append((self.command, self.path))
        headers = {
            name: self.headers[name]
            for name in ("accept", "content-type", "authorization")
            if name in self.headers
        }
        reply = node.gateway.request(self.command, self.path, content=content, headers=headers)
        self._say(reply.status_code, reply.content, reply.headers["content-type"])

    def _say(
        self, status: int, content: bytes | dict = b"", kind: str = "application/json"
    ) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**FROM_US, "content-type": kind}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: what counts is recorded."""
