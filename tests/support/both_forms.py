"""A reply is read as lists and as arrays: what comes out must be the same, rows or refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from langchain_hf_endpoint._messages import Failure

if TYPE_CHECKING:
    from langchain_hf_endpoint._messages import Response, Vectors
    from langchain_hf_endpoint._protocols import Dialect


def read_in_both_forms(dialect: Dialect, reply: Response, count: int) -> Vectors | Failure:
    """The lists, or the failure, after a look at the arrays."""
    lists = dialect.decode(reply, count)
    arrays = dialect.decode(reply, count, "arrays")
    if isinstance(lists, Failure):
        assert arrays == lists
    else:
        assert not isinstance(arrays, Failure), arrays
        kept = np.asarray(arrays, np.float32)
        assert kept.shape == (count, len(lists[0]))
        assert np.array_equal(kept, np.asarray(lists, np.float32))
    return lists
