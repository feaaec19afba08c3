"""Literals: what is one, what counts as kept, and which rewrites may be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octopus_graph.literals import literals, survives, trusted


def test_literals_are_numbers_quotations_code_and_names() -> None:
    assert literals('Why does `len(x)` give 3.5 for "two words" in New York?') == {
        "code": ["len(x)"],
        "number": ["3.5"],
        "quote": ["two words"],
        "name": ["New York"],
    }


def test_markers_of_a_list_are_no_numbers() -> None:
    assert literals("1. area of 5 m\n2) who was it\n(3) 12 V") == {"number": ["5 m", "12 V"]}


@pytest.mark.parametrize(
    ("literal", "rewrite", "kept"),
    [
        ("1,200", "a deposit of 1200 euros", True),
        ("12 V", "at 12V", True),
        ("12 V", "at 12 kV", False),
        ("2", "in 2019", False),
        ("40%", "40 % of them", True),
        ("40%", "40 of them", False),
    ],
)
def test_a_number_is_kept_with_its_unit(literal: str, rewrite: str, kept: bool) -> None:
    assert survives("number", literal, rewrite) is kept


@pytest.mark.parametrize(
    ("request_", "rewrite", "good"),
    [
        ("my landlord kept my 1,200 euro deposit", "Can a landlord keep a deposit of 1200 euros?", True),
        ("my landlord kept my 1,200 euro deposit", "Can a landlord keep a deposit?", False),
        ("landlord kept my deposit", "Can a landlord keep a deposit of 500?", False),
        ("what does 40 Ah hold at 12 V and may my landlord raise the rent", "May a landlord raise the rent?", True),
        ("what does 40 Ah hold at 12 V and may my landlord raise the rent", "What does a 40 Ah battery hold?", False),
        ('what does "carpe diem" mean', "What does the Latin phrase mean?", False),
        ("I pay 850 a month since May 2019. may my landlord raise the rent?", "May a landlord raise the rent?", False),
        ("was born in Lisbon, where is that", "Where is the city?", False),
        ("how do i reverse `rows.sort()`", "How is rows.sort() reversed?", True),
    ],
)
def test_a_rewrite_keeps_what_its_part_of_the_request_holds(request_: str, rewrite: str, good: bool) -> None:
    assert trusted(rewrite, request_) is good


def test_numbers_may_come_from_earlier_turns_and_answers() -> None:
    assert trusted("What is x^3 at x = 3?", "and at x = 3?", ["the derivative of x^3 at x = 2"])
    assert not trusted("What is x^4 at x = 3?", "and at x = 3?", ["the derivative of x^3 at x = 2"])


@given(st.text())
def test_the_request_itself_is_always_a_good_rewrite(text: str) -> None:
    assert trusted(text, text)
