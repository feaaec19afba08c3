"""Decisions alone: POST /route names the expert and asks nobody."""

from fastapi import APIRouter

from octopus_graph_server.service import Service

__all__ = ["routes"]


def routes(service: Service) -> APIRouter:
    """Makes the endpoints."""
    del service
    return APIRouter()
