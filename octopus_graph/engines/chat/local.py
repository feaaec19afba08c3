"""LocalChat: a LangChain chat model over a transformers model in this process.

Why not langchain-huggingface's ChatHuggingFace over a HuggingFacePipeline (1.2.3, tried): it puts the user's text
through the chat template, so an `<|im_end|>` in a question ends the turn; `invoke` gives the prompt back before the
answer; `ainvoke` raises NotImplementedError and `astream` AttributeError; nothing keeps two threads apart. And why
not `generate` with a streamer: it needs a thread of its own, whose errors the reader never sees and which goes on
when the reader has gone. The loop below is the same decoding, one token for each `next()`: who stops asking stops it.
"""

import inspect
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import torch
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, ModelProfile
from langchain_core.language_models.chat_models import agenerate_from_stream, generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from octopus_graph.engines.chat.template import TEXT_ONLY, conversation_ids

__all__ = ["LocalChat", "SharedModel"]

Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


class SharedModel:
    """One model in memory for any number of chats, loaded when the first of them speaks.

    Its lock is held for one forward pass at a time. A pass uses every core there is, so two at once only slow each
    other; and a tokenizer remembers from one call to the next whether special tokens count, so two threads must not
    use it at once.

    Example:
        >>> shared = SharedModel("tiny", lambda: (model, tokenizer))  # doctest: +SKIP
        >>> experts = [LocalChat(shared=shared, max_seconds=seconds) for seconds in (10, 60)]  # doctest: +SKIP
    """

    def __init__(self, name: str, load: Callable[[], Loaded]) -> None:
        """Remembers how to load the model.

        Args:
            name: What the model is called in messages and traces.
            load: Called once, by whoever needs the model first.
        """
        self.name = name
        self.lock = threading.Lock()
        self._load = load
        self._loading = threading.Lock()
        self._loaded: Loaded | None = None

    def get(self) -> Loaded:
        """Returns model and tokenizer; the first call loads them, and where that fails the next one tries again."""
        with self._loading:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded


class LocalChat(BaseChatModel):
    """A chat model over a model in this process: streams, runs sync and async, is safe to call from many threads.

    Attributes:
        shared: The model; chats with the same one cost no memory.
        max_new_tokens: The longest answer.
        temperature: 0 takes the likeliest token each time.
        repetition_penalty: Lowers tokens the answer already holds; small models go round in circles without it.
        context: The most tokens of conversation and answer; `None` for the model's own window.
        max_seconds: Ends a call whose caller has given up: no forward pass is begun after that time.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    shared: SharedModel
    max_new_tokens: int = 160
    temperature: float = 0.0
    repetition_penalty: float = 1.05
    context: int | None = None
    max_seconds: float | None = None

    @property
    def _llm_type(self) -> str:
        return "octopus-local"

    def _resolve_model_profile(self) -> ModelProfile:
        return TEXT_ONLY

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.shared.name, **self.model_dump(include={"max_new_tokens", "temperature", "context"})}

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
        # So that a cancelled call ends at its next token; the inherited one would run to its end unseen.
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ARG002 - what bind() adds; there is nothing it could mean here
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, stop or []):
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _chunks(self, messages: Sequence[BaseMessage], stop: Sequence[str]) -> Iterator[ChatGenerationChunk]:
        deadline = None if self.max_seconds is None else time.monotonic() + self.max_seconds
        model, tokenizer = self.shared.get()
        with self.shared.lock:
            prompt = conversation_ids(tokenizer, messages, self._room(model))
        produced: list[int] = []
        said = sent = ""
        # A stop string may be half said when a token ends: so many characters wait for the next one.
        withheld = max((len(text) for text in stop), default=1) - 1
        reason = "length"
        for token in self._tokens(model, prompt, _end_ids(model, tokenizer), deadline):
            if token is None:
                reason = "stop"
                break
            produced.append(token)
            with self.shared.lock:
                said = _decode(tokenizer, produced)
            text, stopped = _cut(said, stop)
            ready = text if stopped else text[: len(text) - withheld]
            if len(ready) > len(sent) and not ready.endswith("\N{REPLACEMENT CHARACTER}"):
                yield _chunk(ready[len(sent) :])
                sent = ready
            if stopped:
                reason = "stop"
                break
        rest = _cut(said, stop)[0][len(sent) :]
        usage = UsageMetadata(
            input_tokens=len(prompt), output_tokens=len(produced), total_tokens=len(prompt) + len(produced)
        )
        yield _chunk(rest, usage=usage, finish_reason=reason, model_name=self.shared.name)

    def _room(self, model: PreTrainedModel) -> int:
        window = int(getattr(model.config, "max_position_embeddings", None) or 2048)
        return max(1, min(window, self.context or window) - self.max_new_tokens)

    def _tokens(
        self, model: PreTrainedModel, prompt: list[int], end: set[int], deadline: float | None
    ) -> Iterator[int | None]:
        """Yields the answer's tokens, and `None` where the model ends it itself."""
        forward: Any = model
        # Without it the prompt's logits alone take a gigabyte where the vocabulary is large.
        last_only = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        cache: Any = None
        pending, produced = prompt, list[int]()
        while len(produced) < self.max_new_tokens:
            with self.shared.lock, torch.inference_mode():
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"no whole answer within {self.max_seconds:g} s")
                ids = torch.tensor([pending], device=model.device)
                output = forward(input_ids=ids, past_key_values=cache, use_cache=True, **last_only)
                logits: torch.Tensor = output.logits[0, -1].float().clone()
                if not produced:
                    logits[list(end)] = float("-inf")  # an answer says something
                token = self._pick(logits, produced)
            if token in end:
                yield None
                return
            cache = output.past_key_values
            pending = [token]
            produced.append(token)
            yield token

    def _pick(self, logits: torch.Tensor, produced: list[int]) -> int:
        if produced and self.repetition_penalty != 1:
            # Only what the answer holds counts: that of `generate` turns a model away from the question's words too.
            said = torch.tensor(produced, device=logits.device)
            scores = logits[said]
            logits[said] = torch.where(scores > 0, scores / self.repetition_penalty, scores * self.repetition_penalty)
        if self.temperature > 0:
            return int(torch.multinomial(torch.softmax(logits / self.temperature, -1), 1))
        return int(logits.argmax())


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The tokens that end an answer: the model's own, its tokenizer's, and what opens a further turn."""
    configured: Any = getattr(model.generation_config, "eos_token_id", None)
    ends: list[Any] = [tokenizer.eos_token_id, tokenizer.bos_token_id]
    ends += cast(list[Any], configured) if isinstance(configured, list) else [configured]
    return {int(token) for token in ends if token is not None}


def _decode(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    untyped: Any = tokenizer
    return str(untyped.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)).lstrip()


def _cut(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """Cuts text before the first stop string in it, and says whether there was one."""
    places = [place for place in map(text.find, stop) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)


def _chunk(text: str, *, usage: UsageMetadata | None = None, **info: str) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content=text, usage_metadata=usage, response_metadata=dict(info), chunk_position="last" if info else None
    )
    return ChatGenerationChunk(message=message, generation_info=dict(info) or None)
