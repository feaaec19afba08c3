"""The tokenizer of a model folder, without transformers where `tokenizer.json` says it all."""
# pyright: reportUnknownMemberType=false
# tokenizers ships partial types.

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict
from tokenizers import AddedToken, Tokenizer

from octopus_graph.engines.hf.files import read_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PlainTokenizer", "open_tokenizer"]


class TokenizerConfig(BaseModel):
    """`tokenizer_config.json` that adds nothing to `tokenizer.json`; with any other key transformers is asked."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokenizer_class: Literal["TokenizersBackend", "PreTrainedTokenizerFast"]
    backend: Literal["tokenizers"] = "tokenizers"
    clean_up_tokenization_spaces: Literal[False] = False
    bos_token: str | None = None
    eos_token: str | None = None
    pad_token: str | None = None
    unk_token: str | None = None

    is_local: Any = None
    local_files_only: Any = None
    model_max_length: Any = None


def open_tokenizer(folder: Path) -> "PlainTokenizer | PreTrainedTokenizerBase":
    """Loads the tokenizer of a model folder, without running any code that came with it.

    Raises:
        WeightsError: If there is none.
    """
    try:
        config = TokenizerConfig.model_validate(read_config(folder / "tokenizer_config.json"))
        return PlainTokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")), config)
    except Exception:  # noqa: BLE001 - tokenizers raises bare Exceptions; transformers then says what is wrong
        from octopus_graph.engines.hf.loading import load_tokenizer

        return load_tokenizer(folder)


class PlainTokenizer:
    """What the engine uses of transformers' tokenizers, over the same library."""

    def __init__(self, backend: Tokenizer, config: TokenizerConfig) -> None:
        """Names the special tokens.

        Raises:
            ValueError: If one of them is not in the vocabulary, or text is cut or filled up by itself.
        """
        named = [config.bos_token, config.eos_token, config.pad_token, config.unk_token]
        special = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
        if not special.issuperset(token for token in named if token) or backend.truncation or backend.padding:
            raise ValueError("tokenizer.json does not say it all")
        self._backend = backend
        self.bos_token_id = backend.token_to_id(config.bos_token) if config.bos_token else None
        self.eos_token_id = backend.token_to_id(config.eos_token) if config.eos_token else None

    def encode(self, text: str, *, add_special_tokens: bool = True, split_special_tokens: bool = False) -> list[int]:
        """Tokenises text; with `split_special_tokens` a special token that is written out is read as letters."""
        self._backend.encode_special_tokens = split_special_tokens
        return self._backend.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of tokens, special ones too."""
        return self._backend.decode(ids, skip_special_tokens=False)

    def get_vocab(self) -> dict[str, int]:
        """Returns all tokens and their ids."""
        return self._backend.get_vocab(with_added_tokens=True)

    def add_tokens(self, tokens: Sequence[AddedToken], *, special_tokens: bool) -> int:
        """Adds tokens at the end of the vocabulary, and returns how many."""
        new = list(tokens)
        return self._backend.add_special_tokens(new) if special_tokens else self._backend.add_tokens(new)
