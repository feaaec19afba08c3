"""Routes of other people's apps, so that the log knows them by name as it does FastAPI's."""

from collections.abc import MutableMapping
from typing import Any

from starlette.routing import Match, Route
from typing_extensions import override

__all__ = ["NamedRoute"]


class NamedRoute(Route):
    """A Starlette route that says in the request's scope which one it is."""

    @override
    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, Any]:
        match, found = super().matches(scope)
        return match, {**found, "route": self}
