"""What is measured: an origin, nginx in front of it, the sidecar in front of it. All on loopback, all ended by their process ids."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from children import ROOT, Child, free_ports, functions, sidecar
from measure import core_of_origin, core_of_target

HERE = Path(__file__).resolve().parent
RUN = ROOT / ".run" / "bench"
ANSWER = '{"data":"' + "x" * 1013 + '"}'  # 1 KB
LARGE = '{"data":"' + "x" * 65525 + '"}'  # 64 KB


@dataclass
class Targets:
    """Ports and processes of one stage: an origin and the ways to it."""

    origin: Child
    ports: dict[str, int]
    processes: dict[str, Child]


@dataclass
class Bench:
    """Everything that was started, in order."""

    children: list[Child] = field(default_factory=list)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        """The fast origin, and nginx in front of it and of the functions."""
        shutil.rmtree(RUN, ignore_errors=True)
        names = ["ORIGIN", "FUNCTIONS", "TO_ORIGIN", "TO_FUNCTIONS", "SIDECAR", "ADMIN"]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.origin = self.nginx("origin", "origin.conf", core_of_origin(), "ORIGIN")
        self.peer = self.nginx("nginx", "nginx.conf", core_of_target(), "TO_ORIGIN")

    def nginx(self, name: str, template: str, pin: list[str], port: str) -> Child:
        """An nginx of our own: own folder, own configuration, no root needed."""
        prefix = RUN / name
        (prefix / "tmp").mkdir(parents=True)
        (prefix / "large").write_text(LARGE)
        values = {key: str(value) for key, value in self.ports.items()}
        # A worker must be able to read our folder: as root it would otherwise change to another user.
        values |= {"USER": "user root;" if os.geteuid() == 0 else "", "ANSWER": ANSWER, "CACHE": str(prefix / "cache")}
        values["LARGE"] = str(prefix / "large")
        text = (HERE / template).read_text()
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        (prefix / template).write_text(text)
        binary = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin") or "nginx"
        child = Child(name, [*pin, binary, "-e", "stderr", "-p", f"{prefix}/", "-c", prefix / template], prefix / "log")
        self.children.append(child)
        child.wait_until(self.ports[port], "/functions/v1/plain")
        return child

    def sidecar(self, upstream: str) -> Child:
        """The sidecar in front of the origin or of the functions."""
        folder = RUN / f"sidecar-{upstream.lower()}"
        folder.mkdir()
        ports = (self.ports[upstream], self.ports["SIDECAR"], self.ports["ADMIN"])
        child = sidecar(HERE / "sidecar.yaml", *ports, folder, pin=core_of_target())
        self.children.append(child)
        return child

    def before_origin(self) -> Targets:
        """Three ways to the fast origin."""
        proxy = self.sidecar("ORIGIN")
        ports = {"direct": self.ports["ORIGIN"], "sidecar": self.ports["SIDECAR"], "nginx": self.ports["TO_ORIGIN"]}
        processes = {"direct": self.origin, "sidecar": proxy, "nginx": self.peer}
        return Targets(self.origin, ports, processes)

    def before_functions(self) -> Targets:
        """Three ways to the real functions, on Deno."""
        deno = functions(self.ports["FUNCTIONS"], RUN / "functions.log", pin=core_of_origin())
        self.children.append(deno)
        proxy = self.sidecar("FUNCTIONS")
        ports = {"direct": self.ports["FUNCTIONS"], "sidecar": self.ports["SIDECAR"], "nginx": self.ports["TO_FUNCTIONS"]}
        processes = {"direct": deno, "sidecar": proxy, "nginx": self.peer}
        return Targets(deno, ports, processes)

    def end(self) -> None:
        """Ends all of them, the last started first."""
        for child in reversed(self.children):
            child.end(10)
