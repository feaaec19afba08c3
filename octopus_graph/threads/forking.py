"""Threads changed: a fork made of one, or the thread deleted."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (  # pyright: ignore[reportMissingTypeStubs]
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from octopus_graph.errors import InputError, UnknownThreadError
from octopus_graph.threads.reading import Saver, configurable, light, parent_id, snapshot, steps

__all__ = ["before_request", "delete", "exists", "fork"]


def fork(
    saver: Saver,
    source: str,
    target: str,
    *,
    checkpoint: str | None = None,
    values: Mapping[str, Any] | None = None,
) -> RunnableConfig:
    """Makes a new thread of an old one as it stood at a checkpoint, with its past up to there.

    Whatever came after runs anew when the fork is taken up. A fork of the newest checkpoint, its values left alone,
    takes along what was written since, such as a question to a human.

    Args:
        saver: Where both are.
        source: The thread.
        target: The name of the new one.
        checkpoint: Where it forks; the newest checkpoint by default.
        values: Put in the place of the checkpoint's own, by channel.

    Returns:
        The config of the fork, to run it with.

    Raises:
        UnknownThreadError: If there is no such thread or checkpoint.
        InputError: If the new thread is there already.
    """
    newest = snapshot(saver, source)
    tip = newest if checkpoint is None else snapshot(saver, source, checkpoint)
    if exists(saver, target):
        raise InputError(f"There is a thread {target!r} already: fork into a new one.")
    tip_id = tip.checkpoint["id"]
    whole = tip_id == newest.checkpoint["id"] and not values
    everything = [
        light(one)._replace(pending_writes=None) for one in saver.list({"configurable": {"thread_id": source}})
    ]
    kept = _ancestry(everything, tip_id)
    versions = {(_space(one), one.checkpoint["id"]): one.checkpoint["channel_versions"] for one in everything}
    forked: RunnableConfig = {}
    # The oldest first: a fork that breaks off is an earlier state. Ids grow with time.
    for one in sorted(everything, key=lambda one: one.checkpoint["id"]):
        space = _space(one)
        root = _root(one)
        if root not in kept or (space and root == tip_id and not whole):
            continue
        at_tip = root == tip_id
        copied = next(iter(list(saver.list(one.config, limit=1))), None)
        if copied is None:  # it has been deleted or has expired meanwhile
            continue
        if at_tip and not space:
            copied = _with(saver, copied, values or {})
        config = _put(saver, copied, target, versions.get((space, parent_id(one) or ""), {}))
        if whole or not at_tip:
            _put_writes(saver, copied, config)
        if at_tip and not space:
            forked = config
    return forked


def before_request(saver: Saver, thread: str, checkpoint: str | None = None) -> str | None:
    """Finds where a thread stood before the request that was being answered at a checkpoint.

    Returns:
        The checkpoint's id; `None` where that request was the thread's first.

    Raises:
        UnknownThreadError: If there is no such thread or checkpoint.
        InputError: If the checkpoints of the request's beginning are gone.
    """
    here: str | None = snapshot(saver, thread, checkpoint).checkpoint["id"]
    by_id = {step.checkpoint: step for step in steps(saver, thread)}
    while here in by_id:
        step = by_id[here]
        if step.source == "input":
            return step.parent
        here = step.parent
    raise InputError(f"The beginning of the last request of thread {thread!r} is gone: fork it without a new message.")


def delete(saver: Saver, thread: str) -> None:
    """Deletes a thread with all that belongs to it.

    Raises:
        UnknownThreadError: If there is no such thread.
    """
    if not exists(saver, thread):
        raise UnknownThreadError(thread)
    saver.delete_thread(thread)


def exists(saver: Saver, thread: str) -> bool:
    """Says whether there is such a thread."""
    return bool(list(saver.list({"configurable": {"thread_id": thread}}, limit=1)))


def _space(found: CheckpointTuple) -> str:
    return str(configurable(found.config).get("checkpoint_ns") or "")


def _root(found: CheckpointTuple) -> str:
    """Returns the id of the main graph's checkpoint that one belongs to, which may be itself."""
    if not _space(found):
        return found.checkpoint["id"]
    return str((found.metadata.get("parents") or {}).get("", ""))


def _ancestry(everything: Sequence[CheckpointTuple], tip: str) -> set[str]:
    """Returns the ids from a checkpoint of the main graph back to the oldest that is left."""
    parents = {one.checkpoint["id"]: parent_id(one) for one in everything if not _space(one)}
    kept: set[str] = set()
    here: str | None = tip
    while here is not None and here in parents:
        kept.add(here)
        here = parents[here]
    return kept


def _with(saver: Saver, found: CheckpointTuple, values: Mapping[str, Any]) -> CheckpointTuple:
    """Puts values in the place of a checkpoint's own, each with a version of its own."""
    checkpoint = found.checkpoint
    versions = dict(checkpoint["channel_versions"])
    for channel in values:
        versions[channel] = saver.get_next_version(versions.get(channel), None)
    changed = {**checkpoint, "channel_values": {**checkpoint["channel_values"], **values}, "channel_versions": versions}
    return found._replace(checkpoint=cast(Checkpoint, changed))


def _put(saver: Saver, found: CheckpointTuple, target: str, before: ChannelVersions) -> RunnableConfig:
    new = {
        name: version for name, version in found.checkpoint["channel_versions"].items() if before.get(name) != version
    }
    place: dict[str, Any] = {"thread_id": target, "checkpoint_ns": _space(found)}
    if (parent := parent_id(found)) is not None:
        place["checkpoint_id"] = parent
    return saver.put({"configurable": place}, found.checkpoint, cast(CheckpointMetadata, dict(found.metadata)), new)


def _put_writes(saver: Saver, found: CheckpointTuple, config: RunnableConfig) -> None:
    by_task: dict[str, list[tuple[str, Any]]] = {}
    for task, channel, value in found.pending_writes or ():
        by_task.setdefault(task, []).append((channel, value))
    for task, writes in by_task.items():
        saver.put_writes(config, writes, task)
