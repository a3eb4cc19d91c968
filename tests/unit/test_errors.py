"""How errors read, are caught, combined and carried to other processes."""

import copy
import inspect
import pickle
import subprocess
import sys

import pytest

from langchain_hf_endpoint import (
    AuthenticationError,
    EmbeddingError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointPausedError,
    HFEndpointError,
    InputError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    SettingsError,
    TransportError,
    errors,
)

OF_A_SERVER = [
    AuthenticationError,
    EndpointNotFoundError,
    EndpointNotReadyError,
    EndpointPausedError,
    PaymentRequiredError,
    ProtocolError,
    RateLimitedError,
    ServerError,
    TransportError,
]
DETAILS = {"advice": "Do this.", "host": "x.hf.space", "attempts": 3, "status": 503}


def examples():
    yield HFEndpointError("it broke")
    for error_type in OF_A_SERVER:
        yield error_type("it broke", **DETAILS)
    yield InputError("is blank", index=7, **DETAILS)
    yield InputError("is wrong")
    yield SettingsError(("timeout", "0 is not allowed"), ("url", "is required"))
    yield SettingsError(("task_settings", "no such prompt"), problem="refused", **DETAILS)
    yield EmbeddingError.of({0: [1.0]}, {1: ServerError("it broke", **DETAILS)})
    yield EmbeddingError.of({}, {0: InputError("is blank", index=0), 1: SettingsError(("a", "b"))})


@pytest.mark.parametrize("error_type", [*OF_A_SERVER, SettingsError, InputError, EmbeddingError])
def test_every_error_is_caught_by_the_root(error_type):
    assert issubclass(error_type, HFEndpointError)
    assert issubclass(error_type, Exception)


@pytest.mark.parametrize("error_type", [SettingsError, InputError])
def test_errors_about_what_was_passed_are_value_errors(error_type):
    assert issubclass(error_type, ValueError)


@pytest.mark.parametrize("error_type", [*OF_A_SERVER, EmbeddingError])
def test_errors_about_a_server_are_no_value_errors(error_type):
    assert not issubclass(error_type, ValueError)


def test_every_error_has_a_docstring_and_stands_in_the_drawn_tree():
    for name, found in inspect.getmembers(errors, inspect.isclass):
        if issubclass(found, HFEndpointError):
            assert found.__doc__
            assert name in errors.__doc__


@pytest.mark.parametrize(
    ("details", "message"),
    [
        ({}, "it broke"),
        ({"advice": "Do this."}, "it broke. Do this."),
        ({"host": "x.hf.space"}, "it broke (x.hf.space)"),
        ({"attempts": 1}, "it broke (tried once)"),
        ({"attempts": 2, "host": "h"}, "it broke (h, tried 2 times)"),
        (DETAILS, "it broke (x.hf.space, tried 3 times). Do this."),
    ],
)
def test_a_message_says_what_where_how_often_and_what_to_do(details, message):
    assert str(ServerError("it broke", **details)) == message


def test_a_sentence_gets_no_second_full_stop():
    assert str(ServerError("It broke.", advice="Do this.")) == "It broke. Do this."


def test_the_parts_of_a_message_are_attributes():
    error = ServerError("it broke", **DETAILS)
    assert error.problem == "it broke"
    assert {name: getattr(error, name) for name in DETAILS} == DETAILS


def test_an_input_error_names_the_text_by_its_index():
    error = InputError("is blank", index=7, advice="Leave it out.")
    assert error.index == 7
    assert str(error) == "text 7: is blank. Leave it out."
    assert InputError("is blank").index is None


def test_a_settings_error_numbers_its_problems_as_elastic_does():
    error = SettingsError(("timeout", "must be more"), ("url", "is required"))
    assert error.problems == (("timeout", "must be more"), ("url", "is required"))
    assert str(error) == "Validation Failed: 1: [timeout] must be more;2: [url] is required;"


def test_an_embedding_error_tells_what_was_done_and_what_was_not():
    cause = ServerError("it broke", **DETAILS)
    error = EmbeddingError.of({0: [1.0], 2: [2.0]}, {3: cause, 1: cause})
    assert error.completed == {0: [1.0], 2: [2.0]}
    assert error.failures == {1: cause, 3: cause}
    assert error.__cause__ is cause
    for part in ("2 of 4 texts", "(texts 1, 3)", str(cause), ".completed", ".failures"):
        assert part in str(error)


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        ([0], "texts 0"),
        ([0, 1], "texts 0-1"),
        ([0, 1, 2, 5, 7, 8], "texts 0-2, 5, 7-8"),
        (list(range(100_000)), "texts 0-99999"),
        (list(range(0, 100_000, 2)), "texts 0, 2, 4, 6, 8, 10, 12, 14, …"),
    ],
)
def test_many_failed_texts_are_named_in_few_words(failed, words):
    message = str(EmbeddingError.of({}, dict.fromkeys(failed, ServerError("it broke"))))
    assert f"({words})" in message
    assert len(message) < 300


@pytest.mark.parametrize("error_type", [*OF_A_SERVER, SettingsError, InputError])
def test_failures_of_one_class_are_caught_as_that_class_too(error_type):
    causes = [error_type(problem="it broke"), error_type(problem="it broke again")]
    error = EmbeddingError.of({}, dict(enumerate(causes)))
    assert isinstance(error, EmbeddingError)
    assert isinstance(error, error_type)
    assert type(error).__name__ == "EmbeddingError"
    for other in {*OF_A_SERVER, SettingsError, InputError} - {error_type}:
        assert not isinstance(error, other)


def test_failures_of_several_classes_are_caught_as_none_of_them():
    for error_type in OF_A_SERVER:  # whichever of the classes comes first in a set
        causes = {0: error_type("it broke"), 1: InputError("is blank", index=1)}
        error = EmbeddingError.of({}, causes)
        assert type(error) is EmbeddingError
        assert error.__cause__ is causes[0]


def test_what_the_class_of_the_cause_promises_holds_for_the_whole():
    refused = SettingsError(("task_settings", "no such prompt"), **DETAILS)
    error = EmbeddingError.of({}, {0: refused})
    assert error.problems == refused.problems
    assert (error.host, error.attempts, error.status) == ("x.hf.space", 3, 503)
    blank = EmbeddingError.of({0: [1.0]}, {4: InputError("is blank", index=4)})
    assert blank.index == 4


def same(one, other):
    assert type(one) is type(other)
    assert str(one) == str(other)
    for name in {*vars(one), *vars(other)} - {"completed", "failures"}:
        assert getattr(one, name) == getattr(other, name), name
    if isinstance(one, EmbeddingError):
        assert one.completed == other.completed
        assert one.failures.keys() == other.failures.keys()
        for index in one.failures:
            same(one.failures[index], other.failures[index])


@pytest.mark.parametrize("error", list(examples()), ids=lambda error: type(error).__name__)
def test_an_error_survives_pickles_and_copies(error):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        same(pickle.loads(pickle.dumps(error, protocol)), error)
    same(copy.copy(error), error)
    same(copy.deepcopy(error), error)


def test_an_error_survives_the_way_from_another_process():
    script = (
        "import pickle, sys\n"
        "from langchain_hf_endpoint import EmbeddingError, AuthenticationError\n"
        "error = EmbeddingError.of({0: [1.0]}, {1: AuthenticationError('no', status=401)})\n"
        "sys.stdout.buffer.write(pickle.dumps(error))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    error = pickle.loads(run.stdout)
    assert isinstance(error, AuthenticationError)
    assert isinstance(error, EmbeddingError)
    assert (error.completed, error.failures[1].status) == ({0: [1.0]}, 401)


def test_an_embedding_error_is_raised_and_caught_like_any_other():
    cause = AuthenticationError("no", status=401)
    with pytest.raises(AuthenticationError) as caught:
        raise EmbeddingError.of({}, {0: cause})
    assert caught.value.failures == {0: cause}
    assert caught.value.status == 401


def test_an_embedding_error_made_by_hand_holds_nothing_and_can_be_pickled():
    copy = pickle.loads(pickle.dumps(EmbeddingError("by hand")))
    assert (str(copy), dict(copy.completed), dict(copy.failures)) == ("by hand", {}, {})
