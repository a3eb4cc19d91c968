"""What workers that share a limiter find out of a server once, in a call: without Redis."""

import pytest
from scripted_server import answer, numbered, takes_at_most, vector, vectors
from wire_samples import tei

from langchain_hf_endpoint import EmbeddingError, RequestsPerMinuteLimiter
from langchain_hf_endpoint._session.session import close_sessions
from langchain_hf_endpoint.errors import TransportError

OPENAI_URL = "https://embed.example.org/v1/embeddings"
NOT_FOUND = answer(404, {"detail": "Not Found"})


class SharingLimiter(RequestsPerMinuteLimiter):
    """Keeps the facts in memory."""

    def __init__(self):
        super().__init__(100_000, burst=100_000)
        self.known, self.asked, self.told = {}, [], []
        self.error = None

    @property
    def fact_sharing(self):
        return self

    def facts(self, server):
        self.asked.append(server)
        if self.error:
            raise self.error
        return dict(self.known.get(server, {}))

    async def afacts(self, server):
        return self.facts(server)

    def tell_soon(self, server, facts):
        self.told.append(facts)
        self.known.setdefault(server, {}).update(facts)


@pytest.fixture
def limiter():
    return SharingLimiter()


@pytest.fixture
def work(drive, make, limiter):
    """Embed texts as a new process does."""

    def work(url=OPENAI_URL, count=32, dialect="auto", **settings):
        close_sessions()
        embeddings = make(url, dialect=dialect, rate_limiter=limiter, **settings)
        texts = numbered(count)
        assert drive.documents(embeddings, texts) == [vector(text) for text in texts]
        return embeddings

    return work


def batch_sizes(server, since=0):
    return [len(batch) for batch in server.batches[since:]]


def test_of_all_workers_one_is_refused_for_the_size_of_its_batch(work, server, limiter):
    server.behave(takes_at_most(8, 413))
    for _ in range(4):
        work()
    assert batch_sizes(server) == [32, *[8] * 16]
    assert limiter.told == [{"batch_size": 8}]


def test_a_worker_asks_once_for_each_model_and_task(work, server, drive, limiter):
    server.behave(vectors)
    embeddings = work()
    drive.documents(embeddings, numbered(3))
    drive.query(embeddings, "which?")
    assert len(limiter.asked) == 1
    work(model="another")
    assert len(set(limiter.asked)) == 2
    assert limiter.told == []


def test_the_route_that_answered_others_is_tried_first(work, server):
    url = "https://embed.example.org"

    def behave(request):
        return vectors(request) if request.url.path == "/v1/embeddings" else NOT_FOUND(request)

    server.behave(behave)
    work(url)
    assert [one for one in server.asked if "POST" in one] == ["POST /", "POST /v1/embeddings"]
    server.requests.clear()
    work(url)
    assert [one for one in server.asked if "POST" in one] == ["POST /v1/embeddings"]


@pytest.mark.parametrize("status", [404, 405, 400, 422, 424])
def test_where_it_answers_no_longer_the_others_are_tried(work, server, limiter, status):
    url = "https://embed.example.org"
    refused = answer(status, {"error": "no such thing"})

    def behave(request):
        return vectors(request) if request.url.path == "/" else refused(request)

    server.behave(behave)
    work(url)
    limiter.known = {name: {"route": 1} for name in limiter.asked}
    server.requests.clear()
    work(url)
    first, *_, last = (one for one in server.asked if "POST" in one)
    assert (first, last) == ("POST /v1/embeddings", "POST /")
    assert len(server.batches) <= 3  # a refusal may have been for base64


def test_a_key_that_is_refused_is_not_sent_along_other_routes(work, server, limiter):
    url = "https://embed.example.org"
    server.behave(vectors)
    work(url)
    limiter.known = {name: {"route": 1} for name in limiter.asked}
    server.requests.clear()
    server.behave(answer(401, {"error": "unauthorized"}))
    with pytest.raises(EmbeddingError):
        work(url)
    assert [one for one in server.asked if "POST" in one] == ["POST /v1/embeddings"]


def test_a_text_that_is_rejected_there_is_named_all_the_same(drive, make, server, limiter, work):
    url = "https://embed.example.org"

    def behave(request):
        if request.url.path != "/v1/embeddings":
            return NOT_FOUND(request)
        rejects = answer(422, tei("a bad text"))
        return rejects(request) if b"<bad>" in request.content else vectors(request)

    server.behave(behave)
    work(url)
    close_sessions()
    texts = [*numbered(3), "<bad>"]
    with pytest.raises(EmbeddingError) as caught:
        drive.documents(make(url, dialect="auto", rate_limiter=limiter), texts)
    assert list(caught.value.failures) == [3]
    assert sorted(caught.value.completed) == [0, 1, 2]


def test_where_they_are_kept_is_away_the_call_ends_as_without_a_permit(work, server, limiter):
    server.behave(vectors)
    limiter.error = TransportError("Redis does not answer")
    with pytest.raises(EmbeddingError, match="Redis does not answer"):
        work()
    assert server.requests == []
    limiter.error = None
    work()


def test_a_limiter_of_one_process_is_not_asked(drive, make, server):
    server.behave(vectors)
    limiter = RequestsPerMinuteLimiter(100_000)
    assert limiter.fact_sharing is None
    texts = numbered(3)
    assert drive.documents(make(rate_limiter=limiter), texts) == [vector(one) for one in texts]
