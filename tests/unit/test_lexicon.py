"""The lexicon: features, scores, and files that are broken."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from octopus_graph.errors import AdapterError, TrainingError
from octopus_graph.lexicon import BUCKETS, LEXICON, READ, Lexicon, buckets_of, read_lexicon
from octopus_graph.training.data import Question, Request
from octopus_graph.training.lexicon import fit_trust, learn_lexicon, write_lexicon
from octopus_graph.training.mixture import Rows

EXPERTS = ("math", "law", "history")
WORDS = {
    "math": ["derivative", "integral", "triangle", "prime", "matrix"],
    "law": ["landlord", "contract", "court", "tenant", "liable"],
    "history": ["empire", "treaty", "revolution", "dynasty", "war"],
}
ROWS = Rows(
    [
        Request(id=f"{expert}{number}", request=f"what about the {word} number {number}?", expert=expert)
        for expert, words in WORDS.items()
        for number, word in enumerate(words * 4)
    ],
    [],
    [Question(subject="algebra", expert="math", question="Which of these is a group?", choices="A. Z\nB. N")],
)


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return learn_lexicon(ROWS, EXPERTS, seed=1)


@given(st.text())
def test_every_text_has_buckets_of_the_table_each_once(text: str) -> None:
    buckets, words = buckets_of(text)
    assert buckets == sorted(set(buckets))
    assert all(0 <= bucket < BUCKETS for bucket in buckets)
    assert (words == 0) == (not buckets)


def test_capitals_and_marks_change_nothing() -> None:
    assert buckets_of("Can my LANDLORD do that?!") == buckets_of("can my landlord do that")


def test_a_lone_surrogate_is_a_character_like_any() -> None:
    assert buckets_of("a\ud800b")[0]


def test_of_a_long_text_the_beginning_and_the_end_count() -> None:
    middle = buckets_of("start " + "word " * READ + "unheard " + "word " * READ + " end")[0]
    assert middle == buckets_of("start " + "word " * READ + " end")[0]
    assert set(buckets_of("end")[0]) <= set(middle)


def test_words_speak_for_their_expert(lexicon: Lexicon) -> None:
    for place, expert in enumerate(EXPERTS):
        likely, _ = lexicon.likely(f"a {WORDS[expert][0]} please")
        assert int(np.argmax(likely)) == place


def test_a_text_without_a_known_word_or_any_says_little(lexicon: Lexicon) -> None:
    for text in ("", "?!", "\u4f60\u597d"):
        assert np.ptp(lexicon.scores(text)) < 1.5
        assert np.isfinite(lexicon.scores(text)).all()


def test_of_two_experts_each_has_its_column() -> None:
    two = Rows([row for row in ROWS.requests if row.expert != "history"], [], [])
    likely, _ = learn_lexicon(two, ("math", "law"), seed=1).likely("the integral")
    assert likely[0] > likely[1]


def test_an_expert_without_a_row_is_the_least_likely_and_one_alone_is_refused() -> None:
    two = Rows([row for row in ROWS.requests if row.expert != "law"], [], [])
    likely, _ = learn_lexicon(two, EXPERTS, seed=1).likely("the treaty of an empire")
    assert int(np.argmax(likely)) == 2
    with pytest.raises(TrainingError, match="two of them"):
        learn_lexicon(Rows(two.requests[:5], [], []), EXPERTS, seed=1)


def test_trust_follows_what_the_engine_lacks(lexicon: Lexicon) -> None:
    texts = [f"the {word}, tell me" for words in WORDS.values() for word in words]
    labels = [place for place, words in enumerate(WORDS.values()) for _ in words]
    wrong = [(label + 1) % 3 for label in labels]
    _, needed = fit_trust(lexicon, texts, [[0.0] * 3 for _ in texts], labels)
    _, harmful = fit_trust(lexicon, texts, [[9.0 * (place == label) for place in range(3)] for label in wrong], wrong)
    words = np.log(5 + 3)
    assert np.exp(needed[0] + needed[1] * words) > 2 * np.exp(harmful[0] + harmful[1] * words)


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(lexicon: Lexicon, truth: float) -> None:
    draw = random.Random(1)
    logits = np.array([[draw.gauss(0, 3) for _ in range(3)] for _ in range(4000)])
    shares = np.exp(logits / truth) / np.exp(logits / truth).sum(1, keepdims=True)
    labels = [draw.choices(range(3), row)[0] for row in shares]
    knows_nothing = replace(lexicon, scale=np.zeros(3, np.float32), bias=np.zeros(3, np.float32))
    temperature, _ = fit_trust(knows_nothing, ["a"] * len(labels), logits.tolist(), labels)
    assert temperature == pytest.approx(truth, rel=0.1)


def test_rows_that_are_all_right_do_not_run_away(lexicon: Lexicon) -> None:
    temperature, trust = fit_trust(lexicon, ["the integral"] * 30, [[9.0, 0.0, 0.0]] * 30, [0] * 30)
    assert 0.2 <= temperature <= 1
    assert np.isfinite(trust).all()


def test_a_long_text_counts_less_where_trust_says_so(lexicon: Lexicon) -> None:
    assert lexicon.weight(100) < lexicon.weight(5)


def test_it_is_written_and_read_as_it_was(lexicon: Lexicon, tmp_path: Path) -> None:
    write_lexicon(tmp_path, lexicon)
    again = read_lexicon(tmp_path, EXPERTS)
    assert again is not None
    assert again.scores("the integral of a contract") == pytest.approx(lexicon.scores("the integral of a contract"))
    assert again.revision == lexicon.revision
    assert [path.name for path in tmp_path.iterdir()] == [LEXICON]


def test_a_folder_without_one_has_none(tmp_path: Path) -> None:
    assert read_lexicon(tmp_path, EXPERTS) is None


def test_a_broken_one_is_told(lexicon: Lexicon, tmp_path: Path) -> None:
    write_lexicon(tmp_path, lexicon)
    with pytest.raises(AdapterError, match="does not fit the router's 2 experts"):
        read_lexicon(tmp_path, EXPERTS[:2])
    kept = load_file(tmp_path / LEXICON)
    save_file({**kept, "bias": np.full(3, np.nan, np.float32)}, tmp_path / LEXICON)
    with pytest.raises(AdapterError, match="train the router again"):
        read_lexicon(tmp_path, EXPERTS)
    del kept["trust"]
    save_file(kept, tmp_path / LEXICON)
    with pytest.raises(AdapterError, match="is broken"):
        read_lexicon(tmp_path, EXPERTS)
    (tmp_path / LEXICON).write_bytes(b"nothing")
    with pytest.raises(AdapterError, match="is broken"):
        read_lexicon(tmp_path, EXPERTS)
