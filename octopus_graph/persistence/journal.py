"""What a run has said, event by event, so that a reader who was cut off goes on where it stopped: a Redis stream each.

    octopus:{@run:<id>}:e   STREAM   <number>-0: e the event's name, d its data

Events are numbered from 1 by whoever writes, of whom there is one at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from langgraph.checkpoint.serde.base import SerializerProtocol  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.effects import arun
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.layout import quoted
from octopus_graph.persistence.scripts import Script
from octopus_graph.persistence.sealing import Seal

__all__ = ["DAY", "Event", "Journal"]

PAGE = 500
DAY = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a run.

    Attributes:
        number: Its place, from 1.
        name: What kind it is.
        data: What it says, as JSON.
    """

    number: int
    name: str
    data: bytes


class Journal:
    """The events of runs."""

    def __init__(self, link: Link, prefix: str, ttl: float = DAY, *, serde: SerializerProtocol | None = None) -> None:
        """Reads nothing yet.

        Args:
            link: The way to Redis.
            prefix: What the keys begin with.
            ttl: The seconds a run's events are kept after the last of them.
            serde: The saver's serializer; where it encrypts, so is what events say.
        """
        self._link = link
        self._prefix = prefix
        self._ttl = round(ttl * 1000)
        self._seal = Seal(serde)

    async def append(self, run: str, events: Sequence[Event]) -> None:
        """Writes events down; those whose number is taken were written before."""
        flat: list[str | bytes | int] = []
        for event in events:
            flat += [event.number, event.name, self._seal.close(event.data)]
        await arun(self._link.run(_APPEND, self._key(run), self._ttl, *flat))

    async def read(self, run: str, after: int = 0) -> list[Event]:
        """Reads the events after a number, a page of them."""
        reply = await arun(self._link.run(_READ, self._key(run), f"({after}-0", PAGE))
        found: list[Event] = []
        for entry, fields in reply:
            values = dict(zip(fields[::2], fields[1::2], strict=True))
            found.append(Event(int(entry.partition(b"-")[0]), values[b"e"].decode(), self._seal.open(values[b"d"])))
        return found

    async def last(self, run: str) -> int:
        """Tells the number of the last event; 0 where there is none."""
        return int(await arun(self._link.run(_LAST, self._key(run))))

    async def remove(self, run: str) -> None:
        """Deletes the events of a run."""
        await arun(self._link.command("UNLINK", self._key(run)))

    def _key(self, run: str) -> str:
        return f"{quoted(self._prefix)}:{{@run:{quoted(run)}}}:e"


_LAST_OF = r"""
local function last()
  local found = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
  return found[1] and tonumber(string.match(found[1][1], '^%d+')) or 0
end
"""

_APPEND = Script(
    _LAST_OF
    + r"""
-- ttl, then number, name, data, ...
local known = last()
for i = 2, #ARGV, 3 do
  if tonumber(ARGV[i]) > known then
    redis.call('XADD', KEYS[1], ARGV[i] .. '-0', 'e', ARGV[i + 1], 'd', ARGV[i + 2])
  end
end
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
)

_READ = Script("return redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2])")

_LAST = Script(_LAST_OF + "return last()")
