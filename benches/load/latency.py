"""Latency far below saturation: an open loop that asks every target in turn within each tick, so that all meet the same machine."""

import socket
import time

from children import HOST, Failed

RATE = 200  # ticks a second; each asks every target once


class Connection:
    """One kept-alive connection and the GET it repeats."""

    def __init__(self, port: int, path: str):
        self.socket = socket.create_connection((HOST, port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()

    def ask(self) -> float:
        """Sends the GET, reads the whole answer; the time between, in ms."""
        start = time.perf_counter()
        self.socket.sendall(self.request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None)
        if length is None or not head.startswith(b"HTTP/1.1 200"):
            raise Failed(f"unexpected answer to the latency probe: {head[:200]!r}")
        missing = length - len(body)
        while missing > 0:
            missing -= len(self.receive())
        return (time.perf_counter() - start) * 1000

    def receive(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise Failed("a connection was closed under the latency probe")
        return data


def open_loop(ports: dict[str, int], path: str, seconds: float) -> dict[str, list[float]]:
    """Sorted latencies in ms of each target."""
    connections = {name: Connection(port, path) for name, port in ports.items()}
    times: dict[str, list[float]] = {name: [] for name in ports}
    start = time.monotonic()
    for tick in range(int(seconds * RATE)):
        time.sleep(max(0.0, start + tick / RATE - time.monotonic()))
        for name, connection in connections.items():
            times[name].append(connection.ask())
    for connection in connections.values():
        connection.socket.close()
    return {name: sorted(values) for name, values in times.items()}
