"""Who waits in one lane, in order.

It knows tickets and the moments that their holders were told. It must not know how those moments
come about.
"""

from __future__ import annotations

FREE = 0
"""Stands in the line for a place that was given back."""


class Line:
    """The places of one lane, in order.

    Attributes:
        places: The ticket of who holds it, or ``FREE`` if it was given back.
        told: Ticket -> the slot that its holder was told, and sleeps towards.
    """

    # Whatever is interrupted (Ctrl-C) between two statements is put right by `leave`, which
    # whoever was interrupted calls; a ticket is in `told` for as long as it is in `places`.
    __slots__ = ("places", "told")

    def __init__(self) -> None:
        self.places: list[int] = []
        self.told: dict[int, float] = {}

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
