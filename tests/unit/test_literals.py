"""Literals: what is one, and what counts as lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octopus_graph.literals import literals, lost


def test_literals_are_numbers_quotations_code_and_names() -> None:
    assert literals('Why does `len(x)` give 3.5 for "two words" in New York?') == {
        "code": ["len(x)"],
        "number": ["3.5"],
        "quote": ["two words"],
        "name": ["New", "York"],
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("why did NATO and the UK agree", ["NATO", "UK"]),
        ("was O'Brien in Zürich", ["O'Brien", "Zürich"]),
        ("is McDonald rich", ["McDonald"]),
        ("Newton's third law", ["Newton"]),
        ("What's new. Rents are up", []),
        ("how is H2SO4 made", ["H2SO4"]),
        ("WHY IS THE SKY BLUE", []),
    ],
)
def test_names_are_capitals_acronyms_and_formulas(text: str, found: list[str]) -> None:
    assert literals(text).get("name", []) == found


@pytest.mark.parametrize(
    ("text", "rewrite"),
    [
        ("a deposit of 1,200", "a deposit of 1200 euros"),
        ("12 V", "at 12V"),
        ("40%", "40 percent of them"),
        ("5 kg", "five kilograms"),
        ("sides 3, 4 and 5 cm", "3 cm, 4 cm, 5 cm"),
        ("mean of 3,7,7,9", "the mean of 3, 7, 7 and 9"),
        ("x²", "x^2"),
        ("5 µg", "5 μg"),
        ("the Peru coast", "the Peruvian coast"),
        ("his WACC", "the weighted average cost of capital"),
        ("39,5 °C", "39.5 °C"),
    ],
)
def test_other_ways_to_write_a_literal_keep_it(text: str, rewrite: str) -> None:
    assert lost(text, rewrite) == []


@pytest.mark.parametrize(
    ("text", "rewrite"),
    [
        ("20 m", "20 mm"),
        ("5 m", "5 mol"),
        ("5 cm", "5 m"),
        ("5 cm", "5"),
        ("3 hours", "3 days"),
        ("60 km/h", "60 km"),
        ("60 km/h", "60"),
        ("30 mph", "30"),
        ("140 mmHg", "140"),
        ("5 µg", "5 g"),
        ("5 million", "5"),
        ("$5", "5"),
        ("850 €", "850 $"),
        ("12%", "12"),
        ("-5", "5"),
        ("1e-5", "1e5"),
        ("1,5", "15"),
        ("2", "in 2019"),
        ("5 and 5", "5"),
        ("120/80", "80/120"),
        ("2^10", "10^2"),
        ("3x", "3y"),
        ("3:45", "45:3"),
        ("the NATO", "the alliance"),
        ("the UK", "the country"),
        ("to O'Brien", "to Brien"),
        ("to Zürich", "to Zug"),
        ("a McDonald", "a Mc"),
        ("to Austria", "to Australia"),
        ("what is 'carpe diem'", "what is the phrase"),
        ('what is "carpe diem"', "what is carpe"),
        ("git push --force", "git push"),
        ("C++", "C"),
        ("myFunc fails", "the function fails"),
        ("numpy.mean fails", "mean fails"),
        ("`git rebase -i`", "`git rebase`"),
    ],
)
def test_losses(text: str, rewrite: str) -> None:
    assert lost(text, rewrite)


@given(st.text())
def test_a_text_loses_nothing_to_itself(text: str) -> None:
    assert lost(text, text) == []
