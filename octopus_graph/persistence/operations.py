"""What the saver does, as logic: neither sync nor async. Each is one round trip unless it says otherwise."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (  # pyright: ignore[reportMissingTypeStubs]
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
    get_checkpoint_metadata,
)

from octopus_graph.effects import Logic
from octopus_graph.errors import ConfigurationError, StaleRunError
from octopus_graph.persistence import scripts
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.layout import Place, Values, config_of, index_key, place_of, quoted, thread_keys

__all__ = ["Operations"]

logger = logging.getLogger(__name__)

STRATEGIES = {"keep_latest": scripts.KEEP_LATEST, "delete": scripts.DELETE}
CHUNK = 20  # checkpoints of a thread that is copied


@dataclass(frozen=True)
class Operations:
    """The operations on the threads under one prefix.

    Attributes:
        link: The way to Redis.
        prefix: What the keys begin with.
        ttl: The milliseconds a checkpoint lives; 0 for good.
        values: How values become bytes.
        token: The fencing token of the run that writes; empty where none is asked for.
    """

    link: Link
    prefix: str
    ttl: int
    values: Values
    token: str = ""

    def get(self, config: RunnableConfig) -> Logic[CheckpointTuple | None]:
        """Reads one checkpoint, or the newest, and lets it live on."""
        place = place_of(config)
        reply = yield from self.link.run(scripts.GET, self._key(place.thread), place.space, place.id, self.ttl)
        return next((unread.read() for unread in self.values.load_tuples(place.thread, reply)), None)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Logic[RunnableConfig]:
        """Stores a checkpoint and the values that are new in it; a second round trip if earlier ones are gone.

        Raises:
            StaleRunError: If the run no longer holds the thread.
        """
        place, values, dump = place_of(config), checkpoint["channel_values"], self.values.dump
        about = cast(dict[str, Any], get_checkpoint_metadata(config, metadata))
        blobs = {
            f"{quoted(channel)}\t{quoted(str(version))}": channel
            for channel, version in checkpoint["channel_versions"].items()
        }
        head: list[str | bytes | int] = [
            *(place.space, checkpoint["id"], place.id, self.ttl),
            dump({name: value for name, value in checkpoint.items() if name != "channel_values"}),
            dump(about),
            str(about.get("run_id") or ""),
            _delta_channels(about, checkpoint["channel_versions"]),
            "\n".join(blob for blob, channel in blobs.items() if channel in values),
            "\n".join(blob for blob, channel in blobs.items() if channel not in values),
            self.token,
        ]
        new = [blob for blob, channel in blobs.items() if channel in new_versions and channel in values]
        while True:
            bodies = [part for blob in new for part in (blob, dump(values[blobs[blob]]))]
            lost = yield from self.link.run(scripts.PUT, self._key(place.thread), *head, *bodies)
            if lost == 0:
                raise StaleRunError(place.thread)
            if not lost:
                return config_of(place.thread, place.space, checkpoint["id"])
            # What an earlier put brought has expired or been deleted since: this checkpoint brings it along.
            new = [*new, *(blob.decode() for blob in lost)]

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task: str, path: str
    ) -> Logic[None]:
        """Stores what a task wrote, beside the checkpoint it ran on, which may itself still be on its way.

        Raises:
            StaleRunError: If the run no longer holds the thread.
        """
        if not writes:
            return
        place = place_of(config)
        head = (place.space, place.id, self.ttl, self.token)
        arguments = self.values.dump_writes(writes, task, path)
        if not (yield from self.link.run(scripts.WRITE, self._key(place.thread), *head, *arguments)):
            raise StaleRunError(place.thread)

    def history(self, config: RunnableConfig, channels: Sequence[str]) -> Logic[dict[str, DeltaChannelHistory]]:
        """Reads what delta channels are rebuilt from: where each was last stored whole, and what was written since."""
        if not channels:
            return {}
        place, names = place_of(config), [quoted(channel) for channel in channels]
        steps, whole = yield from self.link.run(
            scripts.HISTORY, self._key(place.thread), place.space, place.id, self.ttl, *names
        )
        if not whole:
            self._warn_of_gap(place)
        writes: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
        seeds: dict[str, Any] = {}
        for written, stored in reversed(steps):  # the oldest first
            for write in self.values.load_writes(zip(written[::2], written[1::2], strict=True)):
                writes[write[1]].append(write)
            for name, data in zip(stored[::2], stored[1::2], strict=True):
                seeds[name.decode()] = self.values.load(data)
        found: dict[str, DeltaChannelHistory] = {}
        for channel, name in zip(channels, names, strict=True):
            found[channel] = {"writes": writes[channel]}
            if name in seeds:
                found[channel]["seed"] = seeds[name]
        return found

    def delete(self, thread: str) -> Logic[None]:
        """Deletes all that there is of a thread."""
        yield from self.link.run(scripts.DELETE, self._key(thread))

    def delete_runs(self, runs: Sequence[str], thread: str | None = None) -> Logic[None]:
        """Deletes the checkpoints of some runs. Only they know which run they are of, so every thread is looked at."""
        if not runs:
            return
        keys = [self._key(thread)] if thread is not None else (yield from self.link.scan(thread_keys(self.prefix)))
        for key in keys:
            yield from self.link.run(scripts.DELETE_RUNS, key, *runs)

    def prune(self, threads: Sequence[str], strategy: str) -> Logic[None]:
        """Thins out some threads, one script each.

        Raises:
            ConfigurationError: If there is no such strategy.
        """
        if strategy not in STRATEGIES:
            raise ConfigurationError(f"There is no way {strategy!r} to prune: take one of {', '.join(STRATEGIES)}.")
        for thread in threads:
            yield from self.link.run(STRATEGIES[strategy], self._key(thread))

    def copy(self, source: str, target: str) -> Logic[None]:
        """Copies a thread; in a cluster the two may lie on different servers, so it goes through here piece by piece.

        Values first and old checkpoints before new ones: a copy that breaks off is an earlier state of the thread.
        """
        if source == target:
            return
        from_key, to_key = self._key(source), self._key(target)
        members: list[bytes] = yield from self.link.command("ZRANGE", from_key, 0, -1)
        for space in dict.fromkeys(member.partition(b"\t")[0] for member in members):
            cursor: Any = 0
            while True:
                cursor, page = yield from self.link.run(scripts.BLOBS_OUT, from_key, space, cursor)
                if page:
                    yield from self.link.run(scripts.COPY_IN, to_key, self.ttl, space, b"", *page)
                if int(cursor) == 0:
                    break
        for start in range(0, len(members), CHUNK):
            chunk = members[start : start + CHUNK]
            for member, fields in zip(
                chunk, (yield from self.link.run(scripts.COPY_OUT, from_key, *chunk)), strict=True
            ):
                if fields:  # it may have been deleted meanwhile
                    yield from self.link.run(scripts.COPY_IN, to_key, self.ttl, b"", member, *fields)

    def _key(self, thread: str) -> str:
        return index_key(self.prefix, thread)

    def _warn_of_gap(self, place: Place) -> None:
        logger.warning(
            "An ancestor of checkpoint %s of thread %r is gone: what its delta channels held before it is lost.",
            place.id or "(newest)",
            place.thread,
        )


def _delta_channels(metadata: dict[str, Any], versions: ChannelVersions) -> str:
    """Names the delta channels that were ever written to: an empty line if none was, nothing if a graph has none."""
    counters: dict[str, Any] = metadata.get("counters_since_delta_snapshot") or {}
    return "".join(f"{quoted(name)}\n" for name in counters if name in versions) or ("\n" if counters else "")
