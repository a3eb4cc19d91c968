"""The types a user of the endpoint and its settings sees. Checked by mypy --strict, never run."""

from typing import Any, Literal, assert_type

from pydantic import SecretStr

from langchain_hf_endpoint import (
    ChunkingSettings,
    EndpointDescription,
    InferenceEndpoint,
    RateLimit,
    ServiceSettings,
    SettingsError,
    TaskSettings,
)


def constructors() -> None:
    """Every way that the contract shows."""
    config = {
        "service": "hugging_face",
        "service_settings": {"api_key": "hf_x", "url": "https://x.hf.space"},
        "chunking_settings": {"strategy": "sentence", "max_chunking_size": 250},
    }
    endpoint = InferenceEndpoint.from_config(
        task_type="text_embedding", inference_id="a", inference_config=config
    )
    assert_type(endpoint, InferenceEndpoint)
    assert_type(InferenceEndpoint(url="https://x.hf.space", api_key="hf_x"), InferenceEndpoint)
    InferenceEndpoint("https://x.hf.space", api_key=SecretStr("hf_x"), max_batch_size=8)
    InferenceEndpoint(service_settings={"url": "https://x.hf.space"}, chunking_settings={})
    InferenceEndpoint(
        inference_id="a",
        service_settings=ServiceSettings(url="https://x.hf.space", rate_limit=RateLimit()),
        chunking_settings=ChunkingSettings(strategy="word", overlap=10),
        task_settings=TaskSettings(query_prompt="query: "),
    )


def fields(endpoint: InferenceEndpoint) -> None:
    """What stands in an endpoint."""
    assert_type(endpoint.inference_id, str)
    assert_type(endpoint.task_type, Literal["text_embedding", "rerank"])
    assert_type(endpoint.service, Literal["hugging_face"])
    assert_type(endpoint.service_settings, ServiceSettings)
    assert_type(endpoint.service_settings.url, str)
    assert_type(endpoint.service_settings.api_key, SecretStr | None)
    assert_type(endpoint.service_settings.find_key(), SecretStr | None)
    assert_type(endpoint.service_settings.rate_limit.requests_per_minute, int)
    assert_type(endpoint.service_settings.max_batch_size, int | None)
    assert_type(endpoint.service_settings.timeout, float)
    assert_type(
        endpoint.chunking_settings.strategy, Literal["sentence", "word", "recursive", "none"]
    )
    assert_type(endpoint.chunking_settings.max_chunking_size, int | None)
    assert_type(endpoint.task_settings.query_prompt, str | None)
    assert_type(endpoint.task_settings.truncate, bool)
    assert_type(endpoint.public_config(), dict[str, Any])
    assert_type({endpoint: 1}, dict[InferenceEndpoint, int])
    InferenceEndpoint("https://x.hf.space", max_wait="5")  # type: ignore[arg-type]
    InferenceEndpoint("https://x.hf.space", transport="requests")  # type: ignore[arg-type]
    InferenceEndpoint("https://x.hf.space", max_retries=3)  # type: ignore[arg-type]
    endpoint.inference_id = "b"  # type: ignore[misc]  # frozen


async def description(endpoint: InferenceEndpoint) -> None:
    """What a server says of itself."""
    described = endpoint.describe()
    assert_type(described, EndpointDescription)
    assert_type(await endpoint.adescribe(), EndpointDescription)
    assert_type(described.dimensions, int)
    assert_type(described.latency_seconds, float)
    assert_type(described.model_id, str | None)
    assert_type(described.max_input_tokens, int | None)
    described.dimensions = 3  # type: ignore[misc]  # frozen


def problems(error: SettingsError) -> None:
    """A settings error is a ValueError and names its fields."""
    as_value_error: ValueError = error
    for field, text in error.problems:
        assert_type(field, str)
        assert_type(text, str)
    raise as_value_error
