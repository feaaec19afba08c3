"""Documents of one kind, such as threads or runs, in Redis: kept by id, found by what they say, sorted and paged.

    octopus:{@thread}:d<id>             HASH   j the document as JSON, t the terms it is listed under,
                                               o the kind's orders, v the write that made it so
    octopus:{@thread}:o<field>          ZSET   ids by a time or another number
    octopus:{@thread}:x<field, value>  ZSET   ids of the documents of which that is true

All keys of a kind lie in one slot of a cluster, so that a document and its lists change together. Documents are small:
what a thread holds lies with its checkpoints. Only commands of Redis 6.2 are used.

Where the saver encrypts, so are documents. Ids, orders and the terms of the kind stay readable, for scripts read them;
metadata are no terms then, and are compared one by one.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from langgraph.checkpoint.serde.base import SerializerProtocol  # pyright: ignore[reportMissingTypeStubs]

from octopus_graph.effects import arun
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.layout import quoted
from octopus_graph.persistence.scripts import Script
from octopus_graph.persistence.sealing import Seal

__all__ = ["Document", "Kind", "Records"]

Document = dict[str, Any]
LONGEST_TERM = 256  # characters of a value that documents are listed under; longer ones are compared one by one
CHUNK = 200


@dataclass(frozen=True)
class Kind:
    """What documents are of, and what they are found by.

    Attributes:
        name: The kind, part of every key.
        orders: Fields that hold a number, by which documents are sorted.
        terms: Fields by whose value documents are found; so is every plain value in the field `metadata`.
    """

    name: str
    orders: tuple[str, ...]
    terms: tuple[str, ...] = ()


class Records:
    """The documents of one kind."""

    def __init__(self, link: Link, prefix: str, kind: Kind, serde: SerializerProtocol | None = None) -> None:
        """Reads nothing yet.

        Args:
            link: The way to Redis.
            prefix: What the keys begin with.
            kind: What the documents are of.
            serde: The saver's serializer; where it encrypts, so are the documents.
        """
        self._link = link
        self._seal = Seal(serde)
        self._kind = kind
        self._base = f"{quoted(prefix)}:{{@{kind.name}}}:"

    async def get(self, key: str) -> Document | None:
        """Reads a document."""
        found = await self._read(key)
        return found[0] if found else None

    async def add(self, key: str, document: Document) -> bool:
        """Stores a document under an id that is free.

        Returns:
            Whether it was.
        """
        return await self._write(key, document, "0")

    async def put(self, key: str, document: Document) -> None:
        """Stores a document, whatever stood there."""
        await self._write(key, document, "")

    async def change(self, key: str, change: Callable[[Document], Document | None]) -> Document | None:
        """Changes a document as nobody else does meanwhile.

        Args:
            key: Its id.
            change: Makes the new document of the old; `None` leaves it. Called again if somebody else was faster.

        Returns:
            The document as it is now; `None` where there is none.
        """
        while True:
            found = await self._read(key)
            if found is None:
                return None
            document, version = found
            changed = change(dict(document))
            if changed is None:
                return document
            if await self._write(key, changed, version):
                return changed

    async def remove(self, key: str) -> bool:
        """Deletes a document.

        Returns:
            Whether there was one.
        """
        return bool(await arun(self._link.run(_REMOVE, self._base, key)))

    async def find(
        self,
        where: Mapping[str, Any],
        *,
        by: str,
        descending: bool = True,
        offset: int = 0,
        limit: int | None = None,
        also: Callable[[Document], bool] | None = None,
    ) -> list[Document]:
        """Finds documents.

        Args:
            where: Fields with the values they are to have; `metadata` is a mapping that the document's is to contain.
            by: The field to sort by; what is no `order` of the kind is sorted here, after all matches were read.
            descending: Whether the largest comes first.
            offset: How many to skip.
            limit: The most to return.
            also: A further condition.
        """
        terms, rest = self._split(where)
        exact = by in self._kind.orders and not rest and also is None
        if exact:
            return (await self._page(by, descending, offset, limit, terms))[0]
        order = by if by in self._kind.orders else self._kind.orders[0]
        found: list[Document] = []
        begin = 0
        most = None if limit is None or order != by else offset + limit
        while most is None or len(found) < most:
            page, read = await self._page(order, descending, begin, CHUNK, terms)
            found += [one for one in page if _contains(one, rest) and (also is None or also(one))]
            if read < CHUNK:
                break
            begin += CHUNK
        if order != by:
            found.sort(key=lambda one: str(one.get(by) or ""), reverse=descending)
        return found[offset : None if limit is None else offset + limit]

    async def count(self, where: Mapping[str, Any], also: Callable[[Document], bool] | None = None) -> int:
        """Counts documents; see `find`."""
        terms, rest = self._split(where)
        if rest or also is not None:
            return len(await self.find(where, by=self._kind.orders[0], also=also))
        return int(await arun(self._link.run(_COUNT, self._base, self._kind.orders[0], *terms)))

    async def below(self, field: str, bound: float) -> list[str]:
        """Lists the ids of documents whose number in a field is below a bound, the smallest first."""
        found = await arun(self._link.command("ZRANGEBYSCORE", f"{self._base}o{field}", "-inf", f"({bound!r}"))
        return [one.decode() for one in cast(list[bytes], found)]

    async def _read(self, key: str) -> tuple[Document, str] | None:
        reply = await arun(self._link.run(_GET, self._base, key))
        return (self._document(reply[0]), reply[1].decode()) if reply else None

    async def _write(self, key: str, document: Document, expected: str) -> bool:
        orders: list[str] = []
        for name in self._kind.orders:
            if document.get(name) is not None:
                orders += [name, repr(float(document[name]))]
        terms = [_term(name, document[name]) for name in self._kind.terms if _listed(document.get(name))]
        if not self._seal.is_shut:
            metadata = cast(dict[str, Any], document.get("metadata") or {})
            terms += [_term(f"metadata.{name}", value) for name, value in metadata.items() if _listed(value)]
        body = self._seal.close(json.dumps(document, separators=(",", ":")).encode())
        lists = ("\n".join(terms), "\n".join(self._kind.orders), *orders)
        return bool(await arun(self._link.run(_PUT, self._base, key, expected, uuid4().hex, body, *lists)))

    async def _page(
        self, by: str, descending: bool, offset: int, limit: int | None, terms: Sequence[str]
    ) -> tuple[list[Document], int]:
        arguments = (by, "1" if descending else "0", offset, -1 if limit is None else limit)
        reply = await arun(self._link.run(_FIND, self._base, *arguments, *terms))
        return [self._document(body) for body in reply[1]], int(reply[0])

    def _document(self, body: bytes) -> Document:
        return json.loads(self._seal.open(body))

    def _split(self, where: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
        """Tells what documents are listed under from what has to be looked at one by one."""
        terms: list[str] = []
        rest: dict[str, Any] = {}
        for name, value in where.items():
            if name == "metadata" and not self._seal.is_shut:
                wanted = cast(Mapping[str, Any], value)
                terms += [_term(f"metadata.{key}", one) for key, one in wanted.items() if _listed(one)]
                if nested := {key: one for key, one in wanted.items() if not _listed(one)}:
                    rest[name] = nested
            elif name in self._kind.terms and _listed(value):
                terms.append(_term(name, value))
            else:
                rest[name] = value
        return terms, rest


def _listed(value: Any) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= LONGEST_TERM)


def _term(name: str, value: Any) -> str:
    return quoted(json.dumps([name, value])[1:-1])  # in ASCII, whatever a client thought up


def _contains(whole: Any, part: Any) -> bool:
    """Says whether a document holds all that another does, as JSON containment goes."""
    if isinstance(part, Mapping):
        wanted = cast(Mapping[str, Any], part)
        held = cast(Mapping[str, Any], whole)
        return isinstance(whole, Mapping) and all(
            key in held and _contains(held[key], one) for key, one in wanted.items()
        )
    return whole == part


_PRELUDE = r"""
local base, call = KEYS[1], redis.call
local function lines(text) return string.gmatch(text or '', '[^\n]+') end
local function unlist(id)
  for term in lines(call('HGET', base .. 'd' .. id, 't') or nil) do call('ZREM', base .. 'x' .. term, id) end
end
"""

_GET = Script(
    _PRELUDE
    + r"""
local found = call('HMGET', base .. 'd' .. ARGV[1], 'j', 'v')
return found[1] and found or false
"""
)

_PUT = Script(
    _PRELUDE
    + r"""
-- id, the version it is to have or nothing, the one it gets, document, terms, orders of the kind, order, number, ...
local id, key = ARGV[1], base .. 'd' .. ARGV[1]
local version = call('HGET', key, 'v') or '0'
if version == ARGV[3] then return 1 end  -- sent twice, because the first answer was lost
if ARGV[2] ~= '' and ARGV[2] ~= version then return 0 end
unlist(id)
for term in lines(ARGV[5]) do call('ZADD', base .. 'x' .. term, 0, id) end
for order in lines(ARGV[6]) do call('ZREM', base .. 'o' .. order, id) end
for i = 7, #ARGV, 2 do call('ZADD', base .. 'o' .. ARGV[i], ARGV[i + 1], id) end
call('HSET', key, 'j', ARGV[4], 't', ARGV[5], 'o', ARGV[6], 'v', ARGV[3])
return 1
"""
)

_REMOVE = Script(
    _PRELUDE
    + r"""
unlist(ARGV[1])
for order in lines(call('HGET', base .. 'd' .. ARGV[1], 'o') or nil) do call('ZREM', base .. 'o' .. order, ARGV[1]) end
return call('UNLINK', base .. 'd' .. ARGV[1])
"""
)

_SELECT = r"""
local function select(order, first)
  local keys, weights = {base .. 'o' .. order}, {1}
  for i = first, #ARGV do
    keys[#keys + 1] = base .. 'x' .. ARGV[i]
    weights[#weights + 1] = 0
  end
  local command = {'ZINTER', #keys}
  for _, key in ipairs(keys) do command[#command + 1] = key end
  command[#command + 1] = 'WEIGHTS'
  for _, weight in ipairs(weights) do command[#command + 1] = weight end
  return call(unpack(command))
end
"""

_FIND = Script(
    _PRELUDE
    + _SELECT
    + r"""
-- order, whether the largest comes first, how many to skip, the most of them or -1, terms
local from, most, found = tonumber(ARGV[3]), tonumber(ARGV[4]), {}
if #ARGV == 4 then
  local command = ARGV[2] == '1' and 'ZREVRANGE' or 'ZRANGE'
  found = call(command, base .. 'o' .. ARGV[1], from, most < 0 and -1 or from + most - 1)
  if most == 0 then found = {} end
else
  local all = select(ARGV[1], 5)
  local last = most < 0 and #all or math.min(#all, from + most)
  for i = from + 1, last do found[#found + 1] = all[ARGV[2] == '1' and #all - i + 1 or i] end
end
local bodies = {}
for _, id in ipairs(found) do
  local body = call('HGET', base .. 'd' .. id, 'j')
  if body then bodies[#bodies + 1] = body end
end
return {#found, bodies}
"""
)

_COUNT = Script(
    _PRELUDE
    + _SELECT
    + r"""
-- order, terms
if #ARGV == 1 then return call('ZCARD', base .. 'o' .. ARGV[1]) end
return #select(ARGV[1], 2)
"""
)
