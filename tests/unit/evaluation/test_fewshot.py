"""Multiple choice through experts: what they are asked, and how their answers are read."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from octopus_graph.errors import ExpertError
from octopus_graph.evaluation.cases import Case, read_cases
from octopus_graph.evaluation.fewshot import chosen_letter, measure_few_shot, prompt_of


def question(index: int, answer: str, subject: str = "law") -> Case:
    return Case(request=f"Question {index}?\nA. yes\nB. no", expert="law", subject=subject, answer=answer)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" (C) because", "C"),
        ("**D**. It is", "D"),
        ("The answer is b.", "B"),
        ("I think option: A", "A"),
        ("Apples are red", None),
        ("I'd say so", None),
        ("", None),
    ],
)
def test_a_choice_is_read_from_an_answer(text: str, letter: str | None) -> None:
    assert chosen_letter(text) == letter


def test_solved_questions_of_the_subject_stand_in_front_and_never_the_question_itself() -> None:
    cases = [question(index, "A") for index in range(7)] + [question(9, "B", "physics")]
    asked: list[tuple[str, str]] = []

    def ask(name: str, prompt: str) -> str:
        asked.append((name, prompt))
        return "A"

    def decide(requests: Sequence[str]) -> list[str | None]:
        assert requests[0] == cases[0].request, "the router reads the question alone"
        return [*["law"] * 7, "physics"]

    figures = measure_few_shot(decide, ask, cases)
    assert figures.right.value == 7 / 8
    assert figures.experts == {"law": (1.0, 7), "physics": (0.0, 1)}
    assert asked[0][1].count("Answer: A") == 5
    assert asked[0][1].count("Question 0?") == 1
    assert asked[0][1].endswith("Question 0?\nA. yes\nB. no\nAnswer:")
    assert "about physics" in asked[7][1]
    assert asked[7][1].count("Question") == 1


def test_an_expert_that_fails_and_an_answer_without_a_choice_count_as_wrong() -> None:
    def ask(name: str, prompt: str) -> str:
        if "Question 0?\nA. yes\nB. no\nAnswer:" in prompt[-40:]:
            raise ExpertError({name: "down"})
        return "Hard to say"

    figures = measure_few_shot(lambda requests: ["law"] * len(requests), ask, [question(0, "A"), question(1, "A")])
    assert (figures.right.value, figures.failed, figures.unread) == (0.0, 0.5, 0.5)


def test_benchmark_rows_are_read_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "mmlu.jsonl"
    row = {"question": "Which?", "choices": ["one", "two"], "answer": 1, "subject": "law", "expert": "law"}
    path.write_text(json.dumps(row) + "\n")
    case = read_cases(path, ["law"], choices=True)[0]
    assert case.request == "Which?\nA. one\nB. two"
    assert case.answer == "B"
    assert prompt_of(case, []).endswith("B. two\nAnswer:")
