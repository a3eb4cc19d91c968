"""Where a key may be found, to whom it is sent, and that it shows nowhere."""

import copy
import json
import logging
import os
import pickle
import pprint
import subprocess
import sys
import warnings

import pytest
from langchain_core.load import dumps
from pydantic import SecretStr
from rendered_errors import rendered
from rich.pretty import pretty_repr

from langchain_hf_endpoint import (
    EmbeddingError,
    HFEndpointEmbeddings,
    HFEndpointReranker,
    HFEndpointTextSplitter,
    InferenceEndpoint,
    ServiceSettings,
    SettingsError,
)

HOSTED = "https://x.endpoints.huggingface.cloud"
HOSTED_PLAIN = "http://x.endpoints.huggingface.cloud"
CANARY = "hf_CaNaRyCaNaRyCaNaRyCaNaRyCaNaRyCaNa"
OF_ENVIRONMENT = "hf_EnViRoNmEnTEnViRoNmEnTEnViRoNmEn"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """A token in HF_TOKEN, and nothing of the machine's own."""
    monkeypatch.setenv("HF_TOKEN", OF_ENVIRONMENT)
    monkeypatch.delenv("MY_KEY", raising=False)
    return monkeypatch


def found(url, **fields):
    key = ServiceSettings(url=url, **fields).find_key()
    return key.get_secret_value() if key else None


def from_config(**service):
    return InferenceEndpoint.from_config(
        task_type="text_embedding",
        inference_id="a",
        inference_config={"service_settings": {"url": HOSTED, "api_key": CANARY, **service}},
    )


# Who gets which key


def test_a_key_that_is_passed_comes_before_all_others(environment):
    environment.setenv("MY_KEY", "hf_mine")
    assert found(HOSTED, api_key=CANARY) == CANARY
    assert found(HOSTED, api_key=CANARY, api_key_env="MY_KEY") == CANARY


def test_the_named_variable_comes_before_the_token(environment):
    environment.setenv("MY_KEY", "hf_mine")
    assert found(HOSTED, api_key_env="MY_KEY") == "hf_mine"
    assert found("https://example.org", api_key_env="MY_KEY") == "hf_mine"


def test_the_named_variable_is_read_when_the_key_is_used(environment):
    settings = ServiceSettings(url=HOSTED, api_key_env="MY_KEY")
    for value in ("hf_first", "hf_second"):
        environment.setenv("MY_KEY", value)
        assert settings.find_key() == SecretStr(value)


@pytest.mark.parametrize("value", [None, "", "   ", "\n"])
def test_a_named_variable_without_a_key_is_an_error_and_never_replaced_by_the_token(
    environment, value
):
    if value is not None:
        environment.setenv("MY_KEY", value)
    settings = ServiceSettings(url=HOSTED, api_key_env="MY_KEY")
    with pytest.raises(SettingsError, match="MY_KEY is not set"):
        settings.find_key()


def test_a_named_variable_with_a_damaged_key_is_an_error_without_the_key(environment):
    environment.setenv("MY_KEY", f"{CANARY} x")
    settings = ServiceSettings(url=HOSTED, api_key_env="MY_KEY")
    with pytest.raises(SettingsError, match="MY_KEY") as caught:
        settings.find_key()
    assert CANARY not in rendered(caught.value)


def test_the_line_break_that_ends_a_secrets_file_is_no_part_of_a_key(environment):
    environment.setenv("MY_KEY", "hf_mine\n")
    environment.setenv("HF_TOKEN", " hf_token\n")
    assert found(HOSTED, api_key_env="MY_KEY") == "hf_mine"
    assert found(HOSTED) == "hf_token"


@pytest.mark.parametrize(
    "url",
    [
        HOSTED,
        "https://x.us-east-1.aws.endpoints.huggingface.cloud:443/embed",
        "https://X.ENDPOINTS.HUGGINGFACE.CLOUD",
        "https://router.huggingface.co/hf-inference/models/m",
        "https://user-space.hf.space",
        "https://router.huggingface.co:8443",
        "HTTPS://ROUTER.HUGGINGFACE.CO/HF-INFERENCE/models/m",
    ],
)
def test_the_token_of_the_environment_goes_to_hugging_faces_hosts(url):
    assert found(url) == OF_ENVIRONMENT


@pytest.mark.parametrize(
    "url",
    [
        "http://x.endpoints.huggingface.cloud",
        "HTTP://router.huggingface.co",
        "https://huggingface.co.evil.com",
        "https://router.huggingface.co.evil.com",
        "https://evil-huggingface.co",
        "https://evil.com/router.huggingface.co",
        "https://evil.com?.huggingface.co",
        "https://xhf.space",
        "https://router-huggingface.co",
        "https://router.huggingface.co.",  # not the name that its certificate has
        "https://router.huggingface.co.evil.com:443",
        "https://ROUTER.HUGGINGFACE.CO.EVIL.COM",
        "https://x.endpoints.huggingface.cloud.evil.com/router.huggingface.co",
        "https://endpoints.huggingface.cloud",  # nobody's endpoint
        "https://evil.com:443/@router.huggingface.co",
        "https://evil.com?x=https://router.huggingface.co",
        "https://example.org",
        "http://127.0.0.1:8080",
        "https://localhost",
    ],
)
def test_the_token_of_the_environment_goes_nowhere_else(url):
    assert found(url) is None
    assert found(url, api_key=CANARY, allow_insecure_http=True) == CANARY


@pytest.mark.parametrize(
    "url",
    [
        "https://router.huggingface.co@evil.com",
        "https://router.huggingface.co:443@evil.com",
        "https://router.huggingface.co%40evil.com",
        "https://evil.com%00.huggingface.co",
        "https://evil.com#.huggingface.co",
        "https://evil.com\t.huggingface.co",
        "https://evil\u3002com.huggingface.co",
        "https://router.huggingface.c\u03bf",
        "https://evil.com\\@router.huggingface.co",
        "https://evil.com\\.huggingface.co",
        "https://evil.com%2F.huggingface.co",
        "https://user:password@router.huggingface.co",
    ],
)
def test_a_url_that_disguises_its_host_is_no_url_of_an_endpoint(url):
    with pytest.raises(SettingsError, match="url"):
        ServiceSettings(url=url)


@pytest.mark.parametrize("token", ["", "  ", "hf_x y", "hf_ü"])
def test_a_token_that_is_none_is_passed_over(environment, token):
    environment.setenv("HF_TOKEN", token)
    assert found(HOSTED) is None


def test_without_any_key_there_is_none(environment):
    environment.delenv("HF_TOKEN")
    assert found(HOSTED) is None


@pytest.fixture
def places(environment, tmp_path):
    """Every place where a token may be, each with its own; HF_HOME holds the file."""
    for name in ("HF_TOKEN_PATH", "XDG_CACHE_HOME"):
        environment.delenv(name, raising=False)
    environment.setenv("HF_HOME", str(tmp_path))
    (tmp_path / "token").write_text("hf_of-the-file\n", encoding="utf-8")
    environment.setenv("HF_TOKEN", "hf_of-hf-token")
    environment.setenv("HUGGING_FACE_HUB_TOKEN", "hf_of-the-hub")
    environment.setenv("HUGGINGFACEHUB_API_TOKEN", "hf_of-langchain")
    return environment


def test_the_users_own_token_is_looked_for_in_the_documented_order(places):
    for name, key in (
        ("HF_TOKEN", "hf_of-hf-token"),
        ("HUGGING_FACE_HUB_TOKEN", "hf_of-the-hub"),
        ("HUGGINGFACEHUB_API_TOKEN", "hf_of-langchain"),
        ("HF_HOME", "hf_of-the-file"),
    ):
        assert found(HOSTED) == key
        assert [found(url) for url in ("https://example.org", HOSTED_PLAIN)] == [None, None]
        assert found(HOSTED, api_key=CANARY) == CANARY
        places.delenv(name)
    places.setenv("HF_HOME", "/nonexistent")
    assert found(HOSTED) is None


@pytest.mark.parametrize(
    ("variable", "value", "place"),
    [
        ("HF_TOKEN_PATH", "{home}/elsewhere", "elsewhere"),
        ("HF_HOME", "{home}/hub", "hub/token"),
        ("HF_HOME", "~/hub", "hub/token"),
        ("HF_HOME", "$HOME/hub", "hub/token"),
        ("XDG_CACHE_HOME", "{home}/caches", "caches/huggingface/token"),
        ("HOME", "{home}", ".cache/huggingface/token"),
    ],
)
def test_the_token_file_is_where_the_hub_writes_it(environment, tmp_path, variable, value, place):
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME"):
        environment.delenv(name, raising=False)
    environment.setenv("HOME", str(tmp_path))
    environment.setenv(variable, value.format(home=tmp_path))
    assert found(HOSTED) is None
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(CANARY, encoding="utf-8")
    assert found(HOSTED) == CANARY


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"hf_x y", b"x" * 20_000, None])
def test_a_token_file_that_holds_none_is_passed_over(places, tmp_path, content):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN"):
        places.delenv(name)
    file = tmp_path / "token"
    file.unlink()
    if content is None:
        os.mkfifo(file)  # to open it would wait for ever
    else:
        file.write_bytes(content)
    key = found(HOSTED)
    assert key is None or len(key) == 10_000


def test_a_token_file_is_read_where_it_is_used_and_never_held(places, tmp_path):
    settings = ServiceSettings(url=HOSTED)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN"):
        places.delenv(name)
    for key in ("hf_first", "hf_second"):
        (tmp_path / "token").write_text(key, encoding="utf-8")
        assert settings.find_key() == SecretStr(key)
        assert key.encode() not in pickle.dumps(settings)


WRAPPED = [
    "Bearer {}",
    "bearer  {}\n",
    " '{}' ",
    '"{}"',
    '"Bearer {}"',
    "Bearer '{}'",
    "Authorization: Bearer {}",
    "`{}`",
    "\t{}\r\n",
]


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_what_was_pasted_around_a_key_of_the_environment_is_taken_off(
    environment, tmp_path, wrapped
):
    environment.setenv("HF_TOKEN", wrapped.format(CANARY))
    environment.setenv("MY_KEY", wrapped.format(CANARY))
    assert found(HOSTED) == found(HOSTED, api_key_env="MY_KEY") == CANARY
    environment.delenv("HF_TOKEN")
    environment.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    (tmp_path / "token").write_text(wrapped.format(CANARY), encoding="utf-8")
    assert found(HOSTED) == CANARY


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_what_was_pasted_around_a_key_that_is_passed_is_refused_in_words(wrapped):
    with pytest.raises(SettingsError, match=r"give the key alone|stray line break") as caught:
        InferenceEndpoint(HOSTED, api_key=wrapped.format(CANARY))
    assert CANARY not in rendered(caught.value)


def test_the_advice_for_a_refused_key_names_where_it_came_from(places, tmp_path):
    assert "api_key" in ServiceSettings(url=HOSTED, api_key=CANARY).advice_on_key()
    assert "MY_KEY" in ServiceSettings(url=HOSTED, api_key_env="MY_KEY").advice_on_key()
    settings = ServiceSettings(url=HOSTED)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN"):
        assert f"the token in {name}" in settings.advice_on_key()
        places.delenv(name)
    assert f"the token in {tmp_path / 'token'}" in settings.advice_on_key()
    places.setenv("HF_TOKEN", f"{CANARY} y")
    (tmp_path / "token").unlink()
    for url in (HOSTED, "https://example.org"):
        advice = ServiceSettings(url=url).advice_on_key()
        assert advice.startswith("No key was sent")
        assert str(tmp_path / "token") in advice
        assert "HUGGINGFACEHUB_API_TOKEN" in advice
        assert CANARY not in advice
    assert "what HF_TOKEN holds cannot be a token" in settings.advice_on_key()


# Plain http


@pytest.mark.parametrize("key", [{"api_key": CANARY}, {"api_key_env": "MY_KEY"}])
@pytest.mark.parametrize("url", ["http://example.org", "HTTP://10.0.0.1", HOSTED_PLAIN])
def test_a_key_is_not_sent_over_plain_http(url, key):
    with pytest.raises(SettingsError, match="allow_insecure_http") as caught:
        ServiceSettings(url=url, **key)
    assert [name for name, _ in caught.value.problems] == ["url"]
    with pytest.raises(SettingsError) as caught:
        InferenceEndpoint(url=url, **key)
    assert [name for name, _ in caught.value.problems] == ["service_settings.url"]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:8080", "http://tei.localhost"],
)
def test_a_key_may_go_to_this_machine_over_plain_http(url):
    assert found(url, api_key=CANARY) == CANARY


@pytest.mark.parametrize(
    ("url", "settings", "key"),
    [
        ("http://example.org", {"api_key": CANARY, "allow_insecure_http": True}, CANARY),
        ("http://example.org", {}, None),
        (HOSTED_PLAIN, {"allow_insecure_http": True}, None),
    ],
    ids=["allowed", "without a key", "no leave for the token of the environment"],
)
def test_plain_http_may_be_allowed_and_needs_no_leave_without_a_key(url, settings, key):
    assert found(url, **settings) == key


# Where the key must not show


@pytest.fixture
def endpoint():
    return InferenceEndpoint(url=HOSTED, api_key=CANARY, max_batch_size=8)


@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        "{}".format,
        "{!a}".format,
        "%s".__mod__,
        pprint.pformat,
        pretty_repr,
        lambda thing: f"{thing=}{thing!r:>9}",
        lambda thing: f"{copy.copy(thing)}{copy.deepcopy(thing)}",
        lambda thing: repr(thing.model_dump()),
        lambda thing: repr(thing.model_dump(mode="json")),
        lambda thing: repr(thing.model_dump(round_trip=True)),
        lambda thing: thing.model_dump_json(),
        lambda thing: thing.model_dump_json(round_trip=True),
        lambda thing: repr(dict(thing)),
        lambda thing: repr(list(thing.__repr_args__())),
        lambda thing: repr(vars(thing)),
        lambda thing: json.dumps(thing.model_json_schema()),
        dumps,
        lambda thing: repr(thing.model_copy(deep=True)),
        lambda thing: repr(pickle.loads(pickle.dumps(thing))),
    ],
)
def test_the_key_is_in_nothing_that_an_object_shows(endpoint, shown):
    for thing in (endpoint, endpoint.service_settings):
        assert CANARY not in shown(thing)


@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        "{!a}".format,
        pprint.pformat,
        pretty_repr,
        lambda thing: f"{copy.copy(thing)}{copy.deepcopy(thing)}",
        lambda thing: repr(vars(thing)) + repr(thing.__pydantic_private__),
        lambda thing: json.dumps(thing.model_json_schema()),
        lambda thing: json.dumps(thing.model_json_schema(mode="serialization")),
        lambda thing: repr(thing.model_dump()),
        lambda thing: repr(thing.model_dump(mode="json")),
        lambda thing: thing.model_dump_json(),
        dumps,
        lambda thing: repr(pickle.loads(pickle.dumps(thing))),
    ],
)
def test_the_key_is_in_nothing_that_the_embeddings_show(endpoint, shown):
    assert CANARY not in shown(HFEndpointEmbeddings(endpoint=endpoint))
    assert CANARY not in shown(HFEndpointEmbeddings(url=HOSTED, api_key=CANARY))


def test_the_key_is_not_in_the_public_config(endpoint):
    public = endpoint.public_config()
    assert "api_key" not in public["service_settings"]
    assert CANARY not in json.dumps(public)


def test_a_pickle_holds_the_key_so_that_a_worker_has_it(endpoint):
    assert CANARY.encode() in pickle.dumps(endpoint)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_holds_no_key_of_the_environment(environment, protocol):
    environment.setenv("MY_KEY", CANARY)
    for endpoint in (InferenceEndpoint(HOSTED, api_key_env="MY_KEY"), InferenceEndpoint(HOSTED)):
        assert endpoint.service_settings.find_key() is not None
        pickled = pickle.dumps(endpoint, protocol)
        assert CANARY.encode() not in pickled
        assert OF_ENVIRONMENT.encode() not in pickled


def test_a_worker_reads_the_named_variable_of_its_own_environment(environment):
    environment.setenv("MY_KEY", "hf_ours")
    script = (
        "import pickle, sys\n"
        "endpoint = pickle.load(sys.stdin.buffer)\n"
        "print(endpoint.service_settings.find_key().get_secret_value())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(InferenceEndpoint(HOSTED, api_key_env="MY_KEY")),
        capture_output=True,
        check=True,
        env={"MY_KEY": "hf_theirs"},
    )
    assert run.stdout.strip() == b"hf_theirs"


MISPLACED = [
    CANARY,
    "hf_short1234",
    "sk-proj-abcDEF123456abcDEF123456",
    f"Bearer {CANARY}",
    "Bearer abcdef",
    "0123456789abcdef0123456789abcdef",
    "gsk_abcDEF1234567890abcDEF",
]


@pytest.mark.parametrize("key", MISPLACED)
@pytest.mark.parametrize(
    "place",
    [
        lambda key: {"api_key_env": key},
        lambda key: {"dialect": key},
        lambda key: {"dialect": f"tei {key}"},
        lambda key: {"transport": key},
        lambda key: {"timeout": key},
        lambda key: {"rate_limit": {"requests_per_minute": key}},
        lambda key: {"rate_limit": key},
        lambda key: {"tls": key},
        lambda key: {"chunking_settings": {"strategy": key}},
        lambda key: {"chunking_settings": {"language": key}},
        lambda key: {"task_settings": {"truncate": key}},
        lambda key: {"inference_id": f"{key}!"},
        lambda key: {"service": key},
        lambda key: {"token": key},
        lambda key: {"huggingfacehub_api_token": key},
        lambda key: {"url": key},
        lambda key: {"url": f"https://user:{key}@example.org"},
        lambda key: {"model": f"https://{key}"},
        lambda key: {"http_client": key},
        lambda key: {"rate_limiter": key},
    ],
)
def test_a_key_in_any_field_is_not_repeated_when_it_is_refused(key, place):
    for make in (InferenceEndpoint, HFEndpointEmbeddings, HFEndpointReranker):
        with pytest.raises(SettingsError) as caught:
            make(**{"url": HOSTED, **place(key)})
        assert key not in rendered(caught.value)


def test_a_key_instead_of_settings_is_in_no_frame_of_a_splitter():
    with pytest.raises(SettingsError) as caught:
        HFEndpointTextSplitter({"strategy": CANARY})
    assert CANARY not in rendered(caught.value)


@pytest.mark.parametrize("key", [CANARY, "sk-proj-abcDEF123456abcDEF123456"])
def test_a_key_is_no_text_of_any_field_and_no_name_of_one(key):
    for place in (
        {"task_settings": {"query_prompt": key}},
        {"tls": {"ca_file": key}},
        {"inference_id": key.lower().replace("abcdef", "abcDEF")},
        {key: 1},
        {"chunking_settings": {key: 1}},
        {"rate_limit": {key: 1}},
    ):
        with pytest.raises(SettingsError) as caught:
            InferenceEndpoint(HOSTED, **place)
        assert key not in rendered(caught.value)


@pytest.mark.parametrize("name", ["HF_TOKEN", "MY_KEY", "hf_token", "key", "_K", "TEI_KEY_2"])
def test_names_of_variables_are_no_keys(name):
    assert ServiceSettings(url=HOSTED, api_key_env=name).api_key_env == name


WRONG_NEIGHBOURS = [
    {"url": "ftp://x"},
    {"url": 1},
    {"url": f"https://user:{CANARY}@example.org"},
    {"rate_limit": {"requests_per_minute": 0}},
    {"rate_limit": {"api_key": CANARY}},
    {"rate_limit": 3000},
    {"dialect": "cohere"},
    {"max_batch_size": 0},
    {"max_concurrent_requests": True},
    {"timeout": 0},
    {"max_wait": "long"},
    {"allow_insecure_http": 1},
    {"api_key_env": CANARY},
    {"api_key_env": f" {CANARY}\n"},
    {"api_key": f"{CANARY}\n"},
    {"api_key": CANARY.encode()},
    {"api_key": [CANARY]},
    {"api_key": {"key": CANARY}},
    {"surprise": 1},
    {"url": "http://example.org"},
]


@pytest.mark.parametrize("wrong", WRONG_NEIGHBOURS, ids=str)
def test_a_refusal_of_a_neighbour_does_not_show_the_key(wrong):
    fields = {"url": HOSTED, "api_key": CANARY, **wrong}
    makers = [
        lambda: ServiceSettings(**fields),
        lambda: InferenceEndpoint(**fields),
        lambda: InferenceEndpoint(service_settings=fields),
        lambda: InferenceEndpoint(service_settings=fields, chunking_settings={"overlap": 1}),
        lambda: from_config(**wrong),
    ]
    for make in makers:
        with pytest.raises(SettingsError) as caught:
            make()
        assert CANARY not in rendered(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        json.dumps({"service_settings": {"api_key": CANARY}}),
        [{"api_key": CANARY}],
        {"api_key": CANARY},
        {"service_settings": json.dumps({"url": HOSTED, "api_key": CANARY})},
        {"service_settings": [{"url": HOSTED, "api_key": CANARY}]},
        {"service_settings": CANARY},
        {"service_settings": {"url": HOSTED}, "task_settings": {"api_key": CANARY}},
        {"service_settings": {"url": HOSTED}, "chunking_settings": {"api_key": CANARY}},
        {"service_settings": {"url": HOSTED}, "chunking_settings": {"strategy": CANARY}},
        {"service_settings": {"url": HOSTED}, "service": CANARY},
    ],
    ids=str,
)
def test_a_key_in_the_wrong_place_does_not_show(config):
    with pytest.raises(SettingsError) as caught:
        InferenceEndpoint.from_config(
            task_type="text_embedding", inference_id="a", inference_config=config
        )
    assert CANARY not in rendered(caught.value)


def test_an_attempt_to_change_the_key_does_not_show_it(endpoint):
    with pytest.raises(SettingsError, match="frozen") as caught:
        endpoint.service_settings.api_key = CANARY
    assert CANARY not in rendered(caught.value)


@pytest.mark.parametrize("model", [InferenceEndpoint, ServiceSettings])
def test_the_message_of_pydantics_own_entry_does_not_show_the_key(model):
    fields = {"url": HOSTED, "api_key": CANARY, "timeout": 0}
    if model is InferenceEndpoint:
        fields = {"service_settings": fields}
    for validate, given in (
        (model.model_validate, fields),
        (model.model_validate_json, json.dumps(fields)),
    ):
        with pytest.raises(ValueError, match="timeout") as caught:
            validate(given)
        assert CANARY not in str(caught.value) + repr(caught.value)


def test_a_half_made_endpoint_can_be_looked_at():
    endpoint = InferenceEndpoint.__new__(InferenceEndpoint)
    assert repr(endpoint) == "InferenceEndpoint()"


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"show_progress_bar": "maybe"}], ids=str)
def test_a_refusal_by_the_embeddings_does_not_show_the_key(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))) as caught:
        HFEndpointEmbeddings(url=HOSTED, api_key=CANARY, **wrong)
    assert CANARY not in rendered(caught.value)


def test_the_message_of_pydantic_about_the_embeddings_shows_no_part_of_the_key():
    with pytest.raises(ValueError, match="timeout") as caught:
        HFEndpointEmbeddings.model_validate({"url": HOSTED, "timeout": 0, "api_key": CANARY})
    assert CANARY[-6:] not in str(caught.value)


def test_making_and_showing_endpoints_logs_and_warns_of_nothing(caplog):
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        repr(InferenceEndpoint(HOSTED, api_key=CANARY).public_config())
        repr(HFEndpointEmbeddings(url=HOSTED, api_key=CANARY))
    assert CANARY not in caplog.text
    assert not [warning for warning in caught if CANARY in str(warning.message)]


def test_a_failed_request_shows_the_key_in_no_log_line_error_or_frame(httpx_mock, caplog):
    httpx_mock.add_response(status_code=401, json={"error": f"Invalid token {CANARY}"})
    embeddings = HFEndpointEmbeddings(url=HOSTED, api_key=CANARY, dialect="hugging_face")
    with caplog.at_level(logging.DEBUG), pytest.raises(EmbeddingError) as caught:
        embeddings.embed_documents(["A text."])
    assert httpx_mock.get_request().headers["Authorization"] == f"Bearer {CANARY}"
    assert CANARY not in caplog.text
    assert CANARY not in rendered(caught.value)
