"""The graph that `benchmarks.chaos` walks: three experts behind HTTP, asked one after the other."""

import os
from typing import Any

from octopus_graph import Expert, create_octopus_graph
from octopus_graph.engines.chat import openai_compatible_chat
from octopus_graph.testing import scripted_router

PATH = ("math", "law", "history")


def build() -> Any:
    url = os.environ["CHAOS_EXPERTS"]
    experts = [Expert(name, f"Knows {name}", openai_compatible_chat(url, name, timeout=30)) for name in PATH]
    return create_octopus_graph(experts, scripted_router({"plan": list(PATH)}))
