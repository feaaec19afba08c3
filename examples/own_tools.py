"""Your tools behind functional tokens: the router chooses one in a forward pass, and no model has to write a tool call.

python examples/own_tools.py
"""

import datetime as dt
import re

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from octopus_graph import Expert, OctopusContext, OctopusRouter, create_octopus_graph

BORN = {"newton": 1643, "curie": 1867, "turing": 1912}


@tool
def percentage(query: str) -> str:
    """Works out a percentage such as "15% of 80"."""
    found = re.search(r"([\d.]+) ?% of ([\d.]+)", query)
    return f"{float(found[1]) / 100 * float(found[2]):g}" if found else "Ask me for a percentage, such as 15% of 80."


@tool
def age(query: str) -> str:
    """Says how long ago somebody was born."""
    year = next((year for name, year in BORN.items() if name in query.lower()), None)
    return f"{dt.date.today().year - year} years ago" if year else "I do not know that person."  # noqa: DTZ011


def main() -> None:
    """Has two tools answer."""
    experts = [
        Expert("math", percentage.description, percentage),
        Expert("history", age.description, age),
    ]
    graph = create_octopus_graph(experts, OctopusRouter.from_pretrained()).compile()
    for request in ("what's 15% of 80", "How long ago was Marie Curie born?"):
        state = graph.invoke({"messages": [HumanMessage(request)]}, context=OctopusContext(max_hops=1, rewrite="never"))
        print(f"{request} -> {state['hops'][0]['expert']}: {state['messages'][-1].text}")


if __name__ == "__main__":
    main()
