"""The same request typed another way, none of which is training's own way."""

import inspect
import random

from octopus_graph.evaluation import robustness
from octopus_graph.evaluation.contenders import Router
from octopus_graph.evaluation.robustness import measure_robustness, slipped
from octopus_graph.testing import scripted_router
from octopus_graph.training import dress


def test_a_router_that_minds_capitals_is_found_out() -> None:
    router = Router(scripted_router(lambda scene: "law" if scene.request.isupper() else "math"))
    kept = measure_robustness(router, ["one request", "and another"], [])
    assert kept["all_caps"].share.value == 0
    assert kept["typos"].share.value == 1
    assert kept["typos"].rows == 2
    assert set(kept) == {"typos", "all_caps", "lower_case", "pls"}  # there was nothing to paste and no paraphrase


def test_a_paraphrase_is_compared_with_its_own_request() -> None:
    router = Router(scripted_router({"tort": "law", "wrong": "law", "": "math"}))
    kept = measure_robustness(router, ["2 + 2"], ["Lunch."], [("a tort?", "a civil wrong?"), ("a tort", "2 + 2")])
    assert (kept["paraphrase"].rows, kept["paraphrase"].share.value) == (2, 0.5)
    assert kept["pasted_paragraph"].rows == 1


def test_slips_are_about_one_word_in_eight_and_spare_numbers() -> None:
    draw, text = random.Random(3), "please calculate how much water 250 tomato plants need during one long summer week"
    changed = [slipped(text, draw) for _ in range(300)]
    assert all(each != text for each in changed)
    assert all("250" in each for each in changed)
    assert {len(each.split(" ")) for each in changed} == {12, 13, 14}  # here and there a space is missing
    words = [
        sum(a != b for a, b in zip(each.split(" "), text.split(" "), strict=True))
        for each in changed
        if each.count(" ") == 13
    ]
    assert 1 <= sum(words) / len(words) <= 2
    assert slipped("a 2", draw) == "a 2"


def test_nothing_is_borrowed_from_training() -> None:
    assert "octopus_graph.training" not in inspect.getsource(robustness)
    theirs = {text.strip() for text in (*dress._OPENINGS, *dress._CLOSINGS, *dress._PASTES)}
    ours = {text.replace("{text}", "").strip() for text in robustness._POLITE} | set(robustness._PASTES)
    assert not theirs & ours
