"""What HTTP costs: /v1/chat/completions around the bare graph, by real load tools (wrk and hey).

python -m benchmarks.http [--seconds 10] [--json]

The router follows a script and the expert echoes, so what is left is the server. The bare graph is measured in a
process of its own, on the same machine, after the loads and with nobody else at work. CPU time is what a shared machine
changes least.

hey's workers ask at the same moments, not one after the other: of 2 clients the second waits for the first, of 8 the
last for seven. One process has one thread for Python, so the graph itself makes them wait; what HTTP adds is therefore
shown over the graph asked once at a time and over the graph asked at the same moments as often, in one event loop. Load
tools and server share the cores: what the tools need is in the server's times, and not in the graph's.
"""

import argparse
import csv
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

SCRIPTED = str(Path(__file__).parents[1] / "tests" / "integration" / "server" / "scripted.py")
BODY = json.dumps({"model": "octopus", "messages": [{"role": "user", "content": "The derivative of x^3 when x is 2?"}]})
CLIENTS = (1, 16, 128)
STEADY = (2, 8)
PATH = "/v1/chat/completions"
LUA = 'wrk.method = "POST"\nwrk.headers["content-type"] = "application/json"\nwrk.body = [==[{body}]==]\n'

Figures = dict[str, float]


@contextmanager
def served() -> Generator[tuple[str, psutil.Process]]:
    """Starts the scripted server and gives its address and its process."""
    with tempfile.NamedTemporaryFile("w+") as log:
        process = subprocess.Popen([sys.executable, SCRIPTED], stderr=log)
        try:
            address = None
            while address is None and process.poll() is None:
                log.seek(0)
                address = re.search(r'"addresses": \["([^"]+)"', log.read())
            if address is None:
                sys.exit("the server did not start")
            yield f"http://{address[1]}", psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def bare(seconds: float, rate: float = 0.0, clients: int = 1) -> Figures:
    """Times the graph without a server: one run after the other, or as `at_rate` asks."""
    command = [sys.executable, SCRIPTED, "--bare", f"{seconds:g}", "--rate", f"{rate:g}", "--clients", str(clients)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def throughput(url: str, clients: int, seconds: float) -> Figures:
    """Has wrk ask as fast as it can."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA.format(body=BODY))
        script.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--latency", "--timeout", "30s"]
        said = subprocess.run(
            [*command, "-s", script.name, url + PATH], capture_output=True, text=True, check=True
        ).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"the server failed:\n{said}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate
    return {"per_second": float(rate[1]), "p50": _ms(said, "50%"), "p99": _ms(said, "99%")}


def at_rate(url: str, rate: float, clients: int, seconds: float) -> Figures:
    """Has hey ask at a steady rate."""
    command = ["hey", "-z", f"{seconds:g}s", "-c", str(clients), "-q", f"{rate / clients:g}", "-o", "csv"]
    command += ["-m", "POST", "-T", "application/json", "-d", BODY, url + PATH]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = list(csv.DictReader(said.splitlines()))
    bad = [row for row in rows if row["status-code"] != "200"]
    if bad:
        sys.exit(f"{len(bad)} of {len(rows)} requests failed: {bad[0]}")
    cuts = statistics.quantiles((float(row["response-time"]) * 1e3 for row in rows), n=100)
    return {"per_second": len(rows) / seconds, "p50": cuts[49], "p99": cuts[98]}


def costed(process: psutil.Process, seconds: float, load: Callable[[], Figures]) -> Figures:
    """Adds to a load's figures the CPU time the server took for each request, in milliseconds."""
    before = process.cpu_times()
    figures = load()
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return figures | {"cpu": spent * 1e3 / (figures["per_second"] * seconds)}


def settled(url: str) -> str:
    """Waits until the server has done what the load before has left it."""
    while "octopus_runs 0.0" not in httpx.get(f"{url}/metrics", timeout=60).text:
        time.sleep(0.05)
    return url


def measure(seconds: float) -> dict[str, Figures]:
    """Measures everything in one run."""
    with served() as (url, process):
        throughput(url, 4, 2)  # warms up
        flat_out = {n: costed(process, seconds, lambda n=n: throughput(settled(url), n, seconds)) for n in CLIENTS}
        rate = 0.8 * max(each["per_second"] for each in flat_out.values())
        steady = {n: costed(process, seconds, lambda n=n: at_rate(settled(url), rate, n, seconds)) for n in STEADY}
    alone, same = bare(seconds), {n: bare(seconds, rate, n) for n in STEADY}
    return {
        "bare graph, one after the other": alone,
        **{f"bare graph, {n} at a time, at that rate": each for n, each in same.items()},
        **{f"{n} clients, flat out": each for n, each in flat_out.items()},
        **{f"{n} clients, 80% of the most": each for n, each in steady.items()},
        "1 client, flat out, over the graph": _over(flat_out[1], alone),
        **{f"{n} clients, over the graph asked alone": _over(each, alone) for n, each in steady.items()},
        **{f"{n} clients, over the graph asked so": _over(each, same[n]) for n, each in steady.items()},
    }


def _over(figures: Figures, base: Figures) -> Figures:
    return {name: figures[name] - base[name] for name in base}


def _ms(said: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)\b", said)
    assert found
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


def _show(name: str, figures: Figures) -> None:
    rate = f"  {figures['per_second']:6.0f}/s" if "per_second" in figures else ""
    print(f"{name:42} p50 {figures['p50']:7.2f}  p99 {figures['p99']:7.2f}  CPU {figures['cpu']:6.2f} ms{rate}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for tool in ("wrk", "hey"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not installed: apt-get install wrk hey")
    figures = measure(options.seconds)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, each in figures.items():
        _show(name, each)


if __name__ == "__main__":
    main()
