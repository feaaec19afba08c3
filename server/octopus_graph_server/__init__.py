"""octopus-graph over HTTP.

Nothing is here yet. To come: a FastAPI app that speaks the OpenAI chat API and the LangGraph API in front of one graph,
with runs that survive a killed process. The package imports the core, ``octopus_graph``, and never the integrations.
"""
