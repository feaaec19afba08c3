"""octopus-graph for LangChain and LangGraph: drop-ins that put the router where a model decided before.

    create_octopus_supervisor   for langgraph-supervisor's create_supervisor
    create_octopus_swarm        for langgraph-swarm's create_swarm

The package imports the core, `octopus_graph`, and never the server.
"""

from octopus_graph_integrations.supervisor import create_octopus_supervisor
from octopus_graph_integrations.swarm import OctopusSwarmState, create_octopus_swarm

__all__ = ["OctopusSwarmState", "create_octopus_supervisor", "create_octopus_swarm"]
