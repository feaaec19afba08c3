"""State that lasts: checkpoints, memory, caches, and what the server keeps, in Redis or Valkey. The only door to redis.

Example:
    >>> from octopus_graph.persistence import open_saver
    >>> with open_saver() as saver:  # doctest: +SKIP
    ...     graph = create_octopus_graph(experts, router).compile(checkpointer=saver)
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from octopus_graph.errors import MissingExtraError, StoreError

if TYPE_CHECKING:
    from octopus_graph.persistence.cache import RedisCache
    from octopus_graph.persistence.connecting import Link
    from octopus_graph.persistence.embedded import EmbeddedServer
    from octopus_graph.persistence.opening import open_cache, open_saver
    from octopus_graph.persistence.saver import RedisSaver, allow_list_serializer
    from octopus_graph.persistence.store import RedisStore

__all__ = [
    "EmbeddedServer",
    "Link",
    "RedisCache",
    "RedisSaver",
    "RedisStore",
    "StoreError",
    "allow_list_serializer",
    "open_cache",
    "open_saver",
]

_HOMES = {
    "cache": ("RedisCache",),
    "connecting": ("Link",),
    "embedded": ("EmbeddedServer",),
    "opening": ("open_cache", "open_saver"),
    "saver": ("RedisSaver", "allow_list_serializer"),
    "store": ("RedisStore",),
}


def __getattr__(name: str) -> Any:
    """Imports a name when it is first asked for, for redis is an extra.

    Raises:
        MissingExtraError: If redis is not installed.
    """
    for home, names in _HOMES.items():
        if name in names:
            if find_spec("redis") is None:
                raise MissingExtraError("redis", "A checkpointer on Redis")
            value = globals()[name] = getattr(import_module(f"octopus_graph.persistence.{home}"), name)
            return value
    raise AttributeError(f"module 'octopus_graph.persistence' has no attribute {name!r}")
