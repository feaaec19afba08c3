"""One attempt at a run: from wherever its thread stands to the end, an interrupt or an error."""

from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command

from octopus_graph.effects import arun
from octopus_graph.idempotency import with_ledger
from octopus_graph.persistence import RedisSaver
from octopus_graph.persistence.fencing import Hold, RedisLedger
from octopus_graph.persistence.layout import Values
from octopus_graph.persistence.leases import Record

__all__ = ["Outcome", "attempt", "hold_of"]

_INTERRUPT = "__interrupt__"  # under which LangGraph's `invoke` returns the interrupts


Outcome = tuple[Literal["done", "interrupted"], dict[str, bytes]]
"""How an attempt ended, and what the queue keeps of it: the result, or the question to the human."""


def hold_of(saver: RedisSaver, record: Record, keep: float) -> Hold:
    """Says how a leased run holds its thread."""
    return Hold(saver.link, saver.prefix, record["thread"].decode(), record["token"].decode(), round(keep * 1000))


async def attempt(graph: Any, saver: RedisSaver, run: str, record: Record, hold: Hold) -> Outcome:
    """Walks a run.

    Args:
        graph: The compiled graph; its checkpointer is replaced by the saver, fenced.
        saver: Where the checkpoints are.
        run: The run.
        record: Its fields, as they were leased.
        hold: Its hold on the thread, taken here.

    Raises:
        StaleRunError: If another run holds the thread by now.
    """
    values = Values(saver.serde)
    await arun(hold.take())
    fenced = saver.fenced(hold.token)
    walked = graph.copy({"checkpointer": fenced})
    resumes = int(record["resumes"])
    # What stands in the metadata stands in each checkpoint that is made from here on.
    config: RunnableConfig = {
        "configurable": {"thread_id": hold.thread},
        "metadata": {"run_id": run, "resumes": resumes},
    }
    saved = await fenced.aget_tuple(config)
    made: dict[str, Any] = cast(dict[str, Any], saved.metadata) if saved is not None else {}
    if made.get("run_id") == run and made.get("resumes") == resumes:
        state = await walked.aget_state(config)
        if not state.tasks:  # it came to its end, and its worker did not live to say so
            return "done", {"result": values.dump(state.values)}
        given: Any = None
    elif "resume" in record:
        given = Command(resume=values.load(record["resume"]))
    elif made.get("run_id") == run:
        given = None
    else:
        given = values.load(record["input"])
    config = with_ledger(config, RedisLedger(hold, run, values))
    context = values.load(record["context"]) if "context" in record else None
    # sync: a step is on record before the next one begins, so that no node that has finished runs again.
    output: dict[str, Any] = await walked.ainvoke(given, config, context=context, durability="sync")
    interrupts = output.pop(_INTERRUPT, None)
    if interrupts:
        return "interrupted", {"question": values.dump([one.value for one in interrupts])}
    return "done", {"result": values.dump(output)}
