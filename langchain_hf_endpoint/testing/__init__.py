"""An embedding endpoint that fails as it is told, for tests of whatever calls one.

::

    from langchain_hf_endpoint.testing import ScriptedEndpoint, expected_vector, faults

    with ScriptedEndpoint(dimensions=64) as server:
        server.script(faults.rate_limited(retry_after=1), faults.reset("body"))
        vectors = HFEndpointEmbeddings(url=server.url).embed_documents(texts)
        assert len(server.requests) == 3

It is a real server on a real port of this machine, so it tests any client: of this package, of
another, in another language. It needs nothing beyond the package; only an endpoint with a
certificate needs the extra ``[testing]``.
"""

from langchain_hf_endpoint.errors import MissingExtraError
from langchain_hf_endpoint.testing import faults
from langchain_hf_endpoint.testing.corruptions import CHANGES
from langchain_hf_endpoint.testing.endpoint import ScriptedEndpoint
from langchain_hf_endpoint.testing.faults import Asked, Fault
from langchain_hf_endpoint.testing.messages import Arrival, Headers, Reply
from langchain_hf_endpoint.testing.plans import FaultPlan, Plan
from langchain_hf_endpoint.testing.vectors import expected_score, expected_vector

__all__ = [
    "CHANGES",
    "Arrival",
    "Asked",
    "Fault",
    "FaultPlan",
    "Headers",
    "MissingExtraError",
    "Plan",
    "Reply",
    "ScriptedEndpoint",
    "expected_score",
    "expected_vector",
    "faults",
]
