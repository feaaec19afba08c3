"""Dresses change the typing, never the matter."""

import random
import re

from hypothesis import given
from hypothesis import strategies as st

from octopus_graph.training.dress import dress, paste

TEXT = "How long does light need from the Sun to a planet 2.5 AU away?"


def test_a_dress_is_another_text_with_the_same_numbers() -> None:
    draw = random.Random(1)
    dressed = [dress(TEXT, draw) for _ in range(200)]
    assert len(set(dressed)) > 50
    assert all(re.findall(r"\d+(?:\.\d+)?", text) == ["2.5"] for text in dressed)
    assert sum(text == TEXT for text in dressed) < 20


def test_a_slip_of_the_finger_leaves_most_words_alone() -> None:
    draw = random.Random(2)
    words = set(TEXT.lower().rstrip("?").split())
    for _ in range(200):
        left = set(dress(TEXT, draw).lower().rstrip("?").split())
        assert len(words & left) >= len(words) - 3


@given(st.text(max_size=60), st.integers(0, 99))
def test_any_text_can_be_dressed(text: str, seed: int) -> None:
    assert isinstance(dress(text, random.Random(seed)), str)


def test_a_paragraph_is_put_in_front() -> None:
    pasted = paste(TEXT, ["Lunch is at noon."], random.Random(3))
    assert pasted.endswith(TEXT)
    assert "Lunch is at noon." in pasted
