"""What LangChain's `dumps` writes down of an endpoint, so that `loads` makes the same one again.

It knows the short form of the constructors and how a secret is named. It must not know the secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_hf_endpoint._tokens import TOKEN_VARIABLE
from langchain_hf_endpoint._urls import is_hugging_face

if TYPE_CHECKING:
    from langchain_hf_endpoint.endpoint import InferenceEndpoint

OTHER_HOSTS_KEY = "HF_ENDPOINT_API_KEY"
"""The secret's name where the host is not Hugging Face's: `loads(…, secrets_from_env=True)` looks
it up in the environment, and must not send ``HF_TOKEN`` to whoever is at that URL."""


def secret_name(endpoint: InferenceEndpoint) -> str:
    """Under which name the key is to be given to `loads`."""
    ours = is_hugging_face(endpoint.service_settings.url)
    return TOKEN_VARIABLE if ours else OTHER_HOSTS_KEY


def short_form(endpoint: InferenceEndpoint) -> dict[str, Any]:
    """The arguments that make this endpoint; the key, where one was given, as a `SecretStr`."""
    config = endpoint.public_config()
    arguments = {**config.pop("service_settings"), **config}
    key = endpoint.service_settings.api_key
    return arguments if key is None else {**arguments, "api_key": key}
