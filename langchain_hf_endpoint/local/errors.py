"""Why a local server does not start.

It knows how that is said and how it travels from the child process to its owner.
"""

from __future__ import annotations

from langchain_hf_endpoint import errors
from langchain_hf_endpoint.local.info import CONTAINER, INSTALL


class LocalServerError(errors.HFEndpointError):
    """The local server did not start, or is not running."""


class MissingExtraError(LocalServerError, errors.MissingExtraError):
    """A package of the extra ``[local]`` is not installed, or does not work on this machine."""


def missing_extra(reason: str) -> MissingExtraError:
    """The error for a failed import, with the two ways out of it."""
    return MissingExtraError(
        f"The local server needs packages that are not here: {reason}",
        advice=(
            f"Install them with {INSTALL}. Where onnxruntime has no build for this machine, "
            f"run Hugging Face's server instead: {CONTAINER}"
        ),
    )


def as_record(error: LocalServerError) -> dict[str, str]:
    """The error as JSON can carry it."""
    kind = "missing" if isinstance(error, MissingExtraError) else "start"
    return {"kind": kind, "problem": error.problem, "advice": error.advice}


def from_record(record: dict[str, str]) -> LocalServerError:
    """The error that ``as_record`` was given."""
    kind = MissingExtraError if record["kind"] == "missing" else LocalServerError
    return kind(record["problem"], advice=record["advice"])
