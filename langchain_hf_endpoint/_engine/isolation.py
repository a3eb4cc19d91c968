"""Keep what became of each input of a batch, and say which are to be sent next."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from langchain_hf_endpoint._engine.blame import (
    MAY_PASS,
    MOST_ASIDE,
    InputRange,
    Next,
    Suspicion,
    suspicion,
    tells_of_size,
    took_too_long,
    what_next,
)
from langchain_hf_endpoint._messages import Cause
from langchain_hf_endpoint.errors import HFEndpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_hf_endpoint._engine.attempts import GivenUp, RetryState
    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._messages import Failure

RowT = TypeVar("RowT")


class Fault(Enum):
    """Whose fault it is that inputs have no vectors."""

    INPUTS = "inputs"
    """Theirs: other inputs fare better."""
    SERVER = "server"
    """The server's: other batches would meet the same."""
    UNCLEAR = "unclear"
    """The server failed all of a batch, by what may be the inputs' fault or its own."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[RowT]):
    """What became of the inputs ``[start:stop]`` of a batch.

    `fault` is of their error; `is_proven` is whether their reply showed which model's they are.
    """

    start: int
    stop: int
    result: Sequence[RowT] | HFEndpointError
    fault: Fault = Fault.SERVER
    is_proven: bool = False


class Search(Generic[RowT]):
    """The inputs of one batch: which are done, which are to be sent next, which have failed.

    While the server answers nothing, a batch that failed is asked for in ever smaller parts: down
    to one input, and then for what that leaves. What fails meanwhile is set aside. If nothing of
    it is answered, nor what it has answered before, the server fails everything.
    """

    def __init__(self, inputs: int, call: Call, retry: RetryState) -> None:
        self._call = call
        self._retry = retry
        self._open = deque([InputRange(0, inputs)])
        self._aside: list[tuple[InputRange, GivenUp, Suspicion]] = []
        self._slow: list[tuple[InputRange, bool]] = []
        self._refused: list[tuple[InputRange, int]] = []
        self._nothing_works = False
        self._may_probe = True
        self._first: GivenUp | None = None
        self.outcomes: list[Outcome[RowT]] = []

    @property
    def probe(self) -> list[bytes]:
        """An input that the server has answered, if there was one: sent by a run of size 0."""
        sample = self._call.server.sample
        return [] if sample is None else [sample]

    def next_run(self) -> InputRange | None:
        """What is to be sent next; None where every input has its outcome."""
        if len(self._aside) > MOST_ASIDE:
            self._reopen()
        while self._aside and not self._open:
            self._reopen()
        while self._open:
            run, size = self._open.popleft(), self._call.batch_size
            if run.size <= size:
                return run
            cuts = range(run.start, run.stop, size)
            self._open.extendleft(
                replace(run, start=cut, stop=min(cut + size, run.stop), own=0)
                for cut in reversed(cuts)
            )
        return None

    def is_last(self, run: InputRange) -> bool:
        """Whether nothing else is left that could show that the server works."""
        return self._nothing_works or (run.size == 1 and not self._open and not self._aside)

    def _reopen(self) -> None:
        """Go on with what was set aside: where others were answered since, else all the same."""
        answers = self._call.server.answers
        ready = [one for one in self._aside if answers > one[0].own_first]
        if ready:
            self._aside = [one for one in self._aside if one not in ready]
            for run, given_up, why in reversed(ready):
                if run.is_to_blame(why, answers):
                    self._settle(run, given_up, Fault.INPUTS, is_blamed=True)
                else:
                    self._open.appendleft(run)
            self._retry.succeeded()  # of others: the server works, so there is time again
        elif self._aside and self._may_probe and self.probe:
            self._may_probe = False
            self._open.appendleft(InputRange(0, 0))
        elif self._aside:
            self._may_probe = True
            _, given_up, why = self._aside[0]
            if why in MAY_PASS and not self._retry.is_spent:
                self._nothing_works = True
                self._open.appendleft(self._aside.pop(0)[0])
            else:
                self._give_up_for(given_up, why)

    def again(self, run: InputRange) -> None:
        """Have a run sent once more, in as small parts as the server is sent by now."""
        self._open.appendleft(run)

    def succeeded(self, run: InputRange, rows: Sequence[RowT], *, is_proven: bool) -> None:
        """Enter the vectors of a run."""
        self._nothing_works, self._may_probe = False, True
        if run.size == 0:
            return
        self.outcomes.append(Outcome(run.start, run.stop, rows, is_proven=is_proven))
        for slow, is_sure in list(self._slow):
            done = sum(
                one.stop - one.start
                for one in self.outcomes
                if slow.start <= one.start < slow.stop
                and not isinstance(one.result, HFEndpointError)
            )
            if done == slow.size:
                self._slow.remove((slow, is_sure))
                self._call.server.worked_in_parts(slow.size, is_sure=is_sure)

    def tries_alone(self, run: InputRange, given_up: GivenUp) -> bool:
        """Send one input that failed together with the proof without it, where that may help."""
        failure, server = given_up.failure, self._call.server
        may_be_of_inputs = suspicion(failure, has_worked=server.has_worked) is not None
        if failure.cause is Cause.BATCH_TOO_LARGE:
            server.refused_batch(run.size + 1, failure.batch_limit)
        elif given_up.is_over or self._retry.is_spent or not may_be_of_inputs:
            return False
        self._open.appendleft(replace(run, own=0))
        return True

    def failed(self, run: InputRange, sent: Sequence[bytes], given_up: GivenUp) -> None:
        """Decide what becomes of a run that failed; remembers what the server takes."""
        if run.size == 0:
            self._nothing_works = True
            return
        failure, server = given_up.failure, self._call.server
        why = None if given_up.is_over else suspicion(failure, has_worked=server.has_worked)
        if failure.cause is Cause.BATCH_TOO_LARGE and run.size > 1:
            server.refused_batch(run.size, failure.batch_limit)
            self._open.appendleft(InputRange(run.start, run.stop))
            return
        if failure.cause is Cause.DIMENSIONS:
            self._settle(run, given_up, Fault.UNCLEAR)
            return
        if why is None:
            self.give_up(self._error(given_up), Fault.SERVER, run)
            return
        if why is not Suspicion.REFUSED:
            self._first = self._first or given_up
        self._note_refusal(run, sum(map(len, sent)), failure)
        aside = len(self._aside)
        step = what_next(
            run,
            why,
            server.answers,
            aside=aside,
            is_last=self.is_last(run),
            can_probe=bool(self.probe),
        )
        self._nothing_works = self._nothing_works and step in {Next.SET_ASIDE, Next.GIVE_UP}
        if step is Next.HALVE:
            self._halve(run, failure)
        elif step is Next.SET_ASIDE:
            self._aside.append((run, given_up, why))
        elif step in {Next.BLAME, Next.FAIL_ALONE}:
            self._settle(run, given_up, Fault.INPUTS, is_blamed=step is Next.BLAME)
        else:
            self._give_up_for(given_up, why, run)

    def _note_refusal(self, run: InputRange, size: int, failure: Failure) -> None:
        if run.size == 1:
            if tells_of_size(failure):
                self._slow.clear()  # larger runs did not fail for their size
        elif failure.cause is Cause.BODY_TOO_LARGE:
            self._call.server.refused_body(size)
        elif failure.cause is Cause.INPUT_REJECTED and failure.share is not None:
            self._call.server.refused_tokens(size, failure.share)
        elif failure.cause is Cause.INPUT_REJECTED:
            self._refused.append((run, size))

    def learn_from_refusals(self) -> None:
        """What was refused although none of its inputs is at fault was too much at once.

        Such is a limit of tokens per request, in whichever words.
        """
        for run, size in self._refused:
            within = [one for one in self.outcomes if one.start < run.stop and run.start < one.stop]
            if not any(isinstance(one.result, HFEndpointError) for one in within):
                self._call.server.refused_tokens(size, None)

    def _halve(self, run: InputRange, failure: Failure) -> None:
        if tells_of_size(failure):
            self._slow.append((run, took_too_long(failure)))
            self._call.server.failed_again(run.size, run.first or 0)
        self._open.extendleft(reversed(run.halves()))

    def _settle(
        self, run: InputRange, given_up: GivenUp, fault: Fault, *, is_blamed: bool = False
    ) -> None:
        attempts = max(given_up.attempts, run.failures)
        error = self._call.error(given_up.failure, attempts, of_input=is_blamed)
        self.outcomes.append(Outcome(run.start, run.stop, error, fault))

    def _error(self, given_up: GivenUp) -> HFEndpointError:
        return self._call.error(given_up.failure, given_up.attempts)

    def _give_up_for(self, given_up: GivenUp, why: Suspicion, *runs: InputRange) -> None:
        if why in MAY_PASS:
            self.give_up(self._error(given_up), Fault.SERVER, *runs)
            return
        first = self._first or given_up  # its words are about all of them
        error = self._call.error(first.failure, given_up.attempts)
        self.give_up(error, Fault.UNCLEAR, *runs)

    def give_up(self, error: HFEndpointError, fault: Fault, *runs: InputRange) -> None:
        """These, and all that have no outcome, fail by this error."""
        failed = (*runs, *self._open, *(run for run, _, _ in self._aside))
        self.outcomes.extend(Outcome(one.start, one.stop, error, fault) for one in failed)
        self._open.clear()
        self._aside.clear()
