"""What the bench found: a table for the terminal and `coverage/benchmark-results.json`."""

import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path

from children import ROOT
from measure import Sample

RESULTS = ROOT / "coverage" / "benchmark-results.json"
HEADING = f"{'':<34} {'target':<8} {'req/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8} {'to nginx':>9}"


def result(name: str, sample: Sample) -> dict:
    """A sample under the names of the results file. The CPU of `direct` would be that of the origin, so it has none."""
    fields = {
        "name": name,
        "avgMs": sample.avg_ms,
        "p50Ms": sample.p50_ms,
        "p90Ms": sample.p90_ms,
        "p99Ms": sample.p99_ms,
        "opsPerSecond": sample.ops_per_second,
    }
    return fields if name == "direct" else {**fields, "cpuUs": sample.cpu_us}


def result_of_times(name: str, times: list[float], ops_per_second: float | None = None) -> dict:
    """The same from sorted single times in ms."""

    def at(share: float) -> float:
        return times[min(int(len(times) * share), len(times) - 1)]

    average = sum(times) / len(times)
    rate = ops_per_second or 1000 / average
    return {"name": name, "avgMs": average, "p50Ms": at(0.5), "p90Ms": at(0.9), "p99Ms": at(0.99), "opsPerSecond": rate}


def print_suite(suite: dict) -> None:
    """A line for each target; CPU of the sidecar as a multiple of nginx's."""
    cpu_of_nginx = next((one.get("cpuUs") for one in suite["results"] if one["name"] == "nginx"), None)
    for number, one in enumerate(suite["results"]):
        cpu = one.get("cpuUs")
        shown = f"{cpu:>8.1f}" if cpu is not None else f"{'-':>8}"
        ratio = f"{cpu / cpu_of_nginx:>8.2f}x" if cpu is not None and cpu_of_nginx and one["name"] == "sidecar" else ""
        title = suite["name"] if number == 0 else ""
        rates = f"{one['opsPerSecond']:>9.0f} {one['p50Ms']:>8.2f} {one['p99Ms']:>8.2f}"
        print(f"{title:<34} {one['name']:<8} {rates} {shown} {ratio}".rstrip(), flush=True)


def criterion_suite(newer_than: float) -> dict | None:
    """What `cargo bench` has just measured, from the files it left."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "criterion"
    results = []
    for path in sorted(folder.glob("**/new/sample.json")):
        if path.stat().st_mtime < newer_than:
            continue
        sample = json.loads(path.read_text())
        times = sorted(spent / runs / 1e6 for spent, runs in zip(sample["times"], sample["iters"], strict=True))
        name = json.loads(path.with_name("benchmark.json").read_text())["full_id"]
        results.append(result_of_times(name, times))
    return {"name": "hot paths (cargo bench)", "results": results} if results else None


def write(suites: list[dict], memory: dict[str, float], started: float) -> None:
    """The results file."""
    RESULTS.parent.mkdir(exist_ok=True)
    document = {
        "timestamp": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "totalDurationMs": round((time.monotonic() - started) * 1000),
        "suites": suites,
        "memoryMiB": memory,
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
