"""A breaker lets one try after each pause; a guard logs once, counts each failure, and gives nothing back."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from octopus_graph.effects import Blocking, Logic, run
from octopus_graph.errors import StoreError
from octopus_graph.persistence.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker, Guard
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.counters import Counters, tallies


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_after_a_failure_one_caller_tries_when_the_pause_is_over() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()
    clock.now += FIRST_PAUSE
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert breaker.worked()
    assert [breaker.allows() for _ in range(3)] == [True] * 3
    assert not breaker.worked()


def test_pauses_double_up_to_a_limit() -> None:
    breaker = Breaker(Clock())
    pauses = [breaker.failed() for _ in range(8)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    breaker.worked()
    assert breaker.failed() == FIRST_PAUSE


def test_a_try_that_never_ends_does_not_keep_others_off_for_good() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    breaker.failed()
    clock.now += FIRST_PAUSE
    assert breaker.allows()  # and its caller is cancelled
    clock.now += FIRST_PAUSE
    assert breaker.allows()


def asking(work: Callable[[], Any]) -> Logic[Any]:
    return (yield Blocking(work))


def test_failures_are_survived_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    counters, calls = Counters(), list[int]()
    guard = Guard(Link("redis://me:secret@host:7000"), counters)
    clock = Clock()
    guard.breaker = Breaker(clock)

    def fail() -> None:
        calls.append(1)
        raise StoreError("it is gone")

    for _ in range(5):
        assert run(guard("answer", asking(fail))) is None
        clock.now += LONGEST_PAUSE + 1
    assert run(guard(None, asking(fail))) is None
    assert len(calls) == 6
    assert counters.read()["answer"]["error"] == 5
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "host:7000 (it is gone)" in caplog.text
    assert "secret" not in caplog.text


def test_what_is_no_failure_of_redis_passes_through() -> None:
    guard = Guard(Link("redis://host"), Counters())
    with pytest.raises(ZeroDivisionError):
        run(guard("answer", asking(lambda: 1 / 0)))
    assert run(guard("answer", asking(lambda: 5))) == 5


def test_counters_that_could_not_be_sent_are_kept() -> None:
    counters = Counters()
    counters.add("answer", "hit")
    counters.add("answer", "saved_ms", 1.5)
    assert counters.unsent
    taken = counters.take()
    assert not counters.unsent
    counters.add("answer", "hit")
    counters.give_back(taken)
    assert dict(counters.take()) == {("answer", "hit"): 2, ("answer", "saved_ms"): 1.5}
    assert counters.read() == {"answer": {"hit": 2, "miss": 0, "stale": 0, "error": 0, "saved_ms": 1.5}}
    assert tallies([]) == {}
