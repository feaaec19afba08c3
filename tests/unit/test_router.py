"""OctopusRouter: what it makes of scores and of rewrites. The engine here is a plain table of answers."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octopus_graph.codec import CHATML, V4, Done, Turn
from octopus_graph.errors import (
    AdapterError,
    ConfigurationError,
    InputError,
    ModelNotFoundError,
    UnknownExpertError,
)
from octopus_graph.prompt import Prompt
from octopus_graph.router import OctopusRouter, read_card
from octopus_graph.tokens import END, PAPER_EXPERTS, FunctionalTokens

TOKENS = FunctionalTokens(PAPER_EXPERTS)


class Table:
    """An engine that scores tokens by a table and always writes the same text; it remembers what it was asked."""

    revision = "table"
    adapters = ("math",)

    def __init__(self, scores: dict[str, float], text: str = "") -> None:
        self.scores, self.text = scores, text
        self.scored: list[tuple[Prompt, str | None]] = []
        self.completed: list[tuple[Prompt, str | None]] = []

    def score(
        self, prompts: Sequence[Prompt], tokens: Sequence[str], *, adapter: str | None = None
    ) -> list[list[float]]:
        self.scored += [(prompt, adapter) for prompt in prompts]
        return [[self.scores.get(token, 0.0) for token in tokens] for _ in prompts]

    def complete(
        self, prompt: Prompt, *, stop: str, forbid: Sequence[str], max_tokens: int, adapter: str | None = None
    ) -> str:
        assert stop == END
        assert set(forbid) == set(TOKENS)
        self.completed.append((prompt, adapter))
        return self.text


def router(scores: dict[str, float] | None = None, text: str = "", temperature: float = 1.0) -> OctopusRouter:
    return OctopusRouter(Table(scores or {"<nexa_4>": 3.0, "<nexa_3>": 2.0}, text), TOKENS, temperature=temperature)


def test_the_highest_token_names_the_expert_and_the_softmax_its_confidence() -> None:
    decision = router().decide("2 + 2?")
    total = math.exp(3) + math.exp(2) + 15
    assert (decision.expert, decision.token) == ("math", "<nexa_4>")
    assert decision.confidence == pytest.approx(math.exp(3) / total)
    assert [name for name, _ in decision.top[:2]] == ["math", "computer_science"]
    assert len(decision.top) == 3
    assert decision.rewrite is None
    assert decision.latency_ms > 0


def test_temperature_changes_the_confidence_and_never_the_choice() -> None:
    cold, hot = router(temperature=0.5).decide("x"), router(temperature=4.0).decide("x")
    assert cold.expert == hot.expert == "math"
    assert cold.confidence > hot.confidence


def test_only_candidates_are_scored() -> None:
    decision = router().decide("x", ["law", "computer_science"])
    assert decision.expert == "computer_science"
    assert {name for name, _ in decision.top} == {"law", "computer_science"}
    assert decision.confidence == pytest.approx(math.exp(2) / (math.exp(2) + 1))


def test_the_end_is_a_candidate_only_after_a_hop() -> None:
    scores = {END: 9.0, "<nexa_4>": 3.0}
    assert router(scores).decide("x").expert == "math"
    after = router(scores).decide("x", done=[Done("<nexa_4>", "4")])
    assert (after.expert, after.token, after.top[0][0]) == (None, END, "end")


def test_an_edge_adapter_decides_where_there_is_one_and_the_router_itself_otherwise() -> None:
    one = router()
    engine = one.engine
    assert isinstance(engine, Table)
    one.decide("x", ["law"], adapter="math", done=[Done("<nexa_4>", "4")])
    one.decide("x", ["math"], adapter="law", done=[Done("<nexa_8>", "no")])
    assert [adapter for _, adapter in engine.scored] == ["math", None]
    assert [adapter for _, adapter in engine.completed] == ["math", None]


@pytest.mark.parametrize(
    ("text", "rewrite"),
    [
        (" ('Differentiate x^3 at x = 2.')", "Differentiate x^3 at x = 2."),
        (" ('it's x^3 at 2, cut off", "it's x^3 at 2, cut off"),
        ("", None),  # the model closed at once: the request is good as it is
        (" ('')", None),
        (" ('Differentiate x^3 at x = 5.')", None),  # an invented number
        (" ('Differentiate x^3.')", None),  # a lost one
        (" ('derivative of x^3 when x is 2')", None),  # nothing new
        ("nonsense", None),
    ],
)
def test_a_rewrite_is_used_only_if_it_is_to_be_trusted(text: str, rewrite: str | None) -> None:
    assert router(text=text).decide("derivative of x^3 when x is 2").rewrite == rewrite


def test_of_several_questions_a_refused_rewrite_leaves_the_one_it_is_about() -> None:
    text = " ('May a landlord raise the rent by 500?')"
    two = "what is 12% of 350 and may a landlord raise the rent"
    assert router(text=text).decide(two).rewrite == "may a landlord raise the rent"
    assert router(text=text).decide("may a landlord raise the rent").rewrite is None


def test_numbers_may_come_from_the_turn_before_and_from_an_answer() -> None:
    text = " ('Differentiate x^3 at x = 3.')"
    assert router(text=text).decide("and at 3?", previous=[Turn("derivative of x^3 at x = 2", "<nexa_4>")]).rewrite
    done = [Done("<nexa_0>", "x^3, and x = 3")]
    assert router(text=text).decide("differentiate it there", done=done).rewrite


def test_never_writes_nothing_and_always_opens_the_argument_itself() -> None:
    one = router(text="Differentiate x^3.')")
    engine = one.engine
    assert isinstance(engine, Table)
    assert one.decide("derivative of x^3?", rewrite="never").rewrite is None
    assert engine.completed == []
    assert one.decide("derivative of x^3?", rewrite="always").rewrite == "Differentiate x^3."
    assert engine.completed[0][0][-1].text == "<nexa_4> ('"


@given(st.text())
def test_whatever_is_typed_is_decided_or_refused_in_one_line(text: str) -> None:
    expert, complaint = "", ""
    try:
        expert = router().decide(text).expert
    except InputError as error:
        complaint = str(error)
    assert expert == "math" or ("\n" not in complaint and len(complaint) > 20)


def test_many_are_decided_in_one_batch() -> None:
    one = router()
    engine = one.engine
    assert isinstance(engine, Table)
    assert [decision.expert for decision in one.decide_many(["a", "b"], ["law", "math"])] == ["math", "math"]
    assert len(engine.scored) == 2
    assert one.decide_many([]) == []


def test_unknown_and_empty_candidates_are_refused() -> None:
    with pytest.raises(UnknownExpertError, match="no expert 'maths'"):
        router().decide("x", ["maths"])
    with pytest.raises(ConfigurationError, match="allow at least one"):
        router().decide("x", [])
    with pytest.raises(ConfigurationError, match="allow at least one"):
        router().decide_many(["x"], [])


def test_the_revision_names_all_a_decision_depends_on() -> None:
    assert router().revision != router(temperature=2.0).revision
    assert OctopusRouter(Table({}), TOKENS, V4).revision != OctopusRouter(Table({}), TOKENS, CHATML).revision


def test_a_model_that_is_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError) as caught:
        OctopusRouter.from_pretrained(str(tmp_path / "nothing"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "card", ["", "{", "[]", '{"version": 2}', json.dumps({"base": "x", "format": "chatml", "experts": [], "new": 1})]
)
def test_a_broken_card_is_refused(tmp_path: Path, card: str) -> None:
    (tmp_path / "router.json").write_text(card)
    with pytest.raises(AdapterError, match=r"router\.json is broken") as caught:
        read_card(tmp_path)
    assert "\n" not in str(caught.value)
