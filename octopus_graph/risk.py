"""What confidence is worth: a bound on wrong answers in, the threshold that keeps it out.

The bound is conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814): on requests no training saw, the
smallest threshold is taken whose share of requests that are both accepted and wrong, corrected for the sample's size,
stays below the bound. It then holds on average for requests of the same kind, not for each kind by itself. What a
fallback answers in the router's place is not counted.

Who else it may be is a conformal set (Sadinle et al. 2019, arXiv 1609.00451): all experts at least as likely as the
right one was on all but the stated share of those requests.
"""

import functools
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from octopus_graph.errors import ConfigurationError

__all__ = ["Bound", "Calibration", "bound_risk", "least_share"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bound:
    """A threshold and what it buys.

    Attributes:
        risk: The most requests, as a share of all, that may go wrong.
        min_confidence: The threshold: requests below it are not answered; infinite where nothing may be.
        coverage: The share of the rows that are answered.
        wrong: The share of all rows that are answered and wrong.
    """

    risk: float
    min_confidence: float
    coverage: float
    wrong: float


def bound_risk(confidence: Sequence[float], right: Sequence[bool], risk: float) -> Bound:
    """Finds the smallest threshold that keeps the risk.

    Args:
        confidence: Of the first decision of each row.
        right: Whether the row was right: that hop, or its whole path.
        risk: The share of all requests that may be answered wrong, between 0 and 1.

    Example:
        >>> bound_risk([0.9, 0.8, 0.4, 0.3] * 50, [True, True, True, False] * 50, 0.05).min_confidence
        0.4
    """
    total = len(confidence)
    # Thresholds from the strictest down: the first that breaks the bound ends the search, as risk only grows.
    rows = sorted(zip(confidence, right, strict=True), key=lambda row: -row[0])
    best, covered, best_wrong, wrong, place = math.inf, 0, 0, 0, 0
    while place < total:
        value = rows[place][0]
        while place < total and rows[place][0] == value:
            wrong += not rows[place][1]
            place += 1
        if (wrong + 1) / (total + 1) > risk:
            break
        best, covered, best_wrong = value, place, wrong
    return Bound(risk, best, covered / total if total else 0.0, best_wrong / total if total else 0.0)


def least_share(truth: Sequence[float], error: float) -> float:
    """Finds the probability from which an expert belongs in the set that holds the right one but for a stated error.

    Args:
        truth: The right expert's probability on each row.
        error: The share of requests whose set may miss it, between 0 and 1.

    Returns:
        The probability; 0 where the rows are too few for such an error: then every expert is in the set.

    Example:
        >>> least_share([0.9, 0.8, 0.2, 0.7] * 5, 0.25)
        0.2
    """
    missed = math.floor(error * (len(truth) + 1) + 1e-9)
    return sorted(truth)[missed - 1] if missed else 0.0


class Calibration(BaseModel):
    """`calibration.json` of a router: what it decided on requests kept out of training and of the temperature's fit.

    Attributes:
        hop: Confidence of the first decision, and whether it was right.
        path: Confidence of the first decision, and whether the whole path after it was right.
        truth: The right expert's probability in each first decision, in the order of `hop`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    hop: tuple[tuple[float, bool], ...] = Field(min_length=1)
    path: tuple[tuple[float, bool], ...] = ()
    truth: tuple[float, ...] = ()

    def bound(self, risk: float, *, whole_path: bool = False) -> Bound:
        """Finds the threshold on the first decision that keeps the share of wrong answers.

        Args:
            risk: That share, of all requests, between 0 and 1.
            whole_path: Wrong is what has any hop wrong, and not the first one alone.

        Raises:
            ConfigurationError: If whole paths were never measured: first hops promise nothing of them.
        """
        if whole_path and not self.path:
            raise ConfigurationError(
                "The router's calibration has no whole paths, so it cannot bound their errors: train its edges with"
                " octopus-graph train edges, allow one hop alone (max_hops 1), or set min_confidence."
            )
        rows = self.path if whole_path else self.hop
        found = bound_risk([sure for sure, _ in rows], [right for _, right in rows], risk)
        if math.isinf(found.min_confidence):
            _say_once(
                f"No confidence keeps wrong answers under {risk:.2%} by the {len(rows)} requests of the router's"
                f" calibration (which could show {1 / (len(rows) + 1):.2%} at best): the router counts as unsure of"
                " every request."
            )
        return found

    def least_share(self, error: float) -> float:
        """Finds the probability from which an expert belongs in the set; see the function of this name.

        Raises:
            ConfigurationError: If the calibration was made before there were sets.
        """
        if not self.truth:
            raise ConfigurationError(
                "The router's calibration does not hold how likely the right experts were, so it bounds no set of"
                " experts: calibrate the router again with octopus-graph train calibration."
            )
        return least_share(self.truth, error)


@functools.cache
def _say_once(text: str) -> None:
    logger.warning(text)
