"""OctopusRouter: a request and some candidates in, a decision out. It knows no LangGraph and no tensors.

decide = one forward pass, a softmax over the candidates' functional tokens, and only then, where it helps, the rewrite
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from octopus_graph import weights
from octopus_graph.codec import CHATML, CLOSE, OPEN, OUTPUT_BUDGET, V4, Codec, Done, Turn, clean, codec_named, parse
from octopus_graph.engines.base import Engine
from octopus_graph.errors import AdapterError, ConfigurationError, MissingExtraError, ModelNotFoundError, ParseError
from octopus_graph.gate import clause_about, trusted
from octopus_graph.prompt import Segment
from octopus_graph.risk import Calibration
from octopus_graph.tokens import END, PAPER_EXPERTS, FunctionalTokens

if TYPE_CHECKING:  # LangChain takes a second to import, and a decision needs none of it
    from langchain_core.runnables.base import RunnableLike

    from octopus_graph.branch import OctopusBranch
    from octopus_graph.lexicon import Lexicon

__all__ = ["OctopusRouter", "Rewrite", "RouterCard", "RouterDecision"]

Rewrite = Literal["auto", "always", "never"]
"""`auto`: the router itself says whether a rewrite helps. `always`, `never`: no question asked."""

SHIPPED = Path(str(files("octopus_graph"))) / "data" / "router"
CARD = "router.json"
CALIBRATION = "calibration.json"


class RouterCard(BaseModel):
    """`router.json`: what a folder with a router's adapter says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    base: str = Field(description="The base model: embedded name, Hugging Face id or folder")
    format: str = Field(description="The prompt format, chatml or v4")
    experts: tuple[str, ...] = Field(description="The experts in token order")
    temperature: float = Field(
        1.0, gt=0, description="Divides the logits before the softmax; fitted on requests kept out of training"
    )


@dataclass(frozen=True)
class RouterDecision:
    """Where a request goes.

    Attributes:
        expert: The expert chosen; `None` is the end of the run.
        token: Its functional token.
        confidence: The calibrated probability of the choice among the candidates.
        top: Up to three (expert or `"end"`, probability), the likeliest first.
        rewrite: The request rewritten for the expert; `None` where it goes as it is.
        latency_ms: How long the decision took, the rewrite not counted.
        rewrite_ms: How long the rewrite took.
        ranked: As `top`, of all candidates.
    """

    expert: str | None
    token: str
    confidence: float
    top: tuple[tuple[str, float], ...]
    rewrite: str | None = None
    latency_ms: float = 0.0
    rewrite_ms: float = 0.0
    ranked: tuple[tuple[str, float], ...] = ()


class OctopusRouter:
    """Chooses among experts by functional token (Octopus v4, arXiv 2404.19296, section 3).

    Example:
        >>> router = OctopusRouter.from_pretrained()  # doctest: +SKIP
        >>> router.decide("Tell me the result of derivative of x^3 when x is 2?").expert  # doctest: +SKIP
        'math'
    """

    def __init__(
        self,
        engine: Engine,
        tokens: FunctionalTokens,
        codec: Codec = CHATML,
        *,
        temperature: float = 1.0,
        calibration: Calibration | None = None,
        lexicon: "Lexicon | None" = None,
    ) -> None:
        """Puts a router together; `from_pretrained` does it for a model that says itself what it is.

        Args:
            engine: The language model.
            tokens: Its functional tokens.
            codec: The prompt format it was trained on.
            temperature: Divides the logits before the softmax.
            calibration: What it decided on requests kept out of training: thresholds are read from it.
            lexicon: What words alone say; it has a say in the first decision of a request that stands alone.
        """
        self.engine = engine
        self.tokens = tokens
        self.codec = codec
        self.temperature = temperature
        self.calibration = calibration
        self.lexicon = lexicon

    @classmethod
    def from_pretrained(cls, model: str | Path | None = None, *, format: str | None = None) -> "OctopusRouter":  # noqa: A002
        """Loads a router.

        Args:
            model: `None` or `"embedded"` for the shipped router; a folder with a `router.json`; or a Hugging Face id
                or folder of a
                model that holds the paper's functional tokens itself, such as `NexaAIDev/Octopus-v4`.
            format: The prompt format of such a model, `v4` unless said; a folder's own `router.json` says it otherwise.

        Raises:
            ModelNotFoundError: If the model is neither here nor to be fetched.
            AdapterError: If the router's adapter does not fit its base.
            MissingExtraError: If the extra `local` is not installed.
        """
        try:
            from octopus_graph.engines.hf import HFEngine
            from octopus_graph.engines.hf.files import edge_folders
            from octopus_graph.lexicon import read_lexicon
        except ModuleNotFoundError as error:
            raise MissingExtraError("local", "A router in this process") from error

        folder = SHIPPED if model is None or model == "embedded" else Path(model).expanduser()
        if (folder / CARD).is_file():
            card = read_card(folder)
            _check_base(folder, card)
            tokens = FunctionalTokens(card.experts)
            engine = HFEngine(weights.resolve(card.base), tokens=tokens, adapter=folder, edges=edge_folders(folder))
            return cls(
                engine,
                tokens,
                codec_named(card.format),
                temperature=card.temperature,
                calibration=read_calibration(folder),
                lexicon=read_lexicon(folder, card.experts),
            )
        if folder is SHIPPED:
            raise ModelNotFoundError(
                "The shipped router is not in this installation: reinstall octopus-graph, or run make router."
            )
        tokens = FunctionalTokens(PAPER_EXPERTS)
        engine = HFEngine(weights.resolve(str(model)), tokens=tokens)
        return cls(engine, tokens, codec_named(format) if format else V4)

    @classmethod
    def from_runnables(
        cls,
        runnables: "Mapping[str, RunnableLike[Any, Any]]",
        *,
        router: "OctopusRouter | None" = None,
        default: str | None = None,
        min_confidence: float = 0.0,
        key: Callable[[Any], str] | None = None,
    ) -> "OctopusBranch[Any, Any]":
        """Makes one runnable of several: LangChain's `RunnableBranch`, with what a router learned as its conditions.

        Example:
            >>> from octopus_graph.testing import scripted_router
            >>> router = scripted_router({"x^3": "math"})
            >>> branch = OctopusRouter.from_runnables({"math": str.upper, "law": str.title}, router=router)
            >>> branch.invoke("derivative of x^3?")
            'DERIVATIVE OF X^3?'

        Args:
            runnables: By the names of the router's experts: chains, models, functions, sync or async.
            router: Decides; the shipped one where it is left out.
            default: The runnable that takes inputs of which the router is less sure than `min_confidence`.
            min_confidence: See `default`.
            key: Finds the request in an input. Without it texts, messages, prompts and mappings with `messages`,
                `query`, `question` or `input` are understood.

        Returns:
            A runnable. Each input goes to one of them as it is; the decision stands in the metadata of its run.

        Raises:
            UnknownExpertError: If a name is none of the router's experts, or the default none of the runnables.
            ConfigurationError: If there is no runnable, or a `min_confidence` without a default.
        """
        from octopus_graph.branch import learned_branch

        return learned_branch(
            router or cls.from_pretrained(), runnables, default=default, min_confidence=min_confidence, key=key
        )

    @property
    def experts(self) -> tuple[str, ...]:
        """The experts in token order."""
        return self.tokens.experts

    @property
    def revision(self) -> str:
        """Names everything a decision depends on: weights, adapter, prompt format, temperature and lexicon."""
        words = "" if self.lexicon is None else f"-{self.lexicon.revision}"
        return f"{self.engine.revision}-{self.codec.name}-{self.temperature:g}{words}"

    def min_confidence(self, max_error: float, *, whole_path: bool = False) -> float:
        """Returns the confidence of the first decision below which a request is better not answered.

        Args:
            max_error: The share of all requests that may be answered wrong, such as 0.05.
            whole_path: Wrong is what has any hop wrong, and not the first one alone.

        Raises:
            ConfigurationError: If the router carries no calibration.
        """
        if self.calibration is None:
            raise ConfigurationError(
                f"This router carries no {CALIBRATION}, so max_error means nothing to it: set min_confidence, or train"
                " the router with octopus-graph train."
            )
        return self.calibration.bound(max_error, whole_path=whole_path).min_confidence

    def likely_set(self, decision: RouterDecision, max_error: float) -> tuple[str, ...]:
        """Returns the experts among which the right one is, but for a stated share of requests (a conformal set).

        That holds on average for requests of the kind the router was calibrated on, which stand alone. Among fewer
        candidates at most that share of all such requests has its right expert among them and not in the set. The surer
        the router, the smaller the set; the chosen expert is in it.

        Args:
            decision: A first decision.
            max_error: The share of requests whose set may miss the right expert, such as 0.05.

        Raises:
            ConfigurationError: If the router carries no calibration, or one that holds too little.
        """
        if self.calibration is None:
            raise ConfigurationError(
                f"This router carries no {CALIBRATION}, so max_error means nothing to it: train the router with"
                " octopus-graph train."
            )
        least = self.calibration.least_share(max_error)
        return tuple(name for place, (name, share) in enumerate(decision.ranked) if share >= least or place == 0)

    def decide(
        self,
        query: str,
        candidates: Sequence[str] | None = None,
        *,
        adapter: str | None = None,
        previous: Sequence[Turn] = (),
        done: Sequence[Done] = (),
        rewrite: Rewrite = "auto",
    ) -> RouterDecision:
        """Decides where a request goes, or goes next.

        Args:
            query: The request as it was typed.
            candidates: The experts to choose among, `None` for all.
            adapter: The expert that has just answered: its edge adapter decides where it has one, the router itself
                otherwise.
            previous: Earlier turns of the thread, oldest first.
            done: The hops already taken; with them the end is a candidate too.
            rewrite: Whether to rewrite the request for the expert.

        Raises:
            InputError: If the request cannot be used.
            UnknownExpertError: If a candidate is none of the router's experts.
            ConfigurationError: If there is nothing to choose among.
        """
        started = time.perf_counter()
        query = clean(query)
        names = list(self.experts if candidates is None else dict.fromkeys(candidates))
        choices = self.tokens.of(names) + ([END] if done else [])
        if not choices:
            raise ConfigurationError("There is no expert to choose among: allow at least one.")
        edge = adapter if adapter in self.engine.adapters else None
        prompt = self.codec.prompt(query, previous, done)
        logits = self.engine.score([prompt], choices, adapter=edge)[0]
        decision = self.weigh(choices, logits, alone="" if previous or done else query)
        decided = time.perf_counter()
        decision = replace(decision, latency_ms=(decided - started) * 1e3)
        if decision.expert is None or rewrite == "never":
            return decision
        opening = decision.token + (OPEN if rewrite == "always" else "")
        continued = self.engine.complete(
            (*prompt, Segment(opening, trusted=True)),
            stop=END,
            forbid=list(self.tokens),
            max_tokens=OUTPUT_BUDGET,
            adapter=edge,
        )
        sources = [*(turn.request for turn in previous), *(hop.answer for hop in done)]
        text = _argument(opening + continued)
        if text and not trusted(text, query, sources):
            text = clause_about(text, query)  # a small model invents or loses something; what was typed is always right
        return replace(
            decision,
            rewrite=None if text == query else text,
            rewrite_ms=(time.perf_counter() - decided) * 1e3,
        )

    def decide_many(
        self, queries: Sequence[str], candidates: Sequence[str] | None = None, *, rewrite: Rewrite = "never"
    ) -> list[RouterDecision]:
        """Decides many first hops in batches; `latency_ms` is then the batch's time divided by its size.

        Raises:
            As `decide`.
        """
        if rewrite != "never":
            return [self.decide(query, candidates, rewrite=rewrite) for query in queries]
        started = time.perf_counter()
        names = list(self.experts if candidates is None else dict.fromkeys(candidates))
        choices = self.tokens.of(names)
        if not choices:
            raise ConfigurationError("There is no expert to choose among: allow at least one.")
        texts = [clean(query) for query in queries]
        rows = self.engine.score([self.codec.prompt(text) for text in texts], choices)
        made = [self.weigh(choices, logits, alone=text) for text, logits in zip(texts, rows, strict=True)]
        each = (time.perf_counter() - started) * 1e3 / max(1, len(queries))
        return [replace(decision, latency_ms=each) for decision in made]

    def weigh(self, choices: Sequence[str], logits: Sequence[float], *, alone: str = "") -> RouterDecision:
        """Makes a decision of logits that the engine has scored; `decide` and `decide_many` do both.

        Args:
            choices: The candidates' functional tokens, and the end's where the run may end.
            logits: Theirs, in this order.
            alone: The request, where it stands alone and none of it is answered yet: its words have a say then.
        """
        if self.lexicon is not None and alone:
            said = dict(zip(self.tokens.of(self.experts), self.lexicon.scores(alone), strict=True))
            logits = [logit + said[token] for token, logit in zip(choices, logits, strict=True)]
        highest = max(logits)
        weighed = [math.exp((logit - highest) / self.temperature) for logit in logits]
        total = sum(weighed)
        ranked = sorted(zip(choices, (weight / total for weight in weighed), strict=True), key=lambda pair: -pair[1])
        token, confidence = ranked[0]
        named = tuple((self.tokens.expert(token) or "end", probability) for token, probability in ranked)
        return RouterDecision(
            expert=self.tokens.expert(token), token=token, confidence=confidence, top=named[:3], ranked=named
        )


def read_card(folder: Path) -> RouterCard:
    """Reads a router folder's `router.json`.

    Raises:
        AdapterError: If it is broken.
    """
    try:
        return RouterCard.model_validate(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise AdapterError(f"{folder.name}/{CARD} is broken ({reason}): train the router again.") from None


def read_calibration(folder: Path) -> Calibration | None:
    """Reads a router folder's `calibration.json`, where there is one.

    Raises:
        AdapterError: If it is broken.
    """
    if not (folder / CALIBRATION).is_file():
        return None
    try:
        return Calibration.model_validate_json((folder / CALIBRATION).read_bytes())
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise AdapterError(f"{folder.name}/{CALIBRATION} is broken ({reason}): train the router again.") from None


def _check_base(folder: Path, card: RouterCard) -> None:
    """Compares the adapter's base with the card's: another one of the same size would do harm unseen."""
    try:
        named = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AdapterError(f"{folder.name}/adapter_config.json is broken: train the router again.") from error
    if named != card.base:
        raise AdapterError(
            f"The adapter in {folder.name} is for the base {named!r} and does not fit {card.base!r}, which its"
            f" {CARD} names: use the base it was trained on."
        )


def _argument(output: str) -> str | None:
    """Returns the rewrite an output holds, `None` where there is none."""
    try:
        _, text = parse(output)
    except ParseError:
        return None
    return (text or "").removesuffix(CLOSE).strip() or None
