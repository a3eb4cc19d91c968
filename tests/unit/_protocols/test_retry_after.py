import pytest
from wire_samples import reply

from langchain_hf_endpoint._protocols import explain, wait_foretold

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
        ("5, 7", 7.0),
        ("7,5", 7.0),
        ("5, soon", 5.0),
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
        ("limit=10, remaining=0, reset=5", 6.0),
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


def test_an_estimate_is_told_from_what_is_asked_for():
    loading = b'{"estimated_time": 20}'
    assert explain(reply(loading, 503)).is_estimate
    assert wait({"retry-after": "3"}, 503, loading) == 3.0
    assert not explain(reply(loading, 503, {"retry-after": "3"})).is_estimate


def test_without_a_clock_given_it_is_now():
    failure = explain(reply(b"", 429, {"retry-after": "Thu, 09 Oct 2025 12:00:30 GMT"}))
    assert failure.retry_after == 0.0


IN_HALF_A_MINUTE = NOON + 30


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (f"{IN_HALF_A_MINUTE:.0f}", 30.0),
        (f"{IN_HALF_A_MINUTE + 0.5}", 30.5),
        (f"{IN_HALF_A_MINUTE * 1e3:.0f}", 30.0),
        (f"{IN_HALF_A_MINUTE * 1e6:.0f}", 30.0),
        (f"{IN_HALF_A_MINUTE * 1e9:.0f}", 30.0),
        (f"{NOON - 60:.0f}", 0.0),
        ("2025-10-09T12:00:30Z", 30.0),
        ("2025-10-09T14:00:30+02:00", 30.0),
        ("30s", 30.0),
        ("500ms", 0.5),
        ("1m30s", 90.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("1d", 86400.0),
        ("30 s", 30.0),
        ("30 sec", None),
        ("s", None),
        ("s30", None),
        ("1s1", None),
        ("2025-99-09T12:00:30Z", None),
    ],
)
def test_times_of_day_and_durations(value, seconds):
    got = wait({"retry-after": value})
    assert got == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


def test_a_time_of_day_is_by_the_clock_of_the_server():
    date = "Thu, 09 Oct 2025 12:00:20 GMT"
    assert wait({"retry-after": f"{IN_HALF_A_MINUTE:.0f}", "date": date}) == 10.0
    assert wait({"x-ratelimit-reset": f"{IN_HALF_A_MINUTE:.0f}", "date": date}) == 10.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"ratelimit-reset": "13"}, 13.0),  # Kong
        ({"ratelimit-reset": "13", "ratelimit-remaining": "0"}, 13.0),
        ({"ratelimit-reset": "13", "ratelimit-remaining": "4"}, None),
        ({"ratelimit-reset": "13", "retry-after": "2"}, 2.0),
        ({"ratelimit-reset": "13", "ratelimit-remaining": "0", "retry-after": "2"}, 13.0),
        ({"x-ratelimit-reset": "13"}, 13.0),
        ({"x-rate-limit-reset": "13"}, 13.0),
        ({"x-ratelimit-reset": f"{IN_HALF_A_MINUTE:.0f}"}, 30.0),  # GitHub
        ({"x-ratelimit-reset": f"{IN_HALF_A_MINUTE * 1000:.0f}"}, 30.0),
        ({"x-ratelimit-reset-ms": "13000"}, 13.0),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),  # OpenAI
        ({"x-ratelimit-reset-requests": "20ms", "x-ratelimit-reset-tokens": "2s"}, 2.0),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1.5s",
                "x-ratelimit-remaining-tokens": "149000",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            1.5,
        ),
        ({"anthropic-ratelimit-requests-reset": "2025-10-09T12:00:30Z"}, 30.0),
        ({"ratelimit": "limit=100, remaining=0, reset=55"}, 56.0),
        ({"ratelimit": "limit=100, remaining=3, reset=55"}, None),
        ({"x-ratelimit-reset": "0"}, None),
        ({"x-ratelimit-reset": "never"}, None),
        ({"x-ratelimit-limit-requests": "60"}, None),
    ],
    ids=str,
)
def test_headers_of_other_servers(headers, seconds):
    got = wait(headers)
    assert got == (None if seconds is None else pytest.approx(seconds, abs=1e-3))


def test_what_does_not_say_that_nothing_is_left_counts_after_a_429_alone():
    assert wait({"x-ratelimit-reset": "13"}, status=500) is None
    assert wait({"x-ratelimit-reset": "13", "x-ratelimit-remaining": "0"}, status=500) == 13.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit": '"api";r=0;t=55'}, 56.0),
        ({"ratelimit": '"api";r=1;t=55'}, None),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "13"}, 13.0),
        ({"ratelimit-remaining": "1", "ratelimit-reset": "13"}, None),
        ({"ratelimit-remaining": "0"}, None),
        ({"ratelimit-reset": "13"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2m"}, 120.0),
        ({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": f"{IN_HALF_A_MINUTE:.0f}"}, 30.0),
        ({"x-ratelimit-remaining": "none", "x-ratelimit-reset": "9"}, None),
        ({"retry-after": "9"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_a_good_reply_foretells_a_wait_where_nothing_is_left(headers, seconds):
    assert wait_foretold(headers, lambda: NOON) == seconds
