"""Figures for Prometheus. Labels hold route templates, methods and experts: nothing a client can make up."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The figures of one app, in a registry of their own: two apps of a process do not meet."""

    def __init__(self, runs: Callable[[], int]) -> None:
        """Begins at nought.

        Args:
            runs: Says how many runs go on.
        """
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "octopus_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "octopus_request_seconds",
            "From a request's head to the end of its answer",
            ["route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._decisions = Counter(
            "octopus_decisions", "Requests by the first expert they went to", ["expert"], registry=self._registry
        )

        Gauge("octopus_runs", "Runs that go on", registry=self._registry).set_function(runs)

    def count(self, method: str, route: str, status: int, seconds: float, expert: str | None) -> None:
        """Counts a request."""
        self._requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if expert:
            self._decisions.labels(expert).inc()

    def text(self) -> bytes:
        """Writes the figures in Prometheus' text format."""
        return generate_latest(self._registry)
