"""The gate: which rewrites may be sent, and the typed question that goes in the place of one that may not."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octopus_graph.gate import clause_about, parts_about, trusted
from octopus_graph.training.data import own_paths, own_requests

LEASE = "what does 40 Ah hold at 12 V and may my landlord raise the rent"


@pytest.mark.parametrize(
    ("request_", "rewrite", "good"),
    [
        ("my landlord kept my 1,200 euro deposit", "Can a landlord keep a deposit of 1200 euros?", True),
        ("my landlord kept my 1,200 euro deposit", "Can a landlord keep a deposit?", False),
        ("landlord kept my deposit", "Can a landlord keep a deposit of 500?", False),
        (LEASE, "May a landlord raise the rent?", True),
        (LEASE, "What does a 40 Ah battery hold?", False),
        ('what does "carpe diem" mean', "What does the phrase mean?", False),
        ("I pay 850 a month since May 2019. may my landlord raise the rent?", "May a landlord raise the rent?", False),
        ("was born in Lisbon, where is that", "Where is the city?", False),
        ("how do i reverse `rows.sort()`", "How is rows.sort() reversed?", True),
        ("Solve 3x + 5 = 20 and then tell me who was Euler", "Who was Euler?", True),
        ("Solve 3x + 5 = 20 and then tell me who was Euler", "Solve 3x + 5 = 2.", False),
        ("Solve this: 3x + 5 = 20", "Solve this equation.", False),
        ("A: gcd of 84 and 126\nB: who was Euclid", "What is the gcd of 84 and 126?", True),
        ("A: gcd of 84 and 126\nB: who was Euclid", "What is the gcd of 84?", False),
        ("1. capital of Peru\n2. area of a square of 5 m", "What is the capital of Peru?", True),
        ("who was the last tsar", "Was Nicholas the last tsar?", False),
        ("capital of UK law", "What is the law?", False),
        ("why is the sky blue", "Why is the sky blue? " + "Light scatters in the air. " * 4, False),
    ],
)
def test_a_rewrite_keeps_what_its_part_of_the_request_holds(request_: str, rewrite: str, good: bool) -> None:
    assert trusted(rewrite, request_) is good


def test_numbers_may_come_from_earlier_turns_and_answers() -> None:
    assert trusted("What is x^3 at x = 3?", "and at x = 3?", ["the derivative of x^3 at x = 2"])
    assert not trusted("What is x^4 at x = 3?", "and at x = 3?", ["the derivative of x^3 at x = 2"])


def test_parts_end_where_a_question_ends() -> None:
    assert parts_about("May a landlord raise the rent?", LEASE) == ["may my landlord raise the rent"]


@given(st.text())
def test_the_request_itself_is_always_a_good_rewrite(text: str) -> None:
    assert trusted(text, text)


@pytest.mark.parametrize(
    ("request_", "refused", "clause"),
    [
        (LEASE, "May a landlord raise the rent by 500?", "may my landlord raise the rent"),
        ("what is 12% of 350? and who was Euler", "What is 12% of 530?", "what is 12% of 350?"),
        ("who was Euler? and when did he prove it", "When did Euler prove 5?", None),  # leans on the one before
        ("what is 12% of 350?", "What is 12% of 530?", None),  # the whole request
        ("who was Euler? I have 40 hens", "How many of 30 hens?", None),  # asks nothing
    ],
)
def test_the_question_that_a_refused_rewrite_is_about(request_: str, refused: str, clause: str | None) -> None:
    assert clause_about(refused, request_) == clause


@given(st.text(), st.text())
def test_a_clause_is_a_piece_of_what_was_typed(rewrite: str, request_: str) -> None:
    assert (clause_about(rewrite, request_) or "") in request_


def gold() -> Iterator[tuple[str, str, list[str]]]:
    for row in own_requests():
        if row.rewrite:
            yield row.rewrite, row.request, [turn.request for turn in row.previous]
    for path in own_paths():
        for place, hop in enumerate(path.hops):
            if hop.query != path.request:
                yield hop.query, path.request, [earlier.answer for earlier in path.hops[:place]]


def test_nearly_all_rewrites_that_people_wrote_are_trusted() -> None:
    every = list(gold())[::16]
    refused = sum(not trusted(*each) for each in every)
    assert refused / len(every) <= 0.07
