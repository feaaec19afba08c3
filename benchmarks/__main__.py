"""What a decision costs: against the bare forward pass, in memory, and from a cold process.

python -m benchmarks [--rounds 60] [--json]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

REQUESTS = {
    "short": "Tell me the result of derivative of x^3 when x is 2?",
    "long": (
        "My landlord wrote to me last week that he wants to keep the whole deposit because there are a few scratches on"
        " the kitchen floor and one of the blinds does not close any more. I lived there for six years, the floor was"
        " old when I moved in, and nobody wrote down its state back then. I have photographs from the first day. Can he"
        " do that, how long do I have to object, and should I send the photographs with the first letter?"
    ),
}
FIRST_DECISION = (
    "import time; started = time.perf_counter();"
    "from octopus_graph.router import OctopusRouter;"
    "router = OctopusRouter.from_pretrained(); router.decide('2 + 2?', rewrite='never');"
    "print(time.perf_counter() - started)"
)


def milliseconds(work: Callable[[], object]) -> float:
    """Times one call."""
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def paired(rounds: int, **kinds: Callable[[], object]) -> dict[str, float]:
    """Times several kinds of work in turns and returns the median of each in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for index in range(rounds + 3):
        for name, work in kinds.items():
            taken = milliseconds(work)
            if index >= 3:  # the first rounds warm up
                times[name].append(taken)
    return {name: statistics.median(values) for name, values in times.items()}


def decisions(rounds: int) -> dict[str, object]:
    """Measures a decision beside the bare forward pass over the same tokens."""
    import torch

    from octopus_graph.engines.text import encode
    from octopus_graph.router import OctopusRouter

    router = OctopusRouter.from_pretrained()
    base, tokenizer = router.engine.base  # type: ignore[attr-defined]
    figures: dict[str, object] = {"revision": router.revision, "threads": torch.get_num_threads()}
    for name, request in REQUESTS.items():
        ids = torch.tensor([encode(tokenizer, router.codec.prompt(request))])

        def bare(ids: torch.Tensor = ids) -> None:
            with torch.inference_mode():
                base(ids, use_cache=False, logits_to_keep=1)

        def decide(request: str = request) -> None:
            router.decide(request, rewrite="never")

        medians = paired(rounds, bare=bare, decide=decide)
        figures[name] = {
            "tokens": ids.shape[1],
            "bare_forward_p50_ms": round(medians["bare"], 1),
            "decide_p50_ms": round(medians["decide"], 1),
            "ratio": round(medians["decide"] / medians["bare"], 3),
        }
    batch = [f"{text} ({index})" for index in range(32) for text in REQUESTS.values()]
    figures["batch_ms_per_decision"] = round(milliseconds(lambda: router.decide_many(batch)) / len(batch), 1)
    rewritten = router.decide(REQUESTS["short"], rewrite="always")
    figures["rewrite_ms"] = round(rewritten.rewrite_ms)
    return figures


def processes() -> dict[str, object]:
    """Measures whole processes: a second start to its first decision, and the memory of `octopus-graph route`."""
    starts = [
        float(subprocess.run([sys.executable, "-c", FIRST_DECISION], check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    command = [sys.executable, "-m", "octopus_graph", "route", REQUESTS["short"], "--json"]
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    wall = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # kB on Linux; the largest child
    return {
        "start_to_first_decision_s": round(statistics.median(starts), 2),
        "route_command_s": round(wall, 2),
        "route_peak_rss_mb": round(peak),
    }


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What a decision costs.")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    # Processes first: what this one loads would count as the largest child's memory otherwise.
    figures = {"processes": processes(), "decisions": decisions(arguments.rounds)}
    if arguments.json:
        print(json.dumps(figures))
        return
    for group, values in figures.items():
        print(group)
        for name, value in values.items():
            print(f"  {name:28} {value}")


if __name__ == "__main__":
    main()
