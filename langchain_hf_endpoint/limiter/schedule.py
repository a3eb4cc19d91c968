"""When the next requests may start: the arithmetic under ``RequestsPerMinuteLimiter``.

Every moment is passed in, in seconds, and never earlier than the one before.

Whoever waits holds a *place*: 0 is the next to start. Places are counted over both lanes, queries
first, but for every so many of them a document, so that a flood of queries leaves it a share. The
earliest start of a place is a formula over what has already happened, so nothing has to be
moved when someone starts, leaves or pushes in::

    slot(place) = max(ready + place * interval,              the pace
                      start `limit` places earlier + span)   the log

``ready`` is when the pace allows the next start, `interval` is ``period / limit``, `span` is the
period and half a per cent. The pace alone would let ``limit + burst`` through in a period; the log
alone would be exact, yet would fire a whole period's permits at once.
"""

from __future__ import annotations

import math
import sys
from array import array
from typing import Literal, TypeAlias

Lane: TypeAlias = Literal["query", "document"]

MARGIN = 0.005
"""The share of a period by which the log keeps starts further apart than it must: requests spend
a varying time on their way, and the server counts arrivals."""

_GRAIN = 1e-7
"""The share of a period, 6 microseconds of a minute, by which a start may be early: sums of
intervals are rounded, and nobody shall sleep twice for that. Far below the margin."""

DOCUMENT_SHARE = 0.05
LANES: tuple[Lane, Lane] = ("query", "document")


def queries_per_document(share: float) -> int:
    """After how many queries a waiting document has its turn."""
    return max(1, round(1 / share) - 1) if share else sys.maxsize


class Schedule:
    """Who may start when.

    Args:
        limit: Starts allowed in any `period`.
        burst: Starts that need no pace after idling, 1..limit.
        period: Seconds.
        document_share: Of the starts, 0..1, that documents have when queries take all they can.
    """

    def __init__(
        self, limit: int, burst: int, period: float, document_share: float = DOCUMENT_SHARE
    ) -> None:
        self.period = period
        self._per_document = queries_per_document(document_share)
        self.grain = period * _GRAIN  # seconds too few to sleep for
        self._span = period * (1 + MARGIN)
        self._tickets = 0
        self._set_limit(limit, burst)
        self.clear()

    def clear(self) -> None:
        """Forget every start and every waiter."""
        # A ring once it is full; it grows until then, so a high limit costs nothing by itself.
        self._starts = array("d")
        self._oldest = 0
        self._log_ready = -math.inf
        self._ready = -math.inf
        # Apart from `_ready`: a raised limit forgives what the pace owes, but no pause that the
        # server asked for.
        self._held_until = -math.inf
        self._forgotten = -math.inf  # the newest start that the log had no room for
        self._queries = WaitQueue()
        self._documents = WaitQueue()
        self._passed = 0  # queries that started while documents waited, since a document did

    def _set_limit(self, limit: int, burst: int) -> None:
        self.limit = limit
        self.burst = burst
        self._interval = self.period / limit
        self._tolerance = (burst - 1) * self._interval

    def change(self, limit: int, burst: int) -> None:
        """Go on with another limit; the starts so far count.

        A raised limit forgives what the pace of the lower one still owed, but no pause that the
        server asked for. A lower limit has a shorter log: where starts fall out of it, and the
        limit is raised again, nobody starts before those are out of the period.
        """
        # Unrolled, since a ring of another size has its oldest start at another place.
        in_order = self._starts[self._oldest :] + self._starts[: self._oldest]
        if len(in_order) > limit:
            self._forgotten = in_order[-limit - 1]
        raised = limit > self.limit
        self._starts, self._oldest = in_order[-limit:], 0
        self._set_limit(limit, burst)
        # `_look_back` sets it where the log is full. A raised limit has room for more starts at
        # once.
        self._log_ready = -math.inf
        self._look_back()
        if raised:
            last = self._starts[-1] if self._starts else -math.inf
            owed = min(self._ready, last + self._interval)
            self._ready = max(owed, self._held_until, self._forgotten + self._span)

    def hold_until(self, moment: float) -> None:
        """Let nobody start before `moment`, and from then on at the pace, without a burst."""
        self._held_until = max(self._held_until, moment)
        self._ready = max(self._ready, moment)

    def waiting(self, lane: Lane) -> int:
        """How many hold a place in `lane`."""
        return len(self._line(lane).told)

    def start_unless_waiting(self, now: float) -> bool:
        """Start at once if nobody waits and the pace and the log allow it."""
        # Nearly every request takes this way, without a place or a ticket. Keep it in step with
        # `slot_for_new` and `start_if_due`.
        if self._queries.places or self._documents.places:
            return False
        unused_since = now - self._tolerance
        if self._ready < unused_since:  # noqa: PLR1730 - max() takes thrice as long, at each request
            self._ready = unused_since
        if self._ready > now + self.grain or self._log_ready > now + self.grain:
            return False
        self._record(now)
        return True

    def slot_for_new(self, lane: Lane, now: float) -> float:
        """The earliest start of someone who joins `lane` now; past if it could be at once."""
        self._forget_unused(now)
        if self._joining_lengthens(lane):
            # What the pace allowed while nobody wanted it is lost, but for a burst. Those who
            # wait and are late keep theirs: only moments before `now` are moved, and to the past.
            length = len(self._queries.places) + len(self._documents.places)
            idle_until = now - self._tolerance - length * self._interval
            self._ready = max(self._ready, idle_until)
        index = self._line(lane).next_place()
        return self._slot(index + self._others_before(lane, index), now)

    def join(self, lane: Lane, slot: float) -> int:
        """Take the place whose `slot` `slot_for_new` has just told; return a ticket for it."""
        self._tickets += 1
        line = self._line(lane)
        if line is self._queries and self._documents.free and not line.free:
            # The documents before the free place move back by one, those behind it stay.
            self._documents.places.remove(FREE)
        line.take(line.next_place(), self._tickets, slot)
        return self._tickets

    def start_if_due(self, lane: Lane, ticket: int, now: float) -> float | None:
        """Start now if the slot has come (None), else tell the slot.

        Raises:
            KeyError: the ticket holds no place (any more).
        """
        line = self._line(lane)
        # Asking early is answered from what was told, in constant time. When that moment has come,
        # the slot is computed anew: queries may have gone first, the limit may have fallen, and the
        # log must hold for the starts that have happened. In a trial without this second look,
        # CPU-bound threads delayed wake-ups until 1.14 times the limit started.
        told = line.told[ticket]
        if told - now > self.grain:
            return told
        index = line.places.index(ticket)
        before = self._others_before(lane, index)
        slot = self._slot(index + before)
        if slot - now > self.grain:
            line.told[ticket] = slot
            return slot
        self._record(now)
        # Free places that this one overtakes have passed unused: whoever is behind keeps its slot.
        other = self._documents if line is self._queries else self._queries
        overtaken = line.drop_free_before(index) + other.drop_free_before(before)
        self._ready += overtaken * self._interval
        line.start(ticket)
        is_passing = line is self._queries and self._documents.told
        # Bounded, so that documents that wake late are owed one start and not one for each round
        # that they missed. Queries alone count nothing: they may use the whole rate.
        self._passed = min(self._passed + 1, self._per_document) if is_passing else 0
        self._tidy()
        return None

    def leave(self, lane: Lane, ticket: int) -> None:
        """Free the ticket's place, if it holds one, for the next who joins.

        Those behind it sleep until their own slot and could not use an earlier one.
        """
        self._line(lane).leave(ticket)
        self._tidy()

    def _line(self, lane: Lane) -> WaitQueue:
        return self._queries if lane == "query" else self._documents

    def _others_before(self, lane: Lane, index: int) -> int:
        """How many places of the other lane are before this place of `lane`."""
        # A round is so many queries and then a document. Of the present one, `_passed` queries are
        # gone.
        if lane == "query":
            return min(len(self._documents.places), (index + self._passed) // self._per_document)
        owed = (index + 1) * self._per_document - self._passed
        return min(len(self._queries.places), max(0, owed))

    def _joining_lengthens(self, lane: Lane) -> bool:
        # A query may take what a document gave back, since it goes before all documents; a document
        # may not take a place among the queries.
        usable = self._documents.free + (self._queries.free if lane == "query" else 0)
        return not usable

    def _slot(self, place: int, begin: float = -math.inf) -> float:
        """The earliest start of a place; exact while those before it start on time.

        It must not move just because time passes: those before it may be late, leave, or never
        ask again. `begin` serves to tell who joins behind a whole period's places how long it
        takes if the first of them start now.
        """
        rounds, place = divmod(place, self.limit)
        slot = self._ready + place * self._interval
        earlier = len(self._starts) - self.limit + place
        if earlier >= 0:
            start = self._starts[(self._oldest + earlier) % self.limit]
            slot = max(slot, start + self._span)
        return max(slot, begin) + rounds * self._span if rounds else slot

    def note(self, now: float) -> None:
        """Write down a start that was granted elsewhere, however many there were."""
        self._log(now)
        # However many starts Redis grants this process, the pace here owes one interval for them.
        # Else a process that had more than its share would owe for minutes when Redis is away.
        ready = max(self._ready, now - self._tolerance)
        self._ready = max(self._ready, min(ready, now) + self._interval)

    def _record(self, now: float) -> None:
        """Write down a start. The pace goes on from the slot, so lateness costs no rate."""
        ready = self._ready
        # Where the log held the start back, no more than a burst is kept of what the pace allowed.
        if self._log_ready - self._tolerance > ready:  # noqa: PLR1730 - as above
            ready = self._log_ready - self._tolerance
        self._log(now)
        self._ready = ready + self._interval

    def _log(self, now: float) -> None:
        # A ring in an array: `_slot` looks up any start in it, which takes a deque time.
        starts = self._starts
        if len(starts) < self.limit:
            starts.append(now)
        else:
            starts[self._oldest] = now
            self._oldest += 1
            if self._oldest == self.limit:
                self._oldest = 0
        self._look_back()

    def _look_back(self) -> None:
        """Find when the log allows the next start."""
        if len(self._starts) == self.limit:
            self._log_ready = self._starts[self._oldest] + self._span

    def _tidy(self) -> None:
        """Clear away the free places behind the last waiter of each lane.

        Those of the queries let the documents move up again that queries had pushed back; what is
        left once the last document is where it was told, the documents keep as free places.
        """
        freed = self._queries.drop_free_at_end()
        self._documents.drop_free_at_end()
        documents = self._documents
        if freed and documents.places:
            last = len(documents.places) - 1
            last += self._others_before("document", last)
            # Half an interval of doubt, since slots are rounded sums and places whole intervals
            # apart.
            told = documents.told[documents.places[-1]] + self._interval / 2
            while freed and self._slot(last + freed) > told:
                freed -= 1
            documents.places[:0] = [FREE] * freed

    def _forget_unused(self, now: float) -> None:
        """Drop free places that passed unused, longer ago than a burst can make good.

        The pace moves on by as many intervals, so the places behind keep their moment.
        """
        for lane in LANES:
            line = self._line(lane)
            while line.free:
                index = line.next_place()
                place = index + self._others_before(lane, index)
                if self._slot(place) >= now - self._tolerance:
                    break
                del line.places[index]
                self._ready += self._interval


FREE = 0
"""Stands in the line for a place that was given back."""


class WaitQueue:
    """The places of one lane, in order."""

    # Whatever is interrupted (Ctrl-C) between two statements is put right by `leave`, which
    # whoever was interrupted calls; a ticket is in `told` for as long as it is in `places`.
    __slots__ = ("places", "told")

    def __init__(self) -> None:
        self.places: list[int] = []  # the tickets of who holds them, ``FREE`` if given back
        self.told: dict[int, float] = {}  # ticket -> the slot that its holder sleeps towards

    @property
    def free(self) -> int:
        """How many places were given back and not taken yet."""
        return max(0, len(self.places) - len(self.told))

    def next_place(self) -> int:
        """The first place given back, else a new one at the end."""
        return self.places.index(FREE) if self.free else len(self.places)

    def take(self, place: int, ticket: int, slot: float) -> None:
        """Put a ticket at a place, and note when it was told that it may start."""
        self.told[ticket] = slot
        self.places[place : place + 1] = [ticket]

    def leave(self, ticket: int) -> None:
        """Give a ticket's place back."""
        if ticket in self.places:
            self.places[self.places.index(ticket)] = FREE
        self.told.pop(ticket, None)

    def start(self, ticket: int) -> None:
        """Let a ticket start, which takes it and its place out."""
        self.places.remove(ticket)
        del self.told[ticket]

    def drop_free_before(self, end: int) -> int:
        """Forget the free places before `end`; return how many."""
        if not self.free:
            return 0
        held = [ticket for ticket in self.places[:end] if ticket != FREE]
        self.places[:end] = held
        return end - len(held)

    def drop_free_at_end(self) -> int:
        """Forget the free places behind the last waiter; return how many."""
        before = len(self.places)
        while self.places and self.places[-1] == FREE:
            self.places.pop()
        if not self.places:
            self.told.clear()
        return before - len(self.places)
