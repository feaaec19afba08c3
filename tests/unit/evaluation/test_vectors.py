"""Embeddings are computed once, kept in files, and never taken from a broken one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from octopus_graph.evaluation import vectors
from octopus_graph.evaluation.vectors import READ, Vectors


class Lengths:
    """Embeds a text as its length, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> Any:
        self.asked.append(list(texts))
        return np.asarray([[1.0, len(text)] for text in texts])


def test_each_text_is_embedded_once_in_chunks_of_alike_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "CHUNK", 2)
    said: list[str] = []
    encoder = Lengths()
    embed = Vectors(encoder, say=said.append)
    rows = embed(["cccc", "a", "bb", "a", "ddd"])
    assert rows[:, 1].tolist() == [4, 1, 2, 1, 3]
    assert encoder.asked == [["a", "bb"], ["ddd", "cccc"]]
    assert said == ["  embeddings: 0 of 4", "  embeddings: 2 of 4"]
    assert embed(["bb", "cccc"])[:, 1].tolist() == [2, 4]
    assert len(encoder.asked) == 2


def test_the_next_process_finds_the_same_rows_on_the_disk(tmp_path: Path) -> None:
    first = Vectors(Lengths(), tmp_path / "rows")(["one", "three", "\ud800"])
    encoder = Lengths()
    second = Vectors(encoder, tmp_path / "rows")
    assert np.array_equal(second(["one", "three", "\ud800"]), first)
    assert encoder.asked == []
    assert second(["one", "seven"])[:, 1].tolist() == [3, 5]
    assert encoder.asked == [["seven"]]


def test_what_lies_behind_the_cut_makes_no_other_text() -> None:
    encoder = Lengths()
    embed = Vectors(encoder)
    embed(["x" * READ + "a", "x" * READ + "b"])
    assert encoder.asked == [["x" * READ]]


def test_a_broken_file_is_named_and_its_texts_embedded_again(tmp_path: Path) -> None:
    Vectors(Lengths(), tmp_path)(["one"])
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:20])
    said: list[str] = []
    encoder = Lengths()
    assert Vectors(encoder, tmp_path, said.append)(["one"])[:, 1].tolist() == [3]
    assert encoder.asked == [["one"]]
    assert file.name in said[0]
    assert Vectors(Lengths(), tmp_path)(["one"]).tolist() == [[1, 3]]  # mended


def test_where_nothing_can_be_written_it_says_so_once_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    embed = Vectors(Lengths(), tmp_path / "file" / "rows", said.append)
    assert embed(["one"])[:, 1].tolist() == [3]
    assert embed(["seven"])[:, 1].tolist() == [5]
    assert len(said) == 1
    assert "cannot be kept" in said[0]
