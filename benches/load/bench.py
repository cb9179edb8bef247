#!/usr/bin/env -S python3 -B
"""Side by side over loopback: direct, sidecar, nginx; first before a fast origin, then before the real functions on Deno.

Targets take turns in every round, so that a slow moment of the machine meets all; the round with the least CPU counts.
BENCH_SECONDS (1) is the length of one run of wrk, BENCH_ROUNDS (3) the number of rounds.
"""

import http.client
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import report  # noqa: E402
from children import HOST, Child, Failed, build_sidecar  # noqa: E402
from latency import RATE, open_loop  # noqa: E402
from measure import Sample, load, rss_mib  # noqa: E402
from targets import Bench, Targets  # noqa: E402

SECONDS = int(os.environ.get("BENCH_SECONDS", "1"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))


@dataclass(frozen=True)
class Case:
    """One kind of request, what the sidecar must say to it, and who answers it without the origin."""

    name: str
    path: str
    mode: str  # of load.lua
    header: str = ""
    expected: str = ""
    without_origin: tuple[str, ...] = ()


CACHED = ("sidecar", "nginx")
FAST = [
    Case("cached GET 1 KB", "/functions/v1/cached", "get", "x-cache", "HIT", CACHED),
    Case("pass GET 1 KB", "/functions/v1/plain", "get"),
    Case("pass POST 500 B", "/functions/v1/plain", "post"),
    Case("webhook, new (nginx: passes it)", "/functions/v1/wa-webhook-core", "new", "x-dedup", "NEW"),
    Case("webhook, repeat (nginx: passes it)", "/functions/v1/wa-webhook-core", "repeat", "x-dedup", "DUPLICATE", ("sidecar",)),
]
REAL = [
    Case("Deno: profile", "/functions/v1/profile", "get", "x-cache", "HIT", CACHED),
    Case("Deno: webhook of 40 ms, new", "/functions/v1/wa-webhook-core", "new", "x-dedup", "NEW"),
    Case("Deno: webhook of 40 ms, repeat", "/functions/v1/wa-webhook-core", "repeat", "x-dedup", "DUPLICATE", ("sidecar",)),
]


def ask(port: int, case: Case, run: str) -> http.client.HTTPResponse:
    """One request as wrk sends them."""
    client = http.client.HTTPConnection(HOST, port, timeout=10)
    body = None
    if case.mode != "get":
        message = {"new": f'"id":"wamid.{run}.probe"', "repeat": f'"id":"wamid.REPEATED{run}"'}.get(case.mode, "")
        value = '{"metadata":{"phone_number_id":"100000000000001"},"messages":[{"from":"15550001111",%s,"type":"text"}]}' % message
        entry = '[{"id":"100000000000002","changes":[{"value":%s,"field":"messages"}]}]' % value
        body = '{"object":"whatsapp_business_account","entry":%s}' % entry if message else "{}"
    headers = {"authorization": "Bearer bench-caller", "content-type": "application/json"}
    client.request("POST" if body else "GET", case.path, body, headers)
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer


def prepare(targets: Targets, case: Case, run: str) -> None:
    """Fills caches and ids by asking twice, and makes sure that the case is what its name says."""
    for name, port in targets.ports.items():
        answers = [ask(port, case, f"{run}{number if case.mode == 'new' else ''}") for number in range(2)]
        if answers[-1].status != 200:
            raise Failed(f"{case.name}: {name} answered {answers[-1].status}")
        got = answers[-1].headers.get(case.header, "") if case.header else ""
        if name == "sidecar" and got != case.expected:
            raise Failed(f"{case.name}: the sidecar answered {case.header}: {got or 'nothing'}, not {case.expected}")


def run_case(targets: Targets, case: Case, seconds: int, rounds: int) -> dict:
    """The best sample of each target."""
    run = f"{time.time_ns():x}"
    prepare(targets, case, run)
    samples: dict[str, list[Sample]] = {name: [] for name in targets.ports}
    for number in range(rounds):
        for name, port in targets.ports.items():
            # A repeat is the message that was prepared; a new one must be new to every target and in every round.
            this_run = run if case.mode == "repeat" else f"{run}-{number}-{name}"
            url = f"http://{HOST}:{port}{case.path}"
            sample = load(url, case.mode, this_run, seconds, targets.processes[name].pid, targets.origin.pid)
            check_origin(case, name, sample)
            samples[name].append(sample)
    best = {name: min(taken, key=lambda sample: sample.cpu_us) for name, taken in samples.items()}
    return {"name": case.name, "results": [report.result(name, sample) for name, sample in best.items()]}


def check_origin(case: Case, name: str, sample: Sample) -> None:
    """The CPU of the origin (3 us a request and more) tells whether requests reached it: they must have, or must not."""
    reached = sample.origin_cpu_us > 1
    if reached == (name in case.without_origin):
        raise Failed(f"{case.name}: requests to {name} {'reached' if reached else 'did not reach'} the origin")


def added_latency(targets: Targets, path: str, name: str) -> dict:
    """At a low, steady rate, where nobody waits for a busy core."""
    times = open_loop(targets.ports, path, 3 * SECONDS)
    return {"name": name, "results": [report.result_of_times(target, values, RATE) for target, values in times.items()]}


def measure(bench: Bench, suites: list[dict], memory: dict[str, float]) -> None:
    """All suites, each printed as soon as it is there."""

    def add(suite: dict) -> None:
        suites.append(suite)
        report.print_suite(suite)

    bench.start()
    targets = bench.before_origin()
    proxy = targets.processes["sidecar"]
    memory["sidecarIdle"], memory["nginxIdle"] = rss_mib(proxy.pid), rss_mib(bench.peer.pid)
    print(report.HEADING, flush=True)
    for case in FAST:
        add(run_case(targets, case, SECONDS, ROUNDS))
    add(added_latency(targets, "/functions/v1/plain", f"pass GET 1 KB at {RATE} requests/s"))
    memory["sidecarAfter"], memory["nginxAfter"] = rss_mib(proxy.pid), rss_mib(bench.peer.pid)
    end_cleanly(proxy)

    targets = bench.before_functions()
    for case in REAL:
        add(run_case(targets, case, 2 * SECONDS, 1))
    end_cleanly(targets.processes["sidecar"])


def end_cleanly(child: Child) -> None:
    if (code := child.end(10)) != 0:
        raise Failed(f"the sidecar ended with {code} (log: {child.log})")


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    signal.signal(signal.SIGTERM, interrupt)
    began, bench = time.monotonic(), Bench()
    suites: list[dict] = []
    memory: dict[str, float] = {}
    try:
        if not sys.platform.startswith("linux"):
            raise Failed("the bench reads /proc: it needs Linux")
        if (hot := report.criterion_suite(time.time() - 1800)) is not None:
            suites.append(hot)
        build_sidecar()
        measure(bench, suites, memory)
    except (Failed, OSError, http.client.HTTPException) as problem:
        print(f"failed: {problem}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        bench.end()
    report.write(suites, memory, began)
    print("\nRSS in MiB: " + ", ".join(f"{name} {value:.1f}" for name, value in memory.items()))
    print(f"{time.monotonic() - began:.0f} s; all figures: {report.RESULTS.relative_to(report.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
