"""The graph as an A2A agent."""

from contextlib import AbstractAsyncContextManager, nullcontext

from fastapi import FastAPI

from octopus_graph_server.service import Service

__all__ = ["mount"]


def mount(app: FastAPI, service: Service) -> AbstractAsyncContextManager[object]:
    """Adds the endpoints.

    Returns:
        What is open for as long as the app runs.
    """
    del app, service
    return nullcontext()
