import orjson
import pytest

from langchain_hf_endpoint._messages import InputOptions
from langchain_hf_endpoint._protocols import DIALECTS
from langchain_hf_endpoint._protocols.base import as_json
from langchain_hf_endpoint.errors import InputError

URL = "https://k7l1.us-east-1.aws.endpoints.huggingface.cloud/any%20path/?q=1"


def body_of(dialect, options=InputOptions(), inputs=("a", "b")):  # noqa: B008 - frozen
    return orjson.loads(DIALECTS[dialect].encode(URL, as_json(inputs), options).body)


def test_names_are_those_of_the_setting():
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {
        "tei": "tei",
        "hugging_face": "hugging_face",
        "openai": "openai",
    }


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_request_is_a_post_to_the_url_as_given(dialect):
    request = dialect.encode(URL, [b'"a"'], InputOptions())
    assert (request.method, request.url) == ("POST", URL)
    assert request.headers == {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
    }


@pytest.mark.parametrize("dialect", ["tei", "hugging_face"])
def test_native_fields_are_said_explicitly(dialect):
    assert body_of(dialect) == {"inputs": ["a", "b"], "truncate": True, "normalize": True}
    options = InputOptions(
        prompt_name="query", truncate=False, normalize=False, dimensions=256, model="m"
    )
    assert body_of(dialect, options) == {
        "inputs": ["a", "b"],
        "truncate": False,
        "normalize": False,
        "prompt_name": "query",
        "dimensions": 256,
    }


def test_openai_fields():
    assert body_of("openai") == {
        "input": ["a", "b"],
        "model": "tei",
        "encoding_format": "base64",
    }
    options = InputOptions(dimensions=64, model="BAAI/bge-m3")
    assert body_of("openai", options) == {
        "input": ["a", "b"],
        "model": "BAAI/bge-m3",
        "encoding_format": "base64",
        "dimensions": 64,
    }


@pytest.mark.parametrize(("dialect", "field"), [("tei", "inputs"), ("openai", "input")])
def test_a_single_input_is_a_list_too(dialect, field):
    assert body_of(dialect, inputs=["one"])[field] == ["one"]


def test_texts_travel_as_utf8():
    body = DIALECTS["tei"].encode(URL, as_json(["žluťoučký 🐎\n\t\x00"]), InputOptions()).body
    assert "žluťoučký 🐎\\n\\t\\u0000".encode() in body


def test_a_lone_surrogate_is_an_error_of_that_input():
    with pytest.raises(InputError, match="surrogate") as caught:
        as_json(["fine", "half \ud83d emoji: secret"])
    assert caught.value.index == 1
    assert "secret" not in str(caught.value)


def test_what_the_openai_dialect_cannot_carry():
    openai = DIALECTS["openai"]
    assert openai.unsupported(InputOptions(dimensions=8)) == []
    options = InputOptions(prompt_name="query", truncate=False, normalize=False)
    assert [field for field, _ in openai.unsupported(options)] == [
        "prompt_name",
        "truncate",
        "normalize",
    ]
    assert all("dialect" in why for _, why in openai.unsupported(options))
    assert DIALECTS["tei"].unsupported(options) == []
    assert DIALECTS["hugging_face"].unsupported(options) == []
