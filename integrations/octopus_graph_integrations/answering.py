"""From a conversation to an answer: choose an expert, ask its chat model, and perhaps ask the next one.

The logic stands here once; `calls` and `octopus_graph.effects` run it, await it or stream it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from langgraph.errors import GraphBubbleUp

from octopus_graph.codec import Done
from octopus_graph.effects import Blocking, Invoke, Logic, Pause
from octopus_graph.errors import ExpertError
from octopus_graph.experts import Expert
from octopus_graph.router import RouterDecision
from octopus_graph.turns import following, repeats
from octopus_graph_integrations.abilities import ChatRunnable, seeing
from octopus_graph_integrations.calls import joined
from octopus_graph_integrations.choosing import METADATA, Choice, Chooser, this_turn

__all__ = ["Answering", "told"]

Models = Mapping[str, ChatRunnable]


@dataclass(frozen=True)
class Answering:
    """Answers conversations.

    Attributes:
        chooser: Chooses who answers.
        experts: Those that may be asked, by name.
        max_hops: The most of them that are asked for one request.
    """

    chooser: Chooser
    experts: Mapping[str, Expert]
    max_hops: int = 1

    def answer(self, messages: Sequence[BaseMessage], models: Models, config: RunnableConfig) -> Logic[AIMessage]:
        """Answers a conversation.

        Args:
            messages: The conversation.
            models: The chat models that can do what is asked, by the names of their experts.
            config: The caller's config.

        Raises:
            InputError: If the conversation holds no text to route by, or what none of the models can read.
            ExpertError: If an expert and its fallbacks fail. An expert without a fallback fails with its own error.
        """
        able = self.able(messages, models)
        choice: Choice = yield Blocking(partial(self.chooser.choose, messages, able))
        conversation = told(choice, messages)
        answers: list[AIMessage] = []
        done: list[Done] = []
        path = list(choice.metadata.get("path", ()))
        asked = [(name, choice.request) for name in path[:-1]]
        while True:
            server, answer = yield from self._ask(choice.expert, conversation, models, able, config)
            answers.append(answer)
            path += [] if path[-1:] == [server] and choice.by == "sticky" else [server]
            asked.append((choice.expert, choice.rewrite or choice.request))
            done.append(Done(str(choice.metadata["token"]), str(answer.text)))
            metadata = self.metadata(choice, path, able)
            if server != choice.expert:
                metadata[METADATA]["served_by"] = server
            if answer.tool_calls or len(path) >= self.max_hops or not choice.request:
                break
            decision = yield from self._next(choice, able, asked, done)
            if decision is None or decision.expert is None or decision.confidence < self.chooser.min_confidence:
                break
            choice = self.chooser.next_hop(decision, choice.request)
            conversation = _further(choice, messages, path, answers)
        return joined(answers, metadata)

    def able(self, messages: Sequence[BaseMessage], models: Models) -> list[str]:
        """Returns those that can do what is asked and read all of the conversation.

        Raises:
            InputError: If nobody can.
        """
        return seeing(messages, {name: self.experts[name] for name in models})

    def metadata(self, choice: Choice, path: Sequence[str], able: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Writes what goes into an answer's `response_metadata`."""
        left_out = [name for name in self.experts if name not in able]
        return {METADATA: {**choice.metadata, "path": list(path), **({"left_out": left_out} if left_out else {})}}

    def _next(
        self, choice: Choice, able: Sequence[str], asked: list[tuple[str, str]], done: list[Done]
    ) -> Logic[RouterDecision | None]:
        neighbours = self.experts[choice.expert].neighbours
        candidates = [name for name in able if name != choice.expert and (neighbours is None or name in neighbours)]
        if self.chooser.rewrite == "never":  # everybody would be asked the request itself
            candidates = [name for name in candidates if not repeats(name, choice.request, asked)]
        ask = partial(
            self.chooser.router.decide,
            choice.request,
            adapter=choice.expert,
            done=done,
            rewrite=self.chooser.rewrite,
        )

        def decide(among: Sequence[str]) -> Logic[RouterDecision]:
            return (yield Blocking(partial(ask, among)))

        bar = self.chooser.min_confidence
        return (yield from following(decide, candidates, choice.request, asked, min_confidence=bar))

    def _ask(
        self, name: str, messages: list[BaseMessage], models: Models, able: Sequence[str], config: RunnableConfig
    ) -> Logic[tuple[str, AIMessage]]:
        """Asks an expert and, while nobody answers, those that stand in for it."""
        failures: dict[str, str] = {}
        while True:
            expert = self.experts[name]
            try:
                answer = yield from _attempts(expert, models[name], messages, config)
            except GraphBubbleUp:
                raise  # an interrupt: the run waits for a human
            except Exception as error:
                failures[name] = f"{type(error).__name__}: {error}"[:200]
                if expert.fallback in able and expert.fallback not in failures:
                    name = str(expert.fallback)
                    continue
                if len(failures) == 1:  # its own error: callers know its type
                    error.add_note(f"It was raised by the expert {name!r} of a ChatOctopus.")
                    raise
                raise ExpertError(failures) from error
            return name, answer


def told(choice: Choice, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Returns the conversation as the expert is told it: a rewritten request in the place of what was typed."""
    conversation = list(messages)
    if choice.rewrite is not None:
        place = len(this_turn(messages)[0])
        if isinstance(messages[place].content, str):  # not one that holds an image beside the text
            conversation[place] = messages[place].model_copy(update={"content": choice.rewrite})
    return conversation


def _further(
    choice: Choice, messages: Sequence[BaseMessage], path: Sequence[str], answers: Sequence[AIMessage]
) -> list[BaseMessage]:
    """Writes what the expert of a further hop is told: what led here, and who said what to this request."""
    earlier, _ = this_turn(messages)
    said = [
        f"Earlier in this turn, {name} answered: {answer.text}"
        for name, answer in zip(path[-len(answers) :], answers, strict=True)
    ]
    return [*earlier, HumanMessage("\n\n".join([*said, choice.rewrite or choice.request]))]


def _attempts(
    expert: Expert, model: ChatRunnable, messages: list[BaseMessage], config: RunnableConfig
) -> Logic[AIMessage]:
    tagged = merge_configs(config, {"metadata": {"octopus_expert": expert.name}})
    conversation = prompted(expert, messages)
    for attempt in range(expert.retries + 1):
        if attempt:
            # Jitter keeps calls that failed together from coming back together.
            yield Pause(min(8.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))
        try:
            return (yield Invoke(model, conversation, tagged, expert.timeout))
        except GraphBubbleUp:
            raise
        except Exception:
            if attempt == expert.retries:
                raise
    raise AssertionError  # there is at least one attempt


def prompted(expert: Expert, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Puts the expert's system prompt before the caller's, in one message: many models take one, and only as first."""
    if not expert.system_prompt:
        return list(messages)
    if not messages or not isinstance(messages[0], SystemMessage):
        return [SystemMessage(expert.system_prompt), *messages]
    first = messages[0]
    if isinstance(first.content, str):
        content: Any = f"{expert.system_prompt}\n\n{first.content}"
    else:
        content = [{"type": "text", "text": expert.system_prompt}, *first.content]
    return [first.model_copy(update={"content": content}), *messages[1:]]
