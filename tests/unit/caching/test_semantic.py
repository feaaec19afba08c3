"""The threshold is found between paraphrases and the questions next to them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from octopus_graph.caching.semantic import Pair, measure, read_pairs, threshold_of
from octopus_graph.errors import ConfigurationError, InputError
from octopus_graph.router import OctopusRouter
from octopus_graph.testing import ScriptedEngine, scripted_router


class Embedding(ScriptedEngine):
    """An engine whose vectors stand in a table."""

    table: dict[str, list[float]]

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self.table[text] for text in texts]


def router_of(table: dict[str, list[float]]) -> OctopusRouter:
    plain = scripted_router({})
    engine = Embedding({}, plain.tokens, plain.codec)
    engine.table = table
    return OctopusRouter(engine, plain.tokens, plain.codec)


def test_the_threshold_lies_above_the_nearest_different_question() -> None:
    found = threshold_of([0.95, 0.9, 0.6], [0.8, 0.3, 0.2], max_wrong=0)
    assert (found.threshold, found.wrong, found.pairs) == (0.801, 0, 3)
    assert found.recall == pytest.approx(2 / 3)


def test_what_may_be_wrong_buys_recall() -> None:
    other = [0.9] + [0.5] * 99
    assert threshold_of([0.6] * 100, other, max_wrong=0.0).recall == 0
    found = threshold_of([0.6] * 100, other, max_wrong=0.01)
    assert (found.threshold, found.recall, found.wrong) == (0.501, 1, 0.01)
    assert threshold_of([0.6] * 100, other, max_wrong=1).threshold == 0.001


def test_one_that_nothing_stays_below_is_never_above_one() -> None:
    found = threshold_of([1.0], [1.0], max_wrong=0)
    assert found.threshold == 1.0


def test_questions_of_another_expert_and_with_other_numbers_do_not_count() -> None:
    pairs = [
        Pair(request="rent and deposit", rewrite="deposit and rent", expert="law"),
        Pair(request="rent of 5 rooms", rewrite="renting rooms, 5", expert="law"),
        Pair(request="depots", rewrite="many depots", expert="math"),
    ]
    table = {
        "rent and deposit": [1.0, 0.0],
        "deposit and rent": [0.9, 0.435889894],
        "rent of 5 rooms": [0.91, 0.414608],  # as near, but it has a number
        "renting rooms, 5": [0.0, 1.0],
        "depots": [0.9, 0.435889894],  # the same point, and of another expert
        "many depots": [0.0, 1.0],
    }
    found = measure(router_of(table), pairs, max_wrong=0)
    assert found.threshold == 0.001
    assert found.pairs == 3


def test_without_vectors_or_pairs_there_is_no_threshold() -> None:
    with pytest.raises(ConfigurationError, match="makes no vectors"):
        measure(scripted_router({}), [])
    with pytest.raises(ConfigurationError, match="two of each expert"):
        threshold_of([], [])


def test_the_shipped_requests_are_pairs_of_all_experts() -> None:
    pairs = read_pairs(limit=5)
    assert len(pairs) == 17 * 5
    assert all(pair.request != pair.rewrite for pair in pairs)


def test_pairs_of_ones_own_are_read_and_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    row = {"request": "a", "rewrite": "b", "expert": "law"}
    path.write_text(f"{json.dumps(row)}\n{json.dumps({**row, 'rewrite': ''})}\n")
    assert read_pairs(path) == [Pair(**row)]
    path.write_text(f"{json.dumps(row)}\nno json\n")
    with pytest.raises(InputError, match="line 2: this is no JSON object"):
        read_pairs(path)
    path.write_text('{"request": "a"}\n')
    with pytest.raises(InputError, match="line 1: Field required"):
        read_pairs(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "missing.jsonl")
