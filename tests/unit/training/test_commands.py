"""The commands: a router is published when all of it is there, and an old one stays as it was until then."""

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from octopus_graph.errors import AdapterError, TrainingError, UnknownExpertError
from octopus_graph.router import OctopusRouter, read_calibration
from octopus_graph.tokens import FunctionalTokens
from octopus_graph.training import adapters, commands, finish, heldout
from octopus_graph.training.data import Multipart, PathHop, Request, held_out
from octopus_graph.training.mixture import Rows, split
from octopus_graph.training.recipe import Mixture, Plan, Recipe

TWO = FunctionalTokens(("math", "law"))
RECIPE = Recipe(
    rank=4, first_layer=1, modules=("q_proj", "v_proj"), learning_rate=1e-2, token_learning_rate=2e-2, batch=8
)
PLAN = Plan(version=1, router=RECIPE, edge=RECIPE, mixture=Mixture(passes=1, composed=4, composed_edge=4))
ROWS = Rows(
    [
        Request(id=f"{letter}{index}", request=letter * 8 + str(index), expert=expert, rewrite="", answer="ok")
        for letter, expert in (("m", "math"), ("l", "law"))
        for index in range(40)
    ],
    [
        Multipart(
            id=f"p{index}",
            request=f"m{index} l{index}",
            hops=(PathHop(expert="math", query="mmmm", answer="a"), PathHop(expert="law", query="llll", answer="b")),
        )
        for index in range(20)
    ],
    [],
)


def silent(_: str) -> None:
    """Hears nothing."""


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def lessons(monkeypatch: pytest.MonkeyPatch) -> commands.Lessons:
    """Something to learn, and few rows are enough to calibrate."""
    monkeypatch.setattr(heldout, "FEWEST", 2)
    learn, unseen = split(ROWS)
    return commands.Lessons(TWO.experts, learn, unseen, {"own": unseen.requests})


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training takes no steps: what is tested is what comes before and after it."""

    def train(*_: Any, **__: Any) -> dict[str, float]:
        return {"train_runtime": 60.0, "train_loss": 1.0, "steps": 1}

    monkeypatch.setattr(adapters, "train", train)


def test_the_commands_train_calibrate_measure_and_publish(
    llama: Path, tmp_path: Path, lessons: commands.Lessons
) -> None:
    out, said = tmp_path / "router", list[str]()
    commands.train_router(lessons, PLAN, out, tmp_path / "work", base=str(llama), say=said.append)
    figures = json.loads((out / "figures.json").read_text())
    assert figures["routes"]["own_requests"]["rows"] == sum(held_out(row.request) for row in ROWS.requests)
    assert figures["routes"]["own_requests_calibration_half_unseen"]["rows"] > 0
    assert json.loads((out / "router.json").read_text())["temperature"] > 0
    assert any(text.startswith("max_error has") for text in said)
    commands.train_edges(lessons, PLAN, out, tmp_path / "edges", experts=["math", "law"], say=said.append)
    router = OctopusRouter.from_pretrained(out)
    assert router.engine.adapters == ["law", "math"]
    assert router.calibration
    assert router.calibration.path
    figures = json.loads((out / "figures.json").read_text())
    assert set(figures["paths"]["with_edge_adapters"]) == {"first_hop", "later_hop", "end", "path"}
    assert set(figures["edges"]) == {"math", "law"}
    assert not list(out.rglob(".*"))
    assert not list(out.rglob("training.json"))
    assert "in `edges/` the edge adapters of 2 of its 2 experts" in (out / "README.md").read_text()


@pytest.mark.usefixtures("at_once")
def test_a_finished_router_is_calibrated_as_at_the_end_of_its_training(
    llama: Path, tmp_path: Path, lessons: commands.Lessons
) -> None:
    out, work, said = tmp_path / "router", tmp_path / "calibration", list[str]()
    commands.train_all(lessons, PLAN, out, tmp_path / "work", base=str(llama), say=silent)
    trained = files(out)
    (out / "calibration.json").unlink()
    card = json.loads((out / "router.json").read_text())
    (out / "router.json").write_text(json.dumps({**card, "temperature": 4.0}))
    figures = json.loads((out / "figures.json").read_text())
    (out / "figures.json").write_text(json.dumps({"training": figures["training"], "edges": figures["edges"]}))

    commands.calibrate_router(lessons, out, work, say=said.append)

    made = files(out)
    assert {name for name, content in made.items() if content != trained.get(name)} <= {"figures.json", "README.md"}
    assert set(made) == set(trained)
    again = json.loads((out / "figures.json").read_text())
    assert again == {name: value for name, value in figures.items() if name != "data"}
    assert said[-1] == "The router in router is calibrated."


@pytest.mark.usefixtures("at_once")
def test_a_router_without_edges_has_no_whole_paths_to_measure(
    llama: Path, tmp_path: Path, lessons: commands.Lessons
) -> None:
    out = tmp_path / "router"
    commands.train_all(lessons, PLAN, out, tmp_path / "work", base=str(llama), say=silent)
    shutil.rmtree(out / "edges")
    kept = json.loads((out / "figures.json").read_text())
    (out / "figures.json").write_text(json.dumps({name: kept[name] for name in ("training", "data")}))
    commands.calibrate_router(lessons, out, tmp_path / "calibration", say=silent)
    calibration = read_calibration(out)
    assert calibration
    assert calibration.hop
    assert calibration.path == ()
    assert "paths" not in json.loads((out / "figures.json").read_text())


@pytest.mark.usefixtures("at_once")
def test_a_calibration_that_is_stopped_leaves_the_router_as_it_was(
    llama: Path, tmp_path: Path, lessons: commands.Lessons, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "router"
    commands.train_all(lessons, PLAN, out, tmp_path / "work", base=str(llama), say=silent)
    before = files(out)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(finish, "walk_paths", killed)
    with pytest.raises(KeyboardInterrupt):
        commands.calibrate_router(lessons, out, tmp_path / "calibration", say=silent)
    assert files(out) == before


def test_rows_of_other_experts_calibrate_nothing(
    router_folder: Path, tmp_path: Path, lessons: commands.Lessons
) -> None:
    before = files(router_folder)
    strangers = replace(lessons, experts=("math", "nobody"))
    with pytest.raises(UnknownExpertError, match="nobody"):
        commands.calibrate_router(strangers, router_folder, tmp_path / "calibration", say=silent)
    with pytest.raises(AdapterError, match=r"router\.json is broken"):
        commands.calibrate_router(lessons, tmp_path / "nowhere", tmp_path / "calibration", say=silent)
    assert files(router_folder) == before


@pytest.mark.usefixtures("at_once")
def test_a_router_and_its_edges_are_published_together(
    llama: Path, tmp_path: Path, lessons: commands.Lessons, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, published = tmp_path / "router", list[dict[str, bytes]]()

    def publish(fresh: Path, place: Path) -> None:
        assert place == out
        published.append(files(fresh))

    monkeypatch.setattr(commands, "publish", publish)
    commands.train_all(lessons, PLAN, out, tmp_path / "work", base=str(llama), say=silent)
    assert len(published) == 1
    assert {"README.md", "calibration.json", "edges/law/adapter_config.json"} <= set(published[0])


@pytest.mark.usefixtures("at_once")
def test_edges_that_cannot_be_finished_leave_the_router_as_it_was(
    llama: Path, tmp_path: Path, lessons: commands.Lessons, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, work = tmp_path / "router", tmp_path / "work"
    commands.train_all(lessons, PLAN, out, work, base=str(llama), say=silent)
    before = files(out)
    calls: list[int] = []

    def killed(*_: Any, **__: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return {"train_runtime": 1.0, "train_loss": 1.0}

    monkeypatch.setattr(adapters, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        commands.train_edges(lessons, PLAN, out, tmp_path / "edges", say=silent)
    assert files(out) == before
    commands.train_edges(lessons, PLAN, out, tmp_path / "edges", say=silent)
    assert len(calls) == 3  # the first edge was finished


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def full_for_text(self: Path, text: str, **rest: Any) -> int:
    if self.name.startswith(".figures"):
        full()
    with self.open("w", **rest) as file:
        return file.write(text)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("octopus_graph.training.adapters.save_file", full),
        ("shutil.copytree", full),
        ("pathlib.Path.write_text", full_for_text),
    ],
)
def test_a_full_disk_is_one_sentence_and_the_old_router_stays(
    llama: Path,
    tmp_path: Path,
    lessons: commands.Lessons,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    what: Callable[..., Any],
) -> None:
    out = tmp_path / "router"
    out.mkdir()
    (out / "mine.txt").write_text("the router that was here")
    with monkeypatch.context() as patch:
        patch.setattr(where, what)
        with pytest.raises(TrainingError, match=r"could not be written \(No space left on device\): make room"):
            commands.train_router(lessons, PLAN, out, tmp_path / "work", base=str(llama), say=silent)
    assert list(files(out)) == ["mine.txt"]
    commands.train_router(lessons, PLAN, out, tmp_path / "work", base=str(llama), say=silent)
    assert "router.json" in files(out)


@pytest.mark.usefixtures("at_once")
def test_a_router_a_killed_run_had_moved_away_is_back_before_the_next_trains(
    llama: Path, tmp_path: Path, lessons: commands.Lessons
) -> None:
    out = tmp_path / "router"
    commands.train_router(lessons, PLAN, out, tmp_path / "work", base=str(llama), say=silent)
    out.replace(tmp_path / ".router.old")
    commands.train_edges(lessons, PLAN, out, tmp_path / "edges", say=silent)
    assert OctopusRouter.from_pretrained(out).engine.adapters == ["law", "math"]
    assert not (tmp_path / ".router.old").exists()


def test_a_work_folder_inside_the_router_is_refused(tmp_path: Path, lessons: commands.Lessons) -> None:
    with pytest.raises(TrainingError, match="choose another"):
        commands.train_router(lessons, PLAN, tmp_path, tmp_path / "work")


def test_own_experts_keep_validation_apart_and_learn_no_commands(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    rows = [{"request": f"{expert} {n}", "expert": expert} for expert in ("billing", "support") for n in range(400)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lessons = commands.own_lessons([file])
    looked_at = {row.request for row in lessons.validation["examples"]}
    unseen = {row.request for row in lessons.unseen.requests}
    assert looked_at
    assert not looked_at & unseen
    assert 0.2 < len(looked_at) / len(looked_at | unseen) < 0.5
    assert looked_at | unseen == {str(row["request"]) for row in rows if held_out(str(row["request"]))}
    assert {row.style for row in lessons.learn.unroutable} >= {"smalltalk"}
    assert "command" not in {row.style for row in (*lessons.learn.unroutable, *lessons.unseen.unroutable)}


def test_paths_are_measured_on_single_requests_where_there_are_no_others(
    router_folder: Path, lessons: commands.Lessons
) -> None:
    router = OctopusRouter.from_pretrained(router_folder)
    alone = replace(lessons.unseen, paths=[])
    outcomes = heldout.path_outcomes(router, alone, [])
    assert len(outcomes) == len(heldout.hop_outcomes(router, heldout.scored_rows(router, alone)))
    assert all(sure == int(sure * 1e4 + 0.5) / 1e4 < 1 for sure, _ in outcomes)
