"""Samples: what bears a loss is what the router will have to emit, and training reads what inference reads."""

from itertools import pairwise

import pytest

from octopus_graph.codec import CHATML, Done, Turn
from octopus_graph.tokens import END, PAPER_EXPERTS, FunctionalTokens
from octopus_graph.training.data import Multipart, PathHop, Previous, Question, Request, Unroutable
from octopus_graph.training.mixture import Rows, edge_samples, router_samples, split
from octopus_graph.training.recipe import Mixture
from octopus_graph.training.samples import (
    CHOICE,
    HOP,
    TEXT,
    Sample,
    compose,
    compose_alike,
    multipart_sample,
    question_sample,
    request_sample,
    unroutable_sample,
)

TOKENS = FunctionalTokens(PAPER_EXPERTS)
REQUEST = Request(id="m", request="derive x^3 pls", expert="math", rewrite="Derive x^3.", answer="3x^2.")
TWO = Multipart(
    id="t",
    request="derive x^3, then who found calculus?",
    hops=(
        PathHop(expert="math", query="Derive x^3.", answer="3x^2."),
        PathHop(expert="history", query="Who found calculus?", answer="Newton and Leibniz."),
    ),
)


def emitted(sample: Sample) -> list[tuple[str, int]]:
    return [(segment.text, loss) for segment, loss in sample.target]


def text(sample: Sample) -> str:
    return "".join(segment.text for segment in sample.prompt) + "".join(segment.text for segment, _ in sample.target)


def test_a_request_is_routed_and_rewritten() -> None:
    assert emitted(request_sample(REQUEST, TOKENS, CHATML, stop=False)) == [
        ("<nexa_4>", CHOICE),
        (" ('", TEXT),
        ("Derive x^3.", TEXT),
        ("')<nexa_end>", TEXT),
    ]


def test_a_request_is_ended_after_its_answer_whatever_it_was_rewritten_to() -> None:
    assert emitted(request_sample(REQUEST, TOKENS, CHATML, stop=True)) == [
        ("<nexa_4>", CHOICE),
        (END, 0),
        ("3x^2.", 0),
        ("<|im_end|>", 0),
        (END, HOP),
    ]


def test_a_request_whose_rewrite_nobody_wrote_teaches_the_choice_alone() -> None:
    row = Request(id="m", request="derive x^3 pls", expert="math")
    assert emitted(request_sample(row, TOKENS, CHATML, stop=False)) == [("<nexa_4>", CHOICE)]


def test_a_request_that_needs_no_rewrite_is_closed_at_once() -> None:
    plain = REQUEST.model_copy(update={"rewrite": ""})
    assert emitted(request_sample(plain, TOKENS, CHATML, stop=False)) == [("<nexa_4>", CHOICE), (END, TEXT)]


def test_a_whole_run_reads_as_the_prompts_of_its_decisions_do() -> None:
    whole = text(multipart_sample(TWO, TOKENS, CHATML))
    done = [Done(TOKENS.token(hop.expert), hop.answer) for hop in TWO.hops]
    for hops in range(3):
        prompt = "".join(segment.text for segment in CHATML.prompt(TWO.request, (), done[:hops]))
        assert whole.startswith(prompt)


def test_a_follow_up_carries_the_turn_before() -> None:
    row = REQUEST.model_copy(update={"previous": (Previous(request="derive x^2", expert="math"),)})
    prompt = CHATML.prompt("derive x^3 pls", [Turn("derive x^2", "<nexa_4>")])
    assert request_sample(row, TOKENS, CHATML, stop=False).prompt == prompt


def test_a_run_up_to_a_hop_ends_with_its_query() -> None:
    assert emitted(multipart_sample(TWO, TOKENS, CHATML, until=1)) == [
        ("<nexa_4>", CHOICE),
        (END, 0),
        ("3x^2.", 0),
        ("<|im_end|>", 0),
        ("<nexa_6>", HOP),
        (" ('", TEXT),
        ("Who found calculus?", TEXT),
        ("')<nexa_end>", TEXT),
    ]


@pytest.mark.parametrize(
    ("only", "until", "learned"),
    [
        ("math", None, [("<nexa_6>", HOP)]),  # whether to end after history is history's to learn
        ("history", None, [(END, HOP)]),
        ("math", 1, [("<nexa_6>", HOP), (" ('", TEXT), ("Who found calculus?", TEXT), ("')<nexa_end>", TEXT)]),
        ("math", 0, []),
    ],
)
def test_an_edge_learns_only_what_follows_its_own_answer(
    only: str, until: int | None, learned: list[tuple[str, int]]
) -> None:
    sample = multipart_sample(TWO, TOKENS, CHATML, only=only, until=until)
    assert [piece for piece in emitted(sample) if piece[1]] == learned


def test_a_question_may_carry_its_choices() -> None:
    row = Question(question="2 + 2?", choices="A. 3\nB. 4", expert="math")
    assert "B. 4" in text(question_sample(row, TOKENS, CHATML, with_choices=True, stop=False))
    assert "B. 4" not in text(question_sample(row, TOKENS, CHATML, with_choices=False, stop=False))


def test_joined_requests_have_two_experts_and_nothing_held_out_is_joined() -> None:
    rows = [
        Request(id=f"{expert}-{index}", request=f"{expert} question {index}", expert=expert)
        for expert in ("math", "law", "history")
        for index in range(30)
    ]
    learn, unseen = split(Rows(rows, [TWO], []))
    assert len(learn.requests) + len(unseen.requests) == 90
    assert unseen.requests
    made = compose(learn.requests, 50, seed=1)
    assert len(made) == 50
    assert all(row.hops[0].expert != row.hops[1].expert for row in made)
    assert compose(learn.requests, 5, seed=1) == made[:5]
    seen = "\n".join(text(sample) for sample in router_samples(learn, TOKENS, CHATML, Mixture(asked=1.0), seed=1))
    seen += "\n".join(text(sample) for sample in edge_samples("math", learn, TOKENS, CHATML, Mixture(), seed=1))
    lines = {row.request for row in unseen.requests}
    assert not [line for line in lines if f"{line}<" in seen or f"{line} " in seen or f"{line}\n" in seen]


def test_a_share_of_the_requests_is_drawn_and_the_same_ones_again() -> None:
    rows = Rows([Request(id=f"m{index}", request=f"Question {index}?", expert="math") for index in range(40)], [], [])
    mixture = Mixture(requested=0.25, composed=0)
    drawn = router_samples(rows, TOKENS, CHATML, mixture, seed=1)
    assert len(drawn) == 10
    assert router_samples(rows, TOKENS, CHATML, mixture, seed=1) == drawn
    assert router_samples(rows, TOKENS, CHATML, mixture, seed=2) != drawn


def test_targets_become_shares_of_the_choice() -> None:
    row = REQUEST.model_copy(update={"targets": {"math": 0.9, "physics": 0.3, "law": 0.0}})
    sample = request_sample(row, TOKENS, CHATML, stop=False)
    assert dict(sample.shares) == pytest.approx({"<nexa_4>": 0.75, "<nexa_0>": 0.25})
    assert request_sample(REQUEST, TOKENS, CHATML, stop=False).shares == ()


def test_what_no_expert_fits_is_anybodys() -> None:
    sample = unroutable_sample(Unroutable(id="u", request="lol ok"), TOKENS, CHATML)
    assert [loss for _, loss in sample.target] == [CHOICE]
    assert len(sample.shares) == 17
    assert sum(share for _, share in sample.shares) == pytest.approx(1)


def test_three_parts_are_joined_too_and_no_neighbouring_two_are_of_one_expert() -> None:
    rows = [
        Request(id=f"{expert}{index}", request=f"About {expert} {index}?", expert=expert)
        for expert in ("math", "law", "history")
        for index in range(5)
    ]
    made = compose(rows, 60, seed=3)
    assert {len(row.hops) for row in made} == {2, 3}
    for row in made:
        experts = [hop.expert for hop in row.hops]
        assert all(a != b for a, b in pairwise(experts))
        places = [row.request.index(hop.query.rstrip("?")) for hop in row.hops]
        assert places == sorted(places)


def test_two_parts_for_one_expert_are_one_hop() -> None:
    rows = [Request(id=f"m{index}", request=f"sum {index}?", expert="math", answer="1") for index in range(4)]
    made = compose_alike([*rows, Request(id="l", request="tort?", expert="law")], 10, seed=3)
    assert len(made) == 10
    assert all([hop.expert for hop in row.hops] == ["math"] and row.request.count("sum") == 2 for row in made)
    assert compose_alike(rows[:1], 10, seed=3) == []


def test_a_part_in_mid_sentence_begins_small_unless_with_a_name() -> None:
    rows = [
        Request(id="a", request="What is pi?", expert="math"),
        Request(id="b", request="Newton or Leibniz?", expert="history"),
    ]
    texts = {row.request for row in compose(rows, 200, seed=5)}
    assert "Newton or Leibniz, and what is pi" in texts
    assert "What is pi, and Newton or Leibniz" in texts
