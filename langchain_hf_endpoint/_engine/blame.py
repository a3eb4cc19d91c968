"""Whose fault a failure is: the server's, or that of one of the inputs that were sent.

What fails again and again, while the server gives right answers to other requests, fails for its
inputs. A text is blamed only where it stood alone, failed, others were answered, and it failed
again: a server that is down for a while fails everything, and answers nothing in between. An answer
tells of the time after the request was begun: one that was under way when others failed, as when a
key is revoked, shows nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from langchain_hf_endpoint._messages import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_hf_endpoint._messages import Failure

_FORBIDDEN = 403
_SUCCESSES = range(200, 300)
_UPSTREAM_TIME_OUTS = frozenset({408, 504, 522, 524, 598, 599})
_BAD_GATEWAY = 502

_TRIES_BEFORE_PROBE = 4

MOST_ASIDE = 8
"""Runs of one batch's inputs that have failed and wait for a sign of life, after which no others
are tried: as many as a batch of 128 has halves of halves."""


class Suspicion(Enum):
    """How a failure may come to be its inputs' fault."""

    REFUSED = "refused"
    """The server says that it is."""
    FINAL = "final"
    """It is final, but may be about one input: 424, a firewall's 403."""
    MALFORMED = "malformed"
    """A success that cannot be right, as by a NaN in one vector."""
    PASSING = "passing"
    """It may pass by itself: a 5xx, a connection that is reset, a time-out."""
    BUSY = "busy"
    """503 of a server that has worked: it starts anew, is busy, or has failed behind its proxy."""


@dataclass(frozen=True, slots=True)
class _Tries:
    """How often something must have failed."""

    whole: int  # several inputs, before they are asked for in halves
    blamed: int  # one input, in all requests that it was part of, before it is blamed
    after_others: int  # that input alone, after others were answered


_TRIES: Mapping[Suspicion, _Tries] = {
    Suspicion.FINAL: _Tries(whole=1, blamed=2, after_others=1),
    Suspicion.MALFORMED: _Tries(whole=2, blamed=2, after_others=1),
    Suspicion.PASSING: _Tries(whole=2, blamed=8, after_others=2),
    Suspicion.BUSY: _Tries(whole=4, blamed=16, after_others=4),
}

MAY_PASS = frozenset({Suspicion.PASSING, Suspicion.BUSY})


def suspicion(failure: Failure, *, has_worked: bool) -> Suspicion | None:
    """Tell whether a failure may be its inputs' fault; None where it is the server's for sure.

    `has_worked` is whether the server has taken this key before.
    """
    cause = failure.cause
    if cause in {Cause.INPUT_REJECTED, Cause.BODY_TOO_LARGE}:
        return Suspicion.REFUSED
    if cause is Cause.SERVER or (cause is Cause.TRANSPORT and failure.connected):
        return Suspicion.PASSING
    if cause is Cause.NOT_READY and has_worked and not failure.is_estimate:
        return Suspicion.BUSY
    if cause is Cause.PROTOCOL and failure.status in _SUCCESSES:
        return Suspicion.MALFORMED
    forbidden = cause is Cause.AUTHENTICATION and failure.status == _FORBIDDEN and has_worked
    if forbidden or cause in {Cause.BACKEND, Cause.BLOCKED, Cause.PROTOCOL}:
        return Suspicion.FINAL
    return None


def tells_of_size(failure: Failure) -> bool:
    """Whether the inputs may have been too many for the time that there is: ours, or a proxy's."""
    return took_too_long(failure) or failure.status == _BAD_GATEWAY


def took_too_long(failure: Failure) -> bool:
    """Whether it says so. A proxy's 502 may mean this and much else."""
    return failure.timed_out or failure.status in _UPSTREAM_TIME_OUTS


class Next(Enum):
    """What is to be done about inputs that failed."""

    HALVE = "halve"
    SET_ASIDE = "set aside"
    """Others first: whether the server answers them tells whose fault it is."""
    BLAME = "blame"
    FAIL_ALONE = "fail alone"
    """Its time is over, without proof that it is at fault. Others are answered and go on."""
    GIVE_UP = "give up"


@dataclass(slots=True)
class InputRange:
    """Some neighbouring inputs of a batch, and how they have fared."""

    start: int  # the first
    stop: int  # behind the last
    failures: int = 0  # requests in a row that failed with these inputs in them
    own: int = 0  # those of them that had no others
    # How many requests were begun when these inputs first failed, together with others or not;
    # None where they have not.
    first: int | None = None
    own_first: int = 0  # the same when they first failed without others
    after_others: int = 0  # how often they failed after others had been answered

    @property
    def size(self) -> int:
        """How many inputs."""
        return self.stop - self.start

    def failed(self, answers: int, *, begun: int) -> None:
        """Count a failure, by which so many requests were begun, and the `answers`-th answered."""
        if self.first is None:
            self.first = begun
        if not self.own:
            self.own_first = begun
        self.after_others += answers > self.own_first
        self.failures += 1
        self.own += 1

    def server_works(self, answers: int) -> bool:
        """Whether a request is answered that was begun since these inputs first failed."""
        return self.first is not None and answers > self.first

    def halves(self) -> tuple[InputRange, InputRange]:
        """Its two halves, with its past."""
        middle = (self.start + self.stop) // 2
        past = (self.failures, 0, self.first)
        return InputRange(self.start, middle, *past), InputRange(middle, self.stop, *past)

    def is_to_blame(self, why: Suspicion, answers: int) -> bool:
        """Whether one input has failed often enough while others did not."""
        tries = _TRIES[why]
        proven = self.after_others >= tries.after_others and self.failures >= tries.blamed
        return self.size == 1 and proven and answers > self.own_first


def wants_a_probe(run: InputRange, why: Suspicion) -> bool:
    """Whether something that works is to be sent, to see if the server still does."""
    if run.after_others:
        return False
    if why in MAY_PASS:
        return run.own % _TRIES_BEFORE_PROBE == 0
    return True


def tries_again(
    run: InputRange, why: Suspicion, answers: int, *, is_last: bool, can_probe: bool
) -> bool:
    """Whether inputs that have failed are sent again as they are, if time is left for it.

    `answers` is the number of the last request that is answered, `is_last` whether nothing else is
    left to be tried, `can_probe` whether there is something that has worked.
    """
    if why is Suspicion.REFUSED or (is_last and can_probe and wants_a_probe(run, why)):
        return False
    if why is Suspicion.BUSY and run.size and not run.server_works(answers):
        return not (can_probe and wants_a_probe(run, why))
    passing = why in MAY_PASS
    first = run.own == run.failures and run.own < _TRIES[why].whole
    if run.size > 1:
        return first or (is_last and passing and not run.server_works(answers))
    if run.is_to_blame(why, answers):
        return False
    return first or (passing and (is_last or run.after_others > 0))


def what_next(  # noqa: PLR0913 - all that is known
    run: InputRange, why: Suspicion, answers: int, *, aside: int, is_last: bool, can_probe: bool
) -> Next:
    """Say what is to be done about inputs that are not sent again as they are.

    As in `tries_again`; `aside` is how many other runs have failed and wait for a sign of life.
    """
    probes = can_probe and wants_a_probe(run, why)
    if run.size > 1:
        if why is Suspicion.REFUSED or run.server_works(answers):
            return Next.HALVE
        if is_last and not probes:
            return Next.GIVE_UP
        return Next.SET_ASIDE if aside or why is Suspicion.BUSY else Next.HALVE
    if why is Suspicion.REFUSED or run.is_to_blame(why, answers):
        return Next.BLAME
    if is_last and not probes:  # the time is over
        return Next.FAIL_ALONE if run.after_others else Next.GIVE_UP
    return Next.SET_ASIDE
