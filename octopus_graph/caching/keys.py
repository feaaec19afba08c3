"""What a decision and an answer depend on, as digests: two that may differ never share one.

decision  the router's revision (weights, edges, prompt format, temperature) and this package's version; the edge
          adapter; the candidates; the request; earlier turns; hops done and how their answers begin; the rewrite mode
answer    the expert's name, version and system prompt; the run's model options; the query and the chat it is given
"""

import json
import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig

from octopus_graph.codec import Done, Turn, clean
from octopus_graph.experts import Expert
from octopus_graph.options import options_of
from octopus_graph.persistence.entries import digest
from octopus_graph.router import OctopusRouter, Rewrite

__all__ = ["answer_digest", "decision_digest", "normalised", "space_digest"]


def normalised(request: str) -> str:
    r"""Makes one text of those that differ in white space or in how their characters are encoded.

    Example:
        >>> normalised("  What is\n cafe\u0301? ")
        'What is café?'

    Raises:
        InputError: If the request cannot be used.
    """
    return " ".join(unicodedata.normalize("NFC", clean(request)).split())


def decision_digest(
    router: OctopusRouter,
    request: str,
    candidates: Sequence[str],
    *,
    adapter: str | None,
    previous: Sequence[Turn],
    done: Sequence[Done],
    rewrite: Rewrite,
) -> str:
    """Names a decision; the arguments are those of `OctopusRouter.decide`."""
    edge = adapter if adapter in router.engine.adapters else None
    turns = [[normalised(turn.request), turn.token] for turn in previous]
    hops = [[hop.token, hop.answer] for hop in done]
    depends = [edge, sorted(set(candidates)), list(router.experts), normalised(request), turns, hops, rewrite]
    return digest("decision", _release(), router.revision, _text(depends))


def answer_digest(expert: Expert, query: str, chat: Sequence[AnyMessage], config: RunnableConfig | None) -> str:
    """Names an answer; the arguments are those of `Expert.ask`."""
    messages = [[message.type, message.content] for message in chat]
    return digest("answer", _release(), _asked(expert, config), query, _text(messages))


def space_digest(expert: Expert, revision: str, config: RunnableConfig | None) -> str:
    """Names the list of the questions that one expert was asked in the same circumstances.

    Args:
        expert: The expert.
        revision: Of what makes vectors of them.
        config: The run's.
    """
    return digest("space", _release(), revision, _asked(expert, config))


def _asked(expert: Expert, config: RunnableConfig | None) -> str:
    options = options_of(config)
    told = None if options is None else options.model_dump(mode="json", exclude_none=True)
    return _text([expert.name, expert.version, expert.system_prompt, told])


@cache
def _release() -> str:
    return version("octopus-graph")  # what it does with a router's scores and words may change with it


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, sort_keys=True, default=str)
