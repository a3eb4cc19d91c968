"""A server that repeats the key: behind any padding, in any form, in whatever is read of it."""

import json
from itertools import product

import orjson
import pytest
from rendered_errors import rendered
from scripted_server import URL, answer, vectors
from thoroughness import in_pairs

from langchain_hf_endpoint import HFEndpointError, InferenceEndpoint, InferenceEndpoints

KEY = "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNa"
HARD_KEY = "Quoted\"back\\slash'and%more/of+it"


def holds(text, key):
    """Whether any six letters in a row are of the key."""
    return any(key[start : start + 6] in text for start in range(len(key) - 5))


PLACES = {
    "JSON": lambda text: json.dumps({"error": text}),
    "OpenAI": lambda text: json.dumps({"object": "error", "message": text, "code": 400}),
    "FastAPI": lambda text: json.dumps({"detail": [{"loc": ["body", text], "msg": text}]}),
    "text": lambda text: text,
    "page": lambda text: f"<html><title>{text}</title>",
    "repr in JSON": lambda text: json.dumps({"error": repr(text)}),
}


@in_pairs(
    key=[KEY, HARD_KEY],
    padding=[0, 263, 264, 270, 290, 4060, 4080],
    status=[200, 400, 401, 424],
)
def test_no_part_of_the_key_is_in_an_error(server, make, padding, key, status):
    for fill, place in product("x ", PLACES.values()):
        server.behave(answer(status, place(fill * padding + " " + key), headers={"x-key": key}))
        with pytest.raises(HFEndpointError) as caught:
            make(api_key=key, max_wait=0).embed_query("one text")
        assert not holds(rendered(caught.value), key)


def test_nor_in_what_a_redirect_says(drive, server, make):
    server.behave(answer(307, headers={"location": f"https://x.example.org/{KEY}/a"}))
    with pytest.raises(
        HFEndpointError, match=r"redirects to https://x\.example\.org/\*\*\*"
    ) as caught:
        drive.query(make(api_key=KEY), "one text")
    assert not holds(rendered(caught.value), KEY)


def info(**more):
    return {
        "model_id": "intfloat/some-model",
        "model_type": {"embedding": {"pooling": "mean"}},
        "max_client_batch_size": 64,
        "version": "1.9.3",
        **more,
    }


@pytest.mark.parametrize("form", [KEY, "".join(f"\\u{ord(one):04x}" for one in KEY)])
@pytest.mark.parametrize("padding", ["", "x" * 190])
def test_nor_in_what_the_server_says_of_itself(drive, server, form, padding):
    told = orjson.dumps(info(model_id="KEY", version="KEY")).decode()
    server.script(answer(200, told.replace("KEY", padding + form)), vectors)
    described = drive.describe(InferenceEndpoint(url=URL, api_key=KEY))
    assert not holds(repr(described), KEY)
    assert described.model_id == f"{padding}***"


def test_nor_in_what_a_registry_keeps_and_gives(server):
    server.script(answer(200, info(model_id=f"org/{KEY}")), vectors)
    with InferenceEndpoints() as endpoints:
        config = {"service": "hugging_face", "service_settings": {"url": URL, "api_key": KEY}}
        stored = endpoints.put(inference_id="mine", inference_config=config)
        assert not holds(repr(stored) + repr(endpoints.get(inference_id="mine")), KEY)


def test_nor_in_the_log(drive, server, make, caplog, clock):
    caplog.set_level(0)
    failing = answer(500, {"error": "x" * 270 + KEY})
    server.script(failing, failing, failing)
    server.behave(vectors)
    drive.query(make(api_key=KEY, dialect="auto"), "one text")
    assert "does not say what it is" in caplog.text
    assert not holds(caplog.text, KEY)


@pytest.mark.parametrize("key", ["none", "EMPTY", "x", "-"])
def test_a_word_that_serves_as_a_key_leaves_the_words_alone(drive, server, make, key):
    said = "the nonexistent EMPTY-handed x-model: none"
    server.behave(answer(424, {"error": said}))
    with pytest.raises(HFEndpointError) as caught:
        drive.query(make(api_key=key), "one text")
    assert said in str(caught.value)


def test_digits_of_vectors_that_are_those_of_a_key_stay(drive, server, make):
    server.behave(answer(200, "[[0.12345678,0.5]]"))
    got = drive.query(make(api_key="12345678", task_settings={"normalize": False}), "one text")
    assert got == [0.12345678, 0.5]
