"""A chat model for these tests: it says what it is told to, calls tools, and keeps what it was asked."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

USAGE: Any = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}


class Chat(BaseChatModel):
    """Gives its answers one after the other, the last one for ever; an exception among them is raised."""

    model_name: str = "chat"
    answers: list[Any]
    calls: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _next(self, messages: list[BaseMessage], stop: Any, kwargs: dict[str, Any]) -> AIMessage:
        tools = [tool["function"]["name"] for tool in kwargs.pop("tools", [])]
        self.calls.append({"messages": messages, "tools": tools, "stop": stop, **kwargs})
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        message = AIMessage(answer) if isinstance(answer, str) else answer
        known = {"model_name": self.model_name}
        return message.model_copy(update={"usage_metadata": USAGE, "response_metadata": known})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages, stop, kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._next(messages, stop, kwargs)
        for word in str(answer.text).split(" "):
            if word == "(breaks)":
                raise ConnectionError("the line went dead")
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{word} "))
        calls = [
            {"name": call["name"], "args": str(call["args"]).replace("'", '"'), "id": call["id"], "index": place}
            for place, call in enumerate(answer.tool_calls)
        ]
        last = AIMessageChunk(content="", tool_call_chunks=calls, usage_metadata=USAGE, chunk_position="last")  # type: ignore[arg-type]
        last.response_metadata = {"model_name": self.model_name}
        yield ChatGenerationChunk(message=last)


@pytest.fixture
def chat() -> Callable[..., Chat]:
    """Makes a chat model that gives these answers."""

    def make(*answers: Any, name: str = "chat", **fields: Any) -> Chat:
        return Chat(answers=list(answers), model_name=name, **fields)

    return make
