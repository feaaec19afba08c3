"""The OpenAI API: chat completions, responses, models.

schemas         what requests look like
conversation    messages and items of requests -> an `Ask`
chat            POST /v1/chat/completions
responses       POST /v1/responses, and what is kept of it
items           the objects and events a response is made of
models          GET /v1/models
common          errors in OpenAI's shape, the decision in headers, server-sent events
"""

from fastapi import APIRouter

from octopus_graph_server.openai_api import chat, models, responses
from octopus_graph_server.service import Service

__all__ = ["routes"]


def routes(service: Service) -> list[APIRouter]:
    """Makes the endpoints; in no common router, for FastAPI looks a route up twice at each level."""
    return [part.routes(service) for part in (chat, responses, models)]
