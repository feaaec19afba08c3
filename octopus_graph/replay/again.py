"""A past request walked again: the real graph with its own rules, its experts' words taken from the record.

As long as the path agrees, each expert says what it said then. Where it departs, nobody knows what the others would
say: the walk ends there, or goes on with the experts themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig

from octopus_graph.effects import run
from octopus_graph.errors import ExpertError, InputError
from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.replay.past import Past, PastStep
from octopus_graph.router import OctopusRouter
from octopus_graph.state import OctopusContext, OctopusState
from octopus_graph.turns import briefing, pending_call

__all__ = ["Again", "Replayer"]

_TAPE = "octopus_tape"


class _DepartedError(Exception):
    """The path has left the recorded one."""


@dataclass(frozen=True)
class Again:
    """A past request and what became of it this time.

    Attributes:
        past: What was.
        steps: What is decided now.
        cut: Whether the walk ended before its end, for want of an answer.
        error: Why there is no walk at all.
    """

    past: Past
    steps: tuple[PastStep, ...]
    cut: bool
    error: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """The experts that would be asked, as far as that is known."""
        return tuple(name for step in self.steps for name in step.experts)

    @property
    def differs_at(self) -> int | None:
        """The first step at which another decision is made; `None` where there is none as far as both are known."""
        for place in range(max(len(self.past.steps), len(self.steps)) + 1):
            was = _experts(self.past.steps, place, ended=self.past.finished)
            now = _experts(self.steps, place, ended=not self.cut)
            if was is None or now is None:
                return None
            if was != now:
                return place
            if not was:
                return None
        return None


def _experts(steps: Sequence[PastStep], place: int, *, ended: bool) -> frozenset[str] | None:
    """Returns who was asked at a step, nobody after the end; `None` where that is not known."""
    if place < len(steps):
        return frozenset(steps[place].experts)
    return frozenset() if ended else None


@dataclass
class _Tape:
    """What experts said in one run of the past."""

    past: Past
    left: bool = field(default=False)

    def answer(self, name: str, state: OctopusState) -> str | None:
        """Returns what an expert said at this step, `None` once the path has left the recorded one."""
        place, decision = len(state["hops"]), state["decision"]
        asked = {decision["expert"], *decision["also"]}
        step = self.past.steps[place] if place < len(self.past.steps) else None
        if step is None or set(step.experts) != asked or name not in step.answers:
            self.left = True
        return None if self.left or step is None else step.answers[name]


class Replayer:
    """Decides past requests again.

    Example:
        >>> replayer = Replayer(experts, router, fallback="general")  # doctest: +SKIP
        >>> [again.differs_at for again in map(replayer.again, read_past(saver, "thread") or ())]  # doctest: +SKIP
        [None, 0]
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        router: OctopusRouter,
        *,
        fallback: str | None = None,
        defaults: OctopusContext | None = None,
        walk: bool = False,
    ) -> None:
        """Builds the graph; the arguments but the last are those of `create_octopus_graph`.

        Args:
            experts: Who can be asked. Unless `walk` is set, only their names and neighbours matter.
            router: Decides.
            fallback: Takes what the router is not sure of.
            defaults: The settings of all runs.
            walk: Where the path departs from the recorded one, ask the experts.

        Raises:
            As `create_octopus_graph`.
        """
        recorded = [_recorded(expert, walk=walk) for expert in experts]
        builder: Any = create_octopus_graph(recorded, router, fallback=fallback, defaults=defaults)
        self._graph = builder.compile()

    def again(self, past: Past) -> Again:
        """Walks one request again."""
        steps: list[PastStep] = []
        given = {"messages": [*past.messages, HumanMessage(past.request)]}
        try:
            for event in self._graph.stream(given, {"configurable": {_TAPE: _Tape(past)}}, stream_mode="custom"):
                if event.get("event") == "decision":
                    asked = (event["expert"], *event["also"]) if event["expert"] else ()
                    steps.append(PastStep(asked, {}, event["confidence"]))
                elif event.get("event") == "hop":
                    cast("dict[str, str]", steps[-1].answers)[event["expert"]] = event["answer"]
        except ExpertError as failure:
            return Again(past, tuple(steps), cut=True, error="" if _departed(failure) else str(failure))
        except InputError as refused:
            return Again(past, (), cut=True, error=str(refused))
        return Again(past, tuple(steps), cut=False)


def _departed(failure: BaseException | None) -> bool:
    """Says whether a departure stands behind an error."""
    while failure is not None:
        if isinstance(failure, _DepartedError):
            return True
        failure = failure.__cause__
    return False


def _recorded(expert: Expert, *, walk: bool) -> Expert:
    """Puts the record in the place of an expert; with `walk` the expert itself comes after it."""

    def speak(state: OctopusState, config: RunnableConfig) -> str:
        tape = cast(_Tape, config.get("configurable", {})[_TAPE])
        said = tape.answer(expert.name, state)
        if said is not None:
            return said
        if not walk:
            raise _DepartedError
        query = str(pending_call(state["messages"], expert.name)["args"]["query"])
        chat = briefing(state["messages"], state["hops"], query, rewritten=query != state["request"])
        return run(expert.ask(query, chat, cast("dict[str, Any]", state), config)).text

    fallback = expert.fallback if walk else None
    return replace(expert, runnable=speak, takes="state", timeout=None, retries=0, fallback=fallback)
