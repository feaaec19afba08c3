"""PipelineChat: langchain-huggingface's ChatHuggingFace over a HuggingFacePipeline, made fit for a graph.

Alone (1.2.3) it lets an `<|im_end|>` in a question end the turn, gives the prompt back before the answer, knows no
async, keeps no two threads apart, and generates in a thread whose errors and whose stopping the reader has no hand in.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
# transformers ships partial types.

import queue
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from jinja2 import TemplateError
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_huggingface import ChatHuggingFace, HuggingFacePipeline
from pydantic import PrivateAttr
from transformers import StoppingCriteriaList, pipeline

from octopus_graph import weights
from octopus_graph.engines.chat.template import TEXT_ONLY, Said, fold_system, in_turns
from octopus_graph.engines.hf.loading import load_base
from octopus_graph.errors import InputError

__all__ = ["PipelineChat"]

LONGEST_TOKEN = 64
_MESSAGES: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}


class PipelineChat(BaseChatModel):
    """A Hugging Face model in this process, loaded when it is first asked; answers one caller at a time.

    Attributes:
        model_id: A Hugging Face id, or a model folder.
        max_new_tokens: The longest answer.
        repetition_penalty: As for `generate`: it counts the question's words too.
    """

    model_id: str
    max_new_tokens: int = 160
    repetition_penalty: float = 1.1

    _loading: threading.Lock = PrivateAttr(default_factory=threading.Lock)
    _chat: ChatHuggingFace | None = PrivateAttr(default=None)

    @property
    def _llm_type(self) -> str:
        return "octopus-pipeline"

    def _resolve_model_profile(self) -> ModelProfile:
        return TEXT_ONLY

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_id, "max_new_tokens": self.max_new_tokens}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - HuggingFacePipeline takes single tokens for it only
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ARG002 - what bind() adds; there is nothing it could mean here
    ) -> Iterator[ChatGenerationChunk]:
        chat = self._loaded()
        model: _OneAtATime = chat.llm.pipeline
        answer = _Answer()
        settings: dict[str, Any] = {"answer": answer, "max_new_tokens": self.max_new_tokens, "do_sample": False}
        settings["repetition_penalty"] = self.repetition_penalty
        model.lock.acquire()
        try:
            said = _fitted(chat, in_turns(messages), self.max_new_tokens)
            for chunk in chat._stream(said, pipeline_kwargs=settings):  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
                if chunk.text and run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        except queue.Empty:
            raise TimeoutError("the model took more than a minute for a token") from None
        finally:
            answer.stopped = True
            if not answer.begun:
                model.lock.release()
        if answer.error:
            raise answer.error

    def _loaded(self) -> ChatHuggingFace:
        with self._loading:
            if self._chat is None:
                model, tokenizer = load_base(weights.resolve(self.model_id))
                made: Any = pipeline("text-generation", model=model, tokenizer=tokenizer)  # pyright: ignore[reportArgumentType, reportCallIssue]
                llm = HuggingFacePipeline(pipeline=_OneAtATime(made), model_id=self.model_id)
                self._chat = ChatHuggingFace(llm=llm, tokenizer=tokenizer)
            return self._chat


class _Answer:
    """What a reader and the thread that generates for it know of each other; `generate` calls it at each token."""

    def __init__(self) -> None:
        self.begun = self.stopped = False
        self.error: Exception | None = None

    def __call__(self, ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.full((ids.shape[0],), self.stopped, device=ids.device)


class _OneAtATime:
    """Stands where HuggingFacePipeline expects a pipeline; it calls this in the thread that generates."""

    def __init__(self, made: Any) -> None:
        self.model, self.tokenizer, self.task = made.model, made.tokenizer, made.task
        self.lock = threading.Lock()
        self._pipeline = made

    def __call__(
        self, *, text_inputs: str, streamer: Any, answer: _Answer, stopping_criteria: Any, **settings: Any
    ) -> None:
        """Generates, and gives back the lock that the reader took: a streamer waits for a minute only."""
        answer.begun = True
        try:
            self._pipeline(
                text_inputs,
                streamer=streamer,
                stopping_criteria=StoppingCriteriaList([*stopping_criteria, answer]),
                add_special_tokens=False,  # the template has written them
                **settings,
            )
        except Exception as error:  # noqa: BLE001 - raised again where the answer is read; here nobody would see it
            answer.error = error
            streamer.end()
        finally:
            self.lock.release()


def _fitted(chat: ChatHuggingFace, turns: Sequence[Said], answer_tokens: int) -> list[BaseMessage]:
    """Makes messages that hold no special token, cut in the middle of the longest until they leave room to answer."""
    if not turns or turns[-1].role != "user":
        raise InputError("The conversation does not end with a question: give a message of the user's last.")
    tokenizer: Any = chat.tokenizer
    window = int(getattr(chat.llm.pipeline.model.config, "max_position_embeddings", None) or 2048)
    room = max(1, window - answer_tokens)
    marks = sorted({*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}, key=len, reverse=True)
    texts = [_defused(_both_ends(turn.text, 2 * LONGEST_TOKEN * room), marks) for turn in turns]
    while True:
        messages = _messages(chat, [Said(turn.role, text) for turn, text in zip(turns, texts, strict=True)])
        length = len(tokenizer(chat._to_chat_prompt(messages), add_special_tokens=False).input_ids)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        place = max(range(len(texts)), key=lambda number: len(texts[number]))
        if length <= room or len(texts[place]) < 2:
            return messages
        texts[place] = _defused(
            _both_ends(texts[place], min(len(texts[place]) * room // length, len(texts[place]) - 1)), marks
        )


def _messages(chat: ChatHuggingFace, turns: Sequence[Said]) -> list[BaseMessage]:
    messages = [_MESSAGES[turn.role](turn.text) for turn in turns]
    try:
        chat._to_chat_prompt(messages)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    except TemplateError:  # it may know no system role
        return [_MESSAGES[turn.role](turn.text) for turn in fold_system(turns)]
    return messages


def _defused(text: str, marks: Iterable[str]) -> str:
    """Breaks up whatever the tokenizer would read as one of its special tokens."""
    known = re.compile("|".join(re.escape(mark) for mark in marks if len(mark) > 1) or r"(?!)")
    while known.search(text):
        text = known.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)
    return text


def _both_ends(text: str, keep: int) -> str:
    tail = keep // 3
    return text if len(text) <= keep else text[: keep - tail] + text[len(text) - tail :]
