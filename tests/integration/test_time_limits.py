"""Bounded time, whatever drips or hesitates: over real sockets and real clocks."""

import asyncio
import os
import threading
import time
from contextlib import aclosing, contextmanager

import pytest

from langchain_hf_endpoint import HFEndpointEmbeddings, HFEndpointError, TransportError
from langchain_hf_endpoint.testing import expected_vector

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Padding: "


@contextmanager
def dripping(first: bytes):
    """A server that sends `first` and then a byte at a time, for a minute."""
    loop = asyncio.new_event_loop()

    async def drip(_reader, writer):
        try:
            writer.write(first)
            for _ in range(1200):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        except OSError:
            pass  # the client has had enough, which is what is tested
        finally:
            writer.transport.abort()

    async def serve():
        return await asyncio.start_server(drip, "127.0.0.1", 0)

    server = loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:

        async def stop():
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            for _ in range(5):  # turns for the aborted connections, those just accepted too
                await asyncio.sleep(0)
            loop.stop()

        asyncio.run_coroutine_threadsafe(stop(), loop)
        thread.join(10)
        loop.close()


@pytest.mark.parametrize(
    "first", [b"HTTP/1.1 200 OK\r\nX-Padding: ", HEAD + b"\r\n\r\n["], ids=["head", "body"]
)
def test_an_attempt_ends_after_its_time_although_bytes_keep_coming(drive, first):
    with dripping(first) as url:
        embeddings = HFEndpointEmbeddings(
            url=url, dialect="hugging_face", timeout=0.5, max_wait=0.0
        )
        begun = time.monotonic()
        with pytest.raises(TransportError, match=r"no complete reply within 0\.5 s"):
            drive.query(embeddings, "one text")
        assert time.monotonic() - begun < 15  # it would be a minute


def test_the_first_texts_of_a_slow_source_do_not_wait_for_its_later_ones(drive, connect):
    taken, taken_when_out = [], []

    def texts():
        for number in range(40):
            time.sleep(0.06)
            taken.append(number)
            yield f"text {number}"

    chunks = drive.stream(connect(), texts(), each=lambda _chunk: taken_when_out.append(len(taken)))
    assert [chunk.text for chunk in chunks] == [f"text {number}" for number in range(40)]
    assert taken_when_out[0] < 20  # it was all of them


async def test_a_text_of_an_async_source_comes_out_before_the_next_one_is_there(connect):
    embeddings, out = connect(), asyncio.Event()

    async def texts():
        for number in range(3):
            yield f"text {number}"
            await asyncio.wait_for(out.wait(), 20)
            out.clear()

    seen = []
    async for chunk in embeddings.astream_chunks(texts()):
        seen.append(chunk.text)
        out.set()
    assert seen == ["text 0", "text 1", "text 2"]


async def test_a_stream_that_is_left_takes_its_question_to_the_source_back(connect):
    ended = asyncio.Event()

    async def texts():
        try:
            yield "the only one"
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with aclosing(connect().astream_chunks(texts())) as stream:
        assert (await anext(stream)).text == "the only one"
    await asyncio.wait_for(ended.wait(), 20)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_stream_that_was_begun_before_a_fork_ends_in_the_child_with_an_error(connect, tei_double):
    tei_double.configure(seconds_per_request=0.2)
    stream = connect(max_batch_size=4).stream_chunks(f"text {n}" for n in range(400))
    first = next(stream)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            list(stream)
        except HFEndpointError as error:
            code = 0 if "fork" in str(error) else 2
        finally:
            os._exit(code)
    for _ in range(200):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(status) == 0
    assert first.embedding.tolist() == expected_vector(first.text).tolist()
    stream.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("SSL_CERT_FILE", "/nowhere/at/all.pem"), ("ALL_PROXY", "gopher://localhost:1")],
)
def test_an_environment_that_cannot_be_used_is_said_in_our_own_error(
    drive, monkeypatch, variable, value
):
    monkeypatch.setenv(variable, value)
    embeddings = HFEndpointEmbeddings(url="https://embed.example.org", max_wait=0.0)
    with pytest.raises(TransportError, match="proxy or certificates") as caught:
        drive.query(embeddings, "one text")
    assert "embed.example.org" in str(caught.value)
