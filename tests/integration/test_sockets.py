"""One address after another, and no socket lost: real sockets on loopback."""

import asyncio
import gc
import socket
import warnings
from concurrent.futures import Future
from contextlib import ExitStack

import pytest

from langchain_hf_endpoint import HFEndpointEmbeddings
from langchain_hf_endpoint._http.addresses import connected_socket
from langchain_hf_endpoint.testing import ScriptedEndpoint


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        yield server.getsockname()


@pytest.fixture
def silent():
    """An address whose queue is full: nobody is refused, nobody gets in."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.2", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(server.getsockname())
        yield server.getsockname()


@pytest.fixture
def refusing():
    with socket.socket() as held:
        held.bind(("127.0.0.3", 0))  # bound, not listening
        yield held.getsockname()


def _resolving_to(monkeypatch, *addresses):
    """The name of a host with these addresses."""

    def look_up(_host, _port):
        found = Future()
        found.set_result([(socket.AF_INET, address) for address in addresses])
        return found

    monkeypatch.setattr("langchain_hf_endpoint._http.addresses.look_up", look_up)


async def _give_up(waiting):
    waiting.cancel()
    await asyncio.wait([waiting])
    if not waiting.cancelled():
        waiting.result().close()


async def test_an_address_that_refuses_or_keeps_silent_is_passed_over(
    monkeypatch, refusing, silent, listening
):
    _resolving_to(monkeypatch, refusing, silent, listening)
    with await connected_socket("many.example", 80) as connected:
        assert connected.getpeername() == listening


async def test_the_first_address_says_why_none_is_reached(monkeypatch, refusing):
    _resolving_to(monkeypatch, refusing, ("127.0.0.4", refusing[1]))
    with pytest.raises(ConnectionRefusedError):
        await connected_socket("many.example", 80)
    _resolving_to(monkeypatch)
    with pytest.raises(OSError, match="no address"):
        await connected_socket("none.example", 80)


async def test_what_is_sent_does_not_wait_for_what_was_sent_before(listening):
    """Nagle's algorithm, which asyncio turns off only for sockets that say they are TCP's."""
    loop = asyncio.get_running_loop()
    connected = await connected_socket(*listening)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=connected)
    assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    transport.close()


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_whoever_gives_up_at_whatever_moment_leaves_no_socket(monkeypatch, silent, listening):
    async def give_up_after(turns):
        _resolving_to(monkeypatch, silent, listening)
        waiting = asyncio.create_task(connected_socket("many.example", 80))
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns > 5:  # the silent one has had its quarter of a second
            await asyncio.sleep(0.24 + turns / 1000)
        await _give_up(waiting)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for turns in range(16):
            asyncio.run(give_up_after(turns))
        gc.collect()
    assert [warning for warning in caught if "unclosed" in str(warning.message)] == []


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_socket_that_is_connected_as_its_caller_gives_up_is_closed(listening):
    """The turn in which both happen: with asyncio's own happy eyeballs the socket was lost."""

    async def give_up_after(turns):
        waiting = asyncio.create_task(connected_socket(*listening))
        for _ in range(turns):
            await asyncio.sleep(0)
        await _give_up(waiting)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for turns in range(400):
            asyncio.run(give_up_after(turns % 40))
        gc.collect()
    assert [warning for warning in caught if "unclosed" in str(warning.message)] == []


def test_a_call_that_is_interrupted_as_it_sends_prints_nothing_of_its_connection(monkeypatch):
    said = []

    def interrupt(*_arguments):
        raise KeyboardInterrupt

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, told: said.append(told["message"]))
    with ScriptedEndpoint() as server:
        embeddings = HFEndpointEmbeddings(url=server.url, dialect="tei")
        loop.run_until_complete(embeddings.aembed_query("a question"))
        with monkeypatch.context() as patched:
            patched.setattr("asyncio.selector_events._SelectorSocketTransport.write", interrupt)
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(embeddings.aembed_query("another"))
        # What `asyncio.run` does then.
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    gc.collect()
    assert not [message for message in said if message.startswith("Future")]
