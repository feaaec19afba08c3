"""Keys of calls: the same for the same call, and for no other."""

from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI

from octopus_graph.effects import Logic, run
from octopus_graph.experts import Answer, Expert
from octopus_graph.idempotency import HEADER, Call, Ledger, call_of, with_ledger


class Memory:
    """A ledger without a server."""

    def __init__(self, name: str = "run") -> None:
        self.run = name
        self.answers: dict[str, str] = {}

    def find(self, key: str) -> Logic[str | None]:
        yield from ()
        return self.answers.get(key)

    def keep(self, key: str, answer: str) -> Logic[str]:
        yield from ()
        return self.answers.setdefault(key, answer)


def config(ledger: Ledger, task: str = "task") -> Any:
    return with_ledger({"configurable": {"thread_id": "t", "__pregel_task_id": task}}, ledger)


def key(run_id: str = "run", task: str = "task", expert: str = "math", asked: str = "2 + 2?") -> str:
    call = call_of(config(Memory(run_id), task), expert, asked)
    assert call is not None
    return call.key


def test_the_same_call_has_the_same_key_and_every_other_another() -> None:
    others = {key(run_id="other"), key(task="other"), key(expert="other"), key(asked="other")}
    assert key() == key()
    assert len(others | {key()}) == 5


def test_neighbouring_texts_do_not_run_into_each_other() -> None:
    assert key(expert="ab", asked="c") != key(expert="a", asked="bc")


@pytest.mark.parametrize(
    "given",
    [
        None,
        {},
        {"configurable": {"thread_id": "t", "__pregel_task_id": "task"}},
        {"configurable": {"__octopus_ledger": "from a client", "__pregel_task_id": "task"}},
        {"configurable": {"__octopus_ledger": Memory()}},
    ],
)
def test_outside_of_a_durable_run_there_is_no_call(given: Any) -> None:
    assert call_of(given, "math", "2 + 2?") is None


def test_an_expert_is_asked_once_and_sees_its_key() -> None:
    seen: list[str] = []

    def answer(query: str, config: Any) -> str:
        seen.append(config["metadata"]["idempotency_key"])
        return "4"

    expert, ledger = Expert("math", "Counts", RunnableLambda(answer)), Memory()
    for _ in range(2):
        assert run(expert.ask("2 + 2?", config=config(ledger))) == Answer("4")
    assert seen == [key()]
    assert run(expert.ask("3 + 3?", config=config(ledger))) == Answer("4")
    assert len(seen) == 2


def test_the_answer_that_was_kept_first_counts() -> None:
    ledger = Memory()

    def answer(query: str) -> str:
        ledger.answers[key()] = '{"text": "somebody was faster", "message_id": null}'
        return "too late"

    assert run(Expert("math", "Counts", answer).ask("2 + 2?", config=config(ledger))).text == "somebody was faster"


def test_a_failure_is_not_kept() -> None:
    ledger, failures = Memory(), [RuntimeError("busy")]

    def answer(query: str) -> str:
        if failures:
            raise failures.pop()
        return "4"

    assert run(Expert("math", "Counts", answer, retries=1).ask("2 + 2?", config=config(ledger))).text == "4"
    assert len(ledger.answers) == 1


def test_chat_completions_get_the_key_as_a_header_and_other_runnables_as_they_are() -> None:
    call = Call("k" * 64, Memory())
    model = ChatOpenAI(model="m", api_key="none")  # pyright: ignore[reportArgumentType]
    for one in (model, model.bind(temperature=0)):
        bound: Any = call.headed(one)
        assert bound.kwargs["extra_headers"] == {HEADER: "k" * 64}
    own: Any = call.headed(model.bind(extra_headers={"X-Tenant": "ada"}).bind(temperature=0))
    assert own.kwargs["extra_headers"] == {"X-Tenant": "ada", HEADER: "k" * 64}
    plain = RunnableLambda(str.upper)
    assert call.headed(plain) is plain
