"""A graph of your own experts: anything LangChain can run, behind the shipped router.

python examples/own_experts.py
"""

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda

from octopus_graph import Expert, OctopusContext, OctopusRouter, create_octopus_graph


def calculus(query: str) -> str:
    """Stands where your chain, agent or model goes."""
    return f"I differentiate: {query}"


def main() -> None:
    """Asks two questions of one thread."""
    experts = [
        Expert("math", "Calculus, algebra and statistics", RunnableLambda(calculus)),
        Expert("law", "Contracts, courts and rights", lambda query: f"I plead: {query}"),
        Expert("general", "Everything else", lambda query: f"I chat: {query}"),
    ]
    graph = create_octopus_graph(experts, OctopusRouter.from_pretrained(), fallback="general").compile()
    for request in ("What is the derivative of x^3?", "Can my landlord keep the deposit?"):
        state = graph.invoke({"messages": [HumanMessage(request)]}, context=OctopusContext(max_hops=1))
        hop = state["hops"][0]
        print(f"{hop['token']} {hop['expert']} ({hop['confidence']:.2f}): {state['messages'][-1].text}")


if __name__ == "__main__":
    main()
