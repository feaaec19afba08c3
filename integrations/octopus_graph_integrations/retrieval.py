"""LocalEmbeddings: LangChain's embeddings by the small encoder of this project, in this process."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings
from typing_extensions import override

from octopus_graph.errors import MissingExtraError

if TYPE_CHECKING:
    from octopus_graph.engines.embedding import Encoder

__all__ = ["LocalEmbeddings"]


class LocalEmbeddings(Embeddings):
    """all-MiniLM-L6-v2, fetched on first use and verified; or another BERT-like encoder from a folder.

    Example:
        >>> store = InMemoryVectorStore(LocalEmbeddings())  # doctest: +SKIP
        >>> store.add_texts(["Parcels travel for two days."])  # doctest: +SKIP
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Names the encoder; it is loaded when the first text comes.

        Args:
            folder: One with config, tokenizer and safetensors; `None` for the shipped choice.
        """
        self._folder = folder
        self._encoder: Encoder | None = None

    @override
    def embed_documents(self, texts: Sequence[str]) -> list[list[float]]:
        """Returns a vector of length one for each text.

        Raises:
            MissingExtraError: If the extra `local` is not installed.
            ModelNotFoundError: If the encoder is neither here nor to be fetched.
        """
        if not texts:
            return []
        return [[float(value) for value in row] for row in self._loaded()(list(texts))]

    @override
    def embed_query(self, text: str) -> list[float]:
        """Returns the vector of one text.

        Raises:
            As `embed_documents`.
        """
        return self.embed_documents([text])[0]

    def _loaded(self) -> "Encoder":
        if self._encoder is None:
            try:
                from octopus_graph.engines.embedding import Encoder
                from octopus_graph.weights.minilm import prepare
            except ModuleNotFoundError as error:
                raise MissingExtraError("local", "LocalEmbeddings") from error
            self._encoder = Encoder(self._folder or prepare(show=True))
        return self._encoder
