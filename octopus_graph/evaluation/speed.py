"""The task `speed`: what a decision costs, one by one and in batches."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from octopus_graph.router import OctopusRouter

__all__ = ["SpeedFigures", "measure_speed"]


@dataclass(frozen=True)
class SpeedFigures:
    """Milliseconds a decision.

    Attributes:
        rows: How many requests were timed.
        p50: The median, one by one.
        p95: The 95th percentile, one by one.
        batched: The mean in batches.
    """

    rows: int
    p50: float
    p95: float
    batched: float


def measure_speed(router: OctopusRouter, requests: Sequence[str]) -> SpeedFigures:
    """Times decisions without rewrites; the first one warms up and does not count."""
    router.decide(requests[0], rewrite="never")
    single: list[float] = []
    for request in requests:
        started = time.perf_counter()
        router.decide(request, rewrite="never")
        single.append((time.perf_counter() - started) * 1e3)
    started = time.perf_counter()
    router.decide_many(requests)
    batched = (time.perf_counter() - started) * 1e3 / len(requests)
    p50, p95 = (float(each) for each in np.percentile(single, [50, 95]))
    return SpeedFigures(len(requests), p50, p95, batched)
