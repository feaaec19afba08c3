"""The router is not sure, so the run stops and asks; it goes on with what the human says, even in another process.

python examples/human_in_the_loop.py
"""

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from octopus_graph import Expert, OctopusContext, OctopusRouter, create_octopus_graph


def main() -> None:
    """Asks something that fits nobody, and answers the question that comes back."""
    experts = [
        Expert("computer_science", "Programs and machines", lambda query: f"I debug: {query}"),
        Expert("health", "Bodies and medicine", lambda query: f"I diagnose: {query}"),
    ]
    unsure = OctopusContext(min_confidence=0.9, when_unsure="ask", max_hops=1)
    builder = create_octopus_graph(experts, OctopusRouter.from_pretrained(), defaults=unsure)
    graph = builder.compile(
        checkpointer=InMemorySaver()
    )  # open_saver() of octopus_graph.persistence outlives the process
    thread: RunnableConfig = {"configurable": {"thread_id": "1"}}

    state = graph.invoke({"messages": [HumanMessage("it does not work any more")]}, thread)
    (asked,) = state["__interrupt__"]
    print(f"the graph asks: {asked.value['question']}")

    said = "my python script stops with a KeyError"
    print(f"the human says: {said}")
    state = graph.invoke(Command(resume=said), thread)
    print(f"{state['hops'][0]['expert']}: {state['messages'][-1].text}")


if __name__ == "__main__":
    main()
