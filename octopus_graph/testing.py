"""Doubles for tests of graphs: a router that follows a script, experts that echo. No weights, no network, no chance.

Example:
    >>> router = scripted_router({"derivative": ["math", Pick("history", rewrite="Who found calculus?")]})
    >>> graph = create_octopus_graph([EchoExpert("math"), EchoExpert("history")], router)  # doctest: +SKIP
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from octopus_graph.codec import CHATML, CLOSE, OPEN, Codec
from octopus_graph.experts import Expert
from octopus_graph.prompt import Prompt
from octopus_graph.router import OctopusRouter
from octopus_graph.tokens import END, PAPER_EXPERTS, FunctionalTokens

__all__ = ["EchoExpert", "Pick", "Scene", "Script", "ScriptedEngine", "scripted_router"]


@dataclass(frozen=True)
class Pick:
    """A decision to be made.

    Attributes:
        expert: The expert picked; `None` for the end.
        rewrite: The request rewritten for it. As ever, the router drops one with numbers the request does not hold.
        confidence: The probability it is to have among the candidates.
    """

    expert: str | None
    rewrite: str | None = None
    confidence: float = 0.99


@dataclass(frozen=True)
class Scene:
    """What an engine is shown, read back from the prompt.

    Attributes:
        request: The request of this turn.
        previous: The earlier turn in view, `None` where there is none.
        answers: What the experts of this run have answered so far.
        adapter: The adapter of the call.
    """

    request: str
    previous: str | None
    answers: tuple[str, ...]
    adapter: str | None


_Move = str | Pick | Mapping[str, float] | None
_Plan = _Move | Sequence[_Move]
Script = Mapping[str, _Plan] | Callable[[Scene], _Move]
"""What to decide.

A function decides itself. A mapping is read by substring of the request, the first that fits, whatever its case. Its
values are an expert's name, `None` (the end), a `Pick`, logits by expert (`"end"` for the end), or a list of these, one
for each hop.
"""


class ScriptedEngine:
    """An engine that follows a script, and remembers what it was shown.

    A pick that is no candidate becomes the end where the run may end, else the first candidate; so does a request the
    script says nothing of.

    Attributes:
        scenes: What it was asked to score, call by call.
    """

    def __init__(
        self,
        script: Script,
        tokens: FunctionalTokens,
        codec: Codec = CHATML,
        *,
        adapters: Sequence[str] = (),
        revision: str = "scripted",
    ) -> None:
        """Takes the script.

        Args:
            script: What to decide.
            tokens: The map between the script's experts and their tokens.
            codec: The format of the prompts it will be shown.
            adapters: The adapters it claims to have.
            revision: The weights it claims to have.
        """
        self.revision = revision
        self.adapters = tuple(adapters)
        self.scenes: list[Scene] = []
        self._script = script
        self._tokens = tokens
        self._codec = codec

    def score(
        self, prompts: Sequence[Prompt], tokens: Sequence[str], *, adapter: str | None = None
    ) -> list[list[float]]:
        """Scores tokens so that the script's picks come out with their confidences."""
        rows: list[list[float]] = []
        for prompt in prompts:
            scene = self._read(prompt, adapter)
            self.scenes.append(scene)
            rows.append(self._logits(self._move(scene), tokens))
        return rows

    def complete(
        self, prompt: Prompt, *, stop: str, forbid: Sequence[str], max_tokens: int, adapter: str | None = None
    ) -> str:
        """Continues with the rewrite of the script's pick."""
        del stop, forbid, max_tokens  # a script knows where it ends
        scene = self._read(prompt, adapter)
        move = self._move(scene)
        rewrite = move.rewrite if isinstance(move, Pick) else None
        if prompt[-1].text.endswith(OPEN):  # the argument was opened for us
            return f"{scene.request if rewrite is None else rewrite}{CLOSE}"
        return "" if rewrite is None else f"{OPEN}{rewrite}{CLOSE}"

    def _move(self, scene: Scene) -> _Move:
        if callable(self._script):
            return self._script(scene)
        for part, plan in self._script.items():
            if part.casefold() in scene.request.casefold():
                if isinstance(plan, str) or not isinstance(plan, Sequence):
                    return None if scene.answers and not isinstance(plan, Mapping) else plan
                return plan[len(scene.answers)] if len(scene.answers) < len(plan) else None
        return None

    def _logits(self, move: _Move, tokens: Sequence[str]) -> list[float]:
        if isinstance(move, Mapping):
            by_token = {self._token(None if name == "end" else name): logit for name, logit in move.items()}
            return [by_token.get(token, -100.0) for token in tokens]
        pick = move if isinstance(move, Pick) else Pick(move)
        wanted = self._token(pick.expert)
        if wanted not in tokens:
            wanted = END if END in tokens else tokens[0]
        others = max(1, len(tokens) - 1)
        return [math.log(pick.confidence if token == wanted else (1 - pick.confidence) / others) for token in tokens]

    def _token(self, expert: str | None) -> str:
        return END if expert is None else self._tokens.token(expert)

    def _read(self, prompt: Prompt, adapter: str | None) -> Scene:
        """Takes a prompt apart again: `Codec.prompt` backwards."""
        # What closes the request stands by itself; after an earlier turn it is followed by that turn's token.
        asked = next(i for i, part in enumerate(prompt) if part.trusted and part.text == self._codec.suffix)
        answers = tuple(
            part.text
            for part, after in zip(prompt[asked + 1 :], prompt[asked + 2 :], strict=False)
            if not part.trusted and after.text == self._codec.stop
        )
        earlier = [part.text for part in prompt[: asked - 1] if not part.trusted]
        return Scene(prompt[asked - 1].text, earlier[-1] if earlier else None, answers, adapter)


def scripted_router(
    script: Script, *, experts: Sequence[str] = PAPER_EXPERTS, codec: Codec = CHATML, adapters: Sequence[str] = ()
) -> OctopusRouter:
    """Makes a router that follows a script; its `engine` is the `ScriptedEngine`.

    Args:
        script: What to decide.
        experts: The experts in token order.
        codec: The prompt format.
        adapters: The experts that have an edge adapter.
    """
    tokens = FunctionalTokens(tuple(experts))
    return OctopusRouter(ScriptedEngine(script, tokens, codec, adapters=adapters), tokens, codec)


def EchoExpert(name: str, description: str = "", **options: Any) -> Expert:  # noqa: N802 - reads as what it makes
    """Makes an expert that answers `[name] query`.

    Args:
        name: Its name.
        description: What it claims to be good for.
        options: Further fields of `Expert`.
    """

    def echo(query: str) -> str:
        return f"[{name}] {query}"

    return Expert(name, description or f"Echoes as {name}", echo, **options)
