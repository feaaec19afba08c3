r"""RedisStore: LangGraph's long-term memory in Redis or Valkey, with plain commands.

    octopus:{@store:<first label>}:n            ZSET   `label\tlabel\n<key>` of each item, in the order of bytes
    octopus:{@store:<first label>}:v<member>    HASH   j the value as JSON, c and u when it was created and updated,
                                                       t the minutes it lives after it was last written or read

Where the saver encrypts, so are values; namespaces and names stay readable.

All that lies under one first label is in one slot of a cluster. Names are percent-encoded. Items are found by namespace
and filter, in the order of their names; a search in plain language needs an index of meanings, and there is none here.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from langgraph.checkpoint.serde.base import SerializerProtocol  # pyright: ignore[reportMissingTypeStubs]
from langgraph.store.base import (  # pyright: ignore[reportMissingTypeStubs]
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)
from langgraph.store.base import validate_op_namespace as check  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import override

from octopus_graph.effects import Logic, arun, run
from octopus_graph.persistence.connecting import Link
from octopus_graph.persistence.layout import named, quoted
from octopus_graph.persistence.scripts import Script
from octopus_graph.persistence.sealing import Seal

__all__ = ["RedisStore"]

PAGE = 200
Namespace = tuple[str, ...]


class RedisStore(BaseStore):
    """A store whose items outlive the process.

    Example:
        >>> store = RedisStore(Link("redis://localhost:6379"))  # doctest: +SKIP
        >>> store.put(("users", "ada"), "taste", {"tea": True})  # doctest: +SKIP
    """

    supports_ttl = True

    def __init__(
        self,
        link: Link,
        *,
        prefix: str = "octopus",
        ttl: TTLConfig | None = None,
        serde: SerializerProtocol | None = None,
    ) -> None:
        """Reads nothing yet.

        Args:
            link: The way to Redis; the caller closes it.
            prefix: What the keys begin with.
            ttl: How long items live that do not say so themselves.
            serde: The saver's serializer; where it encrypts, so are the values of items.
        """
        self._seal = Seal(serde)
        self._link = link
        self._prefix = quoted(prefix)
        self.ttl_config = ttl

    @override
    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return run(self._all(ops))

    @override
    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return await arun(self._all(ops))

    def _all(self, ops: Iterable[Op]) -> Logic[list[Result]]:
        results: list[Result] = []
        for op in ops:
            check(op)
            results.append((yield from self._one(op)))
        return results

    def _one(self, op: Op) -> Logic[Result]:
        match op:
            case GetOp():
                return (yield from self._get(op))
            case PutOp():
                return (yield from self._put(op))
            case SearchOp():
                return (yield from self._search(op))
            case ListNamespacesOp():
                return (yield from self._namespaces(op))
            case _:
                raise TypeError(f"A store does not know the operation {type(op).__name__}.")

    def _get(self, op: GetOp) -> Logic[Item | None]:
        member = _member(op.namespace, op.key)
        reply = yield from self._link.run(_READ, self._key(op.namespace), int(op.refresh_ttl), member)
        return self._item(member.encode(), reply[0]) if reply else None

    def _put(self, op: PutOp) -> Logic[None]:
        member, key = _member(op.namespace, op.key), self._key(op.namespace)
        if op.value is None:
            yield from self._link.run(_DELETE, key, member)
            return
        body = self._seal.close(json.dumps(op.value, separators=(",", ":")).encode())
        now = datetime.now(UTC).timestamp()
        yield from self._link.run(_PUT, key, member, body, repr(now), "" if op.ttl is None else repr(float(op.ttl)))

    def _search(self, op: SearchOp) -> Logic[list[SearchItem]]:
        found: list[SearchItem] = []
        skip = op.offset
        for key in (yield from self._keys(op.namespace_prefix)):
            start = b"-"
            while len(found) < op.limit:
                reply = yield from self._link.run(_PAGE, key, *_range(op.namespace_prefix, start), PAGE)
                members, fields = cast(list[bytes], reply[0]), cast(list[list[bytes]], reply[1])
                chosen: list[SearchItem] = []
                for member, values in zip(members, fields, strict=True):
                    item = self._item(member, values) if values else None
                    if item is None or not _fits(item.value, op.filter or {}):
                        continue
                    if skip:
                        skip -= 1
                    elif len(found) + len(chosen) < op.limit:
                        chosen.append(item)
                found += chosen
                if op.refresh_ttl and chosen:
                    names = [_member(item.namespace, item.key) for item in chosen]
                    yield from self._link.run(_READ, key, 1, *names)
                if len(members) < PAGE:
                    break
                start = b"(" + members[-1]
        return found

    def _namespaces(self, op: ListNamespacesOp) -> Logic[list[Namespace]]:
        conditions = op.match_conditions or ()
        prefix = next((one.path for one in conditions if one.match_type == "prefix"), ())
        root = tuple(prefix[:1]) if prefix and prefix[0] != "*" else ()
        found: set[Namespace] = set()
        for key in (yield from self._keys(root)):
            for member in (yield from self._link.run(_MEMBERS, key)):
                namespace = _namespace(member)
                if all(_matches(namespace, condition) for condition in conditions):
                    found.add(namespace[: op.max_depth])
        return sorted(found)[op.offset : op.offset + op.limit]

    def _keys(self, prefix: Namespace) -> Logic[list[str]]:
        """Lists the indexes that items under a prefix may be in."""
        if prefix:
            return [self._key(prefix)]
        keys = yield from self._link.scan(f"{self._prefix}:{{@store:*}}:n")
        return sorted(key.decode() for key in set(keys))

    def _item(self, member: bytes, fields: list[bytes]) -> SearchItem:
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        return SearchItem(
            namespace=_namespace(member),
            key=named(member.partition(b"\n")[2]),
            value=json.loads(self._seal.open(values[b"j"])),
            created_at=datetime.fromtimestamp(float(values[b"c"]), UTC),
            updated_at=datetime.fromtimestamp(float(values[b"u"]), UTC),
        )

    def _key(self, namespace: Namespace) -> str:
        return f"{self._prefix}:{{@store:{quoted(namespace[0] if namespace else '')}}}:n"


def _member(namespace: Namespace, key: str) -> str:
    return "\t".join(quoted(label) for label in namespace) + "\n" + quoted(key)


def _namespace(member: bytes) -> Namespace:
    return tuple(named(label) for label in member.partition(b"\n")[0].split(b"\t"))


def _range(prefix: Namespace, start: bytes) -> tuple[bytes, bytes]:
    """Bounds all members under a prefix: after it comes a tab, or the line break right behind that."""
    head = "\t".join(quoted(label) for label in prefix).encode()
    low = b"[" + head + b"\t" if prefix else b"-"
    return (start if start != b"-" else low), (b"(" + head + b"\x0b" if prefix else b"+")


def _matches(namespace: Namespace, condition: MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for label, wanted in zip(part, path, strict=True))


def _fits(value: Any, wanted: Any) -> bool:
    """Says whether a value is as a filter wants it: equal, part by part, or by operators such as `$gt`."""
    if isinstance(wanted, Mapping):
        conditions = cast(Mapping[str, Any], wanted)
        if any(key.startswith("$") for key in conditions):
            return all(_holds(value, operator, bound) for operator, bound in conditions.items())
        held = cast(Mapping[str, Any], value)
        return isinstance(value, Mapping) and all(_fits(held.get(key), one) for key, one in conditions.items())
    return value == wanted


def _holds(value: Any, operator: str, bound: Any) -> bool:
    match operator:
        case "$eq":
            return value == bound
        case "$ne":
            return value != bound
        case "$gt" | "$gte" | "$lt" | "$lte":
            try:
                number, other = float(value), float(bound)
            except (TypeError, ValueError):
                return False
            return {"$gt": number > other, "$gte": number >= other, "$lt": number < other, "$lte": number <= other}[
                operator
            ]
        case _:
            raise ValueError(f"A store filters by $eq, $ne, $gt, $gte, $lt and $lte, not by {operator}.")


_PRELUDE = r"""
local index, call = KEYS[1], redis.call
local base = string.sub(index, 1, -2)
local function body(member) return base .. 'v' .. member end
"""

_READ = Script(
    _PRELUDE
    + r"""
-- whether they live on for having been read, members
local found = {}
for i = 2, #ARGV do
  local fields = call('HGETALL', body(ARGV[i]))
  if #fields > 0 then
    local minutes = ARGV[1] == '1' and call('HGET', body(ARGV[i]), 't')
    if minutes and minutes ~= '' then call('PEXPIRE', body(ARGV[i]), math.floor(minutes * 60000)) end
    found[#found + 1] = fields
  end
end
return found
"""
)

_PUT = Script(
    _PRELUDE
    + r"""
-- member, value, now, minutes or nothing
call('HSETNX', body(ARGV[1]), 'c', ARGV[3])
call('HSET', body(ARGV[1]), 'j', ARGV[2], 'u', ARGV[3], 't', ARGV[4])
if ARGV[4] == '' then call('PERSIST', body(ARGV[1]))
else call('PEXPIRE', body(ARGV[1]), math.max(1, math.floor(ARGV[4] * 60000))) end
return call('ZADD', index, 0, ARGV[1])
"""
)

_DELETE = Script(_PRELUDE + "call('ZREM', index, ARGV[1]); return call('UNLINK', body(ARGV[1]))")

_PAGE = Script(
    _PRELUDE
    + r"""
-- from, to, the most of them. What has expired is taken out of the index.
local members, values = call('ZRANGEBYLEX', index, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3]), {}
for i, member in ipairs(members) do
  values[i] = call('HGETALL', body(member))
  if #values[i] == 0 then call('ZREM', index, member) end
end
return {members, values}
"""
)

_MEMBERS = Script(
    _PRELUDE
    + r"""
local found = {}
for _, member in ipairs(call('ZRANGE', index, 0, -1)) do
  if call('EXISTS', body(member)) == 1 then found[#found + 1] = member else call('ZREM', index, member) end
end
return found
"""
)
