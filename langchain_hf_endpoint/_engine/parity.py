"""See whether a text has one vector, whatever it is sent with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from langchain_hf_endpoint._engine.discovery import restrict
from langchain_hf_endpoint._engine.run import Run, arun, run
from langchain_hf_endpoint._engine.vectors import ARRAYS
from langchain_hf_endpoint._messages import SAME_VECTOR, Parity
from langchain_hf_endpoint._session.concurrency import ConcurrencyWindow
from langchain_hf_endpoint._session.fingerprint import cosine
from langchain_hf_endpoint._session.server_state import Restriction
from langchain_hf_endpoint.settings import TaskSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from langchain_hf_endpoint._engine.call import Call
    from langchain_hf_endpoint._engine.planner import PlannedText

    Rows: TypeAlias = list[NDArray[np.float32]]

# The same words in other orders: as many tokens for any tokenizer.
_EQUAL = (
    "the dog sees the cat and the bird",
    "the cat sees the bird and the dog",
    "the bird sees the dog and the cat",
)
_OTHERS = (
    "rain",
    "seven ships in the harbour, and one at sea",
    "A keeper counts the ships all winter and writes every one of them into a book.",
)
_ALL = (*_EQUAL, *_OTHERS)


def check_parity(call: Call) -> None:
    """Find it out, once for a server, and have what is wrong avoided from then on.

    Raises:
        HFEndpointError: A text was not embedded.
    """
    steps = _steps(call)
    _conclude(call, [_rows(list(run(texts, Run(how)))) for texts, how in steps])


async def acheck_parity(call: Call) -> None:
    """The async twin of `check_parity`."""
    steps = _steps(call)
    _conclude(call, [_rows([one async for one in arun(texts, Run(how))]) for texts, how in steps])


def _rows(texts: Sequence[PlannedText[NDArray[np.float32]]]) -> Rows:
    for text in texts:
        if text.error is not None:
            raise text.error
    return [text.rows[0] for text in texts]


def _steps(call: Call) -> list[tuple[Sequence[str], Call]]:
    """What is to be embedded, and how: nothing where parity is known, or scores are no vectors."""
    server = call.server
    if server.parity is not None or call.query is not None:
        return []
    # What was learned before must not hide what is looked for.
    window = ConcurrencyWindow()
    window.bound(requests=call.service.max_concurrent_requests)
    plain: Call = replace(
        call,
        server=replace(server, restriction=Restriction.NONE),
        window=window,
        task=TaskSettings(dimensions=call.task.dimensions),
        vector_format=ARRAYS,
        expected_fingerprint=None,
    )
    single = replace(plain, service=call.service.model_copy(update={"max_batch_size": 1}))
    alone: list[tuple[Sequence[str], Call]] = [([text], plain) for text in _ALL]
    together = [(_OTHERS[:1], plain), (_EQUAL, plain), (_ALL, plain)]
    return [*alone, *together, (_OTHERS, single), (_EQUAL, single)]


def _conclude(call: Call, found: Sequence[Rows]) -> None:
    """Keep what the vectors of `_steps` show, and send from now on as they demand."""
    if not found:
        return
    alone = [row for (row,) in found[: len(_ALL)]]
    of_equal, of_others = alone[: len(_EQUAL)], alone[len(_EQUAL) :]
    repeated, equal, mixed, at_once, equal_at_once = found[len(_ALL) :]
    call.server.parity = parity = Parity(
        repeated=min(map(cosine, of_others, repeated)),
        equal_lengths=min(map(cosine, of_equal, equal)),
        mixed_lengths=min(map(cosine, alone, mixed)),
        concurrent=min(map(cosine, of_others, at_once)),
        concurrent_equal_lengths=min(map(cosine, of_equal, equal_at_once)),
    )
    if (needed := needed_restriction(parity)) is not Restriction.NONE:
        restrict(call, needed, f"gives a text another vector than alone ({parity})")


def needed_restriction(found: Parity) -> Restriction:
    """By which requests each text gets the vector that it has alone."""
    if min(found.repeated, found.concurrent) < SAME_VECTOR:
        return Restriction.NOTHING  # of other requests, or of other models: no request is safe
    if found.concurrent_equal_lengths < SAME_VECTOR:
        return Restriction.ONE_AT_A_TIME  # the server puts requests together
    if not found.is_good:
        return Restriction.ONE_A_REQUEST
    return Restriction.NONE
