"""A run as people see it while it goes on, and as JSON has it afterwards."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from octopus_graph.cli.output import out, percent, printable

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["RunView"]


class RunView:
    """Follows the events of one run.

    Decisions and hops are the graph's own events; an expert's words come as messages, when its model streams.

    Example:
        >>> view = RunView(quiet=True)
        >>> view.show("custom", {"event": "answer", "answer": "12", "path": ["math"]})
        >>> view.record()["answer"]
        '12'
    """

    def __init__(self, *, quiet: bool) -> None:
        """Begins.

        Args:
            quiet: Show nothing; only keep the record.
        """
        self._quiet = quiet
        self._console = out()
        self._decisions: list[dict[str, Any]] = []
        self._hops: list[dict[str, Any]] = []
        self._answer: dict[str, Any] = {"answer": "", "path": []}
        self._streamed = ""
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        """Begins to count the time."""
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the line an expert was in the middle of, so that an error begins on its own."""
        self._end_line()

    def _end_line(self) -> None:
        if self._streamed and not self._streamed.endswith("\n"):
            self._write("\n")
            self._streamed = ""

    def show(self, mode: str, event: Any) -> None:
        """Takes an event of `graph.stream(stream_mode=["custom", "messages"])`."""
        if mode == "messages":
            self._words(*event)
            return
        match event.get("event"):
            case "decision":
                self._decisions.append(event)
                self._print(self._decision(event))
            case "hop":
                self._hops.append(event)
                self._hop(event)
            case "answer":
                self._answer = event
                self._finish(event)
            case _:
                pass  # an event of an expert's own

    def record(self) -> dict[str, Any]:
        """Returns the whole run."""
        return {
            "path": self._answer["path"],
            "answer": self._answer["answer"],
            "hops": [_plain(hop) for hop in self._hops],
            "decisions": [_plain(decision) for decision in self._decisions],
        }

    def _words(self, message: Any, metadata: dict[str, Any]) -> None:
        """Shows an expert's words as they come. Whole messages are events already."""
        if type(message).__name__ != "AIMessageChunk" or not self._decisions:
            return
        node = str(metadata.get("langgraph_checkpoint_ns") or metadata.get("langgraph_node", "")).partition(":")[0]
        text = str(message.text)
        if node == self._decisions[-1]["expert"] and text:
            if not self._streamed:
                self._write("\n")
            self._streamed += text
            self._write(printable(text))

    def _decision(self, decision: dict[str, Any]) -> "Text":
        from rich.text import Text

        ranked: list[tuple[str, float]] = [(name, probability) for name, probability in decision["top"]]
        chosen = decision["expert"] or "end"
        line = Text("→ ")
        line.append(chosen, style="bold green")
        line.append(f" {decision['token']}", style="cyan")
        others = ", ".join(f"{name} {percent(probability)}" for name, probability in ranked if name != chosen)
        if ranked and ranked[0][0] == chosen:
            line.append(f"  {percent(decision['confidence'])}", style="bold")
            line.append(f"  before {others}" if others else "", style="dim")
        else:
            line.append(f"  not sure enough: {others}", style="yellow")
        found = ", from the cache" if decision.get("cached") else ""
        line.append(f"  {decision['decide_ms']:.0f} ms{found}", style="dim")
        if decision["rewritten"]:
            line.append(f"\n  asked as: {printable(decision['query'])}", style="italic")
            line.append(f"  {decision['rewrite_ms']:.0f} ms", style="dim")
        return line

    def _hop(self, hop: dict[str, Any]) -> None:
        if hop["served_by"]:
            self._end_line()
            self._print(f"  {hop['served_by']} answers for {hop['expert']} ({printable(hop['error'] or 'it failed')})")
        if hop.get("cached"):
            self._print(f"  from the cache ({hop['cached']})", style="dim")
        answer = hop["answer"].strip()
        if answer and not self._streamed.strip().endswith(answer):
            self._write("\n" if not self._streamed or self._streamed.endswith("\n") else "\n\n")
            self._write(printable(answer))
        self._write("\n\n")
        self._streamed = ""

    def _finish(self, event: dict[str, Any]) -> None:
        if not event["path"]:  # nobody was asked: the graph itself says why
            self._write(f"\n{printable(event['answer'])}\n\n")
        hops = len(event["path"])
        seconds = time.perf_counter() - self._started
        self._print(f"{hops} {'hop' if hops == 1 else 'hops'}, {seconds:.1f} s", style="dim")

    def _print(self, what: "str | Text", style: str = "") -> None:
        if not self._quiet:
            self._console.print(what, style=style)

    def _write(self, text: str) -> None:
        if not self._quiet:
            sys.stdout.write(text)
            sys.stdout.flush()


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    """Returns an event as JSON has it, with probabilities as `route` writes them."""
    top = [{"expert": name, "probability": round(probability, 4)} for name, probability in event["top"]]
    rest = {name: value for name, value in event.items() if name != "event"}
    return rest | {"confidence": round(event["confidence"], 4), "top": top}
