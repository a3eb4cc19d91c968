"""Run an embedding endpoint in a thread: a URL, a script of faults, a log of requests."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_hf_endpoint._lifecycle import in_thread
from langchain_hf_endpoint._package import missing_extra
from langchain_hf_endpoint.testing.answering import Traits
from langchain_hf_endpoint.testing.serving import Scripted, Serving

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_hf_endpoint.testing.faults import Fault
    from langchain_hf_endpoint.testing.messages import Arrival
    from langchain_hf_endpoint.testing.plans import Plan

_STOP_SECONDS = 10.0


class ScriptedEndpoint:
    """An embedding endpoint on this machine that fails as it is told.

    It listens on a free port of loopback, in a thread of its own, between `start` and `stop` or in
    a ``with`` or ``async with`` statement. It speaks the protocol of Hugging Face's
    text-embeddings-inference (``/embed``, ``/``, ``/info``, ``/tokenize``) and OpenAI's
    (``/v1/embeddings``, with base64). The vector of a text is `expected_vector`; a token is a word,
    with two more around each text.

    A POST meets the next fault of the script, if there is one; else what the plan says; else it
    gets the right answer, within the server's limits.

    Args:
        plan: Which fault each request meets: a `FaultPlan`, or a function of an `Asked`.
        dimensions: Values in a vector.
        model_id: The model's name, as ``/info`` says it.
        prompts: The model's prompts, by the names that requests may give. None: it has none.
        version: Which TEI's statuses and words are spoken, "1.2.3" or later.
        shape: ``embeddings`` for ``{"embeddings": [[…]]}``, which hf-serve and the inference
            toolkit answer, without ``/embed`` and ``/info``.
            ``reranker`` for TEI's ``/rerank``, ``cohere`` for ``/v1/rerank`` in Cohere's shape;
            the scores are those of `expected_score`.
        api_key: The key that requests must carry. None: any, or none.
        max_input_length: Tokens of a text; what is more is cut, or refused where the version is
            below 1.9 or the request wishes it.
        max_client_batch_size: Texts in one request; more are refused.
        max_concurrent_requests: Texts in flight, whatever the name says: that is how TEI counts.
            More are refused with 429, or wait where the version is below 1.9.
        payload_limit: Bytes of a request's body; more are refused.
        rejects: A text that holds this is refused, and its whole request with it.
        seconds_per_request: How long a right answer takes, plus `seconds_per_text` for each text.
        seconds_per_text: See there.
        certificate_for: Speak TLS, with a certificate for this host name. The URL's host is
            127.0.0.1: any other name does not match. Needs the extra ``[testing]``.
    """

    def __init__(  # noqa: PLR0913 - a server's options
        self,
        *,
        plan: Plan | None = None,
        dimensions: int = 384,
        model_id: str = "scripted/endpoint",
        prompts: Mapping[str, str] | None = None,
        version: str = "1.9.3",
        shape: Literal["tei", "embeddings", "reranker", "cohere"] = "tei",
        api_key: str | None = None,
        max_input_length: int = 512,
        max_client_batch_size: int = 32,
        max_concurrent_requests: int = 512,
        payload_limit: int = 2_000_000,
        rejects: str = "",
        seconds_per_request: float = 0.0,
        seconds_per_text: float = 0.0,
        certificate_for: str | None = None,
    ) -> None:
        given = locals()
        traits = Traits(**{one.name: given[one.name] for one in fields(Traits)})
        self._serving = Serving(traits, plan)
        self._certificate_for = certificate_for
        self._authority: bytes | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._port = 0

    def start(self) -> Self:
        """Listen; nothing where it does so already. The log and the script stay as they are.

        Raises:
            MissingExtraError: A certificate is wanted and `trustme` is not installed.
        """
        if self._thread is not None:
            return self
        context = None
        if self._certificate_for is not None:
            context, self._authority = _certificate(self._certificate_for)
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=_run, args=(loop,), name="scripted-endpoint", daemon=True
        )
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(
            self._serving.listen(self._port, context), loop
        )
        try:
            self._port = listening.result(_STOP_SECONDS)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop listening and reset every connection; nothing where it is stopped.

        Started again it has the same port.
        """
        thread, self._thread = self._thread, None
        loop, self._loop = self._loop, None
        if thread is None or loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._serving.shut(), loop).result(_STOP_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await in_thread(self.start)

    async def __aexit__(self, *_error: object) -> None:
        await in_thread(self.stop)

    def __repr__(self) -> str:
        state = self.url if self._thread else "not running"
        return f"<ScriptedEndpoint {state}, {len(self._serving.arrivals)} arrivals>"

    @property
    def url(self) -> str:
        """Where it listens, ``http://127.0.0.1:<port>``.

        Raises:
            RuntimeError: It was never started.
        """
        if not self._port:
            raise RuntimeError(
                "the endpoint has no URL before it is started: use `with`, or start()"
            )
        scheme = "https" if self._certificate_for is not None else "http"
        return f"{scheme}://127.0.0.1:{self._port}"

    @property
    def arrivals(self) -> Sequence[Arrival]:
        """The requests that arrived, in order; those for information as well."""
        return list(self._serving.arrivals)

    @property
    def requests(self) -> Sequence[Arrival]:
        """The requests for vectors that arrived, in order."""
        return [arrival for arrival in self.arrivals if arrival.method == "POST"]

    @property
    def open_connections(self) -> int:
        """How many connections clients hold at present."""
        return len(self._serving.connections)

    def script(self, *faults: Fault | None, path: str = "", containing: str = "") -> None:
        """Put faults into the script, one a request; None is the right answer.

        Args:
            *faults: They follow those that are in the script already.
            path: Only for requests to this path, ``/info`` for one. Empty: any POST.
            containing: Only for requests with a text that holds these words.
        """
        self._serving.script.extend(Scripted(fault, path, containing) for fault in faults)

    def configure(self, **settings: Any) -> None:
        """Be a server with these settings from the next request on; the others stay.

        Args:
            **settings: Arguments of the constructor, but for `plan` and `certificate_for`.
        """
        self._serving.configure(replace(self._serving.traits, **settings))

    @property
    def unused_faults(self) -> int:
        """How many faults of the script no request has met yet."""
        return len(self._serving.script)

    def resume(self) -> None:
        """End what lasts: a pause, a cold start."""
        self._serving.lasting = None

    def forget(self) -> None:
        """Empty the log and the script, and end what lasts."""
        self._serving.arrivals.clear()
        self._serving.script.clear()
        self.resume()

    def wait_for(self, requests: int, timeout: float = 10.0) -> Sequence[Arrival]:
        """Wait until so many requests for vectors have arrived, and return them.

        Raises:
            TimeoutError: They have not, after so many seconds.
        """
        deadline = time.monotonic() + timeout
        while len(arrived := self.requests) < requests:
            if not self._serving.next_arrival(deadline - time.monotonic()):
                raise TimeoutError(f"{len(arrived)} of {requests} requests within {timeout:g} s")
        return arrived

    def write_authority(self, path: Path | str) -> None:
        """Write the authority that signed the certificate into a PEM file.

        For clients that are to trust it: ``SSL_CERT_FILE`` names such a file.

        Raises:
            RuntimeError: It was not started, or speaks no TLS.
        """
        if self._authority is None:
            raise RuntimeError("there is no certificate: give certificate_for, and start it")
        Path(path).write_bytes(self._authority)


def _certificate(host: str) -> tuple[ssl.SSLContext, bytes]:
    """Make a server's TLS settings with a certificate for this host, and its authority's PEM.

    Raises:
        MissingExtraError: `trustme` is not installed.
    """
    try:
        import trustme  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise missing_extra("An endpoint with a certificate", "testing", error) from error
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context, authority.cert_pem.bytes()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
