"""The window's promises under histories that nobody would think of."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from thoroughness import amount

from langchain_hf_endpoint._session.adaptive_limit import CEILING
from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow, Slot

LANES = st.sampled_from(["query", "document"])
BOUNDS = st.none() | st.integers(1, 12)
INPUTS = st.integers(1, 12)


class Loop:
    """What a window may know of an event loop."""

    def is_closed(self):
        return False


LOOPS = st.sampled_from([None, Loop(), Loop()])
SECONDS = st.floats(0, 10, allow_subnormal=False)


class AnyHistory(RuleBasedStateMachine):
    """Callers that come, wait, give up, block loops and leave in any order; bounds, replies."""

    places = Bundle("places")

    def __init__(self):
        super().__init__()
        self.clock = 0.0
        self.window = ConcurrencyWindow(lambda: self.clock)
        self.most_requests = self.most_inputs = None
        self.waiting = {"query": [], "document": []}
        self.inside = {"query": [], "document": []}
        self.let_in = []

    @initialize(requests=BOUNDS, inputs=BOUNDS)
    def build(self, requests, inputs):
        self.bound(requests, inputs)

    # What the model knows

    def requests(self):
        return sum(map(len, self.inside.values()))

    def counting(self, slot, lane=None):
        """Those in flight that keep a request waiting: not the tasks of a loop that it blocks."""
        lanes = self.inside.values() if lane is None else [self.inside[lane]]
        inside = [one for slots in lanes for one in slots]
        return [
            one for one in inside if slot.blocked_loop is None or one.loop is not slot.blocked_loop
        ]

    def fits(self, slot):
        others = self.counting(slot)
        inputs = sum(one.inputs for one in others)
        over = self.most_inputs is not None and inputs + slot.inputs > self.most_inputs
        full = len(others) >= min(self.most_requests or CEILING * 2, self.window.most)
        in_lane = len(self.counting(slot, slot.lane))
        return in_lane < self.window.limit and not full and (inputs == 0 or not over)

    def woken(self, slot):
        """The window lets a waiter in: the first of its lane, or one that blocks a loop."""
        assert self.waiting[slot.lane][0] is slot or slot.blocked_loop
        assert slot.granted
        self.waiting[slot.lane].remove(slot)
        self.let_in.append(slot)

    def settle(self):
        """Enter those who were let in, one by one, as the window did."""
        for slot in self.let_in:
            assert self.fits(slot)
            self.inside[slot.lane].append(slot)
        self.let_in = []

    # What may happen

    @rule(target=places, lane=LANES, inputs=INPUTS, loop=LOOPS, blocked=LOOPS)
    def come(self, lane, inputs, loop, blocked):
        slot = Slot(inputs, lane, loop, None if loop else blocked)
        self.waiting[lane].append(slot)
        if self.window.acquire(slot, lambda: self.woken(slot)):
            self.woken(slot)
        self.settle()
        return multiple(slot)

    @rule(slot=places)
    def leave(self, slot):
        for places in (self.waiting[slot.lane], self.inside[slot.lane]):
            if slot in places:
                places.remove(slot)
        self.window.release(slot)
        self.settle()

    @rule(slot=places, seconds=SECONDS)
    def get_a_reply(self, slot, seconds):
        if slot in self.inside[slot.lane]:
            self.window.replied(slot, seconds)
            self.settle()
            self.leave(slot)

    @rule(seconds=SECONDS)
    def be_refused(self, seconds):
        before = self.window.limit
        self.window.refused()
        assert max(1, before // 2) <= self.window.limit <= before
        self.clock += seconds

    @rule(slot=places)
    def be_refused_at(self, slot):
        """A request in flight is refused: what was in flight with it is too much."""
        if slot in self.inside[slot.lane]:
            before, most, limit = slot.in_flight, self.window.most, self.window.limit
            self.window.refused_at(slot.in_flight)
            assert self.window.most <= max(1, min(most, before - 1))
            # Down to what the server takes, and then to half of it.
            half = max(1, int(min(limit, self.window.most)) // 2)
            assert half <= self.window.limit <= limit
            self.leave(slot)

    @rule(requests=BOUNDS, inputs=BOUNDS)
    def bound(self, requests, inputs):
        self.window.bound(requests=requests, inputs=inputs)
        lowest = [bound for bound in (self.most_requests, requests) if bound is not None]
        self.most_requests = min(lowest, default=None)
        lowest = [bound for bound in (self.most_inputs, inputs) if bound is not None]
        self.most_inputs = min(lowest, default=None)

    # What always holds

    @invariant()
    def those_inside_know_it_and_no_others(self):
        for lane in ("query", "document"):
            assert all(slot.granted for slot in self.inside[lane])
            assert not any(slot.granted for slot in self.waiting[lane])

    @invariant()
    def nobody_waits_who_could_go(self):
        for places in self.waiting.values():
            for slot in places:
                first = slot is places[0]
                assert not (self.fits(slot) and (first or slot.blocked_loop))

    @invariant()
    def the_limit_stays_within_its_bounds(self):
        assert 1 <= self.window.limit <= (self.most_requests or CEILING)
        assert self.window.limit <= self.window.most

    def teardown(self):
        """When everybody inside leaves, everybody who waits gets in, sooner or later."""
        while self.requests():
            for places in self.inside.values():
                for slot in list(places):
                    self.leave(slot)
        assert self.waiting == {"query": [], "document": []}


AnyHistory.TestCase.settings = settings(
    max_examples=amount(25, 60), stateful_step_count=40, deadline=None
)
TestAnyHistory = AnyHistory.TestCase
