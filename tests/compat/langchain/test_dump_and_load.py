"""`dumps` and `loads` of LangChain: the embeddings come back, the key only when it is given."""

import inspect
import json
import pickle
import warnings

import pytest
from langchain_core._api import LangChainBetaWarning
from langchain_core.load import dumpd, dumps, loads
from langchain_core.rate_limiters import InMemoryRateLimiter

from langchain_hf_endpoint import HFEndpointEmbeddings, InferenceEndpoint, SettingsError

HOSTED = "https://x.endpoints.huggingface.cloud"
KEY = "hf_a-key-that-must-not-show"
SECTIONS = {
    "inference_id": "mine",
    "service_settings": {
        "url": HOSTED,
        "api_key": KEY,
        "rate_limit": {"requests_per_minute": 7},
        "dialect": "tei",
        "max_wait": 1.5,
    },
    "chunking_settings": {"strategy": "word", "max_chunking_size": 20, "overlap": 3},
    "task_settings": {"query_prompt": "", "document_prompt_name": "passage", "truncate": False},
}


@pytest.fixture(autouse=True)
def _no_token_of_the_environment(monkeypatch):
    for name in ("HF_TOKEN", "HF_ENDPOINT_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def reloaded(written, embeddings_class=HFEndpointEmbeddings, **options):
    if "allowed_objects" in inspect.signature(loads).parameters:  # from langchain-core 1.2.5 on
        options["allowed_objects"] = [embeddings_class]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainBetaWarning)
        return loads(
            written,
            valid_namespaces=[embeddings_class.lc_id()[0]],
            **options,
        )


@pytest.mark.parametrize(
    "embeddings",
    [
        HFEndpointEmbeddings(url=HOSTED, api_key=KEY),
        HFEndpointEmbeddings(url=HOSTED, api_key=KEY, show_progress_bar=True, timeout=3),
        HFEndpointEmbeddings(endpoint=InferenceEndpoint(**SECTIONS)),
    ],
)
def test_what_is_loaded_is_what_was_dumped(embeddings):
    written = dumps(embeddings)
    assert KEY not in written
    assert reloaded(written, secrets_map={"HF_TOKEN": KEY}) == embeddings
    keyless = reloaded(written)
    assert keyless.endpoint.service_settings.api_key is None
    assert keyless.endpoint.public_config() == embeddings.endpoint.public_config()


def test_a_dump_names_the_secret_and_holds_the_settings_in_plain_json():
    written = dumpd(HFEndpointEmbeddings(endpoint=InferenceEndpoint(**SECTIONS)))
    assert json.loads(json.dumps(written)) == written
    assert written["id"] == ["langchain_hf_endpoint", "embeddings", "HFEndpointEmbeddings"]
    arguments = written["kwargs"]
    assert arguments["api_key"] == {"lc": 1, "type": "secret", "id": ["HF_TOKEN"]}
    assert arguments["url"] == HOSTED
    assert arguments["chunking_settings"]["overlap"] == 3
    assert "not_implemented" not in json.dumps(written)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (HOSTED, "HF_TOKEN"),
        ("https://router.huggingface.co/hf-inference/models/m", "HF_TOKEN"),
        ("https://tei.example.org", "HF_ENDPOINT_API_KEY"),
        ("http://127.0.0.1:9", "HF_ENDPOINT_API_KEY"),
    ],
)
def test_the_token_of_the_environment_is_not_loaded_for_other_hosts(url, name, monkeypatch):
    embeddings = HFEndpointEmbeddings(url=url, api_key=KEY)
    assert embeddings.lc_secrets == {"api_key": name}
    monkeypatch.setenv("HF_TOKEN", "hf_of-the-environment")
    loaded = reloaded(dumps(embeddings), secrets_from_env=True)
    key = loaded.endpoint.service_settings.find_key()
    assert (key and key.get_secret_value()) == (
        "hf_of-the-environment" if name == "HF_TOKEN" else None
    )
    assert reloaded(dumps(embeddings), secrets_map={name: KEY}) == embeddings


def test_a_key_that_the_environment_holds_is_named_once_and_no_secret_of_the_dump(monkeypatch):
    embeddings = HFEndpointEmbeddings(url=HOSTED, api_key_env="MY_KEY")
    monkeypatch.setenv("MY_KEY", KEY)
    written = dumps(embeddings)
    assert KEY not in written
    assert '"secret"' not in written
    assert reloaded(written) == embeddings
    assert reloaded(written).endpoint.service_settings.find_key().get_secret_value() == KEY


def test_a_limiter_is_left_out_of_a_dump():
    limiter = InMemoryRateLimiter(requests_per_second=1)
    embeddings = HFEndpointEmbeddings(url=HOSTED, rate_limiter=limiter)
    assert reloaded(dumps(embeddings)).rate_limiter is None


def test_a_dump_with_a_wrong_setting_is_refused_in_words():
    written = dumps(HFEndpointEmbeddings(url=HOSTED, api_key=KEY, timeout=3))
    with pytest.raises(SettingsError, match="timeout") as caught:
        reloaded(written.replace("3.0", "-3"), secrets_map={"HF_TOKEN": KEY})
    assert KEY not in str(caught.value)


class OwnEmbeddings(HFEndpointEmbeddings):
    """A user's class with a method of its own."""

    def shout(self, text):
        return text.upper()


def test_a_class_that_is_derived_is_dumped_under_its_own_name():
    embeddings = OwnEmbeddings(url=HOSTED, api_key=KEY)
    written = dumps(embeddings)
    assert KEY not in written
    again = reloaded(written, OwnEmbeddings, secrets_map={"HF_TOKEN": KEY})
    assert type(again) is OwnEmbeddings
    assert again == embeddings


def test_what_was_loaded_embeds(tei_double):
    tei_double.configure(api_key=KEY)
    written = dumps(HFEndpointEmbeddings(url=tei_double.url, api_key=KEY))
    again = reloaded(written, secrets_map={"HF_ENDPOINT_API_KEY": KEY})
    for loaded in (again, pickle.loads(pickle.dumps(again))):
        assert len(loaded.embed_query("A question?")) == 384
