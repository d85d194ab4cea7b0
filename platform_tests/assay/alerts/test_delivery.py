"""Attempts: one and three more, with pauses that double; and over HTTP, which answer leads to another."""

from __future__ import annotations

import datetime as dt
import socket
from email.utils import format_datetime
from functools import partial

import pytest
from receivers import Answer, HttpReceiver

from assay.alerts.delivery import Attempts, NotNow, Undelivered
from assay.alerts.posting import post_json


def post(receiver: HttpReceiver, attempts: Attempts, seconds: float = 30) -> None:
    attempts.make(partial(post_json, receiver.url, {"a": 1}, seconds=seconds))


def test_what_is_taken_is_sent_once(http: HttpReceiver, attempts: Attempts, pauses: list[float]) -> None:
    post(http, attempts)
    assert (http.bodies, pauses) == ([{"a": 1}], [])
    assert http.requests[0][1]["Content-Type"] == "application/json"


@pytest.mark.parametrize("bad", [Answer(500), Answer(503), Answer(429), Answer(408), Answer(hangs_up=True)], ids=str)
def test_what_may_pass_is_tried_again(http: HttpReceiver, attempts: Attempts, pauses: list[float], bad: Answer) -> None:
    http.answers = [bad, bad, bad]
    post(http, attempts)
    assert (len(http.requests), pauses) == (4, [1, 2, 4])


def test_one_that_does_not_answer_in_time_is_tried_again(http: HttpReceiver, attempts: Attempts, pauses: list[float]) -> None:
    http.answers = [Answer(seconds=1)] * 4
    with pytest.raises(NotNow, match=r"did not answer within 0\.1 s"):
        post(http, attempts, seconds=0.1)
    assert pauses == [1, 2, 4]


def test_after_three_more_attempts_it_is_undelivered(http: HttpReceiver, attempts: Attempts, pauses: list[float]) -> None:
    http.answers = [Answer(500)] * 9
    with pytest.raises(NotNow, match=r"^127\.0\.0\.1 answered 500$"):
        post(http, attempts)
    assert (len(http.requests), pauses) == (4, [1, 2, 4])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(http: HttpReceiver, attempts: Attempts, pauses: list[float], status: int) -> None:
    http.answers = [Answer(status)]
    with pytest.raises(Undelivered, match=str(status)):
        post(http, attempts)
    assert (len(http.requests), pauses) == (1, [])


def test_a_redirect_is_a_refusal(http: HttpReceiver, attempts: Attempts) -> None:
    """Followed, it would be a GET of a login page: answered well, and nobody told."""
    http.answers = [Answer(302, {"Location": http.url})]
    with pytest.raises(Undelivered, match="302"):
        post(http, attempts)
    assert len(http.requests) == 1


def test_a_channel_says_how_long_it_wants_to_be_left_alone(http: HttpReceiver, attempts: Attempts, pauses: list[float]) -> None:
    soon = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20), usegmt=True)
    http.answers = [Answer(429, {"Retry-After": "7"}), Answer(429, {"Retry-After": soon}), Answer(429, {"Retry-After": "x"})]
    post(http, attempts)
    assert pauses[0] == 7
    assert 15 < pauses[1] <= 20
    assert pauses[2] == 4


def test_one_that_wants_to_be_left_alone_for_long_is_told_by_the_next_run(http: HttpReceiver, attempts: Attempts) -> None:
    http.answers = [Answer(429, {"Retry-After": "3600"})]
    with pytest.raises(NotNow):
        post(http, attempts)
    assert len(http.requests) == 1


def test_no_attempt_is_begun_after_the_budget() -> None:
    times = iter([0.0, 100.0, 181.0])
    tried = []

    def attempt() -> None:
        tried.append(1)
        raise NotNow("busy")

    with pytest.raises(NotNow):
        Attempts(sleep=lambda _: None, clock=lambda: next(times)).make(attempt)
    assert len(tried) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_errors_name_the_host_and_no_secret(host: str, attempts: Attempts) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(NotNow) as raised:
            attempts.make(partial(post_json, f"http://{host}:{port}/services/T0SECRET", {}))
    assert host in str(raised.value)
    assert "SECRET" not in str(raised.value)
    assert raised.value.__suppress_context__
