"""The graph that `benchmarks.chaos` walks: three experts behind HTTP, asked one after the other."""

import os
import time
from typing import Any

from octopus_graph import Expert, create_octopus_graph
from octopus_graph.engines.chat import openai_compatible_chat
from octopus_graph.testing import Scene, scripted_router

PATH = ("math", "law", "history")
DECIDING = 0.1  # seconds a decision takes, so that a worker may also die between an answer and its checkpoint


def plan(scene: Scene) -> str | None:
    """Decides as a real router does: not at once."""
    time.sleep(DECIDING)
    return PATH[len(scene.answers)] if len(scene.answers) < len(PATH) else None


def build() -> Any:
    url = os.environ["CHAOS_EXPERTS"]
    experts = [Expert(name, f"Knows {name}", openai_compatible_chat(url, name, timeout=30)) for name in PATH]
    return create_octopus_graph(experts, scripted_router(plan))
