"""What the models of one run say: their words as they come, the tokens they report, and how they ended."""

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGeneration, LLMResult

__all__ = ["Listener", "Speech"]


class Listener(BaseCallbackHandler):
    """Listens to every model call of a run.

    Attributes:
        last: The last message of a chat model.
        cut: Whether that model stopped because of a limit.
    """

    run_inline = True  # in order, and before the run goes on

    def __init__(self) -> None:
        """Has heard nothing yet."""
        self.last: AIMessage | None = None
        self.cut = False
        self._usage: UsageMetadata | None = None
        self._silent = False

    @property
    def usage(self) -> UsageMetadata | None:
        """The sum; `None` where a model did not report, for a part would be taken for the whole."""
        return None if self._silent else self._usage

    @property
    def ignore_chain(self) -> bool:
        """True: nodes begin and end often, and say nothing here."""
        return True

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Hears the end of a call."""
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        message = generation.message if isinstance(generation, ChatGeneration) else None
        if not isinstance(message, AIMessage):
            self._silent = True
            return
        self.last = message
        said = message.response_metadata
        self.cut = (said.get("finish_reason") or said.get("stop_reason")) in {"length", "max_tokens"}
        if message.usage_metadata is None:
            self._silent = True
        else:
            self._usage = add_usage(self._usage, message.usage_metadata)


class Speech:
    """The words of one expert, said once each.

    Example:
        >>> speech = Speech()
        >>> speech.hear(AIMessageChunk("It is ", id="1")), speech.rest("It is 12.")
        ('It is ', '12.')
    """

    def __init__(self) -> None:
        """Has said nothing yet."""
        self._said = ""
        self._message: str | None = None

    def hear(self, message: AIMessageChunk) -> str:
        """Takes a piece of a message and returns what is new in it."""
        text = str(message.text)
        if not text:
            return ""
        # A second attempt begins: what the first one said cannot be taken back.
        again = bool(self._said) and message.id != self._message
        self._message = message.id
        self._said = text if again else self._said + text
        return f"\n\n{text}" if again else text

    def rest(self, answer: str) -> str:
        """Takes the whole answer and returns what was not said of it."""
        if answer.startswith(self._said):
            return answer[len(self._said) :]
        return "" if answer.strip() == self._said.strip() else f"\n\n{answer}"
