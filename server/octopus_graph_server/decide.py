"""Decisions alone: POST /route names the expert and asks nobody, for gateways that forward requests themselves."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from octopus_graph.codec import Turn
from octopus_graph.errors import InputError, UnknownExpertError
from octopus_graph.router import OctopusRouter, Rewrite, RouterDecision
from octopus_graph_server import logs
from octopus_graph_server.problems import NotFoundError
from octopus_graph_server.service import Service

__all__ = ["routes"]

MOST = 64
"""Requests of one call."""

Text = Annotated[str, Field(min_length=1)]


class Earlier(BaseModel):
    """The turn before, of which the request may be a follow-up."""

    model_config = ConfigDict(extra="forbid")

    request: Text = Field(description="What was asked")
    expert: str = Field(description="Where it went")


class RouteRequest(BaseModel):
    """What is to be decided."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"request": "What is the derivative of x^3?", "max_error": 0.05},
                {"requests": ["Can my landlord keep the deposit?", "Why is the sky blue?"], "top_k": 3},
            ]
        },
    )

    request: Text | None = Field(default=None, description="One request")
    requests: list[Text] | None = Field(
        default=None, min_length=1, max_length=MOST, description="Several, decided in one batch"
    )
    experts: list[str] | None = Field(default=None, min_length=1, description="The only experts that count")
    top_k: int | None = Field(default=None, ge=1, description="How many probabilities are returned; all by default")
    rewrite: Rewrite = Field(default="never", description="Whether requests are rewritten for the expert")
    previous: Earlier | None = Field(default=None, description="The turn before; with one request")
    max_error: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="The share of all requests that may go to a wrong expert: gives `bound` and `set`",
    )


class Likely(BaseModel):
    """An expert and its probability."""

    expert: str = Field(description="The expert")
    probability: float = Field(description="Calibrated, among the candidates")


class Acceptance(BaseModel):
    """Whether a decision is sure enough.

    Of requests of the same kind as the router was calibrated on, at most the share `max_error` is accepted and goes to
    a wrong expert: on average over such requests (conformal risk control), not for each kind of request by itself.
    """

    max_error: float = Field(description="The share that was stated")
    min_confidence: float | None = Field(description="The threshold; null where no confidence is enough")
    accepted: bool = Field(description="Whether the confidence reaches the threshold")
    fallback: str | None = Field(description="The expert the graph would ask where it is not accepted")


class LikelySet(BaseModel):
    """The experts among which the right one is, but for the share max_error of requests.

    A conformal set: it holds on average for requests of the same kind as the router was calibrated on, which stand
    alone; a request with `previous` is of another kind. Among fewer candidates at most that share of all such requests
    has its right expert among them and not in the set. The surer the router, the fewer experts.
    """

    experts: list[str] = Field(description="The likeliest first; never empty")
    probability: float = Field(description="Of all of them together, by the router's own reckoning")


class RouteDecision(BaseModel):
    """Where a request goes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "expert": "math",
                    "token": "<nexa_4>",
                    "confidence": 0.98,
                    "probabilities": [{"expert": "math", "probability": 0.98}],
                    "rewrite": None,
                    "bound": {"max_error": 0.05, "min_confidence": 0.61, "accepted": True, "fallback": "general"},
                    "set": {"experts": ["math"], "probability": 0.98},
                    "decide_ms": 91.0,
                    "rewrite_ms": 0.0,
                }
            ]
        }
    )

    expert: str = Field(description="The likeliest expert")
    token: str = Field(description="The expert's functional token")
    confidence: float = Field(description="The calibrated probability of the expert among the candidates")
    probabilities: list[Likely] = Field(description="Of the candidates, the likeliest first")
    rewrite: str | None = Field(description="The request rewritten for the expert; null where it goes as it is")
    bound: Acceptance | None = Field(default=None, description="With max_error: whether that is sure enough")
    set: LikelySet | None = Field(
        default=None,
        description="With max_error: who else it may be; null for a router calibrated before there were sets",
    )
    decide_ms: float = Field(description="Of a batch its time divided by its size")
    rewrite_ms: float = Field(description="How long the rewrite took")


class RouteResponse(BaseModel):
    """The decisions, in the order of the requests."""

    decisions: list[RouteDecision] = Field(description="One for each request")
    revision: str = Field(description="Names everything a decision depends on: a key for caches")


def routes(service: Service) -> APIRouter:
    """Makes the endpoint."""
    api = APIRouter(tags=["Decisions"])

    @api.post("/route", summary="Decide without asking")
    async def route(body: RouteRequest) -> RouteResponse:  # pyright: ignore[reportUnusedFunction]
        """Decides where one request goes, or each of several, and asks no expert.

        `max_error` needs a router that carries a calibration.
        """
        router, requests = _checked(service, body)
        async with service.runs.one():
            made = await anyio.to_thread.run_sync(partial(_decide, router, requests, body, _candidates(service, body)))
            least = None if body.max_error is None else router.min_confidence(body.max_error)
        if len(made) == 1:
            logs.note(expert=made[0].expert)
        fallback = service.built.spec.fallback if service.built else None
        return RouteResponse(
            decisions=[_written(router, decision, body, least, fallback) for decision in made], revision=router.revision
        )

    return api


def _checked(service: Service, body: RouteRequest) -> tuple[OctopusRouter, list[str]]:
    if service.router is None:
        raise NotFoundError("This server was given a graph without its router, so it decides nothing by itself.")
    if (body.request is None) == (body.requests is None):
        raise InputError("Send either request or requests.")
    if body.previous and body.requests:
        raise InputError("previous goes with one request: send requests one by one, or leave it out.")
    requests = [body.request] if body.request is not None else list(body.requests or ())
    for text in requests:
        service.check_prompt(text)
    return service.router, requests


def _candidates(service: Service, body: RouteRequest) -> list[str] | None:
    """Returns who may be chosen: the graph's experts, of which the router may know more."""
    known = list(service.experts)
    for name in body.experts or ():
        if known and name not in service.experts:
            raise UnknownExpertError(name, known, where="experts")
    return body.experts or known or None


def _decide(
    router: OctopusRouter, requests: Sequence[str], body: RouteRequest, candidates: list[str] | None
) -> list[RouterDecision]:
    if body.previous is None:
        return router.decide_many(requests, candidates, rewrite=body.rewrite)
    turn = Turn(body.previous.request, router.tokens.token(body.previous.expert))
    return [router.decide(requests[0], candidates, previous=[turn], rewrite=body.rewrite)]


def _written(
    router: OctopusRouter, decision: RouterDecision, body: RouteRequest, least: float | None, fallback: str | None
) -> RouteDecision:
    ranked = [Likely(expert=name, probability=probability) for name, probability in decision.ranked]
    bounded: dict[str, Any] = {}
    if body.max_error is not None and least is not None:
        accepted = decision.confidence >= least
        finite = least if least <= 1 else None
        bounded["bound"] = Acceptance(
            max_error=body.max_error, min_confidence=finite, accepted=accepted, fallback=None if accepted else fallback
        )
        if router.calibration and router.calibration.truth:  # not those of before there were sets
            among = router.likely_set(decision, body.max_error)
            together = sum(one.probability for one in ranked if one.expert in among)
            bounded["set"] = LikelySet(experts=list(among), probability=min(1.0, together))
    return RouteDecision(
        expert=str(decision.expert),
        token=decision.token,
        confidence=decision.confidence,
        probabilities=ranked[: body.top_k],
        rewrite=decision.rewrite,
        decide_ms=round(decision.latency_ms, 3),
        rewrite_ms=round(decision.rewrite_ms, 3),
        **bounded,
    )
