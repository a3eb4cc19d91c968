"""One object in many threads, loops and processes; cancelled, closed early and interrupted."""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import pickle
import select
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from arrivals import ENOUGH, are_right, most_at_once, numbered, texts_of, wait_for_posts

from langchain_hf_endpoint import HFEndpointEmbeddings, RequestsPerMinuteLimiter
from langchain_hf_endpoint.testing import faults

QUICKLY = 30.0
"""Seconds for what takes a few milliseconds on a machine that is not busy; the time-outs of the
requests are much longer."""


def _join_requests():
    for thread in threading.enumerate():
        if thread.name == "hf-endpoint":
            thread.join(ENOUGH)
            assert not thread.is_alive()


# Fork

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
# Python 3.12 and later advise against what users do all the same.
may_fork_with_threads = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork:DeprecationWarning"
)


def _forked(work):
    """Run `work` in a forked child and return what it returned there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = work()
        except BaseException as error:  # noqa: BLE001 - the parent shows it
            answer = repr(error)
        os.write(writing, pickle.dumps(answer))
        os._exit(0)
    os.close(writing)
    try:
        ready, _, _ = select.select([reading], [], [], ENOUGH)
        if not ready:
            os.kill(child, signal.SIGKILL)
            pytest.fail("the child hangs")
        with open(reading, "rb", closefd=False) as pipe:
            return pickle.loads(pipe.read())
    finally:
        os.close(reading)
        os.waitpid(child, 0)


@needs_fork
@may_fork_with_threads
def test_a_forked_child_gets_right_vectors_as_its_parent_does_before_and_after(drive, connect):
    embeddings = connect()
    before, inside, after = (numbered(100, what) for what in ("before", "inside", "after"))
    assert are_right(drive.documents(embeddings, before), before)
    assert _forked(lambda: are_right(drive.documents(embeddings, inside), inside)) is True
    assert are_right(drive.documents(embeddings, after), after)


@needs_fork
@may_fork_with_threads
def test_a_child_forked_while_threads_send_gets_right_vectors_and_disturbs_none(
    drive, tei_double, connect
):
    tei_double.configure(seconds_per_request=0.01)
    embeddings = connect(max_batch_size=4)
    of_parent, of_child = numbered(200, "parent"), numbered(60, "child")
    over = threading.Event()

    def send():
        """Send until the children have ended; whether all was right."""
        while are_right(embeddings.embed_documents(of_parent), of_parent):
            if over.is_set():
                return True
        return False

    with ThreadPoolExecutor(2) as threads:
        sending = [threads.submit(send) for _ in range(2)]
        try:
            wait_for_posts(tei_double, 4)
            children = [
                _forked(lambda: are_right(drive.documents(embeddings, of_child), of_child))
                for _ in range(2)
            ]
        finally:
            over.set()
        assert children == [True] * 2
        assert all(each.result(ENOUGH) for each in sending)


@needs_fork
@may_fork_with_threads
def test_a_child_forked_inside_a_loop_that_sends_gets_right_vectors(tei_double, connect):
    tei_double.configure(seconds_per_request=0.05)
    embeddings = connect(max_batch_size=4)
    of_parent, of_child = numbered(100, "parent"), numbered(100, "child")

    def work():
        return are_right(embeddings.embed_documents(of_child), of_child)

    async def main():
        under_way = asyncio.create_task(embeddings.aembed_documents(of_parent))
        await asyncio.to_thread(wait_for_posts, tei_double, 4)
        assert _forked(work) is True
        assert not under_way.done()
        return await under_way

    assert are_right(asyncio.run(main()), of_parent)


@needs_fork
def test_a_child_forked_while_a_call_loads_a_transport_does_not_wait_for_it(start):
    child = start("""
        import signal, time
        sending = threading.Thread(target=fast.embed_documents, args=(texts,), daemon=True)
        sending.start()
        while "aiohttp" not in sys.modules:
            time.sleep(0)
        child = os.fork()
        if not child:
            signal.alarm(20)  # it would hang for ever, with its parent's output open
            print(len(asyncio.run(fast.aembed_query("of the child"))), flush=True)
        os._exit(0 if not child else os.waitpid(child, 0)[1])
    """)
    assert int(_next_line(child)) > 0
    assert child.wait(ENOUGH) == 0


# Pickling to a worker that starts from nothing


@pytest.fixture
def worker():
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_a_spawned_worker_gets_a_used_object_with_its_key(tei_double, connect, worker):
    tei_double.configure(api_key="the-key")
    texts = numbered(100)
    limiter = RequestsPerMinuteLimiter(100_000)
    embeddings = HFEndpointEmbeddings(
        endpoint=connect(api_key="the-key").endpoint, rate_limiter=limiter
    )
    assert are_right(embeddings.embed_documents(texts), texts)
    asyncio.run(embeddings.aembed_query("used in a loop as well"))
    assert are_right(worker.submit(embeddings.embed_documents, texts).result(ENOUGH), texts)
    assert are_right(worker.submit(embeddings.embed_array, texts).result(ENOUGH), texts)


def test_a_spawned_worker_finds_the_key_in_its_own_environment(
    monkeypatch, tei_double, connect, worker
):
    monkeypatch.setenv("KEY_OF_THE_DOUBLE", "the-key-in-the-environment")
    tei_double.configure(api_key="the-key-in-the-environment")
    embeddings = connect(api_key_env="KEY_OF_THE_DOUBLE")
    texts = numbered(40)
    assert are_right(embeddings.embed_documents(texts), texts)
    assert b"the-key-in-the-environment" not in pickle.dumps(embeddings)
    assert are_right(worker.submit(embeddings.embed_documents, texts).result(ENOUGH), texts)


# Threads and loops


def _one_call_each(embeddings, number):
    """The sync and the async methods by turns, inside a loop and outside."""
    texts = numbered(150, f"of {number}")
    if number % 3 == 0:
        vectors = embeddings.embed_documents(texts)
    elif number % 3 == 1:
        vectors = asyncio.run(embeddings.aembed_documents(texts))
    else:
        vectors = [one.embedding for one in embeddings.stream_chunks(texts)]
    return are_right(vectors, texts) and are_right([embeddings.embed_query(texts[0])], texts[:1])


def test_sixteen_threads_share_one_object(tei_double, connect):
    tei_double.configure(seconds_per_request=0.005)
    embeddings = connect(max_batch_size=8)
    with ThreadPoolExecutor(16) as threads:
        right = threads.map(lambda n: _one_call_each(embeddings, n), range(18), timeout=ENOUGH)
        assert list(right) == [True] * 18
    assert {entry.status for entry in tei_double.arrivals} == {200}


def test_eight_loops_in_threads_share_one_object(tei_double, connect):
    tei_double.configure(seconds_per_request=0.005)
    embeddings = connect(max_batch_size=8, max_concurrent_requests=6)

    async def main(number):
        batches = [numbered(60, f"{number}, {call}:") for call in range(4)]
        results = await asyncio.gather(*map(embeddings.aembed_documents, batches))
        return all(map(are_right, results, batches))

    with ThreadPoolExecutor(8) as threads:
        right = threads.map(lambda n: asyncio.run(main(n)), range(8), timeout=ENOUGH)
        assert list(right) == [True] * 8
    log = tei_double.arrivals
    assert {entry.status for entry in log} == {200}
    assert most_at_once(log) <= 6


def test_one_object_serves_one_loop_after_another(connect):
    embeddings = connect()
    for what in ("first", "second", "third"):
        texts = numbered(100, what)
        assert are_right(asyncio.run(embeddings.aembed_documents(texts)), texts)
        gc.collect()  # what a closed loop left open would be said here


# Cancelled or closed early


@pytest.mark.parametrize("method", ["aembed_documents", "aembed_array", "aembed_chunks"])
def test_a_cancelled_call_sends_nothing_more_and_gives_back_its_places(tei_double, connect, method):
    tei_double.configure(seconds_per_request=0.1)
    embeddings = connect(max_batch_size=4, max_concurrent_requests=4)
    cancelled, following = numbered(400, "cancelled"), numbered(64, "following")

    async def main():
        task = asyncio.create_task(getattr(embeddings, method)(cancelled))
        await asyncio.to_thread(wait_for_posts, tei_double, 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        sent = len(tei_double.arrivals)
        return sent, await embeddings.aembed_documents(following)

    sent, vectors = asyncio.run(main())
    assert are_right(vectors, following)
    afterwards = tei_double.arrivals[sent:]
    # A request may have been on its way when the log was read; all were cancelled by then.
    late = [entry for entry in afterwards if not texts_of([entry]) <= set(following)]
    assert all(entry.status == 0 for entry in late)
    assert len(late) <= 4
    assert most_at_once(entry for entry in afterwards if entry not in late) == 4


@pytest.mark.usefixtures("double_of_no_name")
def test_a_call_cancelled_while_it_waits_for_the_limit_gives_back_its_turns(tei_double, connect):
    limiter = RequestsPerMinuteLimiter(60, burst=1)
    endpoint = connect("/v1/embeddings", max_batch_size=1).endpoint
    embeddings = HFEndpointEmbeddings(endpoint=endpoint, rate_limiter=limiter)

    async def main():
        await embeddings.aembed_query("takes the one permit of this second")
        waiting = asyncio.create_task(embeddings.aembed_documents(numbered(20)))
        while "document 0" in repr(limiter):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert "document 0" in repr(limiter)
        return await embeddings.aembed_documents(["following"])

    assert are_right(asyncio.run(main()), ["following"])
    assert len(tei_double.arrivals) == 2


def test_a_stream_that_is_left_early_leaves_nothing_running(tei_double, connect):
    tei_double.configure(seconds_per_request=0.05)
    embeddings = connect(max_batch_size=4)
    of_stream, following = numbered(1000, "stream"), numbered(40, "following")
    with contextlib.closing(embeddings.stream_chunks(of_stream)) as stream:
        assert next(stream).text == of_stream[0]
    _join_requests()
    sent = len(tei_double.arrivals)
    assert are_right(embeddings.embed_documents(following), following)
    assert texts_of(tei_double.arrivals[sent:]) == set(following)
    assert len(texts_of(tei_double.arrivals[:sent])) <= 600


def test_an_async_stream_that_is_left_early_leaves_nothing_running(tei_double, connect):
    tei_double.configure(seconds_per_request=0.05)
    embeddings = connect(max_batch_size=4)
    of_stream, following = numbered(1000, "stream"), numbered(40, "following")

    async def main():
        async with contextlib.aclosing(embeddings.astream_chunks(of_stream)) as stream:
            assert (await anext(stream)).text == of_stream[0]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        sent = len(tei_double.arrivals)
        return sent, await embeddings.aembed_documents(following)

    sent, vectors = asyncio.run(main())
    assert are_right(vectors, following)
    log = tei_double.arrivals
    late = [entry for entry in log[sent:] if not texts_of([entry]) <= set(following)]
    assert all(entry.status == 0 for entry in late)
    assert len(texts_of(log)) <= 640


def test_an_async_stream_that_is_forgotten_ends_with_its_loop(tei_double, connect):
    tei_double.configure(seconds_per_request=0.05)
    embeddings = connect(max_batch_size=4)

    async def main():
        async for one in embeddings.astream_chunks(numbered(1000)):
            assert one.text == "text 0"
            return

    asyncio.run(main())
    assert embeddings.embed_query("and on")
    assert len(tei_double.requests) < 125  # half of what the stream would have sent


# Interrupted, in a process of its own

WAYS = {
    "documents": "embeddings.embed_documents(texts)",
    "one batch": "embeddings.embed_documents(texts[:4])",
    "query": "embeddings.embed_query(texts[0])",
    "stream": "list(embeddings.stream_chunks(texts))",
    "over aiohttp": "fast.embed_documents(texts)",
    "async documents": "asyncio.run(embeddings.aembed_documents(texts))",
    # Not with asyncio.run, which takes the first interrupt for itself from Python 3.11 on.
    "sync inside a loop": "asyncio.new_event_loop().run_until_complete(cell())",
}


@pytest.fixture
def start(tei_double):
    """Start a script that has `embeddings` over the double and many `texts`."""
    running = []

    def start(script, **settings):
        settings = {"rate_limit": {"requests_per_minute": 100_000}, "timeout": 300.0, **settings}
        head = f"""
            import asyncio, os, sys, threading
            from langchain_hf_endpoint import HFEndpointEmbeddings
            from langchain_hf_endpoint._session.session import close_sessions, session_for
            embeddings = HFEndpointEmbeddings(
                url={tei_double.url!r}, max_batch_size=4, **{settings!r}
            )
            texts = [f"text {{number}}" for number in range(4000)]
        """
        if "fast." in script:
            head += f"""
            fast = HFEndpointEmbeddings(
                url={tei_double.url!r}, max_batch_size=4, transport="aiohttp", **{settings!r}
            )
            """
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(child)
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()


def _next_line(child, within=ENOUGH):
    ready, _, _ = select.select([child.stdout], [], [], within)
    assert ready, "it says nothing"
    return child.stdout.readline()


@pytest.mark.parametrize(
    ("way", "answered", "under_way"),
    [
        ("documents", False, 1),
        ("over aiohttp", False, 1),
        ("async documents", False, 1),
        ("documents", True, 4),
        ("over aiohttp", True, 4),
    ],
    ids=["hanging", "aiohttp, hanging", "async, hanging", "busy", "aiohttp, busy"],
)
def test_an_interrupt_ends_a_script_whose_server_takes_its_time(
    tei_double, start, way, answered, under_way
):
    tei_double.configure(seconds_per_request=1.0)
    if not answered:
        tei_double.script(*[faults.hang()] * 100)
    child = start(WAYS[way])
    wait_for_posts(tei_double, under_way)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=QUICKLY)
    assert child.returncode == -signal.SIGINT
    assert said.endswith("KeyboardInterrupt\n")
    assert "Exception in thread" not in said
    assert len(tei_double.requests) <= 1 + 8


AFTER_AN_HOUR = {"retry-after": "3600"}
STUCK = {
    "busy": None,
    "hanging": [faults.hang()] * 100,
    "refused": [faults.answer(429, headers=AFTER_AN_HOUR)] * 100,
    "starting": [faults.answer(503, headers=AFTER_AN_HOUR)] * 100,
}


@pytest.mark.parametrize("stuck", STUCK.values(), ids=STUCK.keys())
def test_an_interrupt_ends_any_method_at_once_in_a_process_that_goes_on(tei_double, start, stuck):
    """As in a notebook."""
    calls = ", ".join(f"lambda: {call}" for call in WAYS.values())
    child = start(
        f"""
        async def cell():
            return embeddings.embed_documents(texts)
        for way in [{calls}]:
            try:
                sys.stdin.readline()
                # Whoever was told to come back in an hour has a limiter that waits for it.
                close_sessions()
                way()
            except KeyboardInterrupt:
                print("interrupted", flush=True)
        """,
        max_wait=7200.0,
    )
    for _ in WAYS:
        tei_double.forget()
        tei_double.configure(seconds_per_request=0.0 if stuck else 1.0)
        if stuck:
            tei_double.script(*stuck)
        child.stdin.write("go on\n")
        child.stdin.flush()
        wait_for_posts(tei_double)
        child.send_signal(signal.SIGINT)
        assert _next_line(child, QUICKLY) == "interrupted\n"
    _, said = child.communicate(timeout=QUICKLY)
    assert (child.returncode, said) == (0, "")


def test_an_interrupt_ends_the_wait_for_the_limit_at_once(tei_double, start):
    child = start(WAYS["documents"], rate_limit={"requests_per_minute": 2})
    while not tei_double.arrivals and child.poll() is None:
        select.select([], [], [], 0.01)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=QUICKLY)
    assert child.returncode == -signal.SIGINT


def test_after_an_interrupt_nothing_arrives_and_the_object_is_as_good_as_new(tei_double, start):
    """As in a notebook, whose process lives on."""
    tei_double.configure(seconds_per_request=0.3)
    child = start(
        """
        try:
            embeddings.embed_documents(texts)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        sys.stdin.readline()
        embeddings.embed_documents([f"later {number}" for number in range(64)])
        """,
        max_concurrent_requests=4,
    )
    wait_for_posts(tei_double, 4)
    child.send_signal(signal.SIGINT)
    assert _next_line(child) == "interrupted\n"
    told = len(tei_double.requests)
    _, said = child.communicate("go on\n", timeout=ENOUGH)
    assert (child.returncode, said) == (0, "")
    log = tei_double.requests
    later = [entry for entry in log if all(text.startswith("later") for text in entry.texts)]
    assert len(later) == 16
    assert most_at_once(later) == 4
    # At most those that had their place at the very moment.
    assert len(log) - len(later) <= told + 4


def test_the_interpreter_exits_although_requests_hang(tei_double, start):
    tei_double.script(None, *[faults.hang()] * 100)
    child = start("print(next(embeddings.stream_chunks(texts[1000:])).text, flush=True)")
    assert _next_line(child) == "text 1000\n"
    _, said = child.communicate(timeout=QUICKLY)
    assert (child.returncode, said) == (0, "")


EXITS = {
    "a coroutine that exits": """
        async def main():
            task = asyncio.create_task(embeddings.aembed_documents(texts))
            await asyncio.to_thread(sys.stdin.readline)
            sys.exit(0)
        asyncio.run(main())
        """,
    "a coroutine that ends first": """
        async def main():
            task = asyncio.create_task(embeddings.aembed_documents(texts))
            await asyncio.to_thread(sys.stdin.readline)
        asyncio.run(main())
        """,
    "a loop in a daemon": """
        call = lambda: asyncio.run(embeddings.aembed_documents(texts))
        threading.Thread(target=call, daemon=True).start()
        sys.stdin.readline()
        """,
    "an async stream": """
        async def main():
            async for one in embeddings.astream_chunks(texts):
                pass
        threading.Thread(target=asyncio.run, args=[main()], daemon=True).start()
        sys.stdin.readline()
        """,
    "a call in a daemon": """
        call = threading.Thread(target=embeddings.embed_documents, args=[texts], daemon=True)
        call.start()
        sys.stdin.readline()
        """,
    "a stream in a daemon": """
        threading.Thread(target=list, args=[embeddings.stream_chunks(texts)], daemon=True).start()
        sys.stdin.readline()
        """,
}


@pytest.mark.parametrize(
    ("way", "state"),
    [
        *((way, "hanging") for way in EXITS),
        # A loop that ends cancels its tasks whatever they wait for; a thread is in the midst of it.
        *((way, "busy") for way in EXITS if "daemon" in way),
    ],
)
def test_the_interpreter_exits_with_work_under_way(tei_double, start, way, state):
    tei_double.configure(seconds_per_request=0.02)
    if state == "hanging":
        tei_double.script(*[faults.hang()] * 100)
    child = start(EXITS[way])
    wait_for_posts(tei_double)
    _, said = child.communicate("end\n", timeout=QUICKLY)
    assert (child.returncode, said) == (0, "")


# What goes on when the main thread has ended, and with it the pools of threads


AFTER_THE_END = """
import asyncio, sys, threading
from concurrent.futures import ThreadPoolExecutor

{before}

def go_on():
    try:
        while True:
            ThreadPoolExecutor(1).submit(int).result()
    except RuntimeError:
        asyncio.run(main())

threading.Thread(target=go_on).start()
"""
GO_ON = {
    "node parser": """
from llama_index.core import Document
from langchain_hf_endpoint.llama_index import HFEndpointNodeParser
parser = HFEndpointNodeParser()

async def main():
    nodes = await parser.aget_nodes_from_documents([Document(text="A text.")])
    print(nodes[0].text)
""",
    "text splitter": """
from langchain_core.documents import Document
from langchain_hf_endpoint import HFEndpointTextSplitter

async def main():
    parts = await HFEndpointTextSplitter().atransform_documents([Document("A text.")])
    print(parts[0].page_content)
""",
    "gateway and registry": """
import httpx
from langchain_hf_endpoint import InferenceEndpoints
from langchain_hf_endpoint.gateway import create_app
from langchain_hf_endpoint.testing import ScriptedEndpoint
endpoints = InferenceEndpoints()

async def main():
    async with ScriptedEndpoint() as server:
        config = {"service": "hugging_face", "service_settings": {"url": server.url}}
        await endpoints.aput(inference_id="mine", inference_config=config)
        transport = httpx.ASGITransport(create_app(endpoints))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            body = {"model": "mine", "input": "A text."}
            vectors = (await client.post("/v1/embeddings", json=body)).json()
            print(len(vectors["data"]))
""",
    "a Redis by its name": """
from langchain_hf_endpoint import RedisRequestsPerMinuteLimiter
limiter = RedisRequestsPerMinuteLimiter(600, url=sys.argv[1], key="at the end")

async def main():
    print(await limiter.aacquire())
""",
}


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("node parser", "A text."),
        ("text splitter", "A text."),
        ("gateway and registry", "1"),
        ("a Redis by its name", "True"),
    ],
)
def test_what_a_loop_does_in_threads_goes_on_when_the_main_thread_has_ended(
    redis_server, way, said
):
    if way == "node parser":
        pytest.importorskip("llama_index.core")
    script = AFTER_THE_END.format(before=GO_ON[way])
    command = [sys.executable, "-c", script, redis_server.url.replace("127.0.0.1", "localhost")]
    child = subprocess.run(command, capture_output=True, text=True, timeout=ENOUGH, check=False)
    assert child.stdout == f"{said}\n", child.stderr


# A loop that is closed while its tasks send


HUNG_IN_A_CLOSED_LOOP = """
    import re

    def waiting():
        said = repr(session_for(embeddings.endpoint.service_settings))
        return int(re.search(r"(\\d+) waiting", said)[1])

    embeddings.embed_query("who are you?")
    loop = asyncio.new_event_loop()
    task = loop.create_task(embeddings.aembed_documents(texts))
    while "4 in flight" not in repr(session_for(embeddings.endpoint.service_settings)):
        loop.run_until_complete(asyncio.wait([task], timeout=0.05))
    {before}
    loop.close()
    print("closed", flush=True)
    sys.stdin.readline()
    {after}
    os._exit(0)   # what the interpreter says of tasks that were left behind is not our concern
    """


WAITER = """waiter = threading.Thread(target=embeddings.embed_documents, args=[["one"]])
    own = waiting()  # batches of the loop, which stands still
    waiter.start()
    while waiting() == own:
        waiter.join(0.01)"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'len(embeddings.embed_documents(["one", "two"])) == 2'),
        ("", 'len(asyncio.run(embeddings.aembed_documents(["one", "two"]))) == 2'),
        (WAITER, "waiter.join() is None"),
    ],
    ids=["sync", "async", "a thread that waits"],
)
def test_the_places_of_a_loop_that_was_closed_under_way_are_free_again(
    tei_double, start, before, after
):
    tei_double.script(*[faults.hang()] * 100, containing="text ")
    after = f'print({after} and "right", flush=True)'
    script = HUNG_IN_A_CLOSED_LOOP.format(before=before, after=after)
    child = start(script, max_concurrent_requests=4)
    assert _next_line(child) == "closed\n"
    child.stdin.write("go on\n")
    child.stdin.flush()
    assert _next_line(child) == "right\n"
