"""The OpenAI API: chat completions, responses, models."""

from fastapi import APIRouter

from octopus_graph_server.service import Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """Makes the endpoints."""
    del service
    return APIRouter()
