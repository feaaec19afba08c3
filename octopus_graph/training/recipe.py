"""How adapters are trained, in one YAML file: `octopus_graph/data/training.yaml`, or another of its shape."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from octopus_graph.spec.document import read_document
from octopus_graph.training.data import OWN_DATA

__all__ = ["PLAN", "Mixture", "Plan", "Recipe", "read_plan"]

PLAN = OWN_DATA / "training.yaml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Recipe(_Section):
    """How one adapter is trained.

    Attributes:
        rank: The LoRA rank; alpha is twice of it.
        first_layer: The lowest layer that bears LoRA.
        modules: The projections that bear LoRA.
        learning_rate: For the LoRA matrices.
        token_learning_rate: For the functional tokens' rows; 0 leaves them as they are.
        batch: Samples a step.
        text_weight: Weight of the rewrite's loss beside the choice's.
        subject_weight: Weight of naming a question's subject beside the choice's loss; a head for it learns along and
            is thrown away. Fifty-seven subjects teach finer borders than seventeen experts do.
        evaluations: Looks at the validation sets in one run; 0 trains to the end without any.
        patience: Looks without a better one that end the run.
        seed: Of everything random.
    """

    rank: int = Field(gt=0)
    first_layer: int = Field(ge=0)
    modules: tuple[str, ...] = Field(min_length=1)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    token_learning_rate: float = Field(ge=0, allow_inf_nan=False)
    batch: int = Field(default=32, gt=0)
    text_weight: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    subject_weight: float = Field(default=0, ge=0, allow_inf_nan=False)
    evaluations: int = Field(default=0, ge=0)
    patience: int = Field(default=2, gt=0)
    seed: int = 17


class Mixture(_Section):
    """Which rows a pass draws, and in which dress.

    Attributes:
        passes: How often the rows are drawn.
        requested: Share of requests in a pass; less for a run that goes on from a router that knows them.
        asked: Share of benchmark questions in a pass.
        with_choices: Share of those that carry their choices.
        dressed: Share of requests that are typed another way.
        pasted: Share of requests and questions with a paragraph in front.
        composed: Multi-part requests joined from single ones in a pass, at most one for four of these; an eighth more
            are joined of two parts for one expert.
        composed_edge: The same, for each expert's edge.
        alone_edge: Requests of one part for each expert's edge: after them the run ends.
        paths_edge: Multi-part requests for each expert's edge, at most.
    """

    passes: int = Field(default=3, gt=0)
    requested: float = Field(default=1.0, gt=0, le=1)
    asked: float = Field(default=0.6, ge=0, le=1)
    with_choices: float = Field(default=0.5, ge=0, le=1)
    dressed: float = Field(default=0.6, ge=0, le=1)
    pasted: float = Field(default=0.08, ge=0, le=1)
    composed: int = Field(default=500, ge=0)
    composed_edge: int = Field(default=40, ge=0)
    alone_edge: int = Field(default=200, ge=0)
    paths_edge: int = Field(default=200, ge=0)


class Plan(_Section):
    """The whole file."""

    version: Literal[1]
    router: Recipe
    edge: Recipe
    mixture: Mixture


def read_plan(path: Path = PLAN) -> Plan:
    """Reads a training file.

    Raises:
        SpecError: If it is no YAML, or a field is missing, unknown or out of range; the message names file, line and
            field.
    """
    document = read_document(path, path.name)
    try:
        return Plan.model_validate(document.data)
    except ValidationError as error:
        first = error.errors()[0]
        raise document.error(tuple(first["loc"]), f"{first['msg'].lower()}.") from None
