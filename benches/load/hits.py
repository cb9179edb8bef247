#!/usr/bin/env -S python3 -B
"""CPU of a hit, 1 KB and 64 KB: the sidecar beside nginx, Varnish (where it is installed) and a fixed answer from bare Pingora.

All take turns in every round, on one core with wrk; the round with the least CPU counts, and goals are told as ratios of it.
BENCH_SECONDS (2) is the length of one run of wrk, BENCH_ROUNDS (5) the number of rounds.
"""

import http.client
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from children import HOST, ROOT, Child, Failed, build_sidecar, free_ports, sidecar_binary  # noqa: E402
from measure import Sample, core_of_target, load  # noqa: E402
from targets import HERE, RUN, Bench  # noqa: E402

SECONDS = int(os.environ.get("BENCH_SECONDS", "2"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SIZES = {"1 KB": ("/functions/v1/cached", 1024), "64 KB": ("/functions/v1/cached/large", 65536)}
GOALS = {"nginx": 1.25, "varnish": 0.75, "fixed": 1.2}


@dataclass
class Hits(Bench):
    """The bench's targets and two more. `fixed` has a process for each size."""

    peers: dict[str, tuple[Child, int]] = field(default_factory=dict)

    def begin(self) -> None:
        self.start()
        proxy = self.sidecar("ORIGIN")
        self.peers = {"sidecar": (proxy, self.ports["SIDECAR"]), "nginx": (self.peer, self.ports["TO_ORIGIN"])}
        if binary := shutil.which("varnishd", path=os.environ["PATH"] + ":/usr/sbin"):
            self.peers["varnish"] = self.varnish(binary)
        else:
            print("no varnishd here (apt-get install varnish): left out")
        for name, (_, size) in SIZES.items():
            self.peers[f"fixed {name}"] = self.fixed(size)

    def varnish(self, binary: str) -> tuple[Child, int]:
        (port,), vcl = free_ports(1), RUN / "varnish.vcl"
        vcl.write_text((HERE / "varnish.vcl").read_text().replace("@ORIGIN@", str(self.ports["ORIGIN"])))
        store = ["-s", "malloc,64m", "-p", "thread_pools=1", "-j", "none", "-n", RUN / "varnish"]
        child = Child("varnish", [*core_of_target(), binary, "-F", "-a", f"{HOST}:{port}", "-f", vcl, *store], RUN / "varnish.log")
        self.children.append(child)
        child.wait_until(port, "/functions/v1/cached")
        return child, port

    def fixed(self, size: int) -> tuple[Child, int]:
        (port,) = free_ports(1)
        binary = sidecar_binary().parent / "examples" / "fixed_answer"
        child = Child("fixed", [*core_of_target(), binary, f"{HOST}:{port}", size], RUN / f"fixed-{size}.log")
        self.children.append(child)
        child.wait_until(port, "/")
        return child, port


def check(port: int, path: str, size: int) -> None:
    """Fills the cache, and makes sure that what comes is whole."""
    for _ in range(2):
        client = http.client.HTTPConnection(HOST, port, timeout=10)
        client.request("GET", path, headers={"authorization": "Bearer bench-caller"})
        answer = client.getresponse()
        length = len(answer.read())
        client.close()
        if (answer.status, length) != (200, size):
            raise Failed(f"{path} on port {port}: {answer.status} with {length} bytes, not {size}")


def run(bench: Hits, name: str, path: str, size: int) -> dict[str, Sample]:
    """The best sample of each target."""
    of_size = {key.split()[0]: peer for key, peer in bench.peers.items() if key.split(" ", 1)[1:] in ([], [name])}
    for _, port in of_size.values():
        check(port, path, size)
    samples: dict[str, list[Sample]] = {key: [] for key in of_size}
    for _ in range(ROUNDS):
        for key, (child, port) in of_size.items():
            samples[key].append(load(f"http://{HOST}:{port}{path}", "get", "0", SECONDS, child.pid, bench.origin.pid))
    return {key: min(taken, key=lambda sample: sample.cpu_us) for key, taken in samples.items()}


def build_fixed() -> None:
    if "SIDECAR_BIN" not in os.environ:
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--example", "fixed_answer"], cwd=ROOT, check=True)


def main() -> int:
    bench = Hits()
    try:
        build_sidecar()
        build_fixed()
        bench.begin()
        print(f"{'hit':<8} {'target':<8} {'CPU us':>8} {'req/s':>9}  sidecar to it (goal)")
        for name, (path, size) in SIZES.items():
            best = run(bench, name, path, size)
            for key, sample in best.items():
                ratio = best["sidecar"].cpu_us / sample.cpu_us
                goal = f"{ratio:.2f}x (<= {GOALS[key]}x){'' if ratio <= GOALS[key] else ' MISSED'}" if key in GOALS else ""
                print(f"{name:<8} {key:<8} {sample.cpu_us:>8.2f} {sample.ops_per_second:>9.0f}  {goal}", flush=True)
    except (Failed, OSError, subprocess.CalledProcessError, http.client.HTTPException) as problem:
        print(f"failed: {problem}", file=sys.stderr, flush=True)
        return 1
    finally:
        bench.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
