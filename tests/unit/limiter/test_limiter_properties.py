"""The limiter's promises under histories that nobody would think of."""

import heapq
import itertools
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from thoroughness import amount

from langchain_hf_endpoint.errors import RateLimitedError
from langchain_hf_endpoint.limiter import RequestsPerMinuteLimiter

LANES = st.sampled_from(["query", "document"])
SECONDS = st.floats(0, 100, allow_subnormal=False)
ROUNDING = 1e-4


def limits_and_bursts(most):
    return st.integers(1, most).flatmap(
        lambda limit: st.tuples(st.just(limit), st.none() | st.integers(1, limit))
    )


class AnyHistory(RuleBasedStateMachine):
    """Callers that come, sleep, oversleep, ask early, leave and get lost, in any order."""

    def __init__(self):
        super().__init__()
        self.clock = 0.0
        self.stepped_back = 0.0
        self.blocked_until = 0.0
        self.sleeping = {}  # turn -> when to ask again
        self.starts = []  # (moment, the limit that held)

    @initialize(limit_and_burst=limits_and_bursts(8))
    def build(self, limit_and_burst):
        limit, burst = limit_and_burst
        self.limiter = RequestsPerMinuteLimiter(limit, burst=burst, clock=lambda: self.clock)

    @property
    def now(self):
        """The time as the limiter should take it: it stands still where the clock steps back."""
        return self.clock + self.stepped_back

    def started(self):
        assert self.now >= self.blocked_until - ROUNDING
        self.starts.append((self.now, self.limiter.requests_per_minute))

    def ask(self, turn):
        seconds = turn.wait()
        if seconds:
            assert seconds > 0
            self.sleeping[turn] = self.now + seconds
        else:
            self.sleeping.pop(turn, None)
            self.started()
            assert turn.started_at == pytest.approx(self.now)

    @rule(lane=LANES, count=st.integers(1, 5))
    def come(self, lane, count):
        for _ in range(count):
            self.ask(self.limiter.reserve(lane))

    @rule(lane=LANES, max_wait=SECONDS)
    def come_in_a_hurry(self, lane, max_wait):
        try:
            turn = self.limiter.reserve(lane, max_wait=max_wait)
        except RateLimitedError:
            return
        self.ask(turn)
        assert self.sleeping.get(turn, 0) <= self.now + max_wait + ROUNDING

    @rule(lane=LANES)
    def come_without_time(self, lane):
        if self.limiter.acquire(lane=lane, blocking=False):
            self.started()

    @rule(seconds=SECONDS)
    def let_time_pass(self, seconds):
        self.clock += seconds

    @rule(seconds=SECONDS)
    def set_the_clock_back(self, seconds):
        self.limiter.reserve().give_back()  # it has read the clock
        self.clock -= seconds
        self.stepped_back += seconds

    @rule(hours=st.integers(1, 12))
    def close_the_laptop(self, hours):
        """The clock is hours ahead all at once, and everybody wakes up in the same moment."""
        self.clock += 3600 * hours
        before = len(self.starts)
        for turn in list(self.sleeping):
            self.ask(turn)
        while self.limiter.acquire(blocking=False):
            self.started()
        assert len(self.starts) - before <= self.limiter.requests_per_minute

    @precondition(lambda self: self.sleeping)
    @rule(late=st.just(0.0) | SECONDS)
    def wake(self, late):
        turn = min(self.sleeping, key=self.sleeping.get)
        self.clock += max(0.0, self.sleeping[turn] + late - self.now)
        self.ask(turn)

    @precondition(lambda self: self.sleeping)
    @rule(which=st.integers(0, 99))
    def ask_early_or_late(self, which):
        self.ask(list(self.sleeping)[which % len(self.sleeping)])

    @precondition(lambda self: self.sleeping)
    @rule(which=st.integers(0, 99), times=st.integers(0, 2))
    def leave_or_get_lost(self, which, times):
        turn = list(self.sleeping)[which % len(self.sleeping)]
        del self.sleeping[turn]
        for _ in range(times):
            turn.give_back()

    @rule(seconds=SECONDS)
    def penalize(self, seconds):
        self.limiter.penalize(seconds)
        self.blocked_until = max(self.blocked_until, self.now + seconds)

    @rule(limit=st.integers(1, 8))
    def slow_to(self, limit):
        self.limiter.slow_to(limit)

    @rule(limit=st.integers(1, 8))
    def change_to(self, limit):
        self.limiter.change_to(limit)

    @invariant()
    def no_minute_holds_too_many(self):
        for last, (moment, limit) in enumerate(self.starts):
            assert last < limit or moment - self.starts[last - limit][0] > 60

    @invariant()
    def who_sleeps_is_in_the_line(self):
        if hasattr(self, "limiter"):
            self.limiter.reserve().give_back()
            lanes = [turn.lane for turn in self.sleeping]
            waiting = f"query {lanes.count('query')}, document {lanes.count('document')}>"
            assert repr(self.limiter).endswith(waiting)

    def teardown(self):
        """Nobody hangs: who sleeps as told starts, in the time that the limit needs."""
        if not self.sleeping:
            return
        callers = len(self.sleeping)
        begin = max(self.now, self.blocked_until, *self.sleeping.values())
        asked = 0
        while self.sleeping:
            self.wake(0.0)
            asked += 1
            assert asked <= 10 * callers + 10
        rounds = callers // self.limiter.requests_per_minute + 2
        assert self.now <= begin + rounds * 61
        self.no_minute_holds_too_many()


AnyHistory.TestCase.settings = settings(
    max_examples=amount(50, 150),
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestAnyHistory = AnyHistory.TestCase


class Punctual:
    """Callers that all sleep exactly as told; documents have no share while queries wait."""

    def __init__(self, limit, burst):
        self.now = 0.0
        self.limiter = RequestsPerMinuteLimiter(
            limit, burst=burst, document_share=0.0, clock=lambda: self.now
        )
        self.starts = []  # (moment, lane, number)
        self.asked = {}
        self.told = {}
        self.sleepers = []

    def come(self, lane):
        number = len(self.asked)
        self.asked[number] = 0
        self.ask(self.limiter.reserve(lane), number)

    def ask(self, turn, number):
        self.asked[number] += 1
        if seconds := turn.wait():
            self.told.setdefault(number, self.now + seconds)
            wake = self.now + seconds
            # Who is due at the same moment may start in any order; here, in that of the line.
            rank = (round(wake, 6), turn.lane == "document", number)
            heapq.heappush(self.sleepers, (rank, wake, turn, number))
        else:
            self.starts.append((self.now, turn.lane, number))

    def run(self, until):
        while self.sleepers and self.sleepers[0][1] <= until:
            _, wake, turn, number = heapq.heappop(self.sleepers)
            self.now = max(self.now, wake)
            self.ask(turn, number)
        self.now = max(self.now, until)


arrivals = st.lists(st.tuples(st.floats(0, 20) | st.just(0.0), LANES), max_size=40)


@settings(max_examples=amount(60, 150), deadline=None)
@given(limit_and_burst=limits_and_bursts(120), arrivals=arrivals)
def test_punctual_callers_start_in_order_at_the_pace_and_as_told(limit_and_burst, arrivals):
    limit, burst = limit_and_burst
    world = Punctual(limit, burst)
    came = []
    for gap, lane in arrivals:
        world.run(world.now + gap)
        came.append((world.now, lane))
        world.come(lane)
    world.run(10_000)
    assert len(world.starts) == len(arrivals)
    moments = [moment for moment, _, _ in world.starts]

    for lane in ("query", "document"):
        numbers = [number for _, its_lane, number in world.starts if its_lane == lane]
        assert numbers == sorted(numbers)

    in_order = {number: place for place, (_, _, number) in enumerate(world.starts)}
    for number, (moment, lane) in enumerate(came):
        before = [m for m, its, n in world.starts[: in_order[number]] if its == "document"]
        if lane == "query":
            assert all(other <= moment + ROUNDING for other in before), "a document went first"
            assert world.asked[number] <= 2
            if number in world.told:
                assert moments[in_order[number]] == pytest.approx(world.told[number], abs=ROUNDING)
        else:
            later_queries = sum(kind == "query" for _, kind in came[number:])
            assert world.asked[number] <= 2 + later_queries

    interval = 60 / limit
    for first, last in itertools.combinations(range(len(moments)), 2):
        enough = (last - first + 1 - world.limiter.burst) * interval
        assert moments[last] - moments[first] >= enough - ROUNDING


@settings(max_examples=amount(10, 25), deadline=None)
@given(
    seed=st.integers(0, 2**32),
    limit_and_burst=limits_and_bursts(300),
    callers=st.integers(1, 40),
    leaving=st.sampled_from([0.0, 0.1, 0.5]),
    lateness=st.sampled_from([0.0, 0.001, 0.05]),
)
def test_soak(seed, limit_and_burst, callers, leaving, lateness):
    """Callers that line up again and again, late, and now and then leave and come back."""
    rnd = random.Random(seed)
    limit, burst = limit_and_burst
    now = 0.0
    limiter = RequestsPerMinuteLimiter(limit, burst=burst, clock=lambda: now)
    lanes = ["query" if rnd.random() < 0.2 else "document" for _ in range(callers)]
    turns = [limiter.reserve(lane) for lane in lanes]
    tie = itertools.count()
    sleepers = [(0.0, next(tie), number, turn) for number, turn in enumerate(turns)]
    starts = []
    while len(starts) < 10 * limit and len(starts) < 600:
        now, _, number, turn = heapq.heappop(sleepers)
        if turns[number] is not turn:
            continue  # it left meanwhile
        seconds = turn.wait()
        if not seconds:
            starts.append(now)
            turn = turns[number] = limiter.reserve(lanes[number])
        wake = now + seconds + rnd.uniform(0, lateness)
        heapq.heappush(sleepers, (wake, next(tie), number, turn))
        if rnd.random() < leaving:
            leaver = rnd.randrange(callers)
            turns[leaver].give_back()
            turns[leaver] = limiter.reserve(lanes[leaver])
            heapq.heappush(sleepers, (now, next(tie), leaver, turns[leaver]))
    pairs = list(zip(starts, starts[limit:], strict=False))
    assert all(later - earlier > 60 for earlier, later in pairs)
    # Nothing is lost: each period takes its 60.3 seconds, and a moment for the lateness.
    periods = len(starts) / limit + 1
    assert starts[-1] <= periods * (60.3 + lateness) + lateness
