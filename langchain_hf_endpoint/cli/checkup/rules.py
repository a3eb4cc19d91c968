"""Say what to warn of: rules over what is known of an endpoint, one function each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_hf_endpoint._engine.discovery import HOW_RESTRICTED
from langchain_hf_endpoint._engine.parity import needed_restriction
from langchain_hf_endpoint._engine.prompts import e5_prompt, needs_e5_prompts, unnamed
from langchain_hf_endpoint._engine.vectors import is_unit_length
from langchain_hf_endpoint._session.fingerprint import SAME
from langchain_hf_endpoint.cli.checkup.report import Finding

if TYPE_CHECKING:
    from langchain_hf_endpoint._messages import Parity, ServerInfo
    from langchain_hf_endpoint.cli.checkup.report import (
        ContextUse,
        Latency,
        Limits,
        Prompts,
        Registered,
    )

_SMALLEST_OF_SENTENCES = 20  # words: no smaller chunks have whole sentences
_E5_LIKE = re.compile(r"(?:^|[/_-])e5(?:$|[/_-])", re.IGNORECASE)


def over_context(use: ContextUse, strategy: str, *, truncate: bool) -> Finding | None:
    """Chunks that the model does not read to their end."""
    if not use.over:
        return None
    said = (
        f"{use.over:,} of {use.chunks:,} chunks are longer than the model's {use.window:,} tokens"
    )
    what = (
        f"{use.lost_share:.1%} of the text would be in no vector"
        if truncate
        else "with truncate=false the server refuses them"
    )
    size = use.fitting_size
    advice = f"Chunks of {size} words fit (max_chunking_size; --size {size} to see)."
    if size is None:
        advice = "Take smaller chunks (max_chunking_size), or a model with a longer context."
    elif strategy == "none":
        advice = f"Choose a strategy that cuts, with chunks of {size} words."
    elif strategy == "sentence" and size < _SMALLEST_OF_SENTENCES:
        advice = f"Chunks of {size} words fit, which strategy 'word' takes."
    return Finding("chunks_over_window", f"{said}: {what}.", advice)


def missing_prompts(model: str | None, url: str, prompts: Prompts) -> Finding | None:
    """An E5 model whose inputs lack the words it was trained with."""
    is_known = needs_e5_prompts(model) or needs_e5_prompts(url)
    if not (is_known or _E5_LIKE.search(model or "")):
        return None
    has_query = prompts.query or prompts.query_name
    has_document = prompts.document or prompts.document_name
    lacking = [
        *([] if has_query else ["query_prompt"]),
        *([] if has_document else ["document_prompt"]),
    ]
    if not lacking:
        return None
    which = " and ".join(lacking)
    served = "is" if is_known else "seems to be"
    wanted = f"{e5_prompt('query')!r} before queries and {e5_prompt('document')!r} before documents"
    return Finding(
        "missing_prompts",
        f"{model or 'the model'} {served} of the E5 family, which was trained with {wanted}: "
        "without them it finds less.",
        f"Set {which} in task_settings (put --query-prompt, --document-prompt), unless the server "
        "puts them there itself; vectors that are stored need to be made anew.",
    )


def unnamed_model(model: str | None, path: str | None, prompts: Prompts) -> Finding | None:
    """A server that does not say which model it has, where nobody has decided on prompts."""
    if model is not None or prompts.are_decided:
        return None
    problem, advice = unnamed(path)
    return Finding("unnamed_model", f"the server {problem}", advice)


def over_permits(limits: Limits, latency: Latency) -> list[Finding]:
    """Limits of ours that the server will not have."""
    said: list[tuple[str, str]] = []
    size, permits, at_once = limits.batch_size, limits.server_permits, limits.wanted_requests
    wanted, allowed = limits.wanted_batch_size, limits.server_batch_size
    if wanted and allowed and wanted > allowed:
        problem = f"max_batch_size is {wanted:,}, the server takes {allowed:,} inputs in a request."
        said.append((problem, f"{size:,} are sent; leave the setting out."))
    if permits and at_once and at_once * size > permits:
        problem = (
            f"max_concurrent_requests is {at_once:,}: with {size:,} inputs each that is "
            f"{at_once * size:,} in flight, the server takes {permits:,}."
        )
        most = max(1, permits // size)
        advice = f"No more than that are sent; {most:,} requests or fewer can be in flight."
        said.append((problem, advice))
    # Full batches take at least as long as the quickest short text: the rest is Little's law.
    rate, seconds = limits.requests_per_minute, latency.shortest
    needed = rate / 60 * seconds * size
    if permits and needed > permits:
        problem = (
            f"the limit of {rate:,} requests per minute cannot be reached: at {seconds:.2g} s or "
            f"more for each, full requests would have {needed:,.0f} inputs in flight, the server "
            f"takes {permits:,}."
        )
        most = int(permits / size / seconds * 60)
        advice = f"Expect {most:,} requests per minute at most, or have more replicas."
        said.append((problem, advice))
    return [Finding("limit_over_permits", problem, advice) for problem, advice in said]


def changed_model(
    before: Registered, model: str | None, dimensions: int, cosine: float | None = None
) -> Finding | None:
    """A name of the registry whose model is another by now; `cosine` is to its vector then."""
    said = []
    if before.dimensions and before.dimensions != dimensions:
        said.append(f"{dimensions} dimensions, where the registry has {before.dimensions}")
    if before.model_id and model and before.model_id != model:
        said.append(f"the model {model}, where the registry has {before.model_id}")
    if not said and cosine is not None and cosine < SAME:
        said.append(f"other vectors than when it was put (cosine {cosine:.3f} for a fixed text)")
    if not said:
        return None
    return Finding(
        "model_changed",
        f"it serves {' and '.join(said)}.",
        "Vectors that are stored cannot stand beside new ones: put the endpoint anew, under "
        "another name, and embed all texts again.",
    )


def no_parity(parity: Parity | None, info: ServerInfo | None) -> Finding | None:
    """A server where the vector of a text depends on what it is sent with, as found or known."""
    if info is not None and info.fault is not None:
        advice = "One text at a time is sent to it, which is slow. Take a later version of it, or "
        return Finding("no_parity", f"it {info.fault}.", f"{advice}its CUDA image.")
    if parity is None or parity.is_good:
        return None
    how = needed_restriction(parity)
    sent = f"{HOW_RESTRICTED[how]}. Vectors made through other clients may be wrong."
    return Finding("no_parity", f"a text has other vectors than alone: {parity}.", sent)


def not_normalized(length: float) -> Finding | None:
    """A server that pays no heed to `normalize`."""
    if is_unit_length(length):
        return None
    return Finding(
        "not_normalized",
        f"the server does not normalize: a vector has length {length:.3g}.",
        "Compare vectors by cosine, or set normalize to false.",
    )
