"""LogicChatModel: a chat model made of logic that calls other chat models.

A call has a run of its own, and what it calls has runs below that: one model call is one model run to whoever traces,
streams or counts tokens, and no token is seen twice.
"""

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import merge_configs
from typing_extensions import override

from octopus_graph.effects import Logic, arun, run
from octopus_graph_integrations import calls

__all__ = ["LogicChatModel"]

_SILENT = RunnableConfig(callbacks=[])


class LogicChatModel(BaseChatModel):
    """A chat model of which only the logic is missing.

    Attributes:
        streaming: Whether `invoke` streams inside.
    """

    streaming: bool = False

    @abstractmethod
    def _answer(
        self, messages: list[BaseMessage], config: RunnableConfig, stop: list[str] | None, given: Mapping[str, Any]
    ) -> Logic[AIMessage]:
        """Answers a conversation.

        Args:
            messages: The conversation.
            config: What the calls of other models are to be given.
            stop: What ends an answer.
            given: What else came with the call, bound or not.
        """

    @override
    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        def answer(messages: list[BaseMessage], config: RunnableConfig) -> AIMessage:
            logic = self._answer(messages, config, stop, kwargs)
            return _merged(list(calls.stream(logic))) if self.streaming else run(logic)

        return _untyped(self._call_with_config)(answer, self._messages(input), self._merged_config(config))

    @override
    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        async def answer(messages: list[BaseMessage], config: RunnableConfig) -> AIMessage:
            logic = self._answer(messages, config, stop, kwargs)
            return _merged([chunk async for chunk in calls.astream(logic)]) if self.streaming else await arun(logic)

        return await _untyped(self._acall_with_config)(answer, self._messages(input), self._merged_config(config))

    @override
    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        def chunks(inputs: Iterator[list[BaseMessage]], config: RunnableConfig) -> Iterator[AIMessageChunk]:
            for messages in inputs:
                yield from calls.stream(self._answer(messages, config, stop, kwargs))

        given = iter([self._messages(input)])
        yield from _untyped(self._transform_stream_with_config)(given, chunks, self._merged_config(config))

    @override
    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        async def given() -> AsyncIterator[list[BaseMessage]]:
            yield self._messages(input)

        async def chunks(
            inputs: AsyncIterator[list[BaseMessage]], config: RunnableConfig
        ) -> AsyncIterator[AIMessageChunk]:
            async for messages in inputs:
                async for chunk in calls.astream(self._answer(messages, config, stop, kwargs)):
                    yield chunk

        async for chunk in _untyped(self._atransform_stream_with_config)(given(), chunks, self._merged_config(config)):
            yield chunk

    # What follows is for callers of `generate` and of protocol streams: they open a model run of their own, which is
    # the one that is streamed and counted, so the expert's own stays silent.

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=run(self._answer(messages, _SILENT, stop, kwargs)))])

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = await arun(self._answer(messages, _SILENT, stop, kwargs))
        return ChatResult(generations=[ChatGeneration(message=answer)])

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in calls.stream(self._answer(messages, _SILENT, stop, kwargs)):
            yield ChatGenerationChunk(message=chunk)

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in calls.astream(self._answer(messages, _SILENT, stop, kwargs)):
            yield ChatGenerationChunk(message=chunk)

    def _messages(self, value: LanguageModelInput) -> list[BaseMessage]:
        return self._convert_input(value).to_messages()

    def _merged_config(self, config: RunnableConfig | None) -> RunnableConfig:
        own = RunnableConfig(callbacks=self.callbacks, tags=self.tags or [], metadata=self.metadata or {})
        return merge_configs(own, config)


def _untyped(method: Any) -> Any:
    """LangChain hands a function its config by name, and streams chunks; its own types say neither."""
    return method


def _merged(chunks: Sequence[AIMessageChunk]) -> AIMessage:
    first, *others = chunks
    return cast(AIMessage, message_chunk_to_message(add_ai_message_chunks(first, *others)))
