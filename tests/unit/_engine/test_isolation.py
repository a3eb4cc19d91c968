"""One text that the server fails on costs nobody else: it fails alone, and soon."""

from itertools import product

import httpx
import pytest
from driving import DRIVES
from scripted_server import (
    answer,
    failing,
    inputs_of,
    numbered,
    rejects,
    rows,
    spoilt,
    vector,
    vectors,
)
from thoroughness import in_pairs
from wire_samples import tei

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    EndpointNotReadyError,
    HFEndpointError,
    InputError,
    ProtocolError,
    ServerError,
    TransportError,
)

PAGE = "<html><title>Access denied</title></html>"
BACKEND = answer(424, tei("Backend error: out of memory", "Backend"))


def _in_its_place(value):
    """The right rows, but for that of the bad text."""

    def spoil(request):
        texts = inputs_of(request)
        return spoilt(
            lambda matrix: [
                value if "bad" in text else row for text, row in zip(texts, matrix, strict=True)
            ]
        )(request)

    return spoil


def _without_its_row(request):
    kept = [vector(text) for text in inputs_of(request) if "bad" not in text]
    return httpx.Response(200, json=kept)


FATAL = {
    "424": (BACKEND, ServerError),
    "403 page": (answer(403, PAGE), InputError),
    "403": (answer(403, {"message": "Forbidden"}), InputError),
    "406": (answer(406, PAGE), ProtocolError),
    "400 page": (answer(400, PAGE), ProtocolError),
    "501": (answer(501), ServerError),
    "null row": (_in_its_place(None), ProtocolError),
    "row of nulls": (_in_its_place([None] * 16), ProtocolError),
    "NaN row": (_in_its_place([float("nan")] * 16), ProtocolError),
    "missing row": (_without_its_row, ProtocolError),
    "not JSON": (answer(200, "Traceback"), ProtocolError),
}
PASSING = {
    "500": (answer(500, {"error": "boom"}), ServerError),
    "529": (answer(529), ServerError),
    "520": (answer(520), ServerError),
    "502": (answer(502), ServerError),
    "504": (answer(504), ServerError),
    "408": (answer(408), ServerError),
    "reset": (failing(httpx.ReadError), TransportError),
    "closed": (failing(httpx.RemoteProtocolError), TransportError),
    "silent": (failing(httpx.ReadTimeout), TransportError),
}
KINDS = FATAL | PASSING
OF_SIZE = [answer(504), answer(408)]
FINAL = [answer_ for answer_, _ in FATAL.values()]


def _of(kinds):
    """What a kind of failure means is decided without a driver: one kind runs with both drives."""
    cases = {f"sync-{name}": ("sync", kind) for name, kind in kinds.items()}
    first = next(iter(kinds))
    cases[f"async-{first}"] = ("async", kinds[first])
    return pytest.mark.parametrize(
        ("drive", "kind"), cases.values(), ids=cases.keys(), indirect=["drive"]
    )


fatal = _of(FATAL)
passing = _of(PASSING)
kinds = _of({"500": PASSING["500"]} | KINDS)


def _fails_alone(error, texts, bad, error_class):
    assert isinstance(error, EmbeddingError)
    assert error.failures.keys() == set(bad)
    assert {type(cause) for cause in error.failures.values()} == {error_class}
    assert error.completed == {n: vector(text) for n, text in enumerate(texts) if n not in bad}


@_of({"500": PASSING["500"]})
def test_one_of_3200_texts_fails_alone(drive, server, make, clock, kind):
    _one_of_many_fails_alone(drive, server, make, clock, kind, batches=100)


@kinds
def test_one_of_640_texts_fails_alone(drive, server, make, clock, kind):
    _one_of_many_fails_alone(drive, server, make, clock, kind, batches=20)


def _one_of_many_fails_alone(drive, server, make, clock, kind, batches):
    answer_, error_class = kind
    server.behave(rejects("bad", answer_))
    texts = [f"{'' if n != 234 else 'bad '}{n}" for n in range(32 * batches)]
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, texts)
    _fails_alone(caught.value, texts, [234], error_class)
    assert "texts 234" in str(caught.value)
    assert len(server.batches) <= 1 + batches + 2 * 5 + 6
    assert clock.waited < 30


RESET = "upstream connect error or disconnect/reset before headers"  # Envoy's words


@pytest.mark.parametrize("place", [0, 1, 17, 31])
@pytest.mark.parametrize("batches", [1, 20])
def test_one_that_a_proxy_answers_503_to_fails_alone_after_more_tries(
    drive, server, make, clock, place, batches
):
    server.behave(rejects("bad", answer(503, RESET)))
    texts = numbered(32 * batches)
    texts[place] = "bad 0"
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, texts)
    _fails_alone(caught.value, texts, [place], ServerError)
    assert len(server.batches) <= 1 + batches + 4 + 2 * 5 + 16 + 6
    assert clock.waited < 180


# Of two batches the one may be answered between the other's last 503 and the look at it, which is
# then halved: only tasks take turns in a fixed order.
@pytest.mark.parametrize(("drive", "batches"), [("sync", 1), ("async", 2)], indirect=["drive"])
def test_a_server_of_which_503_says_that_it_starts_anew_is_waited_for(
    drive, server, make, clock, batches
):
    embeddings = make(max_concurrent_requests=1)
    server.script(vectors)
    drive.query(embeddings, "it works")
    asleep = [answer(503)] * 30
    server.script(*asleep)
    server.behave(vectors)
    texts = numbered(32 * batches)
    assert drive.documents(embeddings, texts) == [vector(text) for text in texts]
    assert {len(batch) for batch in server.batches} <= {1, 32}  # one: to see if it is up


def test_a_text_whose_time_is_over_before_there_is_proof_is_not_blamed(drive, server, make, clock):
    server.behave(rejects("bad", answer(503)))
    texts = ["bad, and longer than the others", *numbered(4)]
    embeddings = make(max_batch_size=1, max_concurrent_requests=1, max_wait=2.0)
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, texts)
    _fails_alone(caught.value, texts, [0], EndpointNotReadyError)
    assert "other" not in str(caught.value.failures[0])


def test_batches_that_a_proxy_answers_503_to_for_their_size_are_halved(drive, server, make, clock):
    server.behave(_in_time_for(8, 503))
    embeddings = make(max_concurrent_requests=1)
    drive.query(embeddings, "it works")
    texts = numbered(64)
    assert drive.documents(embeddings, texts) == [vector(text) for text in texts]


@pytest.mark.parametrize("place", [0, 1, 17, 31])
@kinds
def test_one_of_a_single_batch_fails_alone(drive, server, make, clock, kind, place):
    answer_, error_class = kind
    server.behave(rejects("bad", answer_))
    texts = numbered(32)
    texts[place] = "bad 0"  # as long as others, so that it stays about where it is
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, texts)
    _fails_alone(caught.value, texts, [place], error_class)
    assert len(server.batches) <= 1 + 2 + 2 * 5 + 6
    assert clock.waited < 30


@kinds
def test_it_fails_alone_in_a_new_process_too(drive, server, make, clock, kind):
    answer_, error_class = kind
    if error_class is InputError and "Access" not in answer_(None).text:
        pytest.skip("a key that was never accepted is refused")
    server.behave(rejects("bad", answer_))
    texts = ["bad, and longer than the others", *numbered(40)]
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(), texts)
    _fails_alone(caught.value, texts, [0], error_class)


@fatal
def test_texts_that_are_sent_one_by_one_fail_alone_too(drive, server, make, clock, kind):
    answer_, _ = kind
    server.behave(rejects("bad", answer_))
    texts = ["a good one that is the longest", *numbered(5), "bad 1", *numbered(5, "more")]
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(max_batch_size=1, max_concurrent_requests=1), texts)
    assert caught.value.failures.keys() == {6}
    assert len(server.batches) <= 12 + 4


@fatal
def test_many_that_are_sent_one_by_one_and_first_do_not_cost_the_others(
    drive, server, make, clock, kind
):
    answer_, error_class = kind
    server.behave(rejects("bad", answer_))
    texts = [*numbered(10, "bad and long"), *numbered(10)]
    embeddings = make(max_batch_size=1)
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, texts)
    _fails_alone(caught.value, texts, range(10), error_class)


@passing
def test_a_text_by_itself_is_tried_for_a_while_and_fails_while_others_do_not(
    drive, server, make, clock, kind
):
    answer_, error_class = kind
    server.behave(rejects("bad", answer_))
    texts = ["bad, and longer than the others", *numbered(300)]
    embeddings = make(max_batch_size=1)
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, texts)
    _fails_alone(caught.value, texts, [0], error_class)
    assert sum("bad" in batch[0] for batch in server.batches) <= 10
    assert clock.waited < 60


@kinds
def test_a_tenth_of_all_texts_fail_alone(drive, server, make, clock, kind):
    answer_, error_class = kind
    server.behave(rejects("bad", answer_))
    bad = [*range(0, 160, 10)]
    texts = [f"{'bad' if n in bad else 'fit'} {n}" for n in range(160)]
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, texts)
    _fails_alone(caught.value, texts, bad, error_class)
    assert len(server.batches) <= 5 + len(bad) * (2 * 5 + 5)


def test_after_an_outage_what_is_refused_costs_no_text_beside_it(drive, server, make, clock):
    """Refusals are answers: what fails among them waits for others, which are good."""

    def serve(request):
        texts = inputs_of(request)
        down = len(server.batches) <= 8
        refused = not down and any("bad" in text for text in texts)
        fails = down or "fails" in texts
        return answer(422 if refused else 500 if fails else 200, [*map(vector, texts)])(request)

    server.behave(serve)
    texts = ["bad 1", "bad 2", "fails", "bad 4", "good1", "good2", "good3", "good4"]
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(), texts)
    assert server.batches[0] == texts
    assert caught.value.completed == {n: vector(texts[n]) for n in range(4, 8)}
    causes = {n: type(cause) for n, cause in caught.value.failures.items()}
    assert causes == {0: InputError, 1: InputError, 2: ServerError, 3: InputError}


@kinds
def test_the_window_is_not_narrowed(drive, server, make, clock, kind):
    answer_, _ = kind
    if answer_ is PASSING["silent"][0]:
        pytest.skip("a time-out is a sign of too much to do")
    server.behave(rejects("bad", answer_))
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError):
        drive.documents(embeddings, [*numbered(320), "bad 1"])
    assert embeddings.endpoint.service_settings.max_batch_size is None
    sizes = len(server.batches)
    drive.documents(embeddings, numbered(64, "more"))
    assert [len(batch) for batch in server.batches[sizes:]] == [32, 32]


@kinds
def test_an_index_of_the_list_and_the_servers_words_are_named(drive, server, make, clock, kind):
    answer_, _ = kind
    server.behave(rejects("bad", answer_))
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, [*numbered(3), "bad 1"])
    (cause,) = caught.value.failures.values()
    assert "text" in cause.problem
    assert cause.attempts > 1
    assert "serve no embedding model" not in str(cause)
    if cause.status in (424, 500):
        assert any(words in str(cause) for words in ("out of memory", "boom"))


@pytest.mark.parametrize("method", ["array", "chunks"])
@pytest.mark.parametrize("dialect", ["tei", "openai", "auto"])
def test_every_method_and_protocol(drive, server, make, clock, method, dialect):
    server.behave(rejects("bad", BACKEND))
    texts = [*numbered(20), "bad 1", *numbered(20, "more")]
    embeddings = make(dialect=dialect)
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        getattr(drive, method)(embeddings, texts)
    assert caught.value.failures.keys() == {20}
    assert len(caught.value.completed) == 40


@kinds
def test_a_stream_goes_on_past_it(drive, server, make, clock, kind):
    answer_, _ = kind
    server.behave(rejects("bad", answer_))
    texts = [*numbered(50), "bad 1", *numbered(50, "more")]
    embeddings = make()
    drive.query(embeddings, "it works")
    seen = []
    with pytest.raises(EmbeddingError) as caught:
        drive.stream(embeddings, texts, each=seen.append)
    assert [chunk.text_index for chunk in seen] == [n for n in range(101) if n != 50]
    assert caught.value.failures.keys() == {50}


# A server that fails everything


@pytest.mark.parametrize("has_worked", [False, True])
@kinds
def test_a_server_that_fails_everything_stops_the_call_early(
    drive, server, make, clock, kind, has_worked
):
    answer_, _ = kind
    embeddings = make(max_wait=60.0, max_concurrent_requests=1)
    if has_worked:
        server.script(vectors)
        drive.query(embeddings, "it works")
    server.behave(_of_all(answer_))
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, numbered(3200))
    assert caught.value.completed == {}
    assert caught.value.failures.keys() == set(range(3200))
    assert len(server.batches) < 100  # of 100 batches; pauses are drawn by lot: 34 to 93
    assert clock.waited < 2 * 60 + 10


def test_a_server_that_fails_every_text_by_itself_stops_the_call_early(drive, server, make, clock):
    server.behave(BACKEND)
    with pytest.raises(EmbeddingError):
        drive.documents(make(max_batch_size=1, max_concurrent_requests=1), numbered(100))
    assert len(server.batches) < 50


def _of_all(answer_):
    """The same for every request, whatever its texts."""
    if answer_ is _without_its_row:
        return spoilt(lambda matrix: matrix[:-1])
    if answer_ in (KINDS["null row"][0], KINDS["row of nulls"][0], KINDS["NaN row"][0]):
        return spoilt(lambda matrix: [None] * len(matrix))
    return answer_


@pytest.mark.parametrize("status", [401, 402, 404, 410])
def test_what_is_about_the_endpoint_is_not_looked_for(drive, server, make, status):
    server.script(vectors, answer(status))
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError):
        drive.documents(embeddings, numbered(32))
    assert len(server.batches) == 2


def test_a_key_that_was_never_accepted_is_not_looked_for(drive, server, make):
    server.script(answer(403, {"error": "Forbidden"}))
    with pytest.raises(AuthenticationError):
        drive.documents(make(), numbered(32))
    assert len(server.batches) == 1


# Where one failure is enough to tell of size, the outcome depends on which of two batches lets the
# clock go on: only tasks do that in a fixed order.
@pytest.mark.parametrize(
    ("drive", "down", "seconds"),
    [
        *product(
            ["sync", "async"], [answer(500), answer(502), failing(httpx.ReadError)], [2, 20, 100]
        ),
        *product(["async"], OF_SIZE, [20, 100]),
    ],
    indirect=["drive"],
)
def test_a_server_that_is_down_for_a_while_costs_no_text(drive, server, make, clock, down, seconds):
    began = clock()

    def serve(request):
        is_down = began + 1 <= clock() < began + 1 + seconds
        return (down if is_down else vectors)(request)

    embeddings = make(max_concurrent_requests=1 if down in OF_SIZE else None)
    server.behave(serve)
    drive.query(embeddings, "it works")
    clock.now = began + 1
    texts = numbered(640)
    assert drive.documents(embeddings, texts) == [vector(text) for text in texts]
    assert drive.documents(embeddings, numbered(320)) == [vector(text) for text in numbered(320)]
    # What was learned in the meantime is not that the batches were too large.
    first = len(server.batches)
    drive.documents(embeddings, numbered(64, "more"))
    assert max(len(batch) for batch in server.batches[first:]) == 32


@pytest.mark.parametrize("failures", [12, 20])
@kinds
def test_no_text_is_blamed_for_some_requests_that_failed_whatever_was_in_them(
    drive, server, make, clock, kind, failures
):
    failure, _ = kind
    sent = 0

    def serve(request):
        nonlocal sent
        sent += 1
        return (failure if 6 < sent <= 6 + failures else vectors)(request)

    embeddings = make(max_concurrent_requests=2)
    server.behave(vectors)
    drive.query(embeddings, "it works")
    server.behave(serve)
    lost = {}
    try:
        drive.documents(embeddings, numbered(400))
    except EmbeddingError as error:
        lost = error.failures
    # What is final never passes by itself: texts may be lost, as of a server that fails everything.
    assert failure in FINAL or not lost
    assert not any("others" in str(cause) for cause in lost.values())


def test_a_cold_start_is_never_split(drive, server, make, clock):
    server.script(*[answer(503)] * 9, vectors)
    texts = numbered(32)
    drive.documents(make(), texts)
    assert server.batches == [texts] * 10 or {len(batch) for batch in server.batches} == {32}


def test_a_wait_that_is_asked_for_is_kept_while_the_culprit_is_looked_for(
    drive, server, make, clock
):
    server.behave(rejects("bad", answer(529, headers={"retry-after": "7"})))
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(embeddings, [*numbered(8), "bad 1"])
    assert caught.value.failures.keys() == {8}
    assert all(seconds >= 7 for _, seconds in clock.waits)


# A query


@passing
def test_a_query_is_not_tried_until_max_wait(drive, server, make, clock, kind):
    answer_, error_class = kind
    server.behave(rejects("bad", answer_))
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(error_class, match="other"):
        drive.query(embeddings, "bad 1")
    assert clock.waited <= 40
    assert len(server.batches) <= 1 + 8 + 2


@pytest.mark.parametrize("has_worked", [False, True])
@passing
def test_a_query_to_a_server_that_answers_none_is_tried_until_max_wait(
    drive, server, make, clock, kind, has_worked
):
    answer_, error_class = kind
    embeddings = make(max_wait=30.0)
    if has_worked:
        server.script(vectors)
        drive.query(embeddings, "it works")
    server.behave(answer_)
    with pytest.raises(error_class) as caught:
        drive.query(embeddings, "bad 1")
    assert "other" not in str(caught.value)
    assert 29 <= clock.waited <= 30.5


@fatal
def test_a_query_fails_soon(drive, server, make, clock, kind):
    answer_, _ = kind
    server.behave(rejects("bad", answer_))
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(HFEndpointError):
        drive.query(embeddings, "bad 1")
    assert len(server.batches) <= 1 + 4


# A proxy that does not wait


def _in_time_for(most, status):
    return lambda request: (
        answer(status)(request) if len(inputs_of(request)) > most else vectors(request)
    )


@in_pairs(drive=DRIVES, most=[1, 8, 16], status=[408, 502, 504, 522, 524, 598], indirect=["drive"])
def test_a_batch_that_a_proxy_does_not_wait_for_is_made_smaller_and_that_is_remembered(
    drive, server, make, clock, status, most
):
    server.behave(_in_time_for(most, status))
    texts = numbered(64)
    embeddings = make(max_concurrent_requests=1)
    assert drive.documents(embeddings, texts) == [vector(text) for text in texts]
    assert clock.waited < 30
    first = len(server.batches)
    more = numbered(64, "more")
    assert drive.documents(embeddings, more) == [vector(text) for text in more]
    sizes = [len(batch) for batch in server.batches[first:]]
    if status == 502:  # it may mean anything: it must have happened again
        sizes = sizes[-64 // most // 2 :]
    assert set(sizes) == {most}


def test_of_what_is_too_slow_in_parts_the_smallest_is_remembered(drive, server, make, clock):
    """Some texts take longer than others."""

    def serve(request):
        texts = inputs_of(request)
        most = 8 if any("long" in text for text in texts) else 16
        return _in_time_for(most, 504)(request)

    server.behave(serve)
    embeddings = make(max_concurrent_requests=1)
    texts = [f"{word} {n}" for word in ("fast", "long") for n in range(10, 26)]
    drive.documents(embeddings, texts)
    assert server.batches[0] == texts
    first = len(server.batches)
    drive.documents(embeddings, numbered(64, "more"))
    assert {len(batch) for batch in server.batches[first:]} == {8}


@pytest.mark.parametrize("status", [502, 504, 524])
def test_one_text_that_takes_too_long_makes_no_batches_smaller(drive, server, make, clock, status):
    server.behave(rejects("bad", answer(status)))
    embeddings = make()
    drive.query(embeddings, "it works")
    with pytest.raises(EmbeddingError):
        drive.documents(embeddings, [*numbered(64), "bad 1"])
    first = len(server.batches)
    drive.documents(embeddings, numbered(64, "more"))
    assert [len(batch) for batch in server.batches[first:]] == [32, 32]


@pytest.mark.parametrize("status", [507, 508, 520, 522, 524, 529, 530, 599])
def test_a_status_that_nobody_knows_is_tried_again(drive, server, make, clock, status):
    server.script(answer(status), vectors)
    assert drive.query(make(), "one text") == vector("one text")


@pytest.mark.parametrize("status", [501, 505, 506, 510, 511])
def test_a_status_about_the_request_itself_is_final(drive, server, make, status):
    server.script(answer(status))
    with pytest.raises(ServerError):
        drive.query(make(), "one text")


def test_rows_of_other_texts_are_never_mixed_up(drive, server, make, clock):
    """The row of the bad text is missing: what is left must not slip to its neighbours."""
    server.behave(lambda request: httpx.Response(200, json=rows(request)[:31]))
    texts = numbered(32)
    assert drive.documents(make(), texts) == [vector(text) for text in texts]
