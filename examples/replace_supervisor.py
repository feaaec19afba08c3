"""A supervisor without a model: one line replaces langgraph-supervisor's, and a handoff costs one decision.

python examples/replace_supervisor.py
"""

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage

from octopus_graph import OctopusRouter
from octopus_graph_integrations import create_octopus_supervisor


def agent(name: str, says: str):
    """Stands where your agent goes, with its own model and tools."""
    return create_agent(GenericFakeChatModel(messages=iter([AIMessage(says)])), [], name=name)


def main() -> None:
    """Hands a request to the agent it is for."""
    research = agent("research_expert", "Both companies together have 217,000 people.")
    math = agent("math_expert", "The derivative is 3x^2.")

    # The line that stood here called create_supervisor of langgraph-supervisor, with a model and a prompt.
    workflow = create_octopus_supervisor(
        [research, math],
        router=OctopusRouter.from_pretrained(),
        experts={"math_expert": "math", "research_expert": "*"},
    )

    state = workflow.compile().invoke({"messages": [("user", "What is the derivative of x^3?")]})
    for message in state["messages"]:
        called = "".join(f" {call['name']}({call['args']})" for call in getattr(message, "tool_calls", ()))
        print(f"{message.name or message.type}: {message.text}{called}")


if __name__ == "__main__":
    main()
