"""Find how many requests in flight fill a server, from latencies and refusals alone.

- *Latency.* Where N requests are in flight and each takes L seconds, of which it would take U if
  nobody waited, the server is filled by N * U / L of them (Little's law; TCP Vegas, Brakmo and
  Peterson, 1995, and BBR, Cardwell and others, 2016, rest on it). The limit is this and a short
  queue, so that the server has work while a reply is under way, and whatever comes next, as a
  query, waits for little. L is the mean of a round trip: single replies say nothing where batches
  end together. U is measured with fewer requests than fill the server, from time to time.
- *Refusals* (TCP CUBIC, Ha, Rhee and Xu, 2008). A refusal halves the limit, and what was in flight
  when the request was sent is the refusal level. The way back to just below it is quick, since it
  is known; what lies beyond is tried seldom, one request at first, then two more, then four, as
  long as none is refused.

After each round trip the state follows from how many requests wait at the server::

      start
        |      L >= 1.5 U           U is known         few, and the limit is the refusal level
        v                                              (or while it doubles)
    DOUBLING --------> DRAINING ------------> STEADY --------------------> AT THE LEVEL <--.
     ^  ^                ^  |                 |  |                          held for long,  |
     |  '----------------+--'                 |  |                      level + 1, + 2, + 4 |
     |   nobody waited   '--------------------'  |                               v  nothing is
     |                     every 60 round trips, |                            TRYING refused
     |                     or N * U / L has sunk |                               '----------'
     '-------------------------------------------'
       refused, half, and the level is below where it was refused (from any state)

DOUBLING adds its size in a round trip. DRAINING lets in fewer than fill the server and waits until
their replies have shown U; it is left out where the first replies have. STEADY adds 1, 2, 4 ...
while few wait, and takes off what is too many; where L is far below U, the server has become
quicker, and is drained at once. A time-out or a cold start halves the limit too, and says nothing
about a level.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

_START = 4.0
CEILING = 128
"""More than this are in flight only where the user says so: enough for a server of a hundred
batches at once, and still a number of connections that a proxy takes from one client."""

_LEAST_REPLIES = 8  # of a round trip: latencies vary
_DOUBLED_ENOUGH = 1.5  # times the unloaded latency
_ALIKE = 1.2  # times as long is about the same
_DRAINED = 0.85  # of what fills the server; half of it where it was another than before
_ENOUGH_ALIKE = 4  # replies of a drained server, or those of a round trip where they are more
_ENOUGH_THAT_VARY = 12  # or those of two round trips
_ROUNDS_TO_DRAIN = 60
_ROUNDS_IN_DOUBT = 8  # where the unloaded latency was another than before
_FEW = 0.4  # of the longest queue; below it the limit grows
_AIM = 3 / 4  # of the longest queue
_QUICKER = 1.2  # the unloaded latency against that of a round trip: it is out of date
_SUNK = 0.6  # of what filled the server: it, or the batches, must have changed

# Round trips at the level, at first; twice as many after each attempt that failed.
_PATIENCE = 4.0
_PATIENCE_BEYOND = 2.0  # round trips without a refusal after which what was tried is good
_LONG_AT_LEVEL = 32.0  # round trips, and seconds, after which it is tried whatever came before
_SECONDS_AT_LEVEL = 2.0


@dataclass(slots=True)
class _Round:
    """The replies of about a round trip."""

    replies: int = 0  # how many there were
    seconds: float = 0.0  # they took, together
    unloaded: float = 0.0  # they would have taken, had none waited
    quickest: float = float("inf")  # the shortest time of one
    slowest: float = 0.0  # the longest
    # The most that were in flight of one lane when one of them was sent. Replies come in crowds:
    # the first of those sent after a crowd find few in flight.
    in_lane: int = 0
    in_all: int = 0  # the same of both lanes
    # Of each size how many there were, and their seconds.
    by_size: dict[int, tuple[int, float]] = field(default_factory=dict)

    def take(self, size: int, seconds: float, unloaded: float, in_lane: int, in_all: int) -> None:
        """Take in one reply."""
        self.replies += 1
        self.seconds += seconds
        self.unloaded += unloaded
        self.quickest, self.slowest = min(self.quickest, seconds), max(self.slowest, seconds)
        self.in_lane, self.in_all = max(self.in_lane, in_lane), max(self.in_all, in_all)
        replies, so_far = self.by_size.get(size, (0, 0.0))
        self.by_size[size] = replies + 1, so_far + seconds

    @property
    def share(self) -> float:
        """Which part of its time a request did not wait."""
        return self.unloaded / self.seconds if self.seconds > 0 else 1.0

    @property
    def is_alike(self) -> bool:
        """Whether all took about the same time: neither waited, nor varies by itself."""
        return self.slowest <= self.quickest * _ALIKE

    def correct(self, unloaded: dict[int, float], *, is_drained: bool) -> None:
        """Correct the unloaded latencies: downwards, or also upwards where the server is drained.

        In full where that is no chance, and upwards by more: to take the server for quicker than it
        is leaves it idle.
        """
        for size, (replies, seconds) in self.by_size.items():
            more = seconds / replies - unloaded[size]
            if is_drained and (self.is_alike or abs(more) > unloaded[size] / 4):
                unloaded[size] += more
            elif is_drained and more > 0:
                unloaded[size] += more * 3 / 4
            elif more < 0:
                unloaded[size] += more / 2


@dataclass(slots=True)
class _Filling:
    """How many requests fill the server, as round trips show it."""

    now: float = 0.0  # the last one
    before: float = 0.0  # the one before it
    highest: float = 0.0  # two in a row, since the unloaded latency was measured
    _change: float = 0.0

    def restart(self, full: float) -> None:
        """Go on from what was measured."""
        self.now = self.before = self.highest = full

    def take(self, full: float) -> None:
        """Take in what a round trip shows."""
        self.before, self.now = self.now or full, full
        self._change += (abs(self.now - self.before) - self._change) / 8
        self.highest = max(self.highest, min(self.now, self.before))

    @property
    def has_sunk(self) -> bool:
        """Whether it is far lower than it was.

        Then the server may have become narrower, or all of its work slower, in which case fewer in
        flight would make it idle: the unloaded latency must be known anew.
        """
        return max(self.now, self.before) < _SUNK * self.highest

    @property
    def longest_queue(self) -> float:
        """How many may wait: one or two, or more where it changes by itself from time to time."""
        return max(min(0.9 + 0.6 * self.now, 1.8), self.now / 6, 4 * self._change)


class _Drain(NamedTuple):
    """What was known when draining began."""

    in_flight: int
    share: float
    doubled_below: float


class AdaptiveLimit:
    """The limit of requests in flight at one endpoint."""

    def __init__(self) -> None:
        self._limit = _START
        self._cap = float(CEILING)
        self._doubles_below = float("inf")  # below it the limit doubles in a round trip
        self._growth = 1.0  # above it, what the next round trip adds
        self._unloaded: dict[int, float] = {}  # the latency for each size of batches
        self._filling = _Filling()
        self._round = self._round_before = _Round()
        self._were_first_alike: bool | None = None
        self._few_wait = True
        self._replies_to_skip = self._rounds_to_drain = 0
        self._drain: _Drain | None = None
        self._drained = _DRAINED
        # Requests of both lanes that the server takes, as far as it is known.
        self.refusal_level = float("inf")
        self._step = 1.0  # by which the refusal level is moved next
        self._patience = _PATIENCE
        self._rounds_at_level = self._seconds_at_level = 0.0

    @property
    def limit(self) -> int:
        """Requests of one lane that may be in flight at present."""
        return int(self._limit)

    @property
    def found(self) -> int | None:
        """How many fill the server, or are all that it takes; None before that was seen."""
        found = min(self._filling.now or float("inf"), self.refusal_level)
        return max(1, round(found)) if found < float("inf") else None

    def begin_with(self, found: int, others: int) -> None:
        """Begin with a share of what another one found, and double no further."""
        # Whoever found it may be at work, and so are the others: all of it for each would flood the
        # server. Less than without a hint would help nobody.
        if self.found is None and self._limit <= _START:
            self._doubles_below = found
            self._set(min(found, max(_START, found / (1 + others))))

    def bound(self, requests: int) -> None:
        """Never let in more than this, and up to this where it is more than the ceiling."""
        self._cap = float(requests)
        self._set(self._limit)

    def _set(self, limit: float) -> None:
        self._limit = max(1.0, min(limit, self._cap, self.refusal_level))

    # What replies tell

    def replied(self, inputs: int, seconds: float, in_lane: int, in_all: int) -> None:
        """Learn from a good reply.

        Args:
            inputs: Of the request.
            seconds: From sending it to having the whole reply.
            in_lane: Requests in flight of its lane when it was sent, itself included.
            in_all: Requests in flight of both lanes then.
        """
        if not inputs:  # a question about the server is none of its batches
            return
        if self._replies_to_skip:
            self._replies_to_skip -= 1
            return
        # Latency is compared among batches of about one size.
        size = inputs.bit_length()
        now, before = self._round, self._round_before
        unloaded = self._unloaded.setdefault(size, seconds)
        now.take(size, seconds, unloaded, in_lane, in_all)
        if self._drain:
            alike, vary = max(_ENOUGH_ALIKE, self._limit), max(_ENOUGH_THAT_VARY, 2 * self._limit)
            if now.replies >= (alike if now.is_alike else vary):
                self._end_drain(self._drain)
            return
        # The first replies of a server of one slot come one after the other: more would but wait.
        is_known = self._were_first_alike is not None
        peak, peak_of_all = max(now.in_lane, before.in_lane), max(now.in_all, before.in_all)
        # While it doubles, requests cannot have kept up with the limit.
        used = 4 * peak - 5 if self._is_doubling else peak + 1
        # A limit that is not used up says nothing about itself.
        is_used = used >= self._limit or peak_of_all + 1 >= self.refusal_level
        if now.replies >= max(_LEAST_REPLIES, self._limit * self._part_of_round):
            self._round, self._round_before = _Round(), now
            if is_used:
                self._judge(now)
        if is_used and self._few_wait:
            if self._limit >= min(self.refusal_level, self._cap):
                self._wait_at_level(seconds)
            elif self._is_doubling and (is_known or seconds < unloaded * _DOUBLED_ENOUGH):
                self._set(self._limit + 1.0)  # a round trip has as many replies as the limit

    @property
    def _is_doubling(self) -> bool:
        return self._limit < self._doubles_below

    @property
    def _part_of_round(self) -> float:
        """After which part of a round trip it is judged: soon where the limit grows fast."""
        if self._is_doubling:
            return 1 / 4
        return 1 / 2 if self._growth > 1 else 1.0

    def _judge(self, ended: _Round) -> None:
        """Set the limit by how many waited in a round trip."""
        if self._is_doubling:
            self._judge_doubling(ended)
            return
        filling, in_flight = self._filling, self._in_flight(ended)
        filling.take(in_flight * ended.share)
        longest = filling.longest_queue
        # Many wait where two round trips show it: one alone may have been a moment's trouble.
        waiting = in_flight - max(filling.now, filling.before)
        self._few_wait = in_flight - filling.now < longest * _FEW
        # At a level or a cap, with few that wait, nothing would come of a measurement.
        if not self._few_wait or self._limit < min(self.refusal_level, self._cap):
            self._rounds_to_drain -= 1
        if filling.has_sunk or ended.share > _QUICKER or self._rounds_to_drain <= 0:
            self._begin_drain(ended)
        elif waiting > longest:
            self._hold(self._limit - waiting + longest * _AIM)
        elif self._few_wait:
            self._set(self._limit + self._growth)
            self._growth = min(self._growth * 2, self._limit)
        else:
            self._growth = 1.0

    def _judge_doubling(self, ended: _Round) -> None:
        """Stop where the server is full."""
        if self._were_first_alike is None:
            self._were_first_alike = ended.is_alike
        was_measured = self._rounds_to_drain > 0
        if not was_measured:
            ended.correct(self._unloaded, is_drained=False)
        if ended.share * _DOUBLED_ENOUGH > 1:
            return
        if was_measured or not self._were_first_alike:
            self._begin_drain(ended)
            return
        # No need to drain. Too few would fill the server where many batches end together, as in
        # that case half of those that wait begin at once: twice as many are surely enough.
        full = self._in_flight(ended) * ended.share
        self._few_wait, self._rounds_to_drain = False, _ROUNDS_TO_DRAIN
        self._filling.restart(full)
        self._hold(min(self._limit, 2 * full))

    def _in_flight(self, ended: _Round) -> int:
        return min(ended.in_lane, self.limit)  # more are those from before it was halved

    def _hold(self, limit: float) -> None:
        """Let in fewer; those in flight were sent at the former limit and say nothing about it."""
        self._doubles_below, self._growth, self._replies_to_skip = 0.0, 1.0, self.limit - 1
        self._set(limit)

    def _begin_drain(self, ended: _Round) -> None:
        in_flight = self._in_flight(ended)
        self._drain = _Drain(in_flight, ended.share, self._doubles_below)
        self._rounds_to_drain, self._round = _ROUNDS_TO_DRAIN, _Round()
        self._hold(int(in_flight * min(1.0, ended.share) * self._drained))
        self._replies_to_skip += self.limit  # the first after them are the quickest ones

    def _end_drain(self, drain: _Drain) -> None:
        """Go on at what fills the server, as is known now, and a short queue."""
        ended, self._round, self._drain = self._round, _Round(), None
        ended.correct(self._unloaded, is_drained=True)
        known = sum(n * self._unloaded[size] for size, (n, _) in ended.by_size.items())
        change = known / ended.unloaded if ended.unloaded > 0 else 1.0
        full = drain.in_flight * min(1.0, drain.share * change)
        self._few_wait = full > 0.8 * drain.in_flight  # a quick first reply had deceived
        if self._few_wait:
            self._doubles_below = drain.doubled_below
        if not 0.9 < change < 1.1:  # noqa: PLR2004 - less is chance
            self._rounds_to_drain = _ROUNDS_IN_DOUBT
        # A server that has become narrow under way was not drained, but looks slow; nor was one
        # that has become quicker, if it still looks slower than it is.
        self._drained = _DRAINED if 0.9 < change < 1.5 else 1 / 2  # noqa: PLR2004
        self._filling.restart(full)
        self._set(full + self._filling.longest_queue * _AIM)

    # What refusals tell

    def refused(self, in_flight: int) -> None:
        """Note that of so many requests in flight the server refused the one sent last."""
        level = max(1.0, in_flight - 1.0)
        if level <= self.refusal_level:  # a late refusal, of when more were in flight, is no news
            self._patience *= 2.0 if self._is_trying else 1.0
            self.refusal_level, self._step = level, 1.0
            self._rounds_at_level = self._seconds_at_level = 0.0
            self._set(self._limit)

    def halve(self, *, then_double_to: float) -> None:
        """Go down by half, and quickly up again to a limit that is known to be right."""
        self._set(self._limit / 2)
        self._doubles_below, self._growth = then_double_to, 1.0
        self._round, self._drain, self._few_wait = _Round(), None, True
        self._replies_to_skip = 0
        self._rounds_to_drain = max(self._rounds_to_drain, _ROUNDS_IN_DOUBT)

    @property
    def _is_trying(self) -> bool:
        """Whether the level was moved beyond what was refused, and nothing was refused so far."""
        return self._step > 1.0

    def _wait_at_level(self, seconds: float) -> None:
        """Move the level when it has held for long, or when what was tried beyond it is good."""
        self._rounds_at_level += 1.0 / self._limit
        self._seconds_at_level += seconds / self._limit
        if self.refusal_level >= self._cap or not self._is_time_to_try():
            return
        if self._is_trying:
            self._patience = max(_PATIENCE, self._patience / 2)
        self._rounds_at_level = self._seconds_at_level = 0.0
        self.refusal_level += self._step
        self._step *= 2.0
        self._doubles_below = self.refusal_level

    def _is_time_to_try(self) -> bool:
        if self._is_trying:
            return self._rounds_at_level >= _PATIENCE_BEYOND
        rounds, seconds = self._rounds_at_level, self._seconds_at_level
        is_long = rounds >= _LONG_AT_LEVEL and seconds >= _SECONDS_AT_LEVEL
        return is_long or rounds >= self._patience
