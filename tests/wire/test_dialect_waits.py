import pytest
from wire_samples import reply

from langchain_hf_endpoint._dialects import explain

NOON = 1_760_011_200.0  # Thu, 09 Oct 2025 12:00:00 GMT


def wait(headers, status=429, body=b""):
    return explain(reply(body, status, headers), lambda: NOON).retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("1e300", 1e300),
        ("31536000", 31536000.0),
        ("Thu, 09 Oct 2025 12:00:30 GMT", 30.0),
        ("Thu, 09 Oct 2025 12:00:30 -0000", 30.0),
        ("Thu, 09 Oct 2025 11:59:00 GMT", 0.0),
        ("Thu, 09 Oct 2025 14:00:30 +0200", 30.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("9" * 400, None),
        ("٣", None),  # an Arabic digit
        ("1_000", None),
        ("soon", None),
        ("", None),
        ("Thu, 99 Oct 2025 12:00:30 GMT", None),
        ("Thu, 09 Oct 99999999999999 12:00:30 GMT", None),
        (",", None),
    ],
)
def test_retry_after(value, seconds):
    assert wait({"retry-after": value}) == seconds


def test_a_date_is_relative_to_the_clock_of_the_server():
    headers = {
        "retry-after": "Thu, 09 Oct 2025 12:00:30 GMT",
        "date": "Thu, 09 Oct 2025 12:00:20 GMT",
    }
    assert wait(headers) == 10.0
    assert wait({**headers, "date": "some day"}) == 30.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ('"api";r=0;t=55', 56.0),
        ('"api"; r=0; t=55', 56.0),
        ('"api";t=55;r=0', 56.0),
        ('"api";r=12;t=55', None),
        ('"api";r=10;t=55', None),
        ('"a";r=0;t=5, "b";r=0;t=60, "c";r=9;t=600', 61.0),
        ('"api";r=0', None),
        ('"api";t=5', None),
        ('"api";r=0;t=soon', None),
        ('"api";r=0;t=' + "9" * 400, None),
        ("limit=10, remaining=0, reset=5", None),
        ("", None),
    ],
)
def test_rate_limit(value, seconds):
    assert wait({"ratelimit": value}) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("20.0", 20.0), ("20", 20.0), ("-5", None), ("true", None), ('"20"', None), ("null", None)],
)
def test_estimated_time(value, seconds):
    body = f'{{"error":"Model x is currently loading","estimated_time":{value}}}'
    assert wait({}, 503, body) == seconds
    assert wait({}, 500, body) is None


def test_a_503_of_another_kind_says_nothing():
    for body in (b"", b"[1]", b"<html>", b'{"error":"503 Service Unavailable"}'):
        assert wait({}, 503, body) is None


def test_the_longest_wait_counts():
    headers = {"retry-after": "3", "ratelimit": '"api";r=0;t=55'}
    assert wait(headers) == 56.0
    assert wait({**headers, "retry-after": "90"}) == 90.0
    assert wait({"retry-after": "3"}, 503, b'{"estimated_time": 20}') == 20.0


def test_without_a_clock_given_it_is_now():
    failure = explain(reply(b"", 429, {"retry-after": "Thu, 09 Oct 2025 12:00:30 GMT"}))
    assert failure.retry_after == 0.0
