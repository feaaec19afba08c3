"""A graph whose experts are chat models that follow rules, so that tools and forms are exercised without weights.

a tool result last           "The tool said: …"
tools, and one is meant      calls it, with arguments that fit its schema
a response format            JSON that fits its schema
all else                     "[expert] request", words one by one
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import Field

from octopus_graph.experts import Expert
from octopus_graph.graph import create_octopus_graph
from octopus_graph.state import OctopusContext
from octopus_graph.testing import EchoExpert, Pick, scripted_router

SECRET = "a text that must not get out"
SCRIPT: dict[str, Any] = {
    "mathematician": ["math", "history"],
    "derivative": "math",
    "contract": "law",
    "fever": "health",
    "broken": "chemistry",
    "whisper": Pick("law", confidence=0.4),
}


class TalkingChat(BaseChatModel):
    """Answers by the rules above, and remembers what it was given.

    Attributes:
        voice: What it puts before its answers.
        temperature: A setting; it changes nothing but what is remembered.
        max_tokens: The most words of an answer.
        response_format: The form of answers.
        reports: Whether it reports usage.
        heard: The messages and settings of each call.
    """

    voice: str
    temperature: float = 1.0
    max_tokens: int | None = None
    response_format: dict[str, Any] | None = None
    reports: bool = True
    heard: list[tuple[list[BaseMessage], dict[str, Any]]] = Field(default_factory=list, exclude=True)

    @property
    def _llm_type(self) -> str:
        return "talking"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=tools, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        from langchain_core.language_models.chat_models import generate_from_stream

        return generate_from_stream(self._chunks(messages, stop, kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, stop, kwargs):
            if run_manager:
                run_manager.on_llm_new_token(str(chunk.message.text), chunk=chunk)
            yield chunk

    def _chunks(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> Iterator[ChatGenerationChunk]:
        self.heard.append((messages, {"temperature": self.temperature, "stop": stop, **kwargs}))
        request = next((str(m.text) for m in reversed(messages) if isinstance(m, HumanMessage)), "")
        calls = [] if isinstance(messages[-1], ToolMessage) else _calls(request, kwargs)
        words = [] if calls else re.findall(r"\S+\s*", self._text(messages, request, stop, kwargs))
        cut = self.max_tokens is not None and len(words) > self.max_tokens
        for word in words[: self.max_tokens]:
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        for index, (name, arguments) in enumerate(calls):
            half = len(arguments) // 2
            first = tool_call_chunk(name=name, args=arguments[:half], id=f"call_{index}", index=index)
            second = tool_call_chunk(name=None, args=arguments[half:], id=None, index=index)
            for piece in (first, second):
                yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))
        said, read = len(words) + 2 * len(calls), sum(len(str(message.text).split()) for message in messages)
        usage = UsageMetadata(input_tokens=read, output_tokens=said, total_tokens=read + said)
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata=usage if self.reports else None,
                response_metadata={"finish_reason": "length" if cut else "stop", "model_name": "talking"},
                chunk_position="last",
            )
        )

    def _text(self, messages: list[BaseMessage], request: str, stop: list[str] | None, kwargs: dict[str, Any]) -> str:
        if form := kwargs.get("response_format"):
            schema = form.get("json_schema", {}).get("schema")
            return json.dumps(
                fitting(schema, request) if schema else dict.fromkeys(re.findall(r"'(\w+)'", request), "x")
            )
        text = f"The tool said: {messages[-1].text}" if isinstance(messages[-1], ToolMessage) else request
        text = f"[{self.voice}] {text}"
        for end in stop or []:
            text = text.partition(end)[0]
        return text


def _calls(request: str, kwargs: dict[str, Any]) -> list[tuple[str, str]]:
    """Chooses what to call: the tool that must be, or those the request names."""
    tools = {tool["function"]["name"]: tool["function"] for tool in kwargs.get("tools", [])}
    choice = kwargs.get("tool_choice", "auto")
    if choice == "none" or not tools:
        return []
    if isinstance(choice, dict):
        named = [choice["function"]["name"]]
    elif choice in tools:
        named = [choice]
    else:
        said = request.lower()
        named = [name for name in tools if any(len(word) > 4 and word in said for word in name.lower().split("_"))]
        if not named and choice in ("required", "any"):
            named = list(tools)[:1]
    return [(name, json.dumps(fitting(tools[name].get("parameters") or {}, request))) for name in named]


def fitting(schema: dict[str, Any], request: str, root: dict[str, Any] | None = None) -> Any:
    """Makes a value of a JSON schema: the first number of the request, or its text."""
    root = root or schema
    if "$ref" in schema:
        return fitting(root["$defs"][schema["$ref"].rpartition("/")[2]], request, root)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return fitting(schema["anyOf"][0], request, root)
    match schema.get("type"):
        case "integer" | "number":
            return int(next(iter(re.findall(r"\d+", request)), 1))
        case "string":
            return request[:40]
        case "boolean":
            return True
        case "array":
            return [fitting(schema.get("items", {}), request, root)]
        case _:
            return {name: fitting(part, request, root) for name, part in schema.get("properties", {}).items()}


def broken(query: str) -> str:
    """Fails, and quotes what it was asked."""
    raise RuntimeError(f"{SECRET}: {query}")


class Talking:
    """The graph and its parts.

    Attributes:
        models: The chat models by expert.
        experts: The experts.
        router: Follows `SCRIPT`.
        graph: Compiled, with a saver.
    """

    def __init__(
        self,
        defaults: OctopusContext | None = None,
        script: dict[str, Any] = SCRIPT,
        replaced: Mapping[str, Expert] | None = None,
    ) -> None:
        self.models = {name: TalkingChat(voice=name) for name in ("general", "math", "law", "history")}
        self.models["history"].reports = False
        chats = [Expert(name, f"Knows {name}", model) for name, model in self.models.items()]
        experts = [*chats, EchoExpert("health", "Knows health"), Expert("chemistry", "Fails", broken)]
        self.experts = [(replaced or {}).get(expert.name, expert) for expert in experts]
        self.router = scripted_router(script)
        builder: Any = create_octopus_graph(self.experts, self.router, fallback="general", defaults=defaults)
        self.graph = builder.compile(name="octopus", checkpointer=InMemorySaver())

    def last(self, expert: str) -> tuple[list[BaseMessage], dict[str, Any]]:
        """Returns what an expert's model was last given."""
        return self.models[expert].heard[-1]
