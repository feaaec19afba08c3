"""From a conversation to token ids: the model's own chat template makes the frame, and nobody's text can break out of it.

A chat template is a program that writes messages between special tokens. Here it never sees the messages: it writes marks in their
places, the marks are cut out again, and what stood between them is the frame. Only the frame is tokenised with special tokens; an
`<|im_end|>` or `<nexa_8>` in a message stays the characters it is made of.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from jinja2 import TemplateError
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from transformers import PreTrainedTokenizerBase

from octopus_graph.engines.text import encode_segment
from octopus_graph.errors import InputError, WeightsError
from octopus_graph.prompt import Segment

__all__ = ["conversation_ids"]

LONGEST_TOKEN = 64
"""Characters; what lies further back than this many for each token of room is never tokenised, so a long paste costs no time."""


@dataclass(frozen=True)
class _Turn:
    role: str
    text: str


def conversation_ids(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[BaseMessage], room: int
) -> list[int]:
    """Tokenises a conversation for the model to answer.

    Args:
        tokenizer: The model's tokenizer; without a chat template a plain one of its own is used.
        messages: The conversation; tool messages count as the user's.
        room: The most tokens. A longer conversation loses the beginnings of its oldest messages first, and of the system
            prompt last; the frame stays whole.

    Raises:
        InputError: If there is no message.
        WeightsError: If the model's chat template cannot be used.
    """
    turns = _turns(messages)
    if not turns:
        raise InputError("The conversation is empty: give at least one message.")
    pieces = [
        (role, encode_segment(tokenizer, segment if segment.trusted else _tail(segment, room)))
        for role, segment in _frame(tokenizer, turns)
    ]
    over = sum(len(ids) for _, ids in pieces) - room
    for cut_now in (lambda role: role not in {"", "system"}, lambda role: role == "system"):
        for place, (role, ids) in enumerate(pieces):
            if over > 0 and cut_now(role):
                pieces[place] = (role, ids[over:])
                over -= len(ids) - len(pieces[place][1])
    return [token for _, ids in pieces for token in ids][-room:]


def _turns(messages: Iterable[BaseMessage]) -> list[_Turn]:
    """Reads the messages' text; templates ask for roles that take turns, so neighbours of one role become one turn."""
    turns: list[_Turn] = []
    for message in messages:
        role = "system" if isinstance(message, SystemMessage) else "assistant" if isinstance(message, AIMessage) else "user"
        text = str(message.text)
        if not text.strip():
            continue  # such as a tool call, which has no words
        if turns and turns[-1].role == role:
            turns[-1] = _Turn(role, f"{turns[-1].text}\n\n{text}")
        else:
            turns.append(_Turn(role, text))
    return turns


def _frame(tokenizer: PreTrainedTokenizerBase, turns: Sequence[_Turn]) -> list[tuple[str, Segment]]:
    """Puts the turns into the template's frame: trusted segments (role "") around untrusted ones (with their role)."""
    if not tokenizer.chat_template:
        return _plain(turns)
    marks = [f"mark{secrets.token_hex(16)}" for _ in turns]
    try:
        rendered = _render(tokenizer, turns, marks)
    except TemplateError as error:
        without_system = _fold_system(turns)
        if without_system == list(turns):
            raise WeightsError(f"The chat template of {tokenizer.name_or_path} refuses this conversation ({error}).") from error
        return _frame(tokenizer, without_system)
    roles = dict(zip(marks, turns, strict=True))
    if any(rendered.count(mark) != 1 for mark in marks):
        raise WeightsError(f"The chat template of {tokenizer.name_or_path} leaves messages out: choose another model.")
    parts = re.split(f"({'|'.join(marks)})", rendered)
    return [
        (roles[part].role, Segment(roles[part].text)) if part in roles else ("", Segment(part, trusted=True))
        for part in parts
        if part
    ]


def _render(tokenizer: PreTrainedTokenizerBase, turns: Sequence[_Turn], marks: Sequence[str]) -> str:
    messages = [{"role": turn.role, "content": mark} for turn, mark in zip(turns, marks, strict=True)]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def _fold_system(turns: Sequence[_Turn]) -> list[_Turn]:
    """Moves a system prompt into the first user turn, for templates that know no system role."""
    if len(turns) < 2 or turns[0].role != "system" or turns[1].role != "user":
        return list(turns)
    return [replace(turns[1], text=f"{turns[0].text}\n\n{turns[1].text}"), *turns[2:]]


def _plain(turns: Sequence[_Turn]) -> list[tuple[str, Segment]]:
    """Frames a conversation for a model that has no chat template."""
    names = {"system": "", "user": "Question: ", "assistant": "Answer: "}
    framed: list[tuple[str, Segment]] = []
    for turn in turns:
        framed += [("", Segment(names[turn.role], trusted=True)), (turn.role, Segment(turn.text))]
        framed.append(("", Segment("\n\n", trusted=True)))
    return [*framed, ("", Segment("Answer:", trusted=True))]


def _tail(segment: Segment, room: int) -> Segment:
    return replace(segment, text=segment.text[-LONGEST_TOKEN * room :])
