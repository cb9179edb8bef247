"""One measurement: load from wrk, CPU time and memory of the processes under it."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from children import Failed

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 32


def core_of_target() -> list[str]:
    """wrk and the target share a core: the target is then always busy, and its CPU a request repeats to a few per cent."""
    return pinned(-1)


def core_of_origin() -> list[str]:
    """The origin has the other one."""
    return pinned(0)


def pinned(index: int) -> list[str]:
    """The prefix of a command that pins it, where there are two cores."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[index])] if len(cores) > 1 and shutil.which("taskset") else []


def family(pid: int) -> list[int]:
    """A process and its children (nginx works in one)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(grandchild for child in children for grandchild in family(int(child)))]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children."""
    total = 0
    for member in family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def rss_mib(pid: int) -> float:
    """Resident memory of a process and its children."""
    lines = [line for member in family(pid) for line in Path(f"/proc/{member}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


@dataclass
class Sample:
    """What one run of wrk showed. Times in ms, CPU in microseconds a request."""

    requests: int
    ops_per_second: float
    avg_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    cpu_us: float
    origin_cpu_us: float


def load(url: str, mode: str, run: str, seconds: int, target: int, origin: int) -> Sample:
    """Loads `url` and reads the CPU that `target` and `origin` (process ids) used for it. Any failed request is an error."""
    command = [*core_of_target(), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(HERE / "load.lua"), url, "--", mode, run]
    before = cpu_seconds(target), cpu_seconds(origin)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    after = cpu_seconds(target), cpu_seconds(origin)
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode != 0 or not lines:
        raise Failed(f"wrk failed on {url}: {result.stderr or result.stdout}")
    seen = json.loads(lines[-1])
    if seen["refused"] or seen["broken"] or not seen["requests"]:
        raise Failed(f"{url}: of {seen['requests']} answers {seen['refused']} were not 2xx or 3xx, {seen['broken']} broke off")
    each = [(end - start) * 1e6 / seen["requests"] for start, end in zip(before, after, strict=True)]
    latencies = [seen[key] for key in ("avgMs", "p50Ms", "p90Ms", "p99Ms")]
    return Sample(seen["requests"], seen["requests"] / seen["seconds"], *latencies, cpu_us=each[0], origin_cpu_us=each[1])
