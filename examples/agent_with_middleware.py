"""An agent whose model and tools are picked for each call: a maths question is shown the maths tools and no others.

python examples/agent_with_middleware.py http://localhost:11434/v1 qwen3:4b
"""

import sys

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from octopus_graph.engines.chat import openai_compatible_chat
from octopus_graph_integrations import OctopusMiddleware


@tool
def solve(equation: str) -> str:
    """Solves an equation."""
    return f"the roots of {equation}"


@tool
def find_cases(topic: str) -> str:
    """Finds court decisions."""
    return f"three decisions about {topic}"


def main(url: str, model: str) -> None:
    """Asks an agent, and prints what the router decided before the model was called."""
    small = openai_compatible_chat(url, model, timeout=120)
    large = openai_compatible_chat(url, model, timeout=120)  # another model in earnest
    choose = OctopusMiddleware(
        models={"math": large, "general": small}, tools={"math": ["solve"], "law": ["find_cases"]}
    )
    agent = create_agent(small, [solve, find_cases], middleware=[choose])
    answer = agent.invoke({"messages": [HumanMessage("Solve x^2 - 5x + 6 = 0.")]})["messages"][-1]
    print(f"{answer.response_metadata['octopus']}")
    print(answer.text)


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["http://localhost:11434/v1", "qwen3:4b"]))
