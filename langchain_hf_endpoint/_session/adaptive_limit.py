"""Find how many requests in flight fill a server, from latencies and refusals alone.

Two rules, from those who share networks and have the same question:

- *Latency* (TCP Vegas, Brakmo and Peterson, 1995; Netflix's concurrency-limits). From the lowest
  latency seen and the present one follows how many of our requests the server keeps waiting: the
  limit grows while they are few and shrinks while they are many. A server that always keeps some
  waiting hides how fast it is, so from time to time the limit is halved for a round trip to see it
  anew. Both latencies are those of the quicker replies: a reply that was late since the network
  wavered, or since the client itself was busy, did not wait at the server.
- *Refusals* (TCP CUBIC, Ha, Rhee and Xu, 2008). A refusal halves the limit, and what was in flight
  when the request was sent is the refusal level. The way back to just below it is quick, since it
  is known; what lies beyond is tried seldom, one request at first, then two more, then four, as
  long as none is refused.

Each good reply moves the limit by the state that it is in, "many" and "few" being requests that
wait at the server::

      start
        |      few, and the limit              few, and the limit
        v      is `_doubles_below`             is the refusal level
    DOUBLING -----------------------> GROWING --------------------> AT THE LEVEL <--.
     ^  ^  |                            ^                                |          |
     |  |  | many                       | many, or few   held for long,  |          | nothing is
     |  |  v                            | again       level + 1, + 2, + 4|          | refused
     |  | HOLDING <---------------------'                                v          |
     |  |  | every 60 round trips, half                                TRYING ------'
     |  '--'                                                             |
     '-------------------------------------------------------------------'
       refused, half, and the level is below where it was refused (from any state)

DOUBLING adds its size in a round trip, GROWING a little and then ever more, HOLDING takes off what
is too many. A time-out or a cold start halves the limit too, and says nothing about a level.
"""

from __future__ import annotations

from dataclasses import dataclass

_START = 4.0
CEILING = 128
"""More than this are in flight only where the user says so: enough for a server of a hundred
batches at once, and still a number of connections that a proxy takes from one client."""

_FEW_WAITING = 3.0
_FEW_OF_ALL = 1 / 6
_FEW_OF_SPREAD = 2.0  # where latencies vary, more must wait so that the server never runs dry
_REPLIES_OF_MEAN = 16  # or those of a round trip, where they are more
_NEWEST_LOW = 1 / 4  # the weight of a reply below it, in the mean of the quicker ones
_FIRST = 4  # replies after which a mean is one
_ROUNDS_TO_SEE_ANEW = 60.0

# Round trips at the level, at first; twice as many after each attempt that failed.
_PATIENCE = 4.0
_PATIENCE_BEYOND = 2.0  # round trips without a refusal after which what was tried is good
_LONG_AT_LEVEL = 32.0  # round trips, and seconds, after which it is tried whatever came before
_SECONDS_AT_LEVEL = 2.0


@dataclass(slots=True)
class _Latency:
    """Of the requests of about one size.

    Attributes:
        mean: Of some replies.
        low: The same of the quicker ones: it follows lower latencies soon and higher ones late.
        lowest: The lowest that was.
    """

    mean: float = 0.0
    low: float = 0.0
    lowest: float = 0.0
    _seen: int = 0

    def take(self, seconds: float, replies: float) -> None:
        """Take in one reply, in means of so many."""
        self._seen += 1
        newest = 1 / min(self._seen, replies)
        self.mean += (seconds - self.mean) * newest
        is_low = seconds < self.low
        self.low += (seconds - self.low) * (max(newest, _NEWEST_LOW) if is_low else newest)
        if self._seen <= _FIRST or self.low < self.lowest:
            self.lowest = self.low

    @property
    def waiting(self) -> float:
        """Which part of its time, 0 to 1, a request waits at the server."""
        return (self.low - self.lowest) / self.mean if self.mean > 0 else 0.0

    @property
    def spread(self) -> float:
        """How far latencies vary by themselves, as a part of their mean."""
        return max(0.0, 1 - self.low / self.mean) if self.mean > 0 else 0.0


class _Peaks:
    """The most requests in flight within a round trip: of one lane, and of both.

    Replies come in crowds. What is in flight while the first of a crowd are looked at, whose
    successors are still to be sent, says little.
    """

    def __init__(self) -> None:
        self._before = self._now = (0, 0)
        self._replies = 0

    def note(self, in_lane: int, in_all: int) -> None:
        self._now = max(self._now[0], in_lane), max(self._now[1], in_all)

    def after_reply(self, limit: int, in_lane: int, in_all: int) -> tuple[int, int]:
        """The peaks of this round trip and the one before, which has as many replies as slots."""
        self._replies += 1
        if self._replies >= limit:
            self._replies = 0
            self._before, self._now = self._now, (in_lane, in_all)
        return max(self._before[0], self._now[0]), max(self._before[1], self._now[1])


class AdaptiveLimit:
    """The limit of requests in flight at one endpoint.

    Attributes:
        refusal_level: Requests of both lanes that the server takes, as far as it is known; infinite
            where it never refused one.
    """

    def __init__(self) -> None:
        self._limit = _START
        self._cap = float(CEILING)
        self._doubles_below = float("inf")  # below it the limit doubles in a round trip
        self._growth = 1.0  # above it, what the next round trip adds
        self._latency: dict[int, _Latency] = {}
        self._peaks = _Peaks()
        self._replies_to_skip = 0
        self._rounds_since_anew = 0.0
        self.refusal_level = float("inf")
        self._step = 1.0  # by which the refusal level is moved next
        self._patience = _PATIENCE
        self._rounds_at_level = self._seconds_at_level = 0.0

    @property
    def limit(self) -> int:
        """Requests of one lane that may be in flight at present."""
        return int(self._limit)

    def bound(self, requests: int) -> None:
        """Never let in more than this, and up to this where it is more than the ceiling."""
        self._cap = float(requests)
        self._set(self._limit)

    def _set(self, limit: float) -> None:
        self._limit = max(1.0, min(limit, self._cap, self.refusal_level))

    # What replies tell

    def sent(self, in_lane: int, in_all: int) -> None:
        """Note that so many requests of a lane, and of both, are in flight now."""
        self._peaks.note(in_lane, in_all)

    def replied(self, inputs: int, seconds: float, in_lane: int, in_all: int) -> None:
        """Learn from a good reply.

        Args:
            inputs: Of the request.
            seconds: From sending it to having the whole reply.
            in_lane: Requests in flight of the lane that has the most, this one included.
            in_all: Requests in flight of both lanes, this one included.
        """
        peak, peak_of_all = self._peaks.after_reply(self.limit, in_lane, in_all)
        if self._replies_to_skip:
            self._replies_to_skip -= 1
            return
        # Latency is compared among batches of about one size.
        latency = self._latency.setdefault(inputs.bit_length(), _Latency())
        latency.take(seconds, max(_REPLIES_OF_MEAN, self._limit))
        is_rising = self._limit < self._doubles_below
        # While it doubles, requests cannot have kept up with the limit: half of it is used up.
        used = 2 * peak - 1 if is_rising else peak + 1
        if used < self._limit and peak_of_all + 1 < self.refusal_level:
            return  # a limit that is not used up says nothing about itself
        waiting, spread = peak * latency.waiting, peak * latency.spread
        few = max(_FEW_WAITING, self._limit * _FEW_OF_ALL, spread * _FEW_OF_SPREAD)
        if waiting >= few:
            self._hold(waiting - 2 * few, in_lane)
        elif self._limit >= min(self.refusal_level, self._cap):
            self._wait_at_level(seconds)
        elif is_rising:
            self._set(self._limit + 1.0)  # a round trip has as many replies as the limit
        else:
            self._set(self._limit + self._growth / self._limit)
            self._growth = min(self._growth * (1 + 1 / self._limit), self._limit)

    def _hold(self, too_many: float, in_lane: int) -> None:
        """Let in as many as are enough; now and then see what the server does with fewer."""
        self._doubles_below, self._growth = min(self._doubles_below, self._limit), 1.0
        if too_many > 0:
            self._set(self._limit - max(1.0, too_many / 2) / self._limit)
        self._rounds_since_anew += 1.0 / self._limit
        if self._rounds_since_anew >= _ROUNDS_TO_SEE_ANEW:
            self._rounds_since_anew = 0.0
            self._latency.clear()
            # Those in flight were sent at the full limit, and would hide what half of it is like.
            self._replies_to_skip = in_lane - 1
            self._doubles_below = self._limit
            self._set(self._limit / 2)

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
