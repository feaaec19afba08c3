"""semantic-router as a baseline, run by the Python of its own environment: it asks for `openai<3`, which we do not.

    python semantic_router.py learn.npz out.npz

Reads embeddings of examples with their experts and embeddings of requests, and writes an expert and a score for each.
"""
# pyright: reportMissingImports=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUntypedBaseClass=false
# It is imported nowhere: the package it needs is in another environment.

import sys
from pathlib import Path
from typing import Any

import numpy as np

NEIGHBOURS = 20


def main(given: str, wanted: str) -> None:
    """Builds the routes, asks them, and writes what they say."""
    # The folder of this file is first on the path, and the file has the package's name.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]
    from semantic_router import Route  # pyright: ignore[reportAttributeAccessIssue]  # or this very file
    from semantic_router.encoders import DenseEncoder
    from semantic_router.routers import IndexedRouter

    with np.load(given, allow_pickle=False) as arrays:
        known, experts, asked = arrays["known"], arrays["experts"], arrays["asked"]

    class Given(DenseEncoder):
        """Looks up what another process has embedded: examples by their number, requests by `?` and theirs."""

        def __call__(self, docs: list[Any]) -> list[list[float]]:
            return [(asked[int(each[1:])] if each[0] == "?" else known[int(each)]).tolist() for each in docs]

    routes = [
        Route(name=str(name), utterances=[str(place) for place in np.flatnonzero(experts == name)])
        for name in np.unique(experts)
    ]
    router = IndexedRouter(encoder=Given(name="given"), routes=routes, top_k=NEIGHBOURS)
    found = [router(f"?{place}") for place in range(len(asked))]
    np.savez(
        wanted,
        experts=np.asarray([each.name or "" for each in found]),
        scores=np.asarray([each.confidence or 0.0 for each in found]),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
