"""Many plain commands at once: one round trip to a server, one to each server of a cluster."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from octopus_graph.effects import Logic
from octopus_graph.persistence.connecting import PASSING, Link

__all__ = ["fields_of", "pipelined", "unlinked"]

BATCH = 500

Command = tuple[str | bytes | int, ...]


def pipelined(link: Link, commands: Iterable[Command]) -> Logic[list[Any]]:
    """Sends commands together.

    Returns:
        Logic that ends in their replies; where a command alone was refused, its exception stands in the reply's place.
    """
    replies: list[Any] = yield _Pipeline(link, tuple(commands))
    for reply in replies:
        if isinstance(reply, PASSING):  # a cluster has a reply for each command even where a server is gone
            raise reply
    return replies


def fields_of(reply: Any) -> dict[bytes, bytes]:
    """Reads fields and values, which come as a mapping or as a flat list: clients and protocols differ."""
    if isinstance(reply, dict):
        return cast("dict[bytes, bytes]", reply)
    flat = cast("list[bytes]", list(reply))
    return dict(zip(flat[::2], flat[1::2], strict=True))


def unlinked(link: Link, pattern: str) -> Logic[int]:
    """Deletes the keys that match a pattern, a batch at a time, so that Redis serves others in between.

    Returns:
        Logic that ends in the number of keys.

    Raises:
        StoreError: If Redis does not answer.
    """
    keys = yield from link.scan(pattern)
    count = 0
    for batch in _batches(keys):
        # One command each: the keys lie in different slots.
        for reply in (yield from pipelined(link, (("UNLINK", key) for key in batch))):
            if isinstance(reply, Exception):
                raise reply
            count += int(reply)
    return count


@dataclass(frozen=True)
class _Pipeline:
    link: Link
    commands: tuple[Command, ...]

    def wait(self) -> list[Any]:
        with self.link.client().pipeline(transaction=False) as pipeline:
            for command in self.commands:
                pipeline.execute_command(*command)
            return pipeline.execute(raise_on_error=False)

    async def wait_async(self) -> list[Any]:
        async with self.link.async_client().pipeline(transaction=False) as pipeline:
            for command in self.commands:
                pipeline.execute_command(*command)
            return await pipeline.execute(raise_on_error=False)


def _batches(keys: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]
