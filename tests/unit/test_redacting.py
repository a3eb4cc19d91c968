"""A key is found in whichever form a server repeats it, and a word that serves as one is left."""

import base64
import json
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from langchain_hf_endpoint._messages import Response
from langchain_hf_endpoint._secrets import Redactor

KEYS = {
    "token": "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNa",
    "letters": "CaNaRyCaNaRyCaNaRyCaNaRy",
    "marks": "p\"q'r\\s/t&u<v>w+x=y%z",
    "quotes at the ends": '"quoted-secret"',
    "backslashes at the ends": "\\C:\\secret\\",
    "of a JWT": "eyJhbGciOi.eyJzdWIiOiIx.MjM0NTY3-ODkw_Q==",
    "uuid": "0b0e8a9e-5f2c-4a7e-9d6b-000000000000",
}
FORMS = {
    "plain": lambda key: key,
    "repr": repr,
    "repr of a repr": lambda key: repr(repr(key)),
    "JSON": json.dumps,
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "JSON with every slash escaped": lambda key: json.dumps(key).replace("/", "\\/"),
    "JSON in code points": lambda key: "".join(f"\\u{ord(one):04x}" for one in key),
    "JSON in CODE POINTS": lambda key: "".join(f"\\u{ord(one):04X}" for one in key),
    "Python's hex": lambda key: "".join(f"\\x{ord(one):02x}" for one in key),
    "a shell's quotes": lambda key: key.replace("\\", "\\\\").replace("'", "\\'"),
    "URL": lambda key: quote(key, safe=""),
    "URL path": quote,
    "URL query": quote_plus,
    "URL in lower case": lambda key: quote(key, safe="").lower() if key.islower() else quote(key),
    "URL in a URL": lambda key: quote(quote(key, safe=""), safe=""),
    "URL, all letters": lambda key: "".join(f"%{ord(one):02X}" for one in key),
    "HTML": escape,
    "HTML by number": lambda key: "".join(f"&#{ord(one)};" for one in key),
    "HTML by hex number": lambda key: "".join(f"&#x{ord(one):X};" for one in key),
    "upright next to letters": lambda key: f"key{key}and",
}
BASE64 = {
    "itself": lambda key: key,
    "Bearer": lambda key: f"Bearer {key}",
    "user": lambda key: f"user:{key}",
    "a header": lambda key: f"Authorization: Bearer {key}\r\nHost: x",
    "x": lambda key: f"x:{key}:x",
    "JSON": lambda key: json.dumps({"api_key": key}) if '"' not in key and "\\" not in key else key,
}


def parts(key):
    """Pieces of a key that are long enough to be of use to somebody."""
    return [key[start : start + 6] for start in range(len(key) - 5)]


@pytest.fixture(params=KEYS.values(), ids=KEYS.keys())
def key(request):
    return request.param


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_key_is_found_in_every_form(key, form):
    told = f"invalid key {form(key)} (401)"
    assert form(key) in told
    left = Redactor(SecretStr(key)).text(told)
    assert "***" in left
    assert left.startswith("invalid key ")
    assert left.endswith(" (401)")
    assert not any(part in left for part in parts(key))
    assert form(key) not in left


@pytest.mark.parametrize("holder", BASE64.values(), ids=BASE64.keys())
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, None])
def test_a_key_is_found_in_base64_of_anything(key, holder, encode):
    whole = (encode or base64.b64encode)(holder(key).encode()).decode()
    whole = whole if encode else quote(whole, safe="")
    left = Redactor(SecretStr(key)).text(f"header Basic {whole} refused")
    assert "***" in left
    # What is left on either side are letters that the key shares with its neighbours.
    before, _, after = left.removeprefix("header Basic ").removesuffix(" refused").partition("***")
    for rest in (before, after):
        assert not any(part in _decoded(rest) for part in parts(key))
    own = base64.b64encode(key.encode()).decode().rstrip("=")[:-1]
    assert own not in left


def _decoded(text):
    """All that a piece of base64 may say."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    return "".join(
        base64.b64decode(plain[moved : moved + (len(plain) - moved) // 4 * 4]).decode("latin-1")
        for moved in range(4)
        if "%" not in plain
    )


WORDS = {
    "none": "nonexistent: none of the prompts is of NONE",
    "EMPTY": "inputs cannot be EMPTY, EMPTYING",
    "x": "max exceeded",
    "-": "batch size 33 - too large",
    "": "anything",
    "dummy": "a dummy model",
    "1": "11 of 1",
    "abc": "abc",
}


@pytest.mark.parametrize("key", WORDS)
def test_a_word_that_serves_as_a_key_leaves_the_servers_words_alone(key):
    assert Redactor(SecretStr(key)).text(WORDS[key]) == WORDS[key]


@pytest.mark.parametrize(
    ("key", "told", "left"),
    [
        ("s3cr3t", "key s3cr3t, not s3cr3ts", "key ***, not s3cr3ts"),
        ("placeholder", "placeholders: placeholder", "placeholders: ***"),
        ("not-needed", "not-needed is no key", "*** is no key"),
    ],
)
def test_what_may_be_a_word_is_taken_out_where_it_stands_alone(key, told, left):
    assert Redactor(SecretStr(key)).text(told) == left


def test_without_a_key_nothing_is_changed():
    assert Redactor(None).text("hf_ *** x") == "hf_ *** x"
    reply = Response(400, {}, b"{}")
    assert Redactor(None).response(reply) is reply


def test_json_is_json_still(key):
    told = {"error": f"no such key: {key}", key: [key, {"deep": f"x{key}x"}], "n": 1}
    left = Redactor(SecretStr(key)).response(Response(400, {}, json.dumps(told).encode()))
    assert json.loads(left.body) == {
        "error": "no such key: ***",
        "***": ["***", {"deep": "x***x"}],
        "n": 1,
    }


def test_bytes_that_are_no_text_and_the_other_headers_stay():
    key = KEYS["token"]
    reply = Response(
        302, {"location": f"/x?token={key}", "date": "now"}, b"\xff\x00\xe9" + key.encode()
    )
    left = Redactor(SecretStr(key)).response(reply)
    assert left.body == b"\xff\x00\xe9***"
    assert left.headers == {"location": "/x?token=***", "date": "now"}


def test_it_shows_no_key(key):
    assert not any(part in repr(Redactor(SecretStr(key))) for part in parts(key))
