"""The budget of a batch's retries, under any history of replies, waits and queues."""

from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import amount

from langchain_hf_endpoint._engine.actions import AcquireSlot, SendRequest, Sleep
from langchain_hf_endpoint._engine.call import EmbeddingCall
from langchain_hf_endpoint._engine.flow import embed_batch
from langchain_hf_endpoint._engine.retry_policy import WORTH_ANOTHER_TRY, RetryPolicy
from langchain_hf_endpoint._engine.vectors import LISTS
from langchain_hf_endpoint._messages import Cause, Failure, Response
from langchain_hf_endpoint._protocols import DIALECTS
from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow
from langchain_hf_endpoint._session.server_state import ServerState
from langchain_hf_endpoint._session.session import private_session
from langchain_hf_endpoint.errors import HFEndpointError
from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter
from langchain_hf_endpoint.settings import ServiceSettings, TaskSettings

GOOD = Response(200, {}, b"[[1.0,0.0]]")
SECONDS = st.floats(0, 30, allow_subnormal=False)
ASKED = st.none() | st.sampled_from(["0", "0.5", "3", "40", "1e9", "soon", "-5"])
NO_REPLY = Failure(Cause.TRANSPORT, "reset")
SLOW = Failure(Cause.TRANSPORT, "too slow", timed_out=True)
ANSWERS = st.one_of(
    st.builds(
        lambda status, asked: Response(status, {"retry-after": asked} if asked else {}, b"busy"),
        st.sampled_from([408, 425, 429, 429, 500, 502, 503, 503, 504]),
        ASKED,
    ),
    st.sampled_from([NO_REPLY, SLOW]),
    st.sampled_from(
        [GOOD, Response(401, {}, b""), Response(424, {}, b""), Response(200, {}, b"<html>")]
    ),
)


class World:
    """A server that answers as told and a limiter, in a time that passes only where told."""

    def __init__(self, max_wait, limit):
        self.now = 0.0
        self.max_wait = max_wait
        self.sent = []
        self.replied = []
        self.window = ConcurrencyWindow(lambda: self.now)
        self.limiter = RequestsPerMinuteLimiter(limit, burst=1, clock=lambda: self.now)
        service = ServiceSettings(url="http://127.0.0.1", dialect="tei", max_wait=max_wait)
        self.call = EmbeddingCall(
            service=service,
            task=TaskSettings(),
            lane="document",
            server=ServerState(),
            window=self.window,
            limiter=self.limiter,
            policy=RetryPolicy(max_wait, chance=lambda: 0.5),
            vector_format=LISTS,
            session=private_session(service),
            clock=lambda: self.now,
        )

    def run(self, history):
        """Drive one input through the history; beyond its end the server is well again."""
        history = iter(history)
        with closing(embed_batch([b'"text"'], self.call)) as steps:
            answer = None
            try:
                while True:
                    step = steps.send(answer)
                    answer = None
                    if isinstance(step, AcquireSlot):
                        assert step.window.acquire(step.slot, lambda: None)
                    elif isinstance(step, Sleep):
                        assert step.seconds > 0
                        self.now += step.seconds
                    else:
                        assert isinstance(step, SendRequest)
                        self.sent.append(self.now)
                        reply, seconds = next(history, (GOOD, 0.1))
                        self.now += seconds
                        self.replied.append((self.now, reply))
                        answer = reply
            except StopIteration as end:
                return end.value

    def cause(self, reply):
        result = reply if isinstance(reply, Failure) else DIALECTS["tei"].decode(reply, 1)
        return result.cause if isinstance(result, Failure) else None


@settings(max_examples=amount(100, 300), deadline=None)
@given(
    history=st.lists(st.tuples(ANSWERS, SECONDS), max_size=25),
    max_wait=st.floats(0.1, 300, allow_subnormal=False),
    limit=st.sampled_from([1, 6, 60, 3000]),
)
def test_retries_stay_within_their_budget_and_stop_where_they_are_of_no_use(
    history, max_wait, limit
):
    world = World(max_wait, limit)
    (outcome,) = world.run(history)
    failed = [(moment, world.cause(reply)) for moment, reply in world.replied]
    first_failure = next((moment for moment, cause in failed if cause), None)

    # No attempt is begun after the budget that the first failure opened.
    if first_failure is not None:
        assert world.sent[-1] <= first_failure + max_wait + 1e-6
    # What is not worth another try gets none, and what is well ends it.
    assert all(cause in WORTH_ANOTHER_TRY | {Cause.PROTOCOL} for _, cause in failed[:-1])
    assert sum(cause is Cause.PROTOCOL for _, cause in failed) <= 2
    # A wait that the server asks for is kept to the full.
    for (moment, reply), sent in zip(world.replied, world.sent[1:], strict=False):
        asked = getattr(reply, "headers", {}).get("retry-after", "")
        if asked.replace(".", "").isdigit():
            assert sent >= moment + float(asked)
    # The limit holds for retries as for first attempts.
    for earlier, later in zip(world.sent, world.sent[limit:], strict=False):
        assert later - earlier > 60
    # It ends with the vector or with the error of the last reply, and leaves nothing behind.
    well = failed[-1][1] is None
    assert isinstance(outcome.result, HFEndpointError) is not well
    assert "0 in flight with 0 inputs, 0 waiting" in repr(world.window)
    assert repr(world.limiter).endswith("query 0, document 0>")
