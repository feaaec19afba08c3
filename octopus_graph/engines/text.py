"""From prompts to token ids: where untrusted text is kept from becoming special tokens."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# transformers ships partial types.

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Union

from tokenizers import AddedToken

from octopus_graph.prompt import Prompt, Segment

if TYPE_CHECKING:  # takes a second to import
    from transformers import PreTrainedTokenizerBase

    from octopus_graph.engines.hf.tokenizer import PlainTokenizer

__all__ = ["AnyTokenizer", "add_tokens", "encode", "encode_segment"]

AnyTokenizer = Union["PlainTokenizer", "PreTrainedTokenizerBase"]


def add_tokens(tokenizer: AnyTokenizer, tokens: Iterable[str]) -> int:
    """Adds functional tokens a tokenizer does not hold yet, and returns how many."""
    known = tokenizer.get_vocab()
    new = [AddedToken(token, special=True, normalized=False) for token in tokens if token not in known]
    adder: Any = tokenizer  # transformers' own types name the same class by another path
    return adder.add_tokens(new, special_tokens=True) if new else 0


def encode_segment(tokenizer: AnyTokenizer, segment: Segment) -> list[int]:
    """Tokenises one segment; special tokens count only in a trusted one.

    A segment over its budget keeps its first two thirds and its last third: a question stands mostly at one of the
    ends.
    """
    text = segment.text
    if segment.budget:
        # No token is longer than 64 characters here, so what lies beyond can never be kept: a long paste costs no time.
        reach = 64 * segment.budget
        text = text if len(text) <= 2 * reach else text[:reach] + text[-reach:]
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not segment.trusted)
    if segment.budget and len(ids) > segment.budget:
        tail = segment.budget // 3
        ids = ids[: segment.budget - tail] + ids[-tail:]
    return ids


def encode(tokenizer: AnyTokenizer, prompt: Prompt) -> list[int]:
    """Tokenises a prompt segment by segment, so that no special token can form across a border.

    A tokenizer that opens every text with its own token (Llama's `<s>`) opens a prompt with it too.
    """
    opening: list[int] = [token for token in tokenizer.encode("")[:1] if token == tokenizer.bos_token_id]
    return opening + [token for segment in prompt for token in encode_segment(tokenizer, segment)]
