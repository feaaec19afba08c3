"""What may stand in a graph file. The JSON Schema for editors is made of these models."""

import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, PrivateAttr, Tag, model_validator

from octopus_graph.caching import DAY, WEEK
from octopus_graph.errors import SpecError
from octopus_graph.spec.document import Document, FieldPath, dotted
from octopus_graph.state import OctopusContext

__all__ = [
    "EMBEDDED",
    "AnswersSpec",
    "CacheSpec",
    "ExpertSpec",
    "GraphSpec",
    "HuggingFaceModel",
    "RouterSpec",
    "UrlModel",
]

EMBEDDED = "embedded"


def _environment_name(value: str) -> str:
    """Accepts `NAME` and `${NAME}`. Lower-case letters are in most keys and in no usual variable name."""
    match = re.fullmatch(r"\$\{([A-Z][A-Z0-9_]*)\}|([A-Z][A-Z0-9_]*)", value)
    if match is None:
        raise ValueError("name an environment variable in capital letters, such as MY_API_KEY, never the key itself")
    return match[1] or match[2]


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a broken port or IPv6 address
        usable = False
        parts = urlsplit("")
    if not usable:
        raise ValueError("write an address such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password or parts.query:
        raise ValueError(
            "an address holds no user, password or query; name the variable that holds the key in api_key_env"
        )
    return value


def _provider_model(value: str) -> str:
    if ":" not in value and "/" in value:
        raise ValueError("a Hugging Face model is written {huggingface: org/name}, others provider:name")
    return value


def _store(value: str) -> str:
    """Accepts `embedded`, a Redis URL without a password, and `${NAME}` for a URL that is a secret."""
    if value == EMBEDDED:
        return value
    if value.startswith("${"):
        return f"${{{_environment_name(value)}}}"
    try:
        parts = urlsplit(value)
    except ValueError:  # a broken IPv6 address
        parts = urlsplit("")
    if parts.scheme.partition("+")[0] not in {"redis", "rediss", "unix"}:
        raise ValueError("write embedded, redis://host:6379 or ${VARIABLE}")
    if parts.password or "password" in parts.query:
        raise ValueError("a password does not belong in a graph file: put the URL in a variable and write ${VARIABLE}")
    return value


EnvironmentName = Annotated[str, AfterValidator(_environment_name)]
ExpertName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HuggingFaceModel(_Section):
    """A model of the Hugging Face hub, in this process or at one of its inference providers."""

    huggingface: str = Field(
        min_length=1, description="A Hugging Face id, or the folder of a model (relative to this file)"
    )
    provider: str | None = Field(
        default=None,
        min_length=1,
        description="Ask an inference provider, such as auto or hf-inference; unset: the model runs in this process",
    )
    api_key_env: EnvironmentName | None = Field(
        default=None, description="The environment variable with the provider's key"
    )

    @model_validator(mode="after")
    def _key_for_somebody(self) -> "HuggingFaceModel":
        if self.api_key_env and not self.provider:
            raise ValueError("api_key_env is for a provider: name one, or remove api_key_env")
        return self


class UrlModel(_Section):
    """A model behind an address that speaks OpenAI's chat completions."""

    url: Annotated[str, AfterValidator(_url)] = Field(description="The address up to and including /v1")
    model: str = Field(min_length=1, description="What the server calls the model")
    api_key_env: EnvironmentName | None = Field(
        default=None, description="The environment variable with the key, if it wants one"
    )


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "(name)"
    if isinstance(value, HuggingFaceModel) or (isinstance(value, dict) and "huggingface" in value):
        return "(huggingface)"
    if isinstance(value, UrlModel) or (isinstance(value, dict) and "url" in value):
        return "(url)"
    return None


# The tags become part of pydantic's error locations; in parentheses they cannot be taken for fields there.
Model = Annotated[
    Annotated[str, Field(min_length=1), AfterValidator(_provider_model), Tag("(name)")]
    | Annotated[HuggingFaceModel, Tag("(huggingface)")]
    | Annotated[UrlModel, Tag("(url)")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message="write embedded, provider:name, {huggingface: org/name} or {url: …, model: …}",
    ),
]


def _whom(value: Any) -> str | None:
    return "(all)" if value == "*" else "(list)" if isinstance(value, list) else None


Neighbours = Annotated[
    Annotated[Literal["*"], Tag("(all)")] | Annotated[list[str], Tag("(list)")],
    Discriminator(_whom, custom_error_type="kind", custom_error_message='write "*" or a list of experts'),
]


class RouterSpec(_Section):
    """Who decides."""

    model: str = Field(
        default=EMBEDDED,
        min_length=1,
        description="embedded: the router that comes with octopus-graph; a folder with router.json (relative to this"
        " file); or a Hugging Face id of a model that holds the functional tokens itself",
    )
    format: Literal["chatml", "v4"] | None = Field(
        default=None, description="The prompt format of a model without router.json"
    )


class ExpertSpec(_Section):
    """Somebody to ask."""

    description: str = Field(min_length=1, description="What it is good for, in a sentence")
    model: Model = Field(
        default=EMBEDDED,
        description="embedded: the small model the router stands on, which takes no further memory; provider:name as"
        " LangChain's init_chat_model has it, such as openai:gpt-4o-mini; {huggingface: id}; or"
        " {url: address, model: name, api_key_env: VARIABLE}",
    )
    system_prompt: str = Field(default="", description="What the model is told before every question")
    neighbours: Neighbours = Field(default="*", description="Who may be asked after it; * is every other expert")
    timeout: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="The most seconds an attempt may take"
    )
    retries: int = Field(default=0, ge=0, le=10, description="How many further attempts follow a failed one")
    fallback: str | None = Field(default=None, description="The expert that is asked when the last attempt failed")
    version: str = Field(
        default="", description="Change it when what is behind the name changes: cached answers of before are not used"
    )
    cost: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="What a call costs, in a unit of yours and the same for all experts: replay adds it up",
    )


Seconds = Annotated[float, Field(ge=0.001, allow_inf_nan=False)]


class AnswersSpec(_Section):
    """Answers that may be given again."""

    experts: list[str] = Field(min_length=1, description="Whose")
    ttl: Seconds = Field(default=DAY, description="The seconds an answer is kept")
    semantic: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Give them to questions that mean the same as well: the cosine from which two do, as"
        " octopus-graph cache calibrate finds it. Unset: to the same question alone",
    )


class CacheSpec(_Section):
    """What is kept in Redis for other runs and other processes. Without Redis the graph runs all the same, slower."""

    decisions: bool = Field(default=True, description="The router's decisions")
    ttl: Seconds = Field(default=WEEK, description="The seconds a decision is kept")
    answers: AnswersSpec | None = Field(default=None, description="Answers; unset: every question is asked")


class GraphSpec(_Section):
    """A graph file.

    Example:
        >>> spec = GraphSpec(version=1, experts={"math": ExpertSpec(description="Calculates")})
        >>> spec.experts["math"].model
        'embedded'
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(title="octopus.yaml", extra="forbid", frozen=True)

    version: Literal[1] = Field(description="The version of this format")
    router: RouterSpec = RouterSpec()
    defaults: OctopusContext = Field(
        default=OctopusContext(), description="What a run's settings are where the caller says nothing"
    )
    fallback: str | None = Field(
        default=None, description="The expert that takes what the router is unsure of; without one that is declined"
    )
    redis: Annotated[str, AfterValidator(_store)] | None = Field(
        default=None,
        description="Where threads are kept: embedded, the Valkey of this package in the user's data folder;"
        " redis://host:6379 and the like; or ${VARIABLE} that holds such a URL. Unset: what OCTOPUS_REDIS_URL says,"
        " else embedded",
    )
    cache: CacheSpec | None = Field(
        default=None,
        description="What is computed once for all runs; unset: nothing is kept. It lies in the same Redis",
    )
    experts: dict[ExpertName, ExpertSpec] = Field(
        min_length=1, description="The experts by name; the router must know each"
    )

    _document: Document | None = PrivateAttr(None)

    @property
    def document(self) -> Document | None:
        """The file it was read from; `None` for a spec made in code."""
        return self._document

    def read_from(self, document: Document) -> "GraphSpec":
        """Remembers the file, so that later errors can point into it, and returns the spec."""
        self._document = document
        return self

    def error(self, path: FieldPath, message: str) -> SpecError:
        """Makes the error that names file, line and field, or the field alone where there is no file."""
        if self._document is None:
            return SpecError(f"{dotted(path)}{message}")
        return self._document.error(path, message)
