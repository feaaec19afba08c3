"""octopus-graph for LangChain and LangGraph Studio.

Nothing is here yet. To come: a chat model and a middleware that put the router in front of a LangChain agent's models
and tools, and the graph that LangGraph Studio opens. The package imports the core, ``octopus_graph``, and never the
server.
"""
