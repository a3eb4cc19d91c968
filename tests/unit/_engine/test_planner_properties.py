"""The plan's books balance, whatever comes in and in which order the answers arrive."""

import itertools

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from thoroughness import amount

from langchain_hf_endpoint import ChunkingSettings, ServerError
from langchain_hf_endpoint._engine.planner import BatchBounds, Planner
from langchain_hf_endpoint._engine.vectors import Rows
from langchain_hf_endpoint.chunking import chunk

WHOLE = ChunkingSettings(strategy="none")
TENS = ChunkingSettings(strategy="word", max_chunking_size=10, overlap=3)
# Few words, so that texts and chunks repeat themselves.
TEXTS = st.lists(st.sampled_from(["a", "bb", "é", "\U0001f600"]), max_size=35).map(" ".join)
BOUNDS = st.builds(BatchBounds, st.integers(1, 6), st.integers(10, 200))
PROMPTS = st.sampled_from(["", "passage: "])


def texts_of(batch):
    return [orjson.loads(one) for one in batch.inputs]


class Books(RuleBasedStateMachine):
    """A call whose texts, batches, answers, failures and bounds come in any order."""

    @initialize(chunking=st.sampled_from([WHOLE, TENS]), prompt=PROMPTS, bounds=BOUNDS)
    def begin(self, chunking, prompt, bounds):
        self.chunking, self.prompt, self.bounds = chunking, prompt, bounds
        self.plan = Planner(chunking, prompt, lambda: self.bounds, Rows(), keep=self.keep)
        self.texts = []
        self.under_way = []
        self.sent = []
        self.failed = {}
        self.dropped = None
        self.out = 0
        self.rows = []

    keep = True

    def inputs_of(self, text):
        return [self.prompt + piece.text for piece in chunk(text, self.chunking)]

    @precondition(lambda self: self.dropped is None)
    @rule(text=TEXTS)
    def add(self, text):
        if self.keep and not text:
            return  # the texts of a list were checked before
        self.plan.add([text])
        self.texts.append(text)

    @rule(bounds=BOUNDS)
    def learn_bounds(self, bounds):
        self.bounds = bounds

    @rule(more=st.booleans())
    def cut(self, more):
        batch = self.plan.next_batch(more_to_come=more)
        if batch is None:
            assert more or self.plan.is_all_cut
            return
        texts = texts_of(batch)
        assert 1 <= len(texts) <= self.bounds.inputs
        assert len(texts) == 1 or len(orjson.dumps(texts)) <= self.bounds.body_bytes + len("[]")
        self.sent += texts
        self.under_way.append(batch)

    @precondition(lambda self: self.under_way)
    @rule(choice=st.integers(0, 100), split=st.integers(0, 6), fails=st.booleans())
    def answer(self, choice, split, fails):
        """Any batch under way, in two runs, of which the first may fail."""
        batch = self.under_way.pop(choice % len(self.under_way))
        first, rest = batch.numbers[:split], batch.numbers[split:]
        texts = texts_of(batch)
        if fails:
            error = ServerError(f"failure {len(self.failed)}")
            self.failed.update(dict.fromkeys(texts[:split], error))
            self.plan.settle(first, error)
        else:
            self.plan.settle(first, [[text] for text in texts[:split]])
        self.plan.settle(rest, [[text] for text in texts[split:]])

    @rule()
    def collect(self):
        for text in self.plan.finished():
            assert text.index == self.out
            source = self.texts[self.out]
            self.out += 1
            inputs = self.inputs_of(source)
            if not inputs:
                assert text.error.index == text.index
            elif text.error is None:
                rows = text.rows
                assert rows == [[one] for one in inputs]
                assert [piece.text for piece in text.chunks] == [
                    piece.text for piece in chunk(source, self.chunking)
                ]
                self.rows += rows
            else:
                mine = [self.failed[one] for one in inputs if one in self.failed]
                assert text.error in [*mine, self.dropped]

    @precondition(lambda self: self.dropped is None and self.texts)
    @rule(really=st.integers(0, 9))
    def end_the_call(self, really):
        if really == 0:
            self.dropped = ServerError("the call ended")
            self.plan.drop_unsent(self.dropped)
            assert self.plan.is_all_cut

    @invariant()
    def no_vector_is_given_away_twice(self):
        assert len({id(row) for row in self.rows}) == len(self.rows)

    @invariant()
    def equal_inputs_are_sent_once(self):
        if self.keep:
            assert len(self.sent) == len(set(self.sent))

    def teardown(self):
        """Every text comes out once everything is cut and answered."""
        while not self.plan.is_all_cut:
            self.cut(more=False)
        while self.under_way:
            self.answer(choice=0, split=0, fails=False)
        self.collect()
        assert self.out == len(self.texts)
        assert list(self.plan.finished()) == []
        if self.dropped is None:
            assert set(self.sent) == {one for text in self.texts for one in self.inputs_of(text)}


class StreamBooks(Books):
    """A stream: what is out is forgotten, and may be sent again."""

    keep = False


for machine in (Books, StreamBooks):
    machine.TestCase.settings = settings(
        max_examples=amount(40, 100), stateful_step_count=40, deadline=None
    )
TestBooks = Books.TestCase
TestStreamBooks = StreamBooks.TestCase


@settings(deadline=None, max_examples=amount(20, 40))
@given(
    st.integers(200, 600),
    st.integers(1, 5),
    st.integers(1, 8),
    st.randoms(use_true_random=False),
)
def test_a_stream_holds_little_and_lets_no_input_starve(count, inputs, capacity, chance):
    """Driven as the engine drives it: full batches only, answered in any order, texts in need."""
    texts = (f"{number} {'x' * chance.randrange(300)}" for number in range(count))
    bounds = BatchBounds(inputs, 400)
    plan = Planner(WHOLE, "", lambda: bounds, Rows(), keep=False)
    look_ahead = plan.room
    under_way, added_at, taken, out, cuts = [], {}, 0, 0, 0
    source_ended = False
    while True:
        while len(under_way) < capacity:
            while plan.room > 0 and not plan.is_far_behind and not source_ended:
                for text in itertools.islice(texts, int(plan.room)):
                    plan.add([text])
                    added_at[text.strip()] = cuts
                    taken += 1
                source_ended = taken == count
            more = not source_ended and not plan.is_far_behind
            batch = plan.next_batch(more_to_come=more)
            if batch is None:
                break
            cuts += 1
            for text in texts_of(batch):
                # Two look-aheads of inputs may go before it, in the worst case one by one.
                assert cuts - added_at.pop(text) <= 2 * look_ahead + 1
            under_way.append(batch)
        assert taken - out <= 6 * look_ahead + capacity * inputs
        if not under_way:
            break
        batch = under_way.pop(chance.randrange(len(under_way)))
        plan.settle(batch.numbers, [[text] for text in texts_of(batch)])
        out += len(list(plan.finished()))
    assert out == taken == count
    assert not added_at


@pytest.mark.parametrize("stuck", [0, 5])
def test_a_stream_whose_oldest_batch_hangs_stops_taking_texts(stuck):
    """The texts behind it are answered and wait for it: their number must not grow for ever."""
    bounds = BatchBounds(4, 10**6)
    plan = Planner(WHOLE, "", lambda: bounds, Rows(), keep=False)
    look_ahead = plan.room
    hanging, taken = None, 0
    for cuts in range(10_000):
        while plan.room > 0 and not plan.is_far_behind:
            plan.add([f"text {taken}"])
            taken += 1
        batch = plan.next_batch(more_to_come=not plan.is_far_behind)
        if batch is None:
            break
        if cuts == stuck:
            hanging = batch
        else:
            plan.settle(batch.numbers, [[text] for text in texts_of(batch)])
        list(plan.finished())
    assert plan.is_far_behind
    assert taken <= 6 * look_ahead
    plan.settle(hanging.numbers, [[text] for text in texts_of(hanging)])
    assert list(plan.finished())
    assert not plan.is_far_behind
