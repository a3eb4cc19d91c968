"""The window's promises under histories that nobody would think of."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from langchain_hf_endpoint._session.adaptive_limit import CEILING
from langchain_hf_endpoint._session.concurrency import Window

LANES = st.sampled_from(["query", "document"])
BOUNDS = st.none() | st.integers(1, 12)
INPUTS = st.integers(1, 12)
LOOPS = st.sampled_from([None, "loop", "another loop"])
SECONDS = st.floats(0, 10, allow_subnormal=False)


class AnyHistory(RuleBasedStateMachine):
    """Callers that come, wait, give up, go past and leave, in any order; bounds and replies too."""

    places = Bundle("places")

    def __init__(self):
        super().__init__()
        self.clock = 0.0
        self.window = Window(lambda: self.clock)
        self.most_requests = self.most_inputs = None
        self.waiting = {"query": [], "document": []}
        self.inside = {"query": [], "document": []}
        self.let_in = []
        self.passed = {}

    @initialize(requests=BOUNDS, inputs=BOUNDS)
    def build(self, requests, inputs):
        self.bound(requests, inputs)

    # What the model knows

    def requests(self):
        return sum(map(len, self.inside.values()))

    def inputs(self):
        return sum(place.inputs for places in self.inside.values() for place in places)

    def fits(self, place):
        alone = self.requests() == 0
        over = self.most_inputs is not None and self.inputs() + place.inputs > self.most_inputs
        full = self.requests() >= min(self.most_requests or CEILING * 2, self.window.most)
        return len(self.inside[place.lane]) < self.window.limit and not full and (alone or not over)

    def woken(self, place):
        """The window lets a waiter in: only the first of its lane, and only where it fits."""
        assert self.waiting[place.lane][0] is place
        assert place.granted
        self.waiting[place.lane].remove(place)
        self.let_in.append(place)

    def settle(self):
        """Enter those who were let in, one by one, as the window did."""
        for place in self.let_in:
            assert self.fits(place)
            self.inside[place.lane].append(place)
        self.let_in = []

    # What may happen

    @rule(target=places, lane=LANES, inputs=INPUTS, holder=LOOPS)
    def come(self, lane, inputs, holder):
        place = self.window.place(inputs, lane)
        place.holder = holder
        self.waiting[lane].append(place)
        if place.enter(lambda: self.woken(place)):
            self.woken(place)
        self.settle()
        return multiple(place)

    @rule(place=places)
    def leave(self, place):
        for places in (self.waiting[place.lane], self.inside[place.lane]):
            if place in places:
                places.remove(place)
        self.passed.pop(place, None)
        place.leave()
        self.settle()

    @rule(place=places, loop=LOOPS.filter(bool))
    def go_past(self, place, loop):
        """A call that blocks a loop: one may pass for each place that the loop's tasks hold."""
        if place not in self.waiting[place.lane]:
            return
        held = [one for places in self.inside.values() for one in places if one.holder == loop]
        passed = [one for one in self.passed if self.passed[one] == loop]
        assert place.enter_past(loop) is (len(held) > len(passed))
        if place.granted:
            self.waiting[place.lane].remove(place)
            self.inside[place.lane].append(place)
            self.passed[place] = loop

    @rule(place=places, seconds=SECONDS)
    def get_a_reply(self, place, seconds):
        if place in self.inside[place.lane]:
            self.window.replied(place.inputs, seconds)
            self.settle()
            self.leave(place)

    @rule(seconds=SECONDS)
    def be_refused(self, seconds):
        before = self.window.limit
        self.window.refused()
        assert max(1, before // 2) <= self.window.limit <= before
        self.clock += seconds

    @rule(place=places)
    def be_refused_at(self, place):
        """A request in flight is refused: what was in flight with it is too much."""
        if place in self.inside[place.lane]:
            before, most, limit = place.in_flight, self.window.most, self.window.limit
            place.refused()
            assert self.window.most <= max(1, min(most, before - 1))
            assert min(max(1, limit // 2), self.window.most) <= self.window.limit <= limit
            self.leave(place)

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
            assert all(place.granted for place in self.inside[lane])
            assert not any(place.granted for place in self.waiting[lane])

    @invariant()
    def nobody_waits_who_could_go(self):
        for places in self.waiting.values():
            if places:
                assert not self.fits(places[0])

    @invariant()
    def the_limit_stays_within_its_bounds(self):
        assert 1 <= self.window.limit <= (self.most_requests or CEILING)
        assert self.window.limit <= self.window.most

    def teardown(self):
        """When everybody inside leaves, everybody who waits gets in, sooner or later."""
        while self.requests():
            for places in self.inside.values():
                for place in list(places):
                    self.leave(place)
        assert self.waiting == {"query": [], "document": []}


AnyHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyHistory = AnyHistory.TestCase
