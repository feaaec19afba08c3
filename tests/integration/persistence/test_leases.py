"""The queue of runs, step by step, on real servers."""

import time
from collections.abc import Callable, Generator
from uuid import uuid4

import pytest

from octopus_graph.effects import run
from octopus_graph.persistence import Link
from octopus_graph.persistence.leases import Leases, Record

pytestmark = pytest.mark.integration

LONG = 60_000
Take = Callable[..., tuple[str, Record] | None]


@pytest.fixture(params=["one", "three", "debian"])
def queue(request: pytest.FixtureRequest) -> Generator[Leases]:
    """A queue on Valkey alone, on a cluster, on Debian's Redis."""
    place = request.getfixturevalue(request.param)
    link = Link(place if isinstance(place, str) else f"redis://127.0.0.1:{place.port}")
    yield Leases(link, f"test-{uuid4()}", "q", LONG)
    link.close()


@pytest.fixture
def take(queue: Leases) -> Take:
    def take(worker: str = "w", *, lease: int = LONG, attempts: int = 3, ask: str | None = None):
        return run(queue.take(worker, ask or uuid4().hex, lease, attempts))

    return take


def submit(queue: Leases, *runs: str, thread: str = "") -> None:
    for one in runs:
        run(queue.submit(one, thread or f"thread of {one}", {"input": b"\xff"}))


def status(queue: Leases, one: str) -> str:
    record = run(queue.read(one))
    return record["status"].decode() if record else ""


def taken(found: tuple[str, Record] | None) -> tuple[str, str]:
    assert found is not None
    return found[0], found[1]["token"].decode()


def lapse(queue: Leases, one: str) -> None:
    """Lets time pass for one lease."""
    run(queue.link.command("ZADD", queue._key("leases"), 1, one))


def test_a_run_goes_to_one_worker_with_what_it_was_given(queue: Leases, take: Take) -> None:
    submit(queue, "a")
    found = take("w")
    assert found is not None
    name, record = found
    assert (name, record["input"], record["attempts"], record["worker"]) == ("a", b"\xff", b"1", b"w")
    assert take("v") is None
    assert run(queue.end("a", record["token"].decode(), "done", {"result": b"42"}))
    ended = run(queue.read("a"))
    assert ended is not None
    assert (ended["status"], ended["result"]) == (b"done", b"42")
    assert "input" not in ended


def test_runs_of_one_thread_go_on_one_after_the_other_and_those_of_others_meanwhile(queue: Leases, take: Take) -> None:
    submit(queue, "a", "b", thread="same")
    submit(queue, "c", thread="other")
    run_a, token = taken(take())
    run_c, _ = taken(take())
    assert (run_a, run_c) == ("a", "c")
    assert take() is None
    run(queue.end("a", token, "done", {}))
    assert taken(take())[0] == "b"


def test_tokens_only_ever_grow_even_if_the_server_forgot_the_last_ones(queue: Leases, take: Take) -> None:
    submit(queue, "a", "b", "c")
    first, second = (int(taken(take())[1]) for _ in range(2))
    run(queue.link.command("UNLINK", queue._key("token")))
    third = int(taken(take())[1])
    assert first < second < third


def test_submitting_twice_makes_one_run(queue: Leases, take: Take) -> None:
    submit(queue, "a", "a")
    token = taken(take())[1]
    submit(queue, "a")
    assert take() is None
    run(queue.end("a", token, "done", {}))
    submit(queue, "a")
    assert take() is None


def test_a_question_whose_answer_was_lost_is_answered_the_same_again(queue: Leases, take: Take) -> None:
    submit(queue, "a", "b")
    first = take(ask="x")
    assert take(ask="x") == first
    assert taken(take(ask="y"))[0] == "b"


def test_a_run_whose_lease_is_over_goes_to_another_worker(queue: Leases, take: Take) -> None:
    submit(queue, "a")
    _, token = taken(take("w"))
    lapse(queue, "a")
    again = take("v")
    assert again is not None
    assert again[1]["attempts"] == b"2"
    assert run(queue.renew(LONG, [("a", token)])) == ["lost"]
    assert not run(queue.end("a", token, "done", {"result": b"late"}))
    assert not run(queue.hand_back("a", token))
    assert "result" not in (run(queue.read("a")) or {})


def test_a_renewed_lease_goes_on(queue: Leases, take: Take) -> None:
    submit(queue, "a")
    _, token = taken(take("w", lease=200))
    assert run(queue.renew(LONG, [("a", token)])) == ["held"]
    time.sleep(0.3)
    assert take("v") is None


def test_no_lease_runs_out_while_no_worker_could_be_heard(queue: Leases, take: Take) -> None:
    submit(queue, "a")
    _, token = taken(take("w"))
    ago = int(time.time() * 1000) - 30_000  # the server was frozen for 30 s
    run(queue.link.command("SET", queue._key("beat"), ago))
    run(queue.link.command("ZADD", queue._key("leases"), ago + 1000, "a"))
    assert take("v") is None
    assert run(queue.renew(LONG, [("a", token)])) == ["held"]


def test_a_run_that_kills_its_workers_is_dead_after_some_attempts(queue: Leases, take: Take) -> None:
    submit(queue, "a", "b", thread="same")
    for _ in range(3):
        assert taken(take())[0] == "a"
        lapse(queue, "a")
    assert taken(take())[0] == "b"  # what comes after it in its line goes on
    assert status(queue, "a") == "dead"
    ((name, record),) = run(queue.some("dead", 10))
    assert (name, record["error"]) == ("a", b"its worker was not heard of any more")


def test_a_dead_run_is_queued_again_at_the_end_of_its_line(queue: Leases, take: Take) -> None:
    submit(queue, "a", "b", thread="same")
    run(queue.end("a", taken(take())[1], "dead", {"error": "why"}))
    assert run(queue.requeue("a")) == "dead"
    assert run(queue.some("dead", 10)) == []
    run(queue.end("b", taken(take())[1], "done", {}))
    again = take()
    assert again is not None
    assert (again[0], again[1]["attempts"], again[1]["input"]) == ("a", b"1", b"\xff")
    assert run(queue.requeue("b")) == "done"
    assert run(queue.requeue("nobody")) == ""


def test_what_is_handed_back_in_peace_costs_no_attempt_and_what_failed_waits_for_its_time(
    queue: Leases, take: Take
) -> None:
    submit(queue, "a")
    run(queue.hand_back("a", taken(take())[1]))
    _, token = taken(take())
    assert (run(queue.read("a")) or {})["attempts"] == b"1"
    run(queue.hand_back("a", token, delay=300, attempts=3, error="why"))
    assert take() is None
    time.sleep(0.4)
    again = take()
    assert again is not None
    assert (again[1]["attempts"], again[1]["error"]) == (b"2", b"why")
    run(queue.hand_back("a", again[1]["token"].decode(), attempts=2, error="why"))
    assert status(queue, "a") == "dead"


def test_cancelling_ends_what_waits_and_is_told_to_the_worker_of_what_runs(queue: Leases, take: Take) -> None:
    submit(queue, "a", "b", "c", thread="same")
    _, token = taken(take())
    assert run(queue.cancel("b")) == "cancelled"
    assert run(queue.cancel("a")) == "running"
    assert run(queue.renew(LONG, [("a", token)])) == ["cancel"]
    assert run(queue.end("a", token, "cancelled", {}))
    assert taken(take())[0] == "c"
    assert [status(queue, one) for one in "abc"] == ["cancelled", "cancelled", "running"]
    assert run(queue.cancel("a")) == "cancelled"
    assert run(queue.cancel("nobody")) == ""


def test_a_cancelled_run_whose_worker_is_dead_is_not_begun_again(queue: Leases, take: Take) -> None:
    submit(queue, "a")
    take()
    run(queue.cancel("a"))
    lapse(queue, "a")
    assert take() is None
    assert status(queue, "a") == "cancelled"


def test_an_interrupted_run_keeps_its_place_until_its_human_has_spoken(queue: Leases, take: Take) -> None:
    submit(queue, "a", "b", thread="same")
    run(queue.end("a", taken(take())[1], "interrupted", {"question": b"?"}))
    assert take() is None
    assert run(queue.resume("b", b"!")) == "queued"
    assert run(queue.resume("a", b"!")) == "interrupted"
    found = take()
    assert found is not None
    assert (found[0], found[1]["resume"], found[1]["resumes"]) == ("a", b"!", b"1")
    assert "question" not in found[1]


def test_an_end_that_was_said_twice_is_one_end(queue: Leases, take: Take) -> None:
    submit(queue, "a", "b", thread="same")
    _, token = taken(take())
    assert run(queue.end("a", token, "done", {}))
    assert run(queue.end("a", token, "done", {}))
    assert not run(queue.end("a", token, "dead", {}))
    assert taken(take())[0] == "b"


def test_runs_that_are_over_go_by_themselves_and_leave_the_list(queue: Leases, take: Take) -> None:
    brief = Leases(queue.link, queue.prefix, queue.queue, 50)
    for one in "abc":
        submit(brief, one)
        run(brief.end(one, taken(take())[1], "done", {}))
    time.sleep(0.1)
    submit(queue, "d")
    assert [name for name, _ in run(queue.some("all", 10))] == ["d"]
    assert run(queue.link.command("ZCARD", queue._key("all"))) == 1
    assert run(queue.link.command("EXISTS", queue._key("tthread of a"))) == 0
