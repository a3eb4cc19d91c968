"""What is sent to a server whose vectors depend on what a text shares a request with."""

import orjson
import pytest

from langchain_hf_endpoint._engine.parity import needed_restriction
from langchain_hf_endpoint._messages import Parity, Response
from langchain_hf_endpoint._protocols import read_info
from langchain_hf_endpoint._protocols.tei_server import TeiServer
from langchain_hf_endpoint._session.server_state import Restriction

GOOD = dict.fromkeys(
    (
        "repeated",
        "equal_lengths",
        "mixed_lengths",
        "concurrent",
        "concurrent_equal_lengths",
    ),
    0.9995,
)


@pytest.mark.parametrize(
    ("wrong", "needed"),
    [
        ((), Restriction.NONE),
        (("equal_lengths",), Restriction.ONE_A_REQUEST),
        (("mixed_lengths",), Restriction.ONE_A_REQUEST),
        (("concurrent_equal_lengths", "equal_lengths"), Restriction.ONE_AT_A_TIME),
        (("concurrent",), Restriction.NOTHING),
        (("repeated",), Restriction.NOTHING),
        (("repeated", "equal_lengths", "mixed_lengths"), Restriction.NOTHING),
    ],
)
def test_what_is_wrong_decides_how_much_is_sent(wrong, needed):
    found = Parity(**{**GOOD, **dict.fromkeys(wrong, 0.14)})
    assert needed_restriction(found) is needed
    assert found.is_good is (needed is Restriction.NONE)
    assert all(name.replace("_", " ") in str(found) for name in wrong)


KNOWN = {
    "Qwen/Qwen3-Embedding-0.6B": True,
    "google/embeddinggemma-300m": True,
    "someone/gemma3-embed": True,
    "BAAI/bge-small-en-v1.5": False,
    "Qwen/Qwen2-embedding": False,
}


def fault_of(model: str, version: str = "1.9.3", **fields: object) -> str | None:
    content = orjson.dumps(TeiServer(model_id=model, dimensions=8, version=version).info(**fields))
    return read_info(Response(200, {}, content)).fault


@pytest.mark.parametrize("model", KNOWN)
def test_a_tei_that_is_known_to_leave_out_the_mask_is_known_by_what_it_says(model):
    assert (fault_of(model) is not None) is KNOWN[model]
    assert fault_of(model, version="1.9.4") is None
    assert fault_of(model, version="1.10.0") is None
    assert (fault_of(model, version="1.7.1") is not None) is KNOWN[model]
    assert fault_of(model, model_dtype="float16", docker_label="sha-0000000") is None
    assert (fault_of(model, model_dtype="float16") is not None) is KNOWN[model]
