"""Functional tokens: one special token of the router's vocabulary for each expert.

Octopus v4 (arXiv 2404.19296, section 3.1) names the experts `<nexa_0>` … `<nexa_16>` and closes an output with
`<nexa_end>`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from octopus_graph.errors import ConfigurationError, UnknownExpertError

__all__ = ["END", "PAPER_EXPERTS", "FunctionalTokens"]

END = "<nexa_end>"
"""Closes an output; emitted on its own after an expert has answered, it ends the run."""

PAPER_EXPERTS = (
    "physics",
    "chemistry",
    "biology",
    "computer_science",
    "math",
    "electrical_engineering",
    "history",
    "philosophy",
    "law",
    "politics",
    "culture",
    "economics",
    "geography",
    "psychology",
    "business",
    "health",
    "general",
)
"""The 17 experts of Octopus v4 in the order of their tokens."""


@dataclass(frozen=True)
class FunctionalTokens:
    """The two-way map between experts and their tokens.

    The order of `experts` is the wire format: the expert at place i owns `<nexa_i>`. Token ids are never computed
    here; they
    always come from the tokenizer that holds the tokens.

    Example:
        >>> tokens = FunctionalTokens(PAPER_EXPERTS)
        >>> tokens.token("math"), tokens.expert("<nexa_8>")
        ('<nexa_4>', 'law')

    Raises:
        ConfigurationError: If there is no expert or one name stands twice.
    """

    experts: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks the names once, when the map is built."""
        if not self.experts:
            raise ConfigurationError("A router needs at least one expert: name one.")
        twice = sorted({name for name in self.experts if self.experts.count(name) > 1})
        if twice:
            raise ConfigurationError(f"Expert names must differ; these stand twice: {', '.join(twice)}.")

    def __iter__(self) -> Iterator[str]:
        """Yields every token of the family, `<nexa_end>` last."""
        yield from (f"<nexa_{index}>" for index in range(len(self.experts)))
        yield END

    def token(self, expert: str) -> str:
        """Returns the functional token of an expert.

        Raises:
            UnknownExpertError: If no expert bears the name.
        """
        try:
            return f"<nexa_{self.experts.index(expert)}>"
        except ValueError:
            raise UnknownExpertError(expert, list(self.experts)) from None

    def of(self, experts: Sequence[str]) -> list[str]:
        """Returns the tokens of several experts, in their order."""
        return [self.token(expert) for expert in experts]

    def expert(self, token: str) -> str | None:
        """Returns the expert a token names; `None` for `<nexa_end>` and for anything else."""
        return self._by_token.get(token)

    @cached_property
    def _by_token(self) -> dict[str, str]:
        return dict(zip(self, self.experts, strict=False))
