"""Each call of an expert in a durable run has a key, so that a call that has to be made again is known as the same.

A run that was killed goes on from its last checkpoint, and the node that was at work then runs again. An answer that
was given before is taken from the run's ledger. One that was on its way is asked for once more, under the same key:
experts see it as `metadata["idempotency_key"]` of their config, chat completions as the header `Idempotency-Key`.

A key is made of the run, LangGraph's id of the task (which follows from thread, checkpoint and node), the expert and
what it is asked.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.config import merge_configs

from octopus_graph.effects import Logic

__all__ = ["HEADER", "Call", "Ledger", "call_of", "with_ledger"]

HEADER = "Idempotency-Key"
_PLACE = "__octopus_ledger"  # the underscores keep it out of the metadata of checkpoints
_TASK = "__pregel_task_id"
# LangChain's chat models that take `extra_headers` for one call, by the type they name.
_TAKE_HEADERS = ("openai-chat", "azure-openai-chat")


@runtime_checkable
class Ledger(Protocol):
    """The answers of one run."""

    @property
    def run(self) -> str:
        """The run."""
        ...

    def find(self, key: str) -> Logic[str | None]:
        """Reads the answer to a call, if it was given before."""
        ...

    def keep(self, key: str, answer: str) -> Logic[str]:
        """Keeps an answer, and returns the one that came first."""
        ...


@dataclass(frozen=True)
class Call:
    """One call of an expert.

    Attributes:
        key: What it is known by.
        ledger: Where its answer is kept.
    """

    key: str
    ledger: Ledger

    def find(self) -> Logic[dict[str, Any] | None]:
        """Reads the answer, if it was given before."""
        found = yield from self.ledger.find(self.key)
        return None if found is None else json.loads(found)

    def keep(self, answer: dict[str, Any]) -> Logic[dict[str, Any]]:
        """Keeps an answer, and returns the one that counts."""
        return json.loads((yield from self.ledger.keep(self.key, json.dumps(answer, ensure_ascii=False))))

    def told(self, config: RunnableConfig | None) -> RunnableConfig:
        """Tells the expert the key."""
        return merge_configs(config, {"metadata": {"idempotency_key": self.key}})

    def headed(self, runnable: Runnable[Any, Any]) -> Runnable[Any, Any]:
        """Sends the key along as a header, where the runnable is a chat model that can."""
        model: Any = runnable
        headers: dict[str, str] = {}
        while isinstance(model, RunnableBindingBase):
            bound = cast(Any, model)
            headers = {**bound.kwargs.get("extra_headers", {}), **headers}  # what is bound last would replace them
            model = bound.bound
        if isinstance(model, BaseChatModel) and getattr(model, "_llm_type", "") in _TAKE_HEADERS:
            return runnable.bind(extra_headers={**headers, HEADER: self.key})
        return runnable


def with_ledger(config: RunnableConfig, ledger: Ledger) -> RunnableConfig:
    """Puts a ledger into the config of a run."""
    return {**config, "configurable": {**config.get("configurable", {}), _PLACE: ledger}}


def call_of(config: RunnableConfig | None, expert: str, asked: str) -> Call | None:
    """Returns the call that an expert is about to get; `None` outside a durable run.

    Args:
        config: The config of the node.
        expert: The expert's name.
        asked: What it is asked.
    """
    configurable: dict[str, Any] = (config or {}).get("configurable", {})
    ledger, task = configurable.get(_PLACE), configurable.get(_TASK)
    if not ledger or not task or not isinstance(ledger, Ledger):  # only an object counts: no client can send one
        return None
    parts = json.dumps([ledger.run, str(task), expert, asked])
    return Call(hashlib.sha256(parts.encode()).hexdigest(), ledger)
