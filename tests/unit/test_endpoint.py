"""The inference endpoint: its two constructors, its name, its copies, what it shows."""

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys

import numpy as np
import pytest
from pydantic import SecretStr

from langchain_hf_endpoint import (
    ChunkingSettings,
    EndpointDescription,
    HFEndpointEmbeddings,
    InferenceEndpoint,
    ServiceSettings,
    SettingsError,
    TaskSettings,
)
from langchain_hf_endpoint._session.fingerprint import ModelFingerprint

URL = "https://x1.us-east-1.aws.endpoints.huggingface.cloud"
PUT = {
    "service": "hugging_face",
    "service_settings": {
        "api_key": "hf_x",
        "url": URL,
        "rate_limit": {"requests_per_minute": 3000},
    },
    "chunking_settings": {"strategy": "sentence", "max_chunking_size": 250, "sentence_overlap": 1},
}


def from_config(config, *, task_type="text_embedding", inference_id="my-endpoint"):
    return InferenceEndpoint.from_config(
        task_type=task_type, inference_id=inference_id, inference_config=config
    )


def refusal(make, *args, **kwargs):
    """The problems that a constructor must raise, by field."""
    with pytest.raises(SettingsError) as caught:
        make(*args, **kwargs)
    return dict(caught.value.problems)


def test_the_json_of_a_put_makes_an_endpoint():
    endpoint = from_config(PUT, inference_id="hugging-face-embeddings")
    assert endpoint.inference_id == "hugging-face-embeddings"
    assert (endpoint.task_type, endpoint.service) == ("text_embedding", "hugging_face")
    assert endpoint.service_settings == ServiceSettings(url=URL, api_key="hf_x")
    assert endpoint.chunking_settings == ChunkingSettings()
    assert endpoint.task_settings == TaskSettings()


def test_every_field_of_the_json_arrives():
    config = {
        "service": "hugging_face",
        "service_settings": {
            "url": URL,
            "api_key_env": "MY_KEY",
            "rate_limit": {"requests_per_minute": 7},
            "dialect": "tei",
            "model": "intfloat/e5-small-v2",
            "max_input_tokens": 100,
            "dimensions": 64,
            "similarity": "l2_norm",
            "max_batch_size": 8,
            "max_concurrent_requests": 2,
            "timeout": 5,
            "max_wait": 50,
            "allow_insecure_http": True,
            "transport": "httpx",
            "tls": {"ca_file": "ca.pem", "certificate_file": None, "key_file": None},
        },
        "chunking_settings": {"strategy": "word", "max_chunk_size": 40, "overlap": 20},
        "task_settings": {
            "query_prompt": "query: ",
            "document_prompt_name": "passage",
            "truncate": False,
            "normalize": False,
            "dimensions": 64,
        },
    }
    endpoint = from_config(config)
    assert endpoint.service_settings.model_dump() == config["service_settings"]
    chunking = endpoint.chunking_settings
    assert (chunking.strategy, chunking.max_chunking_size, chunking.overlap) == ("word", 40, 20)
    assert endpoint.task_settings.model_dump(exclude_none=True) == config["task_settings"]


@pytest.mark.parametrize("nothing", [{}, None])
@pytest.mark.parametrize("section", ["chunking_settings", "task_settings"])
def test_an_optional_section_may_be_empty_or_null(section, nothing):
    only_url = {"service_settings": {"url": URL}}
    assert from_config({**only_url, section: nothing}) == from_config(only_url)


def test_an_empty_rate_limit_is_the_default():
    endpoint = from_config({"service_settings": {"url": URL, "rate_limit": {}}})
    assert endpoint.service_settings.rate_limit.requests_per_minute == 3000


def test_the_json_is_left_as_it_was():
    config = {"service_settings": {"url": URL, "api_key": "hf_x"}, "chunking_settings": {}}
    from_config(config)
    assert config == {
        "service_settings": {"url": URL, "api_key": "hf_x"},
        "chunking_settings": {},
    }


def test_the_short_form_is_the_same_endpoint():
    short = InferenceEndpoint(url=URL, api_key="hf_x", inference_id="my-endpoint")
    assert short == from_config(PUT)
    assert short == InferenceEndpoint(
        inference_id="my-endpoint", service_settings=PUT["service_settings"]
    )
    assert short == InferenceEndpoint(
        inference_id="my-endpoint", service_settings=ServiceSettings(url=URL, api_key="hf_x")
    )


def test_the_short_form_takes_any_field_of_the_service_and_the_other_sections():
    endpoint = InferenceEndpoint(
        URL,
        api_key_env="MY_KEY",
        rate_limit={"requests_per_minute": 60},
        max_batch_size=8,
        chunking_settings={"strategy": "none"},
        task_settings=TaskSettings(dimensions=64),
    )
    assert endpoint.service_settings.api_key_env == "MY_KEY"
    assert endpoint.service_settings.rate_limit.requests_per_minute == 60
    assert endpoint.service_settings.max_batch_size == 8
    assert endpoint.chunking_settings.strategy == "none"
    assert endpoint.task_settings.dimensions == 64


@pytest.mark.parametrize(
    ("url", "inference_id"),
    [
        (URL, "x1.us-east-1.aws.endpoints.huggingface.cloud"),
        ("https://X.HF.Space/embed?a=b", "x.hf.space"),
        ("http://127.0.0.1:8080", "127.0.0.1-8080"),
        ("http://[::1]:8080/embed", "1-8080"),
        ("http://_my_host_.:80", "my_host_.-80"),
        ("http://localhost", "localhost"),
        (f"https://{'a.' * 80}com", ("a." * 50)[:-1]),
    ],
)
def test_the_short_form_derives_a_valid_name_from_the_host(url, inference_id):
    endpoint = InferenceEndpoint(url=url)
    assert endpoint.inference_id == inference_id
    assert InferenceEndpoint(url=url, inference_id=inference_id) == endpoint


@pytest.mark.parametrize("name", ["a", "9", "hugging-face-embeddings", "a_b.c-d", "a" * 100, "1a"])
def test_a_name_of_the_allowed_characters_is_taken(name):
    assert from_config(PUT, inference_id=name).inference_id == name
    assert InferenceEndpoint(url=URL, inference_id=name).inference_id == name


@pytest.mark.parametrize(
    "name",
    [
        "A",
        "ä",
        "a b",
        "-a",
        "a-",
        "_a",
        ".a",
        "a.",
        "a/b",
        "a\n",
        "a" * 101,
        "",
        1,
        True,
        b"a",
        None,
    ],
)
def test_any_other_name_is_refused(name):
    problems = refusal(from_config, PUT, inference_id=name)
    assert list(problems) == ["inference_id"]
    assert "at most 100 characters" in problems["inference_id"]


@pytest.mark.parametrize("value", ["completion", "TEXT_EMBEDDING", "", None, 1])
def test_only_text_embedding_of_hugging_face_is_offered(value):
    assert "'text_embedding'" in refusal(from_config, PUT, task_type=value)["task_type"]
    assert "'hugging_face'" in refusal(from_config, {**PUT, "service": value})["service"]


@pytest.mark.parametrize("config", [{}, {"service_settings": {}}, {"service_settings": None}])
def test_the_json_without_a_url_is_refused(config):
    assert refusal(from_config, config) == {"service_settings.url": "is required"}


def test_the_short_form_without_a_url_is_refused():
    assert refusal(InferenceEndpoint) == {"service_settings.url": "is required"}
    assert refusal(InferenceEndpoint, api_key="hf_x") == {"service_settings.url": "is required"}


@pytest.mark.parametrize("config", [None, [], "{}", 1, [("service", "hugging_face")]])
def test_what_is_no_mapping_is_no_json_of_an_endpoint(config):
    assert list(refusal(from_config, config)) == ["inference_config"]


@pytest.mark.parametrize("section", ["service_settings", "chunking_settings", "task_settings"])
@pytest.mark.parametrize("value", ["{}", [], 1, True])
def test_a_section_that_is_no_mapping_is_named(section, value):
    assert list(refusal(from_config, {**PUT, section: value})) == [section]


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ((), "surprise"),
        (("service_settings",), "service_settings.surprise"),
        (("service_settings", "rate_limit"), "service_settings.rate_limit.surprise"),
        (("chunking_settings",), "chunking_settings.surprise"),
        (("task_settings",), "task_settings.surprise"),
    ],
)
@pytest.mark.parametrize("name", ["surprise", 1])
def test_an_unknown_field_is_refused_at_every_level(place, named, name):
    config = {
        "service_settings": {"url": URL, "rate_limit": {}},
        "chunking_settings": {},
        "task_settings": {},
    }
    section = config
    for part in place:
        section = section[part]
    section[name] = 1
    problems = refusal(from_config, config)
    assert {str(field) for field in problems} == {named.replace("surprise", str(name))}
    assert all("allowed here: " in text for text in problems.values())


@pytest.mark.parametrize("where", [{"url": URL}, {"service_settings": {"url": URL}}])
def test_an_unknown_argument_is_called_so_whichever_form_is_used(where):
    problems = refusal(InferenceEndpoint, **where, chunking_setings={})
    assert list(problems) == ["chunking_setings"]
    assert "unknown field" in problems["chunking_setings"]
    assert "chunking_settings" in problems["chunking_setings"]


def test_the_short_form_does_not_mix_with_the_section():
    problems = refusal(
        InferenceEndpoint, URL, timeout=5, service_settings={"url": URL}, api_key="hf_x"
    )
    assert set(problems) == {"url", "timeout", "api_key"}


def test_what_a_named_dialect_cannot_carry_is_refused_when_the_endpoint_is_made():
    task = {"truncate": False, "normalize": False, "query_prompt_name": "q"}
    problems = refusal(InferenceEndpoint, URL, dialect="openai", task_settings=task)
    assert set(problems) == {f"task_settings.{name}" for name in task}
    for dialect in ("auto", "tei", "hugging_face"):
        endpoint = InferenceEndpoint(URL, dialect=dialect, task_settings=task)
        assert endpoint.service_settings.dialect == dialect


def test_the_errors_of_all_sections_accumulate_with_their_names():
    config = {
        "service": "cohere",
        "service_settings": {"url": "x", "rate_limit": {"requests_per_minute": 0}, "timeout": 0},
        "chunking_settings": {"max_chunk_size": 1, "overlap": 1},
        "task_settings": {"dimensions": 0, "truncate": 1},
        "surprise": 1,
    }
    with pytest.raises(SettingsError) as caught:
        from_config(config, task_type="completion", inference_id="-")
    assert sorted(name for name, _ in caught.value.problems) == [
        "chunking_settings.max_chunking_size",
        "chunking_settings.overlap",
        "inference_id",
        "service",
        "service_settings.rate_limit.requests_per_minute",
        "service_settings.timeout",
        "service_settings.url",
        "surprise",
        "task_settings.dimensions",
        "task_settings.truncate",
        "task_type",
    ]
    assert "11: [" in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("name", list(InferenceEndpoint.model_fields))
def test_an_endpoint_is_frozen(name):
    endpoint = InferenceEndpoint(url=URL)
    with pytest.raises(ValueError, match="frozen"):
        setattr(endpoint, name, getattr(endpoint, name))


def test_equal_endpoints_are_one_key():
    endpoints = {from_config(PUT): 1}
    assert endpoints[from_config(PUT)] == 1
    assert from_config(PUT, inference_id="another") not in endpoints
    other_key = {"service_settings": {"url": URL, "api_key": "hf_y"}}
    assert from_config(other_key) not in endpoints


def test_an_endpoint_survives_a_pickle():
    endpoint = from_config(PUT)
    copy = pickle.loads(pickle.dumps(endpoint))
    assert copy == endpoint
    assert hash(copy) == hash(endpoint)
    assert copy.service_settings.api_key == SecretStr("hf_x")


def test_an_endpoint_survives_the_way_to_another_process():
    script = (
        "import pickle, sys\n"
        "endpoint = pickle.load(sys.stdin.buffer)\n"
        "assert endpoint.service_settings.find_key().get_secret_value() == 'hf_x'\n"
        "sys.stdout.buffer.write(pickle.dumps((endpoint, endpoint.public_config())))\n"
    )
    endpoint = from_config(PUT)
    run = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(endpoint),
        capture_output=True,
        check=True,
    )
    assert pickle.loads(run.stdout) == (endpoint, endpoint.public_config())


def test_a_dump_makes_the_same_endpoint_but_for_the_key():
    endpoint = from_config({**PUT, "task_settings": {"query_prompt": "q: "}})
    again = InferenceEndpoint(**endpoint.model_dump())
    assert again.service_settings.api_key is None
    assert again.model_dump() == endpoint.model_dump()
    assert InferenceEndpoint.model_validate_json(endpoint.model_dump_json()) == again


def test_the_public_config_of_the_example_is_what_was_put_without_the_key():
    config = from_config(PUT).public_config()
    assert config == {
        "inference_id": "my-endpoint",
        "task_type": "text_embedding",
        "service": "hugging_face",
        "service_settings": {"url": URL, "rate_limit": {"requests_per_minute": 3000}},
        "chunking_settings": {
            "strategy": "sentence",
            "max_chunking_size": 250,
            "sentence_overlap": 1,
        },
    }


def test_the_public_config_makes_the_same_endpoint_again():
    config = {
        "service_settings": {
            "url": URL,
            "api_key_env": "MY_KEY",
            "rate_limit": {"requests_per_minute": 5},
            "dialect": "hugging_face",
            "max_wait": 9.0,
        },
        "chunking_settings": {"strategy": "sentence", "language": "german", "sentence_overlap": 0},
        "task_settings": {"normalize": False, "document_prompt": ""},
    }
    endpoint = from_config(config)
    public = endpoint.public_config()
    names = {"inference_id": public.pop("inference_id"), "task_type": public.pop("task_type")}
    assert from_config(public, **names) == endpoint


def test_a_description_is_a_frozen_value():
    facts = {
        "inference_id": "a",
        "host": "x.hf.space",
        "dialect": "tei",
        "dimensions": 384,
        "latency_seconds": 0.1,
    }
    description = EndpointDescription(**facts)
    assert description == EndpointDescription(**facts)
    assert pickle.loads(pickle.dumps(description)) == description
    assert len({description, EndpointDescription(**facts)}) == 1
    unknown = {"server", "version", "model_id", "max_input_tokens", "max_batch_size"}
    assert all(getattr(description, name) is None for name in unknown)
    with pytest.raises(dataclasses.FrozenInstanceError):
        description.dimensions = 768


def test_a_copy_with_changes_is_checked_as_a_new_endpoint_is():
    endpoint = InferenceEndpoint(url="https://embed.example.org", api_key="hf_canary")
    service = endpoint.service_settings
    slower = service.model_copy(update={"timeout": 5.0})
    assert (slower.timeout, slower.url, slower.find_key()) == (5.0, service.url, service.find_key())
    assert "hf_other" not in repr(service.model_copy(update={"api_key": "hf_other"}))
    with pytest.raises(SettingsError, match="timeout"):
        service.model_copy(update={"timeout": -5})
    with pytest.raises(SettingsError, match="url"):
        service.model_copy(update={"url": "http://embed.example.org"})
    assert endpoint.model_copy() == endpoint


def test_embeddings_can_be_made_of_a_dump_of_theirs():
    embeddings = HFEndpointEmbeddings(url="https://embed.example.org", show_progress_bar=True)
    assert HFEndpointEmbeddings.model_validate(embeddings.model_dump()) == embeddings


# What the constructors say of themselves

OURS = [
    "endpoint",
    "cache",
    "rate_limiter",
    "show_progress_bar",
    "http_client",
    "http_async_client",
]
# What Elastic's JSON has beside what an endpoint needs is a matter of the section alone.
OF_THE_SECTION = {"max_input_tokens", "dimensions", "similarity"}
SHORT = [
    *(name for name in ServiceSettings.model_fields if name not in OF_THE_SECTION),
    *InferenceEndpoint.model_fields,
]


def test_the_constructors_name_every_field_that_they_take():
    for make, names in ((InferenceEndpoint, SHORT), (HFEndpointEmbeddings, [*SHORT, *OURS])):
        parameters = inspect.signature(make).parameters
        assert set(parameters) == set(names)
        assert all(one.kind is not one.VAR_KEYWORD for one in parameters.values())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("repo_id", "url"),
        ("endpoint_url", "url"),
        ("token", "api_key"),
        ("huggingfacehub_api_token", "api_key"),
        ("max_retries", "max_wait"),
        ("normalize", 'task_settings={"normalize": …}'),
        ("batch_size", "max_batch_size"),
        ("chunk_size", 'max_batch_size or chunking_settings={"max_chunking_size": …}'),
        ("chunk_overlap", 'chunking_settings={"overlap": …}'),
        ("model_kwargs", "task_settings"),
        ("requests_per_minute", 'rate_limit={"requests_per_minute": …}'),
        ("urll", "url"),
    ],
)
def test_a_word_of_another_class_is_met_with_what_it_means_here(name, meant):
    for make in (InferenceEndpoint, HFEndpointEmbeddings):
        assert f"(did you mean {meant}" in refusal(make, url=URL, **{name: 1})[name]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("show_progress", "show_progress_bar"),
        ("limiter", "rate_limiter"),
        ("async_client", "http_async_client"),
        ("endpoints", "endpoint"),
    ],
)
def test_the_embeddings_list_all_that_they_take(name, meant):
    said = refusal(HFEndpointEmbeddings, url=URL, **{name: 1})[name]
    assert f"(did you mean {meant}?)" in said
    allowed = said.partition("allowed here: ")[2].split(", ")
    assert sorted(allowed) == sorted([*SHORT, *OURS])


def test_the_embeddings_name_every_wrong_argument_at_once():
    problems = refusal(
        HFEndpointEmbeddings, url=URL, timeout=0, batch_size=3, rate_limiter=60, show_progress_bar=1
    )
    wrong = ["batch_size", "rate_limiter", "service_settings.timeout", "show_progress_bar"]
    assert sorted(problems) == wrong


def test_a_field_of_a_section_beside_the_sections_is_met_with_its_place():
    problems = refusal(from_config, {**PUT, "url": URL, "max_chunking_size": 100})
    assert "did you mean service_settings.url?" in problems["url"]
    assert "chunking_settings.max_chunking_size?" in problems["max_chunking_size"]


# The model that an endpoint is expected to have


def kept(seed=1):
    rows = np.random.default_rng(seed).standard_normal((3, 8)).astype(np.float32)
    return ModelFingerprint.of(rows)


def test_an_expected_model_is_no_setting():
    endpoint = InferenceEndpoint(URL)
    expecting = endpoint.expecting(kept())
    assert endpoint.expected_fingerprint is None
    assert expecting.expected_fingerprint == kept()
    assert expecting == endpoint
    assert hash(expecting) == hash(endpoint)
    assert repr(expecting) == repr(endpoint)
    assert expecting.public_config() == endpoint.public_config()
    assert expecting.model_dump() == endpoint.model_dump()
    with pytest.raises(SettingsError):
        InferenceEndpoint(URL, expected_fingerprint=kept())


def test_an_expected_model_goes_with_copies_and_to_workers_but_not_to_another_model():
    endpoint = InferenceEndpoint(URL).expecting(kept())
    for same in (
        pickle.loads(pickle.dumps(endpoint)),
        copy.deepcopy(endpoint),
        endpoint.model_copy(update={"chunking_settings": ChunkingSettings(strategy="none")}),
        HFEndpointEmbeddings(endpoint=endpoint).endpoint,
    ):
        assert same.expected_fingerprint == kept()
    for update in (
        {"service_settings": endpoint.service_settings.model_copy(update={"model": "other"})},
        {"task_settings": TaskSettings(dimensions=4)},
    ):
        assert endpoint.model_copy(update=update).expected_fingerprint is None
