"""Questions that look alike and are not; and the same in other words, which must not be taken for different."""

import pytest

from octopus_graph.caching.differing import differ

DIFFERENT = [
    ("area of a circle of radius 3", "area of a circle of radius 4"),
    ("How do I enable swap on Debian?", "How do I disable swap on Debian?"),
    ("Is it legal to record a call?", "Is it not legal to record a call?"),
    ("Can my landlord enter my flat?", "Can't my landlord enter my flat?"),
    ("convert 5 miles to km", "convert 5 km to miles per hour"),
    ("capital of Austria", "capital of Australia"),
    ("Who wrote 'Emma'?", "Who wrote 'Persuasion'?"),
    ("does aspirin increase blood pressure", "does aspirin decrease blood pressure"),
    ("what does `git reset` do", "what does `git rebase` do"),
]
SAME = [
    ("how do i enable swap on debian", "Please tell me how I can enable swap on Debian."),
    ("can u explain photosynthesis pls", "Explain photosynthesis."),
    ("what is the derivitive of x^2", "What is the derivative of x^2?"),
    ("My landlord keeps my deposit.", "The landlord will not return the deposit to me: what can I do?"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_a_word_or_a_number_makes_another_question(one: str, other: str) -> None:
    assert differ(one, other)
    assert differ(other, one)


@pytest.mark.parametrize(("one", "other"), SAME[:3])
def test_slips_and_manners_do_not(one: str, other: str) -> None:
    assert not differ(one, other)
    assert not differ(other, one)


def test_a_question_turned_round_is_asked_again_even_where_it_is_the_same() -> None:
    assert differ(*SAME[3])  # on the safe side
