"""Who runs, across servers: runs on one thread stand in line, and servers show that they live.

octopus:{@line:<thread>}:q   LIST     the runs of a thread in the order they came; the first one goes on
octopus:{@server:<id>}:l     STRING   there as long as the server lives
octopus:{@stops}:s           HASH     runs that somebody wants stopped, and how
"""

from typing import cast

from octopus_graph.effects import arun
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.layout import quoted
from octopus_graph.persistence.scripts import Script

__all__ = ["Line"]


class Line:
    """The lines before all threads."""

    def __init__(self, link: Link, prefix: str) -> None:
        """Reads nothing yet.

        Args:
            link: The way to Redis.
            prefix: What the keys begin with.
        """
        self._link = link
        self._prefix = quoted(prefix)

    async def enter(self, thread: str, run: str, *, only_if_free: bool = False) -> list[str] | None:
        """Puts a run at the end of a thread's line.

        Returns:
            The runs before it; `None` if there are any and it was to enter only an empty line.
        """
        reply = await arun(self._link.run(_ENTER, self._key(thread), run, int(only_if_free)))
        return None if reply is None else _texts(reply)

    async def before(self, thread: str, run: str) -> list[str]:
        """Lists the runs before one."""
        runs = _texts(await arun(self._link.command("LRANGE", self._key(thread), 0, -1)))
        return runs[: runs.index(run)] if run in runs else []

    async def waiting(self, thread: str) -> list[str]:
        """Lists all runs in the line, the one that goes on first."""
        return _texts(await arun(self._link.command("LRANGE", self._key(thread), 0, -1)))

    async def leave(self, thread: str, run: str) -> None:
        """Takes a run out of the line."""
        await arun(self._link.command("LREM", self._key(thread), 0, run))

    async def show_life(self, server: str, seconds: float) -> None:
        """Says that a server lives, and will for some time."""
        await arun(self._link.command("SET", self._server(server), 1, "PX", round(seconds * 1000)))

    async def say_farewell(self, server: str) -> None:
        """Says that a server is gone."""
        await arun(self._link.command("UNLINK", self._server(server)))

    async def lives(self, server: str) -> bool:
        """Says whether a server lives."""
        return bool(await arun(self._link.command("EXISTS", self._server(server))))

    async def ask_to_stop(self, run: str, how: str) -> None:
        """Asks whichever server a run goes on in to stop it."""
        await arun(self._link.command("HSET", self._stops, run, how))

    async def stops(self) -> dict[str, str]:
        """Reads which runs are to be stopped, and how."""
        reply = await arun(self._link.run(_STOPS, self._stops))
        texts = _texts(reply)
        return dict(zip(texts[::2], texts[1::2], strict=True))

    async def stopped(self, run: str) -> None:
        """Takes note that a run was stopped."""
        await arun(self._link.command("HDEL", self._stops, run))

    def _key(self, thread: str) -> str:
        return f"{self._prefix}:{{@line:{quoted(thread)}}}:q"

    def _server(self, server: str) -> str:
        return f"{self._prefix}:{{@server:{quoted(server)}}}:l"

    @property
    def _stops(self) -> str:
        return f"{self._prefix}:{{@stops}}:s"


def _texts(reply: object) -> list[str]:
    return [one.decode() for one in cast(list[bytes], reply)]


_ENTER = Script(r"""
-- run, whether only an empty line is entered
local found = redis.call('LRANGE', KEYS[1], 0, -1)
local before = {}
for _, run in ipairs(found) do
  if run == ARGV[1] then return before end
  before[#before + 1] = run
end
if ARGV[2] == '1' and #before > 0 then return false end
redis.call('RPUSH', KEYS[1], ARGV[1])
return before
""")

_STOPS = Script("return redis.call('HGETALL', KEYS[1])")
