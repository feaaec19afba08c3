"""An expert that looks things up: a retrieval chain over your own texts, with embeddings made in this process.

python examples/retrieval_expert.py
"""

from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.vectorstores import InMemoryVectorStore

from octopus_graph import Expert, OctopusContext, OctopusRouter, create_octopus_graph
from octopus_graph_integrations.retrieval import LocalEmbeddings

CONTRACTS = [
    "Deposit: the landlord returns it within six weeks after the keys are handed over, less the cost of damage.",
    "Notice: the tenant may end the lease at the end of any month, three months ahead.",
    "Pets: a dog or cat needs the landlord's written consent; small animals in cages do not.",
]


def best(found: list[Document]) -> str:
    """Answers with the passage itself. A chat model goes here where it should be put into other words."""
    return f"Our contract says: {found[0].page_content}"


def main() -> None:
    """Asks the contract, and somebody who knows nothing of it."""
    store = InMemoryVectorStore.from_texts(CONTRACTS, LocalEmbeddings())
    experts = [
        Expert("law", "What our rental contract says", store.as_retriever(search_kwargs={"k": 1}) | best),
        Expert("general", "Everything else", lambda query: f"I chat: {query}"),
    ]
    graph = create_octopus_graph(experts, OctopusRouter.from_pretrained()).compile()
    for request in ("When does my landlord have to give the deposit back?", "Recommend a film for tonight"):
        state = graph.invoke({"messages": [HumanMessage(request)]}, context=OctopusContext(max_hops=1))
        print(f"{state['hops'][0]['expert']}: {state['messages'][-1].text}")


if __name__ == "__main__":
    main()
