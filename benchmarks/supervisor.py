"""What a router saves in the place of a supervisor LLM: calls of models, their tokens, and seconds.

    python -m benchmarks.supervisor [--latency 0.8] [--rewrite never] [--json]

The agents, and the supervisor of langgraph-supervisor, are scripted chat models: each does at once what a perfect model
would do, and each call takes `--latency` seconds, whatever it reads and writes. So every call the supervisor makes is
one that it cannot do without. The router is the shipped one, and is really run: its time is in the seconds, and where
it takes another path than the perfect supervisor the row says so. Tokens are counted with SmolLM2's tokenizer: what a
call is shown (messages and tool schemas) and what it writes.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast, get_args

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm
from rich.console import Console
from rich.table import Table

from octopus_graph.router import OctopusRouter, Rewrite
from octopus_graph_integrations import create_octopus_supervisor, create_octopus_swarm

LATENCY = 0.8  # seconds; what hosted models take for a short answer with tools is more often above it than below


@dataclass
class Meter:
    """Counts what models are asked and answer."""

    latency: float
    tokens_in: Callable[[str], int]
    calls: int = 0
    tokens: int = 0

    def take(self, shown: str, written: str) -> None:
        """Takes one call's time and counts it."""
        time.sleep(self.latency)
        self.calls += 1
        self.tokens += self.tokens_in(shown) + self.tokens_in(written)


@dataclass(frozen=True)
class Turn:
    """A request, who has to answer it in which order, and what each says."""

    request: str
    path: tuple[str, ...]
    answers: tuple[str, ...]


class Model(BaseChatModel):
    """Does what a policy says with the messages."""

    policy: Callable[[Sequence[BaseMessage]], AIMessage]
    meter: Any
    tools: Any = ()

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:
        return self.model_copy(update={"tools": [convert_to_openai_tool(tool) for tool in tools]})

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        message = self.policy(messages)
        self.meter.take(_text(messages) + json.dumps(self.tools or ""), _text([message]))
        return ChatResult(generations=[ChatGeneration(message=message)])


class Stage:
    """One conversation: what was asked, and the policies of everybody who could answer it."""

    def __init__(self, turns: Sequence[Turn], meter: Meter) -> None:
        self.turns = {turn.request: turn for turn in turns}
        self.meter = meter
        self._ids = 0

    def model(self, policy: Callable[[Sequence[BaseMessage]], AIMessage]) -> Model:
        return Model(policy=policy, meter=self.meter, tools=[])

    def worker(self, name: str, tool: str, others: bool = False) -> Callable[[Sequence[BaseMessage]], AIMessage]:
        """An agent: it uses its tool, then answers. With `others` it hands over what is not its own."""

        def policy(messages: Sequence[BaseMessage]) -> AIMessage:
            turn, since = self._now(messages)
            heard = [part for part in turn.answers if any(part in str(message.text) for message in since)]
            due = turn.path[len(heard)] if len(heard) < len(turn.path) else name
            if others and due != name:
                return self._call(f"transfer_to_{due.lower()}", {})
            if isinstance(messages[-1], ToolMessage) and messages[-1].name == tool:
                return AIMessage(turn.answers[turn.path.index(name)] if name in turn.path else "I could not find that.")
            return self._call(tool, {"query": turn.request})

        return policy

    def supervisor(self, messages: Sequence[BaseMessage]) -> AIMessage:
        """A supervisor that is never wrong: hands over along the path, then gives the answer."""
        turn, since = self._now(messages)
        heard = [part for part in turn.answers if any(part in str(message.text) for message in since)]
        if len(heard) < len(turn.path):
            return self._call(f"transfer_to_{turn.path[len(heard)]}", {})
        return AIMessage(" ".join(turn.answers))

    def _now(self, messages: Sequence[BaseMessage]) -> tuple[Turn, Sequence[BaseMessage]]:
        at = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
        return self.turns[str(messages[at].text)], messages[at + 1 :]

    def _call(self, name: str, args: dict[str, Any]) -> AIMessage:
        self._ids += 1
        return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call_{self._ids}"}])


def web_search(query: str) -> str:
    """Searches the web."""
    return f"Three pages say something about: {query}"


def calculator(query: str) -> str:
    """Calculates."""
    return f"Calculated: {query}"


def songbook(query: str) -> str:
    """Finds songs and stories of the sea."""
    return f"Found a song for: {query}"


OFFICE = (
    Turn("What is 48 times 17, minus 250?", ("math_expert",), ("It is 566.",)),
    Turn("Which countries joined the European Union in 2004?", ("research_expert",), ("Ten did, Cyprus to Slovenia.",)),
    Turn(
        "Who won the 2022 football world cup? Also, what is 15% of 360?",
        ("research_expert", "math_expert"),
        ("Argentina won it.", "15% of 360 is 54."),
    ),
    Turn(
        "How many people work at Apple, Google and Microsoft? Then calculate the sum of 164000, 182000 and 221000.",
        ("research_expert", "math_expert"),
        ("164,000, 182,000 and 221,000.", "The sum is 567,000."),
    ),
    Turn(
        "Look up how many people Apple, Google and Microsoft employ, then add the three numbers.",
        ("research_expert", "math_expert"),
        ("164,000, 182,000 and 221,000 do.", "Together 567,000."),
    ),
)
DECK = (
    Turn("what's 5 + 7?", ("Alice",), ("That makes 12.",)),
    Turn("How do pirates say hello?", ("Bob",), ("Ahoy, matey!",)),
    Turn("I'd like to hear a story about pirates", ("Bob",), ("Once upon a tide …",)),
    Turn("and what is 19 * 3?", ("Alice",), ("That makes 57.",)),
)


@dataclass(frozen=True)
class Row:
    """What one turn took, with the LLM that decides and with the router."""

    request: str
    calls: tuple[int, int]
    tokens: tuple[int, int]
    seconds: tuple[float, float]
    router_seconds: float
    same_path: bool


def office(stage: Stage, router: OctopusRouter | None) -> Any:
    """A supervisor with a research and a math expert."""
    agents = [
        create_agent(stage.model(stage.worker("research_expert", "web_search")), [web_search], name="research_expert"),
        create_agent(stage.model(stage.worker("math_expert", "calculator")), [calculator], name="math_expert"),
    ]
    if router is None:
        prompt = (
            "You lead a research expert and a math expert. Give questions about the world to research_expert and"
            " sums to math_expert, one at a time, and answer when they are done."
        )
        return create_supervisor(cast("Any", agents), model=stage.model(stage.supervisor), prompt=prompt)
    return create_octopus_supervisor(agents, router=router, experts={"research_expert": "*", "math_expert": "math"})


def deck(stage: Stage, router: OctopusRouter | None) -> Any:
    """A swarm of Alice, who calculates, and Bob, who talks like a pirate."""
    alice, bob = (
        stage.model(stage.worker(name, tool, others=router is None))
        for name, tool in (("Alice", "calculator"), ("Bob", "songbook"))
    )
    if router is None:
        to_bob = create_handoff_tool(agent_name="Bob", description="Bob tells of the sea")
        to_alice = create_handoff_tool(agent_name="Alice", description="Alice calculates")
        team = [
            create_agent(alice, [calculator, to_bob], name="Alice"),
            create_agent(bob, [songbook, to_alice], name="Bob"),
        ]
        return create_swarm(cast("Any", team), default_active_agent="Alice")
    team = [create_agent(alice, [calculator], name="Alice"), create_agent(bob, [songbook], name="Bob")]
    experts = {"Alice": "math", "Bob": "*"}
    return create_octopus_swarm(team, default_active_agent="Alice", router=router, experts=experts)


def run(
    build: Callable[[Stage, OctopusRouter | None], Any],
    turns: Sequence[Turn],
    router: OctopusRouter,
    meter: Meter,
    rewrite: Rewrite,
) -> list[Row]:
    """Takes a conversation through both graphs, turn by turn."""
    thread: Any = {"configurable": {"thread_id": "1"}}
    settings = (None, {"rewrite": rewrite})  # of the LLM's graph and of the router's
    warm = build(Stage(turns, Meter(0, meter.tokens_in)), router).compile(InMemorySaver())
    for turn in turns:  # edge adapters are loaded when they are first needed
        warm.invoke({"messages": [HumanMessage(turn.request)]}, thread, context=settings[1])
    graphs = [build(Stage(turns, meter), decider).compile(InMemorySaver()) for decider in (None, router)]
    rows: list[Row] = []
    for turn in turns:
        seen: list[tuple[int, int, float]] = []
        for graph, context in zip(graphs, settings, strict=True):
            calls, tokens, started = meter.calls, meter.tokens, time.perf_counter()
            state = graph.invoke({"messages": [HumanMessage(turn.request)]}, thread, context=context)
            seen.append((meter.calls - calls, meter.tokens - tokens, time.perf_counter() - started))
        (calls, tokens, seconds) = zip(*seen, strict=True)
        same = tuple(hop["expert"] for hop in state["hops"]) == turn.path
        deciding = round(seconds[1] - calls[1] * meter.latency, 2)
        rows.append(Row(turn.request, calls, tokens, cast("Any", tuple(round(s, 2) for s in seconds)), deciding, same))
    return rows


def _text(messages: Sequence[AnyMessage | BaseMessage]) -> str:
    """Writes messages about as a chat template does."""
    calls = [json.dumps(getattr(message, "tool_calls", None) or "") for message in messages]
    return "\n".join(f"{message.type}: {message.text}{call}" for message, call in zip(messages, calls, strict=True))


def show(title: str, rows: Sequence[Row], console: Console) -> None:
    """Prints a scenario's table and what was saved."""
    table = Table("request", "model calls", "tokens", "seconds", "of it the router", "path", title=title)
    for row in rows:
        pairs = [f"{before:,} → {after:,}" for before, after in (row.calls, row.tokens, row.seconds)]
        table.add_row(row.request, *pairs, f"{row.router_seconds:g}", "same" if row.same_path else "cut short")
    right = [row for row in rows if row.same_path]
    names = ("calls", "tokens", "seconds")
    pairs = [[sum(getattr(row, name)[side] for row in right) for side in (0, 1)] for name in names]
    total = [f"{before:,.4g} → {after:,.4g} ({after / before - 1:+.0%})" for before, after in pairs]
    table.add_section()
    table.add_row(
        f"the {len(right)} of {len(rows)} with the same path",
        *total,
        f"{sum(row.router_seconds for row in right):.3g}",
        "",
    )
    console.print(table)


def main() -> None:
    """Runs both scenarios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=LATENCY, help="seconds of each call of a model")
    parser.add_argument("--json", action="store_true", help="print figures and nothing else")
    parser.add_argument("--rewrite", choices=get_args(Rewrite), default="auto", help="whether requests are rewritten")
    arguments = parser.parse_args()
    rewrite: Rewrite = arguments.rewrite
    load = os.getloadavg()[0]
    router = OctopusRouter.from_pretrained()
    router.decide("Warm up.")
    _, tokenizer = router.engine.base  # type: ignore[attr-defined]
    meter = Meter(arguments.latency, lambda text: len(tokenizer(text)["input_ids"]))
    found = {
        "supervisor: research + math (langgraph-supervisor → router)": run(office, OFFICE, router, meter, rewrite),
        "swarm: Alice + Bob (langgraph-swarm → router)": run(deck, DECK, router, meter, rewrite),
    }
    if arguments.json:
        print(json.dumps({title: [asdict(row) for row in rows] for title, rows in found.items()}, indent=2))
        return
    console = Console(width=150)
    console.print(
        f"each call of a model takes {arguments.latency:g} s; the router decides on this machine, which has"
        f" {os.cpu_count()} cores and {load:.1f} processes waiting for them"
    )
    for title, rows in found.items():
        show(title, rows, console)


if __name__ == "__main__":
    main()
