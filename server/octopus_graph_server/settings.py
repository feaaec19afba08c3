"""What a server may be told; everything has a safe default."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr

__all__ = ["ServerSettings"]


class ServerSettings(BaseModel):
    """How a server behaves, apart from its graph."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="octopus", description="The graph's name: the model and assistant clients ask for")
    redis: str = Field(default="embedded", description="Where threads are kept: a URL, or the embedded Valkey")
    key_hashes: tuple[str, ...] = Field(default=(), description="argon2 hashes of the API keys; without one, no key")
    hosts: tuple[str, ...] = Field(
        default=("localhost", "127.0.0.1", "[::1]"),
        description="Host headers answered to while there is no key: keeps pages of other sites away; * for any",
    )
    origins: tuple[str, ...] = Field(
        default=(),
        description="Pages that may ask from a browser, such as https://smith.langchain.com; those of this machine may",
    )
    max_body: int = Field(default=4 * 2**20, ge=1, description="The largest body of a request, in bytes")
    max_depth: int = Field(default=64, ge=1, le=200, description="How deep JSON may be nested")
    max_prompt: int = Field(default=200_000, ge=1, description="The longest text of one request, in characters")
    max_seconds: float = Field(default=300.0, gt=0, description="The longest a request or a run may take")
    max_runs: int = Field(default=256, ge=1, description="How many runs go on at the same time; others get a 429")
    webhook_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts whose webhooks are called, such as hooks.example.com or *.example.com; by default none",
    )
    webhook_secret: SecretStr | None = Field(default=None, description="Signs webhooks; without it none is called")
    webhook_private: bool = Field(default=False, description="Whether webhooks may lie in a private network")
    grace: float = Field(default=20.0, ge=0, description="Seconds running requests have to finish after SIGTERM")
    linger: float = Field(
        default=1.0,
        ge=0,
        description="Seconds a server that is to stop takes requests, until load balancers notice",
    )
