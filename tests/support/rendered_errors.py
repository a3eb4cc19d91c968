"""An error as it is shown to those who print it."""

from __future__ import annotations

import traceback
from pathlib import Path

TESTS = Path(__file__).parents[1]


def rendered(error: BaseException) -> str:
    """All that an error shows, with the locals of our frames.

    The frames of a test hold what it passes, as a caller's frames must.
    """
    shown = []
    for each in (error, error.__cause__, error.__context__):
        if each is None:
            continue
        shown += [str(each), repr(each), repr(vars(each))]
        stack = traceback.TracebackException.from_exception(each, capture_locals=True).stack
        ours = [frame for frame in stack if TESTS not in Path(frame.filename).parents]
        shown += [f"{frame.line} {frame.locals}" for frame in ours]
    return "\n".join(shown)
