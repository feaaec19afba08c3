"""One thread as `ask` goes on with it: a new turn, an answer to what the run asked, or a run that was cut short."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

from octopus_graph.errors import InputError, UnknownThreadError

__all__ = ["Conversation", "asked"]

SETTINGS = "octopus_settings"  # in the metadata of checkpoints: a run that is taken up goes on as it began


@dataclass(frozen=True)
class Conversation:
    """A thread of a compiled graph.

    Attributes:
        graph: Compiled with a checkpointer.
        thread: The thread's id.
        given: The settings of the run, by name.
        checkpoint: Where to go on instead of at its end.
    """

    graph: Any
    thread: str
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    checkpoint: str | None = None

    @property
    def place(self) -> dict[str, Any]:
        """Where the run goes on, as LangGraph's configs have it."""
        chosen = {} if self.checkpoint is None else {"checkpoint_id": self.checkpoint}
        return {"thread_id": self.thread, **chosen}

    def run(self, request: str | None) -> tuple[Any, Any, dict[str, Any]]:
        """Returns input, config and settings of the run: where it waits for its human, a request is the answer.

        A run that is taken up keeps the settings it began with, but for those that are given now.

        Args:
            request: What the human says; nothing goes on with a run that was cut short.

        Raises:
            InputError: If nothing is said and there is nothing to go on with.
            UnknownThreadError: If the thread has no such checkpoint.
        """
        from langgraph.types import Command

        state = self.graph.get_state({"configurable": self.place})
        if self.checkpoint is not None and not state.created_at:
            raise UnknownThreadError(self.thread, self.checkpoint)
        metadata: dict[str, Any] = state.metadata or {}
        given, began = self.given, json.loads(metadata.get(SETTINGS, "{}"))
        if request is None and state.interrupts:
            raise InputError(f"Thread {self.thread!r} waits for an answer: {asked(state.interrupts[0].value)}")
        if request is None and not state.next:
            raise InputError(f"Thread {self.thread!r} has nothing to go on with: ask a question.")
        if request is not None and not state.interrupts:
            said: Any = {"messages": [("user", request)]}
        else:
            said = None if request is None else Command(resume={state.interrupts[0].id: request})
            given = began | given
        return said, {"configurable": self.place, "metadata": {SETTINGS: json.dumps(given)}}, given

    def question(self) -> Any:
        """Returns what the thread's human is asked now, `None` where it waits for nobody."""
        interrupts = self.graph.get_state({"configurable": {"thread_id": self.thread}}).interrupts
        return interrupts[0].value if interrupts else None


def asked(question: Any) -> str:
    """Puts what a run stopped with into words."""
    if isinstance(question, dict):
        return str(cast("dict[str, Any]", question).get("question", cast(Any, question)))
    return str(question)
