"""From a conversation to token ids: the model's own chat template makes the frame, and no text can break out of it.

A chat template is a program that writes messages between special tokens. Here it never sees the messages: it writes
marks in their places, the marks are cut out again, and what stood between them is the frame. Only the frame is
tokenised with special tokens; an `<|im_end|>` or `<nexa_8>` in a message stays the characters it is made of.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import TemplateError
from langchain_core.language_models import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from transformers import PreTrainedTokenizerBase

from octopus_graph.engines.text import encode_segment
from octopus_graph.errors import InputError, WeightsError
from octopus_graph.prompt import Segment

__all__ = ["TEXT_ONLY", "Said", "conversation_ids", "fold_system", "in_turns"]

TEXT_ONLY = ModelProfile(
    image_inputs=False,
    audio_inputs=False,
    video_inputs=False,
    pdf_inputs=False,
    tool_calling=False,
    structured_output=False,
)
"""What chat models of this kind say of themselves: `in_turns` takes the text of a message and nothing else."""


@dataclass(frozen=True)
class Said:
    """All that one side said in a row."""

    role: str
    text: str


def conversation_ids(tokenizer: PreTrainedTokenizerBase, messages: Sequence[BaseMessage], room: int) -> list[int]:
    """Tokenises a conversation for the model to answer.

    Args:
        tokenizer: The model's tokenizer; without a chat template a plain one of its own is used.
        messages: The conversation; tool messages count as the user's.
        room: The most tokens. A longer conversation loses its messages from their middles, the oldest first and the
            system prompt last; the frame stays whole.

    Raises:
        InputError: If there is no message.
        WeightsError: If the model's chat template cannot be used.
    """
    turns = in_turns(messages)
    if not turns:
        raise InputError("The conversation is empty: give at least one message.")
    pieces = [
        (role, encode_segment(tokenizer, segment if segment.trusted else replace(segment, budget=room)))
        for role, segment in _frame(tokenizer, turns)
    ]
    over = sum(len(ids) for _, ids in pieces) - room
    for roles in (("user", "assistant"), ("system",)):
        for place, (role, ids) in enumerate(pieces):
            if over > 0 and role in roles:
                pieces[place] = (role, _both_ends(ids, len(ids) - over))
                over -= min(over, len(ids))
    return [token for _, ids in pieces for token in ids][-room:]


def in_turns(messages: Iterable[BaseMessage]) -> list[Said]:
    """Reads the messages' text; templates ask for roles that take turns, so neighbours of one role become one turn."""
    turns: list[Said] = []
    for message in messages:
        role = (
            "system"
            if isinstance(message, SystemMessage)
            else "assistant"
            if isinstance(message, AIMessage)
            else "user"
        )
        text = str(message.text)
        if not text.strip():
            continue  # such as a tool call, which has no words
        if turns and turns[-1].role == role:
            turns[-1] = Said(role, f"{turns[-1].text}\n\n{text}")
        else:
            turns.append(Said(role, text))
    return turns


def _frame(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Said]) -> list[tuple[str, Segment]]:
    """Puts the turns into the template's frame: trusted segments (role "") around untrusted ones (with their role)."""
    if not _untyped(tokenizer).chat_template:
        return _plain(turns)
    marks = [f"mark{secrets.token_hex(16)}" for _ in turns]
    try:
        rendered = _render(tokenizer, turns, marks)
    except TemplateError as error:
        without_system = fold_system(turns)
        if without_system == list(turns):
            raise WeightsError(
                f"The chat template of {_untyped(tokenizer).name_or_path} refuses this conversation ({error})."
            ) from error
        return _frame(tokenizer, without_system)
    roles = dict(zip(marks, turns, strict=True))
    if any(rendered.count(mark) != 1 for mark in marks):
        raise WeightsError(
            f"The chat template of {_untyped(tokenizer).name_or_path} leaves messages out: choose another model."
        )
    parts = re.split(f"({'|'.join(marks)})", rendered)
    return [
        (roles[part].role, Segment(roles[part].text)) if part in roles else ("", Segment(part, trusted=True))
        for part in parts
        if part
    ]


def _render(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Said], marks: Sequence[str]) -> str:
    messages = [{"role": turn.role, "content": mark} for turn, mark in zip(turns, marks, strict=True)]
    return str(_untyped(tokenizer).apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def fold_system(turns: Sequence[Said]) -> list[Said]:
    """Moves a system prompt into the first user turn, for templates that know no system role."""
    if len(turns) < 2 or turns[0].role != "system" or turns[1].role != "user":
        return list(turns)
    return [replace(turns[1], text=f"{turns[0].text}\n\n{turns[1].text}"), *turns[2:]]


def _plain(turns: Sequence[Said]) -> list[tuple[str, Segment]]:
    """Frames a conversation for a model that has no chat template."""
    names = {"system": "", "user": "Question: ", "assistant": "Answer: "}
    framed: list[tuple[str, Segment]] = []
    for turn in turns:
        framed += [("", Segment(names[turn.role], trusted=True)), (turn.role, Segment(turn.text))]
        framed.append(("", Segment("\n\n", trusted=True)))
    return [*framed, ("", Segment("Answer:", trusted=True))]


def _both_ends(ids: list[int], keep: int) -> list[int]:
    """Drops tokens from the middle: a question stands mostly at one of the ends (as in `encode_segment`)."""
    tail = max(0, keep) // 3
    return ids[: max(0, keep) - tail] + ids[len(ids) - tail :]


def _untyped(tokenizer: PreTrainedTokenizerBase) -> Any:
    """The tokenizer where transformers' own types are unfinished."""
    return tokenizer
