"""Child processes on loopback: start, wait until they answer, end. Shared by the demo and the bench."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"


class Failed(Exception):
    """Something did not work; the text is for the person at the terminal."""


def sidecar_binary() -> Path:
    """The release build, or what SIDECAR_BIN names."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(os.environ.get("SIDECAR_BIN", target / "release" / "edge-sidecar"))


def build_sidecar() -> None:
    """`cargo build --release`, unless SIDECAR_BIN names a binary."""
    if "SIDECAR_BIN" in os.environ:
        return
    path = os.environ["PATH"] + os.pathsep + str(Path.home() / ".cargo" / "bin")
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    build = subprocess.run(["cargo", "build", "--release", "--locked", *quiet], cwd=ROOT, env={**os.environ, "PATH": path})
    if build.returncode != 0:
        raise Failed("the sidecar does not build: see above")


def is_free(port: int) -> bool:
    """Whether a port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Different ports that nobody uses now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind((HOST, 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def status_of(port: int, path: str) -> int | None:
    """The status of a GET, or None where nobody answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Child:
    """A process with its own log file, in a session of its own, so that Ctrl-C reaches it through us alone."""

    def __init__(self, name: str, command: list, log: Path, env: dict[str, str] | None = None, stop: signal.Signals = signal.SIGTERM):
        self.name = name
        self.stop = stop
        self.log = log
        try:
            with log.open("wb") as out:
                self.process = subprocess.Popen(
                    [str(part) for part in command],
                    cwd=ROOT,
                    env={**os.environ, **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise Failed(f"{name} does not start: {error}") from error

    @property
    def pid(self) -> int:
        return self.process.pid

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def last_words(self) -> str:
        """How it ended, and the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join([f"{self.name} ended with {self.process.returncode} (log: {self.log})", *lines])

    def wait_until(self, port: int, path: str, seconds: float = 15) -> None:
        """Returns when GET `path` is 200; fails when the process ends or the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.has_ended():
                raise Failed(self.last_words())
            if (status := status_of(port, path)) == 200:
                return
            time.sleep(0.02)
        raise Failed(f"{self.name}: {path} on port {port} was not 200 within {seconds:.0f} s, last {status} (log: {self.log})")

    def terminate(self) -> None:
        if not self.has_ended():
            self.process.send_signal(self.stop)

    def end(self, seconds: float = 40) -> int:
        """Its signal to stop, and SIGKILL when that did not end it in time. Answers the exit code."""
        self.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            return self.process.wait()


def functions(port: int, log: Path, pin: Sequence[str] = ()) -> Child:
    """The edge functions of tests/functions on the real Deno; they answer when this returns. `pin` goes before the command."""
    child = Child("functions", [*pin, ROOT / "tests" / "functions" / "serve"], log, {"PORT": str(port), "HOST": HOST})
    try:
        child.wait_until(port, "/_internal/health")
    except BaseException:
        child.end(1)
        raise
    return child


def sidecar(
    config: Path, upstream: int, port: int, admin: int, run_dir: Path, pin: Sequence[str] = ()
) -> Child:
    """The sidecar in front of the port `upstream`; it is ready when this returns. Log and admin socket are in `run_dir`."""
    # Relative, because the path of a Unix socket has room for 107 bytes.
    admin_socket = (run_dir / "admin.sock").relative_to(ROOT)
    command = [*pin, sidecar_binary(), "run", "--config", config, "--upstream", f"http://{HOST}:{upstream}"]
    command += ["--listen", f"{HOST}:{port}", "--admin-address", f"{HOST}:{admin}", "--admin-socket", admin_socket]
    # SIGINT: it finishes what runs, but need not tell anybody first that it goes away.
    child = Child("sidecar", command, run_dir / "sidecar.log", stop=signal.SIGINT)
    try:
        child.wait_until(admin, "/readyz")
    except BaseException:
        child.end(1)
        raise
    return child
