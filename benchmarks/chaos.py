"""What is left of runs when workers, Redis and the line between them fail in the middle of them.

    python -m benchmarks.chaos --kills 50 --restarts 10 --freezes 3 --stalls 5 --partitions 5

Each run asks three experts one after the other, over HTTP. The expert server is no part of the project: it numbers its
answers and notes who asked under which idempotency key. After each fault the run is waited for, and looked at:

    lost      it did not come to its end
    doubled   an answer stands twice in the thread, or one is missing
    rerun     an expert was asked after the checkpoint with its answer was written, or under a second key

An expert whose answer was still on its way when its worker died is asked again under the same key: that is what the key
is for. Such calls are counted as asked again, and those of them whose answer had left the expert by then as unrecorded.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.chaos_graph import PATH
from benchmarks.chaos_parts import Experts, Valkey, Wire, WorkerProcess, until
from octopus_graph.persistence import Link, RedisSaver
from octopus_graph.runs import Run, RunQueue

THINKING = 0.2  # seconds an expert needs
PATIENCE = 90.0  # seconds after which a run counts as lost


@dataclass
class Tally:
    """What became of the runs of one kind of fault."""

    fault: str
    faults: int = 0
    lost: int = 0
    doubled: int = 0
    rerun: int = 0
    calls: int = 0
    keys: int = 0
    asked_again: int = 0
    unrecorded: int = 0
    slowest: float = 0.0

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.rerun)


class Stage:
    """Valkey, experts, workers and a queue."""

    def __init__(self, folder: Path, stack: ExitStack, lease: float, graph: str) -> None:
        self.folder = folder
        self.graph = graph
        self.lease = lease
        self.experts = Experts(THINKING)
        stack.callback(self.experts.close)
        self.valkey = Valkey(folder / "valkey")
        stack.callback(self.valkey.kill)
        self.saver = RedisSaver(Link(f"redis://127.0.0.1:{self.valkey.port}", patience=60))
        stack.callback(self.saver.close)
        self.queue = RunQueue(self.saver)
        self.workers: list[WorkerProcess] = []
        stack.callback(self.send_home)

    def keep(self, count: int, *, wired: bool = False) -> None:
        """Sees to it that some workers live, and two are ready: one that dies, and one that takes over."""
        self.workers = [one for one in self.workers if one.alive]
        for _ in range(count - len(self.workers)):
            wire = Wire(self.valkey.port) if wired else None
            self.workers.append(
                WorkerProcess(self.valkey.port, self.experts.url, self.lease, self.folder, self.graph, wire)
            )
        until(lambda: sum(one.ready for one in self.workers) >= 2, "the workers")

    def send_home(self) -> None:
        for one in self.workers:
            if one.wire:
                one.wire.mend()
            one.process.terminate()
        for one in self.workers:
            code = one.process.wait(60)
            if code not in (0, -9, 143):  # 143: told to end before it was ready
                sys.stderr.write(f"a worker ended with {code}:\n{one.log.read_text()[-2000:]}\n")
            if one.wire:
                one.wire.close()
        self.workers = []

    def begin(self) -> str:
        """Submits a run, and returns once a worker has it."""
        plan = uuid4().hex
        run = self.queue.submit(plan, f"Make the plan {plan} for me, please")
        until(lambda: self.queue.status(run).status != "queued", "a worker to take the run")
        return run

    def holder(self, run: str) -> WorkerProcess | None:
        """Finds the worker that has a run."""
        name = self.queue.status(run).worker
        return next((one for one in self.workers if name and name.endswith(f":{one.process.pid}")), None)

    def examine(self, run: str, tally: Tally, at: float = 0.0) -> Run | None:
        """Waits for a run that suffered a fault at some moment, and looks at what it left."""
        started = time.monotonic()
        try:
            found = self.queue.wait(run, PATIENCE)
        except TimeoutError:
            tally.lost += 1
            return None
        tally.slowest = max(tally.slowest, round(time.monotonic() - started, 2))
        if found.status != "done":
            tally.lost += 1
            return found
        config: Any = {"configurable": {"thread_id": found.thread}}
        steps = list(self.saver.list({"configurable": {**config["configurable"], "checkpoint_ns": ""}}))
        values = steps[0].checkpoint["channel_values"]
        answers = [message.content for message in values["messages"] if message.type == "tool"]
        hops = [hop["expert"] for hop in values["hops"]]
        calls = [call for call in self.experts.calls if call.plan == found.thread]
        given = {call.answer for call in calls}
        if hops != list(PATH) or len(answers) != len(PATH) or len(set(answers)) != len(PATH) or set(answers) - given:
            tally.doubled += 1
        recorded: dict[str, float] = {}
        for step in reversed(steps):  # the oldest first
            for hop in step.checkpoint["channel_values"].get("hops", []):
                recorded.setdefault(hop["expert"], datetime.fromisoformat(step.checkpoint["ts"]).timestamp())
        keys = {(call.expert, call.key) for call in calls}
        late = sum(call.came > recorded.get(call.expert, float("inf")) for call in calls)
        tally.rerun += late + len(keys) - len(PATH) + sum(not call.key for call in calls)
        tally.calls += len(calls)
        tally.keys += len(keys)
        tally.asked_again += len(calls) - len(keys)
        again = {key for key, times in Counter(call.key for call in calls).items() if times > 1}
        tally.unrecorded += sum(call.key in again and 0 < call.answered < at for call in calls)
        return found


def kill_workers(stage: Stage, times: int) -> Tally:
    tally = Tally("kill -9 of the worker")
    while tally.faults < times:
        stage.keep(3)
        run = stage.begin()
        time.sleep(random.uniform(0, 1.2))  # a run takes about as long
        if (holder := stage.holder(run)) is None:  # it was over before
            stage.examine(run, Tally("none"))
            continue
        at = time.time()
        holder.kill()
        found = stage.examine(run, tally, at)
        tally.faults += found is None or found.attempts > 1
    return tally


def restart_redis(stage: Stage, times: int) -> Tally:
    def fault(_: WorkerProcess) -> None:
        stage.valkey.kill()
        time.sleep(random.uniform(0.2, 2.0))
        stage.valkey.start()

    return _break(stage, Tally("kill -9 of Redis, and restart"), times, fault)


def freeze_redis(stage: Stage, times: int, seconds: float = 10.0) -> Tally:
    def fault(_: WorkerProcess) -> None:
        stage.valkey.freeze()
        time.sleep(seconds)
        stage.valkey.thaw()

    return _break(stage, Tally(f"SIGSTOP of Redis for {seconds:g} s"), times, fault)


def stall_worker(stage: Stage, times: int, seconds: float = 10.0) -> Tally:
    """Freezes the worker that has the run; when it thaws, another one has taken over, and it does not know."""

    def fault(holder: WorkerProcess) -> None:
        holder.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        holder.process.send_signal(signal.SIGCONT)

    return _break(stage, Tally(f"SIGSTOP of the worker for {seconds:g} s"), times, fault)


def cut_line(stage: Stage, times: int, seconds: float = 10.0) -> Tally:
    """Cuts off the worker that has the run; another one takes over while it still lives."""
    stage.send_home()

    def fault(holder: WorkerProcess) -> None:
        assert holder.wire
        holder.wire.cut()
        time.sleep(seconds)
        holder.wire.mend()

    return _break(stage, Tally(f"partition for {seconds:g} s"), times, fault, wired=True)


def _break(
    stage: Stage, tally: Tally, times: int, fault: Callable[[WorkerProcess], None], *, wired: bool = False
) -> Tally:
    while tally.faults < times:
        stage.keep(2, wired=wired)
        run = stage.begin()
        time.sleep(random.uniform(0, 1.0))
        if (holder := stage.holder(run)) is None:
            stage.examine(run, Tally("none"))
            continue
        at = time.time()
        fault(holder)
        stage.examine(run, tally, at)
        tally.faults += 1
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("kills", "restarts", "freezes", "stalls", "partitions"):
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--lease", type=float, default=2.0)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long freezes and partitions last")
    parser.add_argument("--graph", default="benchmarks.chaos_graph:build", help="what the workers walk")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    seed = chosen.seed if chosen.seed is not None else int.from_bytes(os.urandom(4))
    random.seed(seed)
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        stage = Stage(Path(folder), stack, chosen.lease, chosen.graph)
        for times, scene in (
            (chosen.kills, kill_workers),
            (chosen.restarts, restart_redis),
            (chosen.freezes, lambda stage, times: freeze_redis(stage, times, chosen.seconds)),
            (chosen.stalls, lambda stage, times: stall_worker(stage, times, chosen.seconds)),
            (chosen.partitions, lambda stage, times: cut_line(stage, times, chosen.seconds)),
        ):
            if times:
                tallies.append(scene(stage, times))
                if not chosen.json:
                    print(_line(tallies[-1]), flush=True)
        refused = Counter(word for one in Path(folder).glob("worker-*.log") for word in _signs(one.read_text()))
    if chosen.json:
        print(json.dumps({"seed": seed, "refused": refused, "tallies": [asdict(one) for one in tallies]}))
    else:
        print(f"workers' logs: {dict(refused)}; seed {seed}")
    return 0 if all(one.clean for one in tallies) else 1


def _signs(log: str) -> list[str]:
    return [word for word in ("no longer holds", "left to whoever", "handed back") for _ in range(log.count(word))]


def _line(tally: Tally) -> str:
    return (
        f"{tally.fault}: {tally.faults} times; runs lost {tally.lost}, answers doubled {tally.doubled}, finished nodes"
        f" rerun {tally.rerun}; {tally.calls} calls under {tally.keys} keys, {tally.asked_again} asked again under the"
        f" same key, {tally.unrecorded} of them answered but unrecorded; slowest {tally.slowest:.1f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
