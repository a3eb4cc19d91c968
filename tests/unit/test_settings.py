"""Contract 1's table, row by row: what each field takes, what it refuses, and how it says so."""

import json
import math

import numpy as np
import pytest
from pydantic import SecretStr

from langchain_hf_endpoint import (
    ChunkingSettings,
    InferenceEndpoint,
    RateLimit,
    ServiceSettings,
    SettingsError,
    TaskSettings,
)
from langchain_hf_endpoint.chunking import PUNKT_LANGUAGES, chunk

URL = "https://x.endpoints.huggingface.cloud"


def refusal(section, **fields):
    """The problems of settings that must be refused, by field."""
    with pytest.raises(SettingsError) as caught:
        section(**fields)
    return dict(caught.value.problems)


def service(**fields):
    return ServiceSettings(**{"url": URL, **fields})


SECTIONS = {
    "service": service,
    "rate": RateLimit,
    "chunking": ChunkingSettings,
    "task": TaskSettings,
}
WORD = {"strategy": "word"}
NO_INTEGERS = [True, False, "30", 30.0, 30.5, [30], {}]
NO_NUMBERS = [True, "60", math.nan, math.inf, -math.inf, [], 10**400]
NO_FLAGS = [1, 0, "true", "false", []]
NO_TEXTS = [1, True, b"query: ", ["query: "]]


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("service", "max_batch_size", 1),
        ("service", "max_batch_size", 4096),
        ("service", "max_batch_size", None),
        ("service", "max_concurrent_requests", 1),
        ("service", "max_concurrent_requests", 4096),
        ("service", "max_concurrent_requests", None),
        ("service", "timeout", 0.001),
        ("service", "timeout", 5),
        ("service", "max_wait", 0),
        ("service", "max_wait", 86_400.0),
        ("service", "allow_insecure_http", True),
        ("service", "api_key", None),
        ("service", "api_key_env", "MY_KEY"),
        ("service", "api_key_env", None),
        *(("service", "dialect", name) for name in ("auto", "tei", "hugging_face", "openai")),
        ("rate", "requests_per_minute", 1),
        ("rate", "requests_per_minute", 10**9),
        ("chunking", "strategy", "sentence"),
        ("chunking", "max_chunking_size", 20),
        ("chunking", "max_chunking_size", 300),
        ("chunking", "sentence_overlap", 0),
        ("chunking", "sentence_overlap", 1),
        *(("chunking", "language", name) for name in PUNKT_LANGUAGES),
        *(("chunking", "max_chunk_tokens", tokens) for tokens in (8, 254, 8190, "auto")),
        ("chunking", "tokenizer", "models/e5/tokenizer.json"),
        *(("task", name, "query: ") for name in ("query_prompt", "document_prompt")),
        *(("task", name, "") for name in ("query_prompt", "document_prompt")),
        *(("task", name, "query") for name in ("query_prompt_name", "document_prompt_name")),
        ("task", "truncate", False),
        ("task", "normalize", False),
        ("task", "dimensions", 1),
        ("task", "dimensions", None),
    ],
)
def test_a_value_within_the_range_is_taken_as_it_is(section, field, value):
    assert getattr(SECTIONS[section](**{field: value}), field) == value


@pytest.mark.parametrize(
    ("section", "field", "values", "allowed"),
    [
        ("service", "max_batch_size", [0, -1, *NO_INTEGERS], "an integer of 1 or more"),
        ("service", "max_concurrent_requests", [0, -1, *NO_INTEGERS], "an integer of 1 or more"),
        ("service", "timeout", [0, 0.0, -1, *NO_NUMBERS], "seconds, more than 0"),
        ("service", "max_wait", [-0.001, -1, *NO_NUMBERS], "seconds, 0 or more"),
        ("service", "allow_insecure_http", NO_FLAGS, "true or false"),
        ("service", "dialect", ["TEI", "", "cohere", 1, ["tei"]], "'auto', 'tei'"),
        ("service", "rate_limit", [3000, "3000", [3000], True], "RateLimit"),
        (
            "service",
            "api_key_env",
            ["", "A=B", "MY KEY", "A\n", "A-B", "1A", 1, True, [""]],
            "variable",
        ),
        ("service", "api_key", [1, True, b"hf_x", ["hf_x"]], "string"),
        ("rate", "requests_per_minute", [0, -1, *NO_INTEGERS], "an integer of 1 or more"),
        ("chunking", "strategy", ["SENTENCE", "semantic", "", 1, True, ["word"]], "'sentence'"),
        ("chunking", "max_chunking_size", [19, 301, 0, -1], "20 to 300 words"),
        ("chunking", "max_chunking_size", NO_INTEGERS, "an integer"),
        ("chunking", "max_chunk_size", NO_INTEGERS, "an integer"),
        ("chunking", "sentence_overlap", [-1, 2, *NO_INTEGERS], "either 0 or 1"),
        ("chunking", "language", ["English", "tlh", "klingon", "", 1, True], "'english'"),
        (
            "chunking",
            "max_chunk_tokens",
            [7, 0, -1, "AUTO", "", "254", *NO_INTEGERS],
            "an integer of 8 or more, or 'auto'",
        ),
        ("chunking", "tokenizer", NO_TEXTS, "a string"),
        *(
            ("task", name, NO_TEXTS, "a string")
            for name in (
                "query_prompt",
                "document_prompt",
                "query_prompt_name",
                "document_prompt_name",
            )
        ),
        ("task", "truncate", NO_FLAGS, "true or false"),
        ("task", "normalize", NO_FLAGS, "true or false"),
        ("task", "dimensions", [0, -1, *NO_INTEGERS], "an integer of 1 or more"),
    ],
)
def test_a_value_outside_of_the_range_is_refused_with_field_and_range(
    section, field, values, allowed
):
    named = "max_chunking_size" if field == "max_chunk_size" else field
    for value in values:
        problems = refusal(SECTIONS[section], **{field: value})
        assert list(problems) == [named], value
        assert allowed in problems[named], value


def test_an_integer_of_numpy_is_one():
    endpoint = InferenceEndpoint(
        "https://x.example",
        max_batch_size=np.int64(4),
        rate_limit={"requests_per_minute": np.uint8(5)},
        chunking_settings={
            "strategy": "word",
            "overlap": np.int32(3),
            "max_chunk_tokens": np.int64(9),
        },
    )
    assert type(endpoint.service_settings.max_batch_size) is int
    config = endpoint.public_config()
    assert json.loads(json.dumps(config)) == config
    for wrong in (np.float64(4), np.True_, np.array([4])):
        with pytest.raises(SettingsError, match="an integer of 1 or more"):
            InferenceEndpoint("https://x.example", max_batch_size=wrong)


def test_a_size_that_is_too_large_says_what_larger_chunks_take():
    problems = refusal(ChunkingSettings, max_chunking_size=400)
    assert "larger chunks are what max_chunk_tokens is for" in problems["max_chunking_size"]
    problems = refusal(ChunkingSettings, max_chunking_size=4)
    assert "max_chunk_tokens" not in problems["max_chunking_size"]


@pytest.mark.parametrize("strategy", ["sentence", "word", "recursive"])
def test_a_size_in_tokens_stands_for_the_default_in_words(strategy):
    in_tokens = ChunkingSettings(strategy=strategy, max_chunk_tokens=500)
    assert in_tokens.max_chunking_size is None
    assert "max_chunking_size" not in in_tokens.public_config()
    assert ChunkingSettings(**in_tokens.public_config()) == in_tokens
    both = ChunkingSettings(strategy=strategy, max_chunk_tokens=500, max_chunking_size=90)
    assert both.max_chunking_size == 90
    assert ChunkingSettings(strategy=strategy, max_chunk_tokens="auto").max_chunking_size == 250


def test_an_overlap_beside_tokens_alone_is_at_most_half_of_the_largest_size():
    assert ChunkingSettings(strategy="word", max_chunk_tokens=500, overlap=150).overlap == 150
    with pytest.raises(ValueError, match="0 to 150, half of the largest max_chunking_size"):
        ChunkingSettings(strategy="word", max_chunk_tokens=500, overlap=151)


def test_a_copy_with_another_size_has_the_overlap_that_goes_with_it():
    words = ChunkingSettings(strategy="word")
    smaller = words.model_copy(update={"max_chunking_size": 60})
    assert (smaller.max_chunking_size, smaller.overlap) == (60, 30)
    assert ChunkingSettings(**smaller.public_config()) == smaller
    assert smaller.model_copy(update={"max_chunking_size": 250}) == words
    chosen = ChunkingSettings(strategy="word", overlap=7)
    assert chosen.model_copy(update={"max_chunking_size": 60}).overlap == 7
    assert words.model_copy(update={"max_chunking_size": 60, "overlap": 20}).overlap == 20
    assert words.model_copy() == words
    assert ChunkingSettings().model_copy(update={"max_chunking_size": 60}).overlap is None


@pytest.mark.parametrize("strategy", ["sentence", "word", "recursive"])
def test_a_copy_with_other_tokens_has_the_size_that_goes_with_them(strategy):
    words = ChunkingSettings(strategy=strategy)
    tokens = words.model_copy(update={"max_chunk_tokens": 500})
    assert tokens == ChunkingSettings(strategy=strategy, max_chunk_tokens=500)
    assert tokens.model_copy(update={"max_chunk_tokens": None}) == words
    assert words.model_copy(update={"max_chunk_tokens": "auto"}).max_chunking_size == 250
    both = {"max_chunk_tokens": 500, "max_chunking_size": 60}
    assert tokens.model_copy(update=both) == ChunkingSettings(strategy=strategy, **both)
    assert tokens.model_copy(update={"max_chunking_size": 60}).max_chunking_size == 60
    chosen = ChunkingSettings(strategy=strategy, max_chunking_size=60)
    assert chosen.model_copy(update={"max_chunk_tokens": 500}).max_chunking_size == 60
    beside = ChunkingSettings(strategy=strategy, max_chunking_size=250, max_chunk_tokens=500)
    assert beside.model_copy(update={"max_chunk_tokens": 400}).max_chunking_size == 250
    assert beside.smaller_by(0, 100).max_chunking_size == 250


@pytest.mark.parametrize("strategy", ["sentence", "word", "none"])
def test_every_strategy_has_a_bound_in_tokens_that_is_absent_where_none_is_set(strategy):
    bounded = ChunkingSettings(strategy=strategy, max_chunk_tokens="auto")
    assert bounded.public_config()["max_chunk_tokens"] == "auto"
    assert ChunkingSettings(**bounded.public_config()) == bounded
    plain = ChunkingSettings(strategy=strategy)
    assert plain.max_chunk_tokens is None
    assert not {"max_chunk_tokens", "tokenizer"} & plain.public_config().keys()


def test_every_field_has_the_default_of_the_contract():
    settings = service()
    assert settings.rate_limit.requests_per_minute == RateLimit().requests_per_minute == 3000
    assert (settings.api_key, settings.api_key_env, settings.dialect) == (None, None, "auto")
    assert (settings.max_batch_size, settings.max_concurrent_requests) == (None, None)
    assert (settings.timeout, settings.max_wait) == (60, 600)
    assert settings.allow_insecure_http is False
    task = TaskSettings()
    assert (task.query_prompt, task.document_prompt) == (None, None)
    assert (task.query_prompt_name, task.document_prompt_name) == (None, None)
    assert (task.truncate, task.normalize, task.dimensions) == (True, True, None)


@pytest.mark.parametrize(
    ("given", "size", "overlap", "sentence_overlap", "language"),
    [
        ({}, 250, None, 1, "english"),
        ({"strategy": "sentence"}, 250, None, 1, "english"),
        ({"strategy": "sentence", "sentence_overlap": 0}, 250, None, 0, "english"),
        ({"max_chunking_size": 20}, 20, None, 1, "english"),
        ({"language": "german"}, 250, None, 1, "german"),
        ({"strategy": "word"}, 250, 100, None, None),
        ({"strategy": "word", "max_chunking_size": 300}, 300, 100, None, None),
        ({"strategy": "word", "max_chunking_size": 200}, 200, 100, None, None),
        ({"strategy": "word", "max_chunking_size": 199}, 199, 99, None, None),
        ({"strategy": "word", "max_chunking_size": 11}, 11, 5, None, None),
        ({"strategy": "word", "overlap": 125}, 250, 125, None, None),
        ({"strategy": "word", "overlap": 0}, 250, 0, None, None),
        ({"strategy": "none"}, None, None, None, None),
    ],
)
def test_chunking_fields_that_are_left_out_have_the_defaults_of_their_strategy(
    given, size, overlap, sentence_overlap, language
):
    settings = ChunkingSettings(**given)
    assert settings.strategy == given.get("strategy", "sentence")
    assert settings.max_chunking_size == size
    assert settings.overlap == overlap
    assert settings.sentence_overlap == sentence_overlap
    assert settings.language == language


@pytest.mark.parametrize("size", [10, 11, 299, 300])
def test_the_word_strategy_takes_10_to_300_words_and_overlaps_up_to_half(size):
    settings = ChunkingSettings(**WORD, max_chunking_size=size, overlap=size // 2)
    assert (settings.max_chunking_size, settings.overlap) == (size, size // 2)
    problems = refusal(ChunkingSettings, **WORD, max_chunking_size=size, overlap=size // 2 + 1)
    assert f"0 to {size // 2}" in problems["overlap"]


@pytest.mark.parametrize("size", [9, 301, 0, -10])
def test_the_word_strategy_refuses_other_sizes(size):
    problems = refusal(ChunkingSettings, **WORD, max_chunking_size=size)
    assert "10 to 300 words" in problems["max_chunking_size"]


@pytest.mark.parametrize("overlap", [-1, 126, *NO_INTEGERS])
def test_an_overlap_that_does_not_fit_the_default_size_is_refused(overlap):
    problems = refusal(ChunkingSettings, **WORD, overlap=overlap)
    assert list(problems) == ["overlap"]
    assert ("0 to 125" in problems["overlap"]) or ("an integer" in problems["overlap"])


@pytest.mark.parametrize("name", ["max_chunking_size", "max_chunk_size"])
@pytest.mark.parametrize("strategy", ["sentence", "word"])
def test_the_size_goes_by_two_names(strategy, name):
    settings = ChunkingSettings(**{"strategy": strategy, name: 42})
    assert settings.max_chunking_size == 42
    assert settings == ChunkingSettings(strategy=strategy, max_chunking_size=42)


@pytest.mark.parametrize("other", [42, 43])
def test_both_names_of_the_size_at_once_are_an_error_even_where_they_agree(other):
    problems = refusal(ChunkingSettings, max_chunking_size=42, max_chunk_size=other)
    assert "one of them" in problems["max_chunk_size"]


@pytest.mark.parametrize("section", SECTIONS)
def test_none_is_the_same_as_absent_in_every_section(section):
    make = SECTIONS[section]
    nothing = dict.fromkeys(name for name in type(make()).model_fields if name != "url")
    assert make(**nothing) == make()
    assert make(**nothing).model_fields_set == make().model_fields_set


@pytest.mark.parametrize("strategy", ["sentence", "word", "none"])
def test_none_is_absent_under_either_name_of_the_size_and_with_any_strategy(strategy):
    nothing = dict.fromkeys([*ChunkingSettings.model_fields, "max_chunk_size"])
    given = {**nothing, "strategy": strategy}
    assert ChunkingSettings(**given) == ChunkingSettings(strategy=strategy)
    assert ChunkingSettings(max_chunk_size=None, max_chunking_size=42).max_chunking_size == 42
    assert ChunkingSettings(max_chunk_size=42, max_chunking_size=None).max_chunking_size == 42


def test_none_is_absent_within_an_endpoint_and_in_a_copy_too():
    given = {
        "service_settings": {"url": URL, "timeout": None, "rate_limit": None, "tls": None},
        "chunking_settings": {"max_chunking_size": None},
        "task_settings": {"truncate": None, "query_prompt": None},
    }
    plain = InferenceEndpoint(URL)
    assert InferenceEndpoint(**given) == plain
    assert InferenceEndpoint(URL, timeout=None, chunking_settings=None) == plain
    config = {**given, "chunking_settings": None}
    made = InferenceEndpoint.from_config(
        task_type="text_embedding", inference_id=plain.inference_id, inference_config=config
    )
    assert made == plain
    assert service(timeout=5).model_copy(update={"timeout": None}) == service()
    assert service(rate_limit={"requests_per_minute": None}) == service()


@pytest.mark.parametrize(
    ("section", "given", "wrong"),
    [
        ("chunking", {**WORD, "max_chunking_size": 5, "overlap": -1}, "max_chunking_size overlap"),
        ("chunking", {**WORD, "max_chunk_size": 5, "overlap": 151}, "max_chunking_size overlap"),
        ("chunking", {**WORD, "max_chunk_size": "5", "overlap": -1}, "max_chunking_size overlap"),
        (
            "chunking",
            {"max_chunk_size": 5, "sentence_overlap": -1, "language": "x", "overlap": 1},
            "language max_chunking_size overlap sentence_overlap",
        ),
        (
            "task",
            {"query_prompt": "a", "query_prompt_name": "b", "dimensions": 0},
            "dimensions query_prompt_name",
        ),
        (
            "service",
            {"url": "http://example.org", "api_key": "hf_x", "timeout": 0, "tls": {}},
            "timeout tls url",
        ),
        ("service", {"url": "http://example.org", "api_key_env": "A", "burst": 0}, "burst url"),
        ("service", {"tls": {"key_file": "a", "ca_file": ""}}, "tls.ca_file tls.key_file"),
    ],
)
def test_what_hangs_on_two_fields_is_named_beside_what_is_wrong_by_itself(section, given, wrong):
    assert sorted(refusal(SECTIONS[section], **given)) == wrong.split()


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("de", "german"),
        ("DE", "german"),
        ("de-AT", "german"),
        ("pt_BR", "portuguese"),
        ("nb", "norwegian"),
        ("deu", "german"),
        ("ger", "german"),
        ("el", "greek"),
    ],
)
def test_a_language_may_be_given_by_its_iso_code(code, language):
    assert ChunkingSettings(language=code) == ChunkingSettings(language=language)
    assert chunk("Das ist z. B. so. " * 30, {"language": code, "max_chunk_size": 20})


def test_a_url_is_no_models_name():
    said = refusal(SECTIONS["service"], model="http://127.0.0.1:8080")["model"]
    assert "must be a model's name, not a URL: give that as url" in said
    assert "model" not in refusal(SECTIONS["service"], model="s3://bucket/model", timeout=0)


def test_every_language_has_a_code_of_two_letters_of_its_own():
    codes = "cs da de el en es et fi fr it ml nl no pl pt ru sl sv tr"
    languages = [ChunkingSettings(language=code).language for code in codes.split()]
    assert sorted(languages) == sorted(PUNKT_LANGUAGES)


@pytest.mark.parametrize(
    ("section", "name", "meant"),
    [
        ("service", "token", "api_key"),
        ("service", "endpoint_url", "url"),
        ("service", "max_retries", "max_wait"),
        ("service", "batch_size", "max_batch_size"),
        ("service", "chunk_size", "max_batch_size or chunking_settings.max_chunking_size"),
        ("service", "normalize", "task_settings.normalize"),
        ("service", "requests_per_minute", "rate_limit.requests_per_minute"),
        ("service", "tiemout", "timeout"),
        ("chunking", "chunk_size", "max_chunking_size or service_settings.max_batch_size"),
        ("chunking", "chunk_overlap", "overlap or sentence_overlap"),
        ("chunking", "normalize", "task_settings.normalize"),
        ("chunking", "stratgy", "strategy"),
        ("chunking", "separator_groups", "separator_group"),
        ("task", "normalize_embeddings", "normalize"),
        ("task", "prompt", "query_prompt or document_prompt"),
        ("task", "timeout", "service_settings.timeout"),
        ("rate", "rpm", "requests_per_minute"),
    ],
)
def test_a_word_of_another_library_or_place_is_met_with_what_it_means_here(section, name, meant):
    said = refusal(SECTIONS[section], **{name: 1})[name]
    assert f"did you mean {meant}?" in said
    assert "allowed here: " in said


@pytest.mark.parametrize(
    ("strategy", "foreign"),
    [
        ("sentence", {"overlap": 10}),
        ("word", {"sentence_overlap": 1, "language": "english"}),
        ("none", {"overlap": 10, "sentence_overlap": 0, "language": "greek"}),
        ("none", {"max_chunking_size": 100}),
    ],
)
def test_a_field_of_another_strategy_is_an_error(strategy, foreign):
    problems = refusal(ChunkingSettings, strategy=strategy, **foreign)
    assert set(problems) == set(foreign)
    assert all(repr(strategy) in text for text in problems.values())


def test_the_default_strategy_too_refuses_fields_of_another():
    assert "'sentence'" in refusal(ChunkingSettings, overlap=10)["overlap"]


@pytest.mark.parametrize("section", SECTIONS)
def test_an_unknown_field_is_an_error_that_lists_the_known_ones(section):
    problems = refusal(SECTIONS[section], burst=1)
    assert list(problems) == ["burst"]
    for name in type(SECTIONS[section]()).model_fields:
        assert name in problems["burst"]


def test_all_wrong_fields_are_named_at_once_and_numbered():
    with pytest.raises(SettingsError) as caught:
        service(timeout=0, rate_limit={"requests_per_minute": 0, "burst": 2}, max_batch_size=0)
    named = [
        "max_batch_size",
        "rate_limit.burst",
        "rate_limit.requests_per_minute",
        "timeout",
    ]
    assert sorted(name for name, _ in caught.value.problems) == named
    message = str(caught.value)
    assert message.startswith("Validation Failed: 1: [")
    for number, (name, text) in enumerate(caught.value.problems, 1):
        assert f"{number}: [{name}] {text};" in message


def test_wrong_chunking_fields_are_named_at_once():
    problems = refusal(
        ChunkingSettings, **WORD, max_chunk_size=9, overlap="5", sentence_overlap=1, size=3
    )
    assert set(problems) == {"max_chunking_size", "overlap", "sentence_overlap", "size"}


def test_a_settings_error_is_a_value_error_without_a_chain():
    with pytest.raises(ValueError, match="timeout") as caught:
        service(timeout=0)
    assert isinstance(caught.value, SettingsError)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_long_value_is_cut_in_the_message():
    text = refusal(ChunkingSettings, language="x" * 10_000)["language"]
    assert "x" * 20 in text
    assert len(text) < 1000


@pytest.mark.parametrize("side", ["query", "document"])
def test_a_prompt_and_a_prompt_name_for_one_side_are_an_error(side):
    problems = refusal(TaskSettings, **{f"{side}_prompt": "q: ", f"{side}_prompt_name": "q"})
    assert list(problems) == [f"{side}_prompt_name"]


def test_the_two_sides_may_differ_in_how_their_prompt_is_given():
    settings = TaskSettings(query_prompt="query: ", document_prompt_name="passage")
    assert (settings.query_prompt, settings.document_prompt_name) == ("query: ", "passage")


@pytest.mark.parametrize(
    "key", ["", " ", "hf_x\n", " hf_x", "hf x", "hf_ü", "hf\x00x", SecretStr("hf_x\r\n")]
)
def test_a_key_that_no_header_can_carry_is_refused(key):
    problems = refusal(service, api_key=key)
    assert list(problems) == ["api_key"]


@pytest.mark.parametrize("key", ["hf_x", SecretStr("hf_x")])
def test_a_key_may_be_a_string_or_a_secret(key):
    assert service(api_key=key).api_key == SecretStr("hf_x")


def test_a_url_is_required():
    assert refusal(ServiceSettings) == {"url": "is required"}


@pytest.mark.parametrize("url", [1, None, True, b"https://x", "", "x.org", "ftp://x.org"])
def test_what_is_no_http_url_is_refused(url):
    assert "http://" in refusal(service, url=url)["url"]


@pytest.mark.parametrize(
    "settings",
    [
        service(api_key="hf_x", max_batch_size=8),
        RateLimit(requests_per_minute=7),
        ChunkingSettings(**WORD),
        TaskSettings(query_prompt="query: "),
    ],
)
def test_sections_are_frozen_hashable_and_equal_to_their_like(settings):
    for name in type(settings).model_fields:
        with pytest.raises(ValueError, match="frozen"):
            setattr(settings, name, None)
    twin = type(settings)(**{name: getattr(settings, name) for name in type(settings).model_fields})
    assert twin == settings
    assert hash(twin) == hash(settings)
    assert {twin: 1}[settings] == 1


def test_sections_with_other_values_differ():
    assert service(api_key="hf_x") != service(api_key="hf_y")
    assert service(max_batch_size=8) != service()
    assert ChunkingSettings() != ChunkingSettings(**WORD)
    assert TaskSettings(truncate=False) != TaskSettings()


@pytest.mark.parametrize(
    "given", [{}, WORD, {"strategy": "none"}, {"language": "german", "max_chunk_size": 30}]
)
def test_a_dump_of_chunking_settings_makes_the_same_settings(given):
    settings = ChunkingSettings(**given)
    assert ChunkingSettings(**settings.model_dump()) == settings
    assert ChunkingSettings(**settings.public_config()) == settings


@pytest.mark.parametrize(
    ("given", "config"),
    [
        ({}, {"strategy": "sentence", "max_chunking_size": 250, "sentence_overlap": 1}),
        (WORD, {"strategy": "word", "max_chunking_size": 250, "overlap": 100}),
        ({"strategy": "none"}, {"strategy": "none"}),
        (
            {"language": "german"},
            {
                "strategy": "sentence",
                "max_chunking_size": 250,
                "sentence_overlap": 1,
                "language": "german",
            },
        ),
    ],
)
def test_public_chunking_settings_hold_what_applies(given, config):
    assert ChunkingSettings(**given).public_config() == config
