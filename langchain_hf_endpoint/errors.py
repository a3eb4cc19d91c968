"""Define every error that this package raises on purpose.

::

    HFEndpointError
    ├── SettingsError            (ValueError)  a setting is wrong; nothing was sent
    ├── InputError               (ValueError)  a text is wrong, `.index` says which
    ├── AuthenticationError                    401, 403
    ├── PaymentRequiredError                   402
    ├── EndpointNotFoundError                  404, 410, a redirect
    ├── EndpointPausedError                    paused by its owner, will not wake by itself
    ├── EndpointNotReadyError                  a cold start outlasted `max_wait`
    ├── RateLimitedError                       429 until `max_wait` was spent
    ├── ServerError                            500, 502, 504 until `max_wait` was spent; 424
    ├── TransportError                         never connected, reset, timed out
    ├── ProtocolError                          an answer that cannot be right
    ├── EmbeddingError                         some texts failed; it holds the others' vectors
    ├── EndpointExistsError                    a registry has an endpoint of this id already
    ├── UnknownEndpointError     (KeyError)    a registry has no endpoint of this id
    ├── EndpointValidationError                its first call failed, so it was not stored
    ├── ModelChangedError                      another model than the one whose vectors are kept
    ├── RegistryError                          a registry's file cannot be used
    └── MissingExtraError        (ImportError) a package of one of our extras is not installed
"""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from langchain_hf_endpoint._secrets import without_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class HFEndpointError(Exception):
    """The root: catch it to catch everything that this package raises on purpose.

    Attributes:
        problem: What happened, in a sentence.
        advice: What to do about it.
        host: Where it happened, if a server was involved.
        attempts: How many requests were tried for it.
        status: The HTTP status of the last reply, if there was one.
    """

    def __init__(
        self,
        problem: str,
        *,
        advice: str = "",
        host: str = "",
        attempts: int = 0,
        status: int | None = None,
    ) -> None:
        self.problem = problem
        self.advice = advice
        self.host = host
        self.attempts = attempts
        self.status = status
        super().__init__(self._message())

    def _message(self) -> str:
        tried = {0: "", 1: "tried once"}.get(self.attempts, f"tried {self.attempts} times")
        where = ", ".join(part for part in (self.host, tried) if part)
        message = f"{self.problem} ({where})" if where else self.problem
        return f"{message.rstrip('.;')}. {self.advice}".rstrip() if self.advice else message

    def __reduce__(self) -> tuple[Callable[..., HFEndpointError], tuple[object, ...]]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(
    error_type: type[HFEndpointError], args: tuple[object, ...], state: dict[str, object]
) -> HFEndpointError:
    """Make a pickled error anew without going through a constructor whose signature differs."""
    error = error_type.__new__(error_type, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class SettingsError(HFEndpointError, ValueError):
    """One or more settings are wrong. Raised before anything is sent.

    Attributes:
        problems: ``(field, what is wrong and what is allowed)`` for every wrong field; of more than
            50 the first 50, and how many more there are.
    """

    def __init__(self, *problems: tuple[str, str], problem: str = "", **details: Any) -> None:
        self.problems: Sequence[tuple[str, str]] = _cut(problems)
        super().__init__(problem or _numbered(self.problems), **details)


_MOST_PROBLEMS = 50
_LONGEST_FIELD = 100
_MOST_READ = 1000


def _cut(problems: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
    """No more than can be read, since their number may be the choice of a caller from outside."""
    # A key that was typed where a field's name belongs would stand in the message.
    shown = tuple(
        (without_keys(str(field)[:_MOST_READ])[:_LONGEST_FIELD], text)
        for field, text in problems[:_MOST_PROBLEMS]
    )
    more = len(problems) - len(shown)
    return (*shown, ("…", f"and {more} more fields are wrong")) if more else shown


def _numbered(problems: Sequence[tuple[str, str]]) -> str:
    """Elastic's form of accumulated errors: ``Validation Failed: 1: …;2: …;``."""
    lines = (f"{number}: [{field}] {text};" for number, (field, text) in enumerate(problems, 1))
    return "Validation Failed: " + "".join(lines)


class InputError(HFEndpointError, ValueError):
    """A text cannot be embedded, whatever the server's state.

    Attributes:
        index: The position of the text in what was passed, or None where the whole input is wrong.
    """

    def __init__(self, problem: str, *, index: int | None = None, **details: Any) -> None:
        self.index = index
        super().__init__(problem if index is None else f"text {index}: {problem}", **details)


class AuthenticationError(HFEndpointError):
    """The server does not accept the key (401), or the key may not do this (403)."""


class PaymentRequiredError(HFEndpointError):
    """The account has no credit left (402)."""


class EndpointNotFoundError(HFEndpointError):
    """Nothing answers to embedding requests at this URL (404, 405, 410, a redirect)."""


class EndpointPausedError(HFEndpointError):
    """The endpoint was paused by its owner. Requests do not wake it."""


class EndpointNotReadyError(HFEndpointError):
    """The endpoint was still starting (503) when ``max_wait`` was spent."""


class RateLimitedError(HFEndpointError):
    """The server still refused for its rate limit (429) when ``max_wait`` was spent."""


class ServerError(HFEndpointError):
    """The server failed (500, 502, 504) until ``max_wait`` was spent, or for good (424)."""


class TransportError(HFEndpointError):
    """No reply: never connected, connection reset, or timed out."""


class ProtocolError(HFEndpointError):
    """A response that cannot be right: wrong count, unequal dimensions, null, NaN, or not JSON."""


class EmbeddingError(HFEndpointError):
    """Some texts of a call could not be embedded. What was embedded is in the error.

    When all failures are of one class, the error raised is of that class as well: after a 401,
    both ``except EmbeddingError`` and ``except AuthenticationError`` catch it.

    Attributes:
        completed: Text index -> its result, of the type that the call would have returned for it.
        failures: Text index -> its error. Together they name every text of a list;
            of a stream, every one that was taken and did not come out.
    """

    completed: Mapping[int, Any] = MappingProxyType({})
    failures: Mapping[int, HFEndpointError] = MappingProxyType({})
    index: int | None = None
    _yielded: int | None = None
    _of_scores = False

    def __new__(cls, *_args: object, **_details: object) -> EmbeddingError:  # noqa: PYI034 - a factory gives subclasses
        """Make the bare object; the constructors of a second base class must not interfere."""
        return Exception.__new__(cls)

    @classmethod
    def of(
        cls,
        completed: Mapping[int, Any],
        failures: Mapping[int, HFEndpointError],
        *,
        yielded: int | None = None,
        of_scores: bool = False,
    ) -> EmbeddingError:
        """Build the error from the results so far and the causes, by text index.

        Args:
            completed: The results that are nowhere else.
            failures: The causes.
            yielded: How many texts of a stream have come out before.
            of_scores: Whether the results are scores, not vectors.
        """
        causes = {type(cause) for cause in failures.values()}
        first = min(failures)
        cause = failures[first]
        error_type = _also(type(cause)) if len(causes) == 1 else cls
        error = error_type.__new__(error_type)
        total = len(completed) + len(failures) + (yielded or 0)
        HFEndpointError.__init__(
            error,
            f"{len(failures)} of {total} texts could not be {'scored' if of_scores else 'embedded'}"
            f" (texts {ranges(sorted(failures))}). The first: {cause}",
            advice=_where_the_rest_is(len(completed), yielded, of_scores=of_scores),
        )
        for name in vars(cause).keys() - {"problem", "advice"}:  # what its class promises
            setattr(error, name, getattr(cause, name))
        error.index = first
        error.completed = completed
        error.failures = failures
        error._yielded = yielded  # noqa: SLF001 - this class makes it
        error._of_scores = of_scores  # noqa: SLF001 - the same
        error.__cause__ = cause
        return error

    def __reduce__(self) -> tuple[Callable[..., HFEndpointError], tuple[object, ...]]:
        if not self.failures:  # made by hand
            return super().__reduce__()
        rebuild = partial(EmbeddingError.of, yielded=self._yielded, of_scores=self._of_scores)
        return rebuild, (dict(self.completed), dict(self.failures))


class EndpointExistsError(HFEndpointError):
    """A registry holds an endpoint of this id already. Nothing was sent or changed."""


class UnknownEndpointError(HFEndpointError, KeyError):
    """A registry holds no endpoint of this id. Also a ``KeyError``."""

    def __str__(self) -> str:
        return self._message()  # a KeyError would show the message in quotes


class EndpointValidationError(HFEndpointError):
    """An endpoint's first call failed, so a registry did not take it. `__cause__` says why."""


class ModelChangedError(HFEndpointError):
    """Another model answers than the one whose vectors are kept; none of its vectors is used.

    A server was replaced, or an id that was deleted comes back with another model.
    """


class RegistryError(HFEndpointError):
    """A registry's file cannot be used: its mode, its format, a lock, a full disk, or closed."""


def _where_the_rest_is(completed: int, yielded: int | None, *, of_scores: bool) -> str:
    """Where to look for the results, if there are any, and for the causes."""
    if yielded:
        return "The others have come out of the stream, every cause is in .failures."
    if completed:
        results = "scores" if of_scores else "vectors"
        return f"The {results} of the others are in .completed, every cause is in .failures."
    return "Every cause is in .failures."


_also_caught_as: dict[type[HFEndpointError], type[EmbeddingError]] = {}


def _also(cause: type[HFEndpointError]) -> type[EmbeddingError]:
    """The kind of ``EmbeddingError`` that is caught as ``cause`` too; one class for each."""
    if cause not in _also_caught_as:
        bases = (EmbeddingError, cause)
        _also_caught_as[cause] = type("EmbeddingError", bases, {"__doc__": EmbeddingError.__doc__})
    return _also_caught_as[cause]


def ranges(indices: Sequence[int], most: int = 8) -> str:
    """``[0, 1, 2, 7]`` -> ``0-2, 7``."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    words = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:most]]
    return ", ".join(words) + (", …" if len(runs) > most else "")


class MissingExtraError(HFEndpointError, ImportError):
    """A package of one of this package's extras is not installed; `advice` names the extra."""
