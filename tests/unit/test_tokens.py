"""FunctionalTokens: the two-way map between experts and tokens."""

import pytest

from octopus_graph.errors import ConfigurationError, UnknownExpertError
from octopus_graph.tokens import END, PAPER_EXPERTS, FunctionalTokens


def test_the_papers_order_is_the_wire_format() -> None:
    tokens = FunctionalTokens(PAPER_EXPERTS)
    assert len(PAPER_EXPERTS) == 17
    assert tokens.token("physics") == "<nexa_0>"
    assert tokens.token("math") == "<nexa_4>"
    assert tokens.token("general") == "<nexa_16>"
    assert list(tokens)[-1] == END


def test_every_expert_comes_back_from_its_token() -> None:
    tokens = FunctionalTokens(PAPER_EXPERTS)
    assert [tokens.expert(tokens.token(name)) for name in PAPER_EXPERTS] == list(PAPER_EXPERTS)


@pytest.mark.parametrize("token", [END, "<nexa_17>", "math", ""])
def test_what_is_no_experts_token_names_no_expert(token: str) -> None:
    assert FunctionalTokens(PAPER_EXPERTS).expert(token) is None


def test_an_unknown_expert_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownExpertError, match=r"no expert 'maths'; the experts are a, b"):
        FunctionalTokens(("a", "b")).token("maths")


def test_a_router_needs_experts_of_different_names() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        FunctionalTokens(())
    with pytest.raises(ConfigurationError, match="twice: a"):
        FunctionalTokens(("a", "b", "a"))
