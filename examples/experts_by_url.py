"""Experts behind any address that speaks OpenAI's chat completions: Ollama, vLLM, llama.cpp, a provider.

python examples/experts_by_url.py http://localhost:11434/v1 qwen3:4b
"""

import sys
from typing import Any

from octopus_graph import Expert, OctopusContext, OctopusRouter, create_octopus_graph
from octopus_graph.engines.chat import openai_compatible_chat


def main(url: str, model: str) -> None:
    """Streams the words of whichever expert the router names."""
    chat = openai_compatible_chat(url, model, timeout=120)  # a key would come from your environment
    experts = [
        Expert("math", "Calculus and algebra", chat, system_prompt="You are a mathematician. Answer in one sentence."),
        Expert("law", "Contracts and courts", chat, system_prompt="You are a lawyer. Answer in one sentence."),
    ]
    graph = create_octopus_graph(experts, OctopusRouter.from_pretrained()).compile()
    asked: Any = {"messages": [("user", "What is the derivative of x^3?")]}
    events: Any = graph.stream(asked, context=OctopusContext(max_hops=1), stream_mode=["custom", "messages"])
    for mode, event in events:
        if mode == "custom" and event["event"] == "decision":
            print(f"{event['token']} {event['expert']}:")
        elif mode == "messages" and event[0].type == "AIMessageChunk":
            print(event[0].text, end="", flush=True)
    print()


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["http://localhost:11434/v1", "qwen3:4b"]))
