"""From a request's JSON to the texts whose vectors are answered. Nothing here waits.

A token of the double is a run between spaces; [CLS] and [SEP] come on top, as with BERT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_hf_endpoint.testing import tei

from .wire import Refusal, not_deserialized, option

if TYPE_CHECKING:
    from .settings import Settings

_CHARACTERS_PER_TOKEN = 250


@dataclass(slots=True)
class Inputs:
    """What one request asks for, as far as its JSON says."""

    texts: list[str]
    single: bool


def inputs_of(body: dict[str, Any], name: str) -> Inputs:
    """A string, a list of them, a list of token ids, or a list of those.

    Token ids stand for the text of their numbers, as a model's own tokenizer would read other
    words from the ids of a foreign one.
    """
    if name not in body:
        raise not_deserialized(f"missing field `{name}`")
    given = body[name]
    if isinstance(given, str):
        return Inputs([given], single=True)
    if not isinstance(given, list):
        raise not_deserialized(f"{name}: data did not match any variant of untagged enum Input")
    if not given or isinstance(given[0], int):
        return Inputs([_of_ids(given, name)], single=True)
    return Inputs(
        [each if isinstance(each, str) else _of_ids(each, name) for each in given], single=False
    )


def _of_ids(ids: object, name: str) -> str:
    if not isinstance(ids, list) or any(type(each) is not int or each < 0 for each in ids):
        raise not_deserialized(f"{name}: data did not match any variant of untagged enum Input")
    return " ".join(map(str, ids))


def check_batch_size(inputs: Inputs, settings: Settings, path: str) -> None:
    """Refuse more inputs than `max_client_batch_size`."""
    given, most = len(inputs.texts), settings.max_client_batch_size
    if given > most:
        raise Refusal(tei.batch_too_large(settings.release, path, given, most))


@dataclass(slots=True)
class Tokenization:
    """How inputs are prompted and cut."""

    prompt: str
    truncate: bool
    keep_end: bool

    @classmethod
    def of(cls, body: dict[str, Any], settings: Settings, path: str) -> Tokenization:
        """From the fields of a native route; absent ones mean the server's defaults."""
        truncate = option(body, "truncate", bool)
        return cls(
            prompt=_prompt(body, settings, path),
            truncate=settings.truncates if truncate is None else truncate,
            keep_end=_direction(body, settings) == "left",
        )

    def texts(self, inputs: Inputs, settings: Settings, path: str) -> list[str]:
        """What is really embedded for each input."""
        prompt = self.prompt
        marker = settings.reject_marker
        most = settings.max_input_length
        result = []
        for given in inputs.texts:
            if not given:
                raise Refusal(tei.empty(settings.release, path))
            text = prompt + given if prompt else given
            if marker and marker in text:
                raise Refusal(tei.tokenizer_error(path))
            if tokens_of(text) > most or len(text) > most * _CHARACTERS_PER_TOKEN:
                text = self._shortened(text, settings, path)
            result.append(text)
        return result

    def _shortened(self, text: str, settings: Settings, path: str) -> str:
        most = settings.max_input_length
        characters = most * _CHARACTERS_PER_TOKEN
        if len(text) > characters:
            if not self.truncate:
                release, given = settings.release, len(text)
                raise Refusal(tei.too_long(release, path, given, characters, "characters"))
            text = text[-characters:] if self.keep_end else text[:characters]
        if tokens_of(text) <= most:
            return text
        if not self.truncate:
            raise Refusal(tei.too_long(settings.release, path, tokens_of(text), most))
        words = text.split(" ")
        return " ".join(words[-(most - 2) :] if self.keep_end else words[: most - 2])


def tokens_of(text: str) -> int:
    """Tokens, [CLS] and [SEP] included."""
    return text.count(" ") + 3


def _direction(body: dict[str, Any], settings: Settings) -> str:
    """Lower case was not understood before 1.9; huggingface_hub sends it."""
    given = option(body, "truncation_direction", str)
    known = ("Left", "Right") + (("left", "right") if settings.release >= (1, 9) else ())
    if given is not None and given not in known:
        reason = f"unknown variant `{given}`, expected `Left` or `Right`"
        raise not_deserialized(f"truncation_direction: {reason}")
    return (given or "right").lower()


def _prompt(body: dict[str, Any], settings: Settings, path: str) -> str:
    """The prompt that a request names, else the server's. Before 1.3 names are not read."""
    name = option(body, "prompt_name", str) if settings.release >= (1, 3) else None
    if name is None:
        return settings.default_prompt
    prompts = settings.prompts
    if prompts is not None and name in prompts:
        return prompts[name]
    raise Refusal(tei.unknown_prompt(settings.release, path, name, prompts))


def dimensions_of(body: dict[str, Any], settings: Settings, path: str) -> int:
    """How wide the rows are to be. Ignored before 1.8."""
    given = option(body, "dimensions", int) if settings.release >= (1, 8) else None
    if given is None:
        return settings.dimensions
    if given < 0:
        raise not_deserialized(f"dimensions: invalid value: integer `{given}`, expected usize")
    if not given:
        raise Refusal(tei.no_dimensions(settings.release, path))
    if given > settings.dimensions:
        raise Refusal(tei.too_many_dimensions(settings.release, path))
    return given
