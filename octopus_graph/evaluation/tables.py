"""The figures as tables of plain texts: the command line prints them, and the page of HTML shows the same."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from octopus_graph.evaluation.metrics import share

__all__ = ["Table", "tables", "task_tables", "times"]

_NONE = "-"
_Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: What it is of.
        head: The names of its columns.
        rows: Its cells.
        notes: Sentences that belong below it.
    """

    title: str
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = field(default=())


def tables(figures: _Figures) -> list[Table]:
    """Makes the tables of every task that was measured, and one of the time they took."""
    found = [table for task in _TASKS if task in figures for table in task_tables(task, figures)]
    return [*found, times(figures)]


def task_tables(task: str, figures: _Figures) -> list[Table]:
    """Makes the tables of one task that was measured."""
    measured: _Figures = figures[task]
    if "skipped" in measured and len(measured) == 1:
        return [Table(task.capitalize(), notes=[f"Skipped: {measured['skipped']}."])]
    first, *more = _TASKS[task](measured)
    sampled = figures["measured"][task]["sampled"]
    if sampled:
        counts = ", ".join(f"{source} {used:,} of {of:,}" for source, (used, of) in sampled.items())
        first = replace(first, notes=[*first.notes, f"Samples, taken evenly: {counts}."])
    return [first, *more]


def times(figures: _Figures) -> Table:
    """Makes the table of when tasks were measured, and how long that took."""
    return Table(
        "Time",
        ["task", "measured", "took"],
        [[task, found["at"], f"{found['seconds']:,.0f} s"] for task, found in figures["measured"].items()],
        ["What an earlier run had decided or embedded already took no time in this one."],
    )


def _routing(figures: _Figures) -> Iterable[Table]:
    standings: _Figures = figures["contenders"]
    first = next(iter(standings.values()))

    def each(pick: Callable[[_Figures], str]) -> list[str]:
        return [pick(standing) for standing in standings.values()]

    def of_source(key: str) -> list[list[str]]:
        return [
            [
                source,
                f"{rates['rows']:,}",
                *each(lambda standing, name=source: _interval(standing["sources"].get(name, {}).get(key))),
            ]
            for source, rates in first["sources"].items()
        ]

    yield Table("Routing: share right", ["source", "rows", *standings], of_source("accuracy"))
    yield Table("Routing: macro-F1", ["source", "rows", *standings], of_source("macro_f1"))
    if first["nearby"]:
        rows = [
            [
                source,
                f"{found['rows']:,}",
                *each(lambda standing, name=source: _interval(standing["nearby"].get(name, {}).get("share"))),
            ]
            for source, found in first["nearby"].items()
        ]
        yield Table(
            "Routing: share right where a neighbouring domain counts too",
            ["source", "rows", *standings],
            rows,
            ["Such as physics for a problem of electrical engineering."],
        )
    if first["styles"]:
        rows = [
            [
                style,
                f"{found['rows']:,}",
                *each(lambda standing, name=style: _interval(standing["styles"].get(name, {}).get("share"))),
            ]
            for style, found in first["styles"].items()
        ]
        yield Table("Routing: share right by style", ["style", "rows", *standings], rows)
    rows = [["calibration error", *each(lambda standing: f"{standing['calibration_error']:.3f}")]]
    if first["stray_auroc"] is not None:
        rows.append(["AUROC, no expert fits", *each(lambda standing: _fraction(standing["stray_auroc"]))])
        rows += [
            [f"  {source}", *each(lambda standing, name=source: _fraction(standing["stray_sources"][name]))]
            for source in first["stray_sources"]
        ]
    yield Table("Routing: confidence", ["", *standings], rows)


def _paths(figures: _Figures) -> Iterable[Table]:
    rows = [
        [
            source,
            f"{found['rows']:,}",
            _interval(found["exact"]),
            _interval(found["first"]),
            _percent(found["one_hop_only"]),
        ]
        for source, found in figures.items()
    ]
    yield Table("Paths: exact path of experts", ["source", "rows", "exact", "first hop", "a router of one hop"], rows)
    parts = [
        [
            source,
            name if key == "styles" else f"{name} part{'s' * (name != '1')}",
            f"{cut['rows']:,}",
            _interval(cut["share"]),
        ]
        for source, found in figures.items()
        for key in ("lengths", "styles")
        for name, cut in found[key].items()
    ]
    yield Table("Paths: exact, by parts and style", ["source", "of", "rows", "exact"], parts)


def _rewrite(figures: _Figures) -> Iterable[Table]:
    rows = [
        [
            source,
            f"{found['rows']:,}",
            _interval(found["rewritten"]),
            _number(found["length"], "{:.2f}"),
            _number(found["similarity"], "{:.2f}"),
            _number(found["answering"], "{:.1%}"),
            _number(found["milliseconds"], "{:,.0f} ms"),
        ]
        for source, found in figures.items()
    ]
    head = ["source", "decisions", "rewritten", "length", "similarity", "answers itself", "took"]
    yield Table("Rewrite", head, rows, ["Length and similarity are of a rewrite beside its request, in the mean."])

    kinds = ("number", "quote", "name")
    kept = {source: found["kept"] for source, found in figures.items() if found["kept"]}
    if kept:
        together = {kind: _together([found[kind] for found in kept.values() if kind in found]) for kind in kinds}
        rows = [
            [source, *(_of(found.get(kind)) for kind in kinds)] for source, found in ({"all": together} | kept).items()
        ]
        yield Table("Rewrite: literals of the request that survive", ["source", "numbers", "quoted", "names"], rows)
    rows = [
        [source, kind, f"{count:,}", _percent(rewritten), _number(numbers, "{:.1%}")]
        for source, found in figures.items()
        for kind, (count, rewritten, numbers) in found["kinds"].items()
    ]
    yield Table("Rewrite: by kind", ["source", "kind", "decisions", "rewritten", "numbers kept"], rows)


def _together(slices: Sequence[_Figures]) -> _Figures | None:
    rows = sum(found["rows"] for found in slices)
    right = round(sum(found["rows"] * found["share"]["value"] for found in slices))
    return {"rows": rows, "share": asdict(share([place < right for place in range(rows)]))} if rows else None


def _calibration(figures: _Figures) -> Iterable[Table]:
    stated = dict(figures["calibration_sources"])
    stated |= {f"all: {name.replace('_', ' ')}": found for name, found in figures.get("halves", {}).items()}
    rows = [
        [
            source,
            f"{found['rows']:,}",
            _percent(found["mean_confidence"]),
            _percent(found["right"]),
            f"{found['calibration_error']:.3f}",
        ]
        for source, found in stated.items()
    ]
    if rows:
        yield Table(
            "Calibration: confidence against what came true",
            ["source", "rows", "mean confidence", "right", "calibration error"],
            rows,
            [f"Calibration error over all: {figures['calibration_error']:.3f}."],
        )
    if "no_calibration" in figures:
        yield Table("Calibration: bounds", notes=[f"Skipped: {figures['no_calibration']}."])
    for kind, title in (("one_hop", "one hop"), ("whole_path", "a whole path")):
        if f"{kind}_unknown" in figures:
            yield Table(f"Calibration: {title}", notes=[f"Skipped: {figures[f'{kind}_unknown']}."])
        if kind not in figures:
            continue
        lines = [(f"at most {bound}", "all", found) for bound, found in figures[kind].items()]
        asked = f"at most {figures['max_error']:.1%}"
        lines += [(asked, source, found) for source, found in figures[f"{kind}_sources"].items()]
        yield Table(
            f"Calibration: the router's own thresholds on {title}",
            ["wrong, promised", "source", "rows", "threshold", "answered", "wrong, of all"],
            [[bound, source, *_worth(found)] for bound, source, found in lines],
            [text for text, holds in _remarks(kind, [found for *_, found in lines]) if holds],
        )


def _remarks(kind: str, worth: Iterable[_Figures]) -> Iterable[tuple[str, bool]]:
    yield (
        "A threshold of - lets nothing through: the router's calibration has too few rows for that bound.",
        any(found["min_confidence"] is None for found in worth),
    )
    yield (
        "The router's calibration counts as many requests of one part as of several; these are of several alone.",
        kind == "whole_path",
    )


def _worth(found: _Figures) -> list[str]:
    threshold = found["min_confidence"]
    return [
        f"{found['rows']:,}",
        _NONE if threshold is None else f"{threshold:.3f}",
        _percent(found["coverage"]),
        _interval(found["wrong"]),
    ]


def _robustness(figures: _Figures) -> Iterable[Table]:
    first = next(iter(figures.values()))
    rows = [
        [way.replace("_", " "), f"{kept['rows']:,}", *(_interval(found[way]["share"]) for found in figures.values())]
        for way, kept in first.items()
    ]
    yield Table("Robustness: typed another way, the same expert", ["way", "rows", *figures], rows)


def _answers(figures: _Figures) -> Iterable[Table]:
    pools = {name: found for name, found in figures.items() if name in ("all_models", "up_to_9b")}
    kinds = {"single": "best single model", "router": "router", "labels": "faultless router", "oracle": "any model"}
    rows = [
        [name.replace("_", " "), f"{found['questions']:,}", *(_interval(found[kind]) for kind in kinds)]
        for name, found in pools.items()
    ]
    notes = [f"Best single of {name.replace('_', ' ')}: {found['best_single_model']}." for name, found in pools.items()]
    notes += [f"Skipped: {figures[key]}." for key in ("skipped", "five_shot_skipped") if key in figures]
    yield Table(
        "Answers: right by recorded outcomes", ["models", "questions", *kinds.values()] if rows else [], rows, notes
    )
    if five := figures.get("five_shot"):
        rows = [["all", f"{five['questions']:,}", _interval(five["right"])]]
        rows += [[name or _NONE, f"{count:,}", _percent(right)] for name, (right, count) in five["experts"].items()]
        yield Table(
            "Answers: the graph's experts, 5-shot",
            ["expert", "questions", "right"],
            rows,
            [f"No choice named: {_percent(five['unread'])}; expert failed: {_percent(five['failed'])}."],
        )


def _speed(figures: _Figures) -> Iterable[Table]:
    names = {"p50": "median", "p95": "95th percentile", "batched": "in batches, mean"}
    row = [f"{figures['rows']:,}", *(f"{figures[key]:.0f} ms" for key in names)]
    yield Table("Speed of a decision", ["rows", *names.values()], [row])


def _number(value: float | None, form: str) -> str:
    return _NONE if value is None else form.format(value)


def _of(found: _Figures | None) -> str:
    return f"{_interval(found['share'])} of {found['rows']:,}" if found else _NONE


def _interval(found: _Figures | None) -> str:
    if not found:
        return _NONE
    return f"{_percent(found['value'])} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def _fraction(found: _Figures) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}%"


_TASKS: dict[str, Callable[[_Figures], Iterable[Table]]] = {
    "routing": _routing,
    "paths": _paths,
    "rewrite": _rewrite,
    "calibration": _calibration,
    "robustness": _robustness,
    "answers": _answers,
    "speed": _speed,
}
