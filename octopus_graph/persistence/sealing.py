"""What is no checkpoint, sealed as checkpoints are: documents, events and items, where the saver encrypts its values.

    {"a":1}                 the bytes as they are, where the serializer leaves bytes as they are
    !bytes+aes⏎…           what the serializer made of them; no JSON begins with that mark

Both are read, so that what was written before there was a key is still there afterwards.
"""

from langgraph.checkpoint.serde.base import SerializerProtocol  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.errors import StoreError
from octopus_graph.persistence.layout import Values

__all__ = ["Seal"]

MARK = b"!"
PLAIN = "bytes"  # the kind that LangGraph's serializers give bytes which they did not change


class Seal:
    """Seals bytes with the serializer of a saver, if that encrypts."""

    def __init__(self, serde: SerializerProtocol | None = None) -> None:
        """Takes the serializer; without one nothing is sealed."""
        self._values = None if serde is None else Values(serde)
        self.is_shut = serde is not None and serde.dumps_typed(b"")[0] != PLAIN
        """Whether anything is sealed at all."""

    def close(self, data: bytes) -> bytes:
        """Seals bytes that begin as JSON does."""
        return MARK + self._values.dump(data) if self._values is not None and self.is_shut else data

    def open(self, data: bytes) -> bytes:
        """Reads what `close` wrote, now or before there was a key.

        Raises:
            StoreError: If it was sealed with a key that is not the saver's.
        """
        if not data.startswith(MARK):
            return data
        if self._values is None or not self.is_shut:
            raise StoreError("What Redis keeps is encrypted: open the saver with the key it was written with.")
        try:
            return self._values.load(data[len(MARK) :])
        except Exception as error:
            # A cipher raises what it likes; its words are left out, they may quote what it read.
            raise StoreError("What Redis keeps was encrypted with another key than the saver has now.") from error
