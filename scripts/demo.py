#!/usr/bin/env -S python3 -B
"""`make run` and `make demo`: real functions, the sidecar in front of them, and what it does shown on four requests.

    demo.py          shows it, then serves until Ctrl-C
    demo.py --once   shows it and ends: exit code 0 only if every request was answered as it must be

Ports: PORT (8080), ADMIN_PORT (9901), FUNCTIONS_PORT (9000).
"""

import http.client
import json
import os
import signal
import sys
import time
from typing import NamedTuple

from children import HOST, ROOT, Child, Failed, build_sidecar, functions, is_free, sidecar

RUN = ROOT / ".run" / "demo"
PROFILE = "/functions/v1/profile?lang=en"
WEBHOOK = "/functions/v1/wa-webhook-core"
CALLER = {"authorization": "Bearer demo-caller"}


class Ports(NamedTuple):
    """Where everything listens."""

    PORT: int
    ADMIN_PORT: int
    FUNCTIONS_PORT: int

    @classmethod
    def chosen(cls) -> "Ports":
        """From the environment; every one of them must be free."""
        usual = {"PORT": 8080, "ADMIN_PORT": 9901, "FUNCTIONS_PORT": 9000}
        taken: dict[int, str] = {}
        for name, port in usual.items():
            text = os.environ.get(name) or str(port)
            if not text.isdecimal() or not 1 <= int(text) <= 65535:
                raise Failed(f"{name}={text} is not a port")
            port = int(text)
            if port in taken:
                raise Failed(f"{name} and {taken[port]} are both {port}: give them different ports")
            if not is_free(port):
                other = port + 10000 if port < 50000 else port - 10000
                raise Failed(f"port {port} is in use. Choose another by {name}, for example: make run {name}={other}")
            taken[port] = name
        return cls(*taken)


class Step(NamedTuple):
    """One request of the demo, and what must come of it."""

    method: str
    path: str
    header: str
    expected: str
    runs: int  # how often the function has run after it


def webhook_body(message_id: str) -> bytes:
    """A text message, as WhatsApp sends it."""
    message = {"from": "15550001111", "id": message_id, "timestamp": "1750000000", "type": "text", "text": {"body": "Hello"}}
    metadata = {"display_phone_number": "15550002222", "phone_number_id": "100000000000001"}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "messages": [message]}
    entry = [{"id": "100000000000002", "changes": [{"value": value, "field": "messages"}]}]
    return json.dumps({"object": "whatsapp_business_account", "entry": entry}, separators=(",", ":")).encode()


def colour(code: str, text: str) -> str:
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\033[{code}m{text}\033[0m"


def say(text: str = "") -> None:
    print(text, flush=True)


def show(ports: Ports) -> bool:
    """Sends the four requests and prints a line for each. Answers whether all went as they must."""
    message_id = f"wamid.DEMO{time.time_ns()}"
    (RUN / "webhook.json").write_bytes(webhook_body(message_id))
    steps = [
        Step("GET", PROFILE, "x-cache", "MISS", 1),
        Step("GET", PROFILE, "x-cache", "HIT", 1),
        Step("POST", WEBHOOK, "x-dedup", "NEW", 1),
        Step("POST", WEBHOOK, "x-dedup", "DUPLICATE", 1),
    ]
    say(f"{'request':<40} {'answer':<11} {'time':>9}   function ran")
    client = http.client.HTTPConnection(HOST, ports.PORT, timeout=10)
    good = [run_step(client, ports, step, message_id) for step in steps]
    client.close()
    return all(good)


def run_step(client: http.client.HTTPConnection, ports: Ports, step: Step, message_id: str) -> bool:
    """One request and its line."""
    body, headers = None, CALLER
    if step.method == "POST":
        body, headers = webhook_body(message_id), {"content-type": "application/json"}
    start = time.perf_counter()
    client.request(step.method, step.path, body, headers)
    answer = client.getresponse()
    answer.read()
    milliseconds = (time.perf_counter() - start) * 1000

    got = answer.headers.get(step.header, f"no {step.header}")
    runs = runs_of(ports, step, message_id)
    good = answer.status == 200 and got == step.expected and runs == step.runs
    line = f"{step.method + ' ' + step.path:<40} {colour('32' if good else '31', f'{got:<11}')} {milliseconds:>6.1f} ms   {times(runs)}"
    say(line if good else f"{line}   <- must be 200, {step.expected}, {times(step.runs)}; status {answer.status}")
    return good


def runs_of(ports: Ports, step: Step, message_id: str) -> int:
    """How often the function ran, by its own count."""
    functions_door = http.client.HTTPConnection(HOST, ports.FUNCTIONS_PORT, timeout=5)
    functions_door.request("GET", "/_internal/counters")
    counters = json.loads(functions_door.getresponse().read())
    functions_door.close()
    if step.method == "POST":
        return counters["webhooks"]["processed"].get(message_id, 0)
    return counters["invocations"].get("profile", 0)


def times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def next_steps(ports: Ports) -> str:
    """What to try and where to look."""
    site, admin = f"http://{HOST}:{ports.PORT}", f"http://{HOST}:{ports.ADMIN_PORT}"
    run = RUN.relative_to(ROOT)
    return f"""
Try it
  curl -i -H 'Authorization: Bearer me' '{site}{PROFILE}'
  curl -i -H 'Content-Type: application/json' -d @{run}/webhook.json {site}{WEBHOOK}
Look
  curl -s {admin}/metrics | jq .cache.profile.hitRate
  curl -s '{admin}/metrics?format=prometheus'
  curl -s {admin}/health | jq
  curl -s --unix-socket {run}/admin.sock http://sidecar/config | jq
  tail -f {run}/sidecar.log        (access log; the functions' own: {run}/functions.log)
Edit
  config/rules.yaml                taken over within a second
  config/sidecar.yaml              taken over at the next start"""


def start(ports: Ports, children: list[Child]) -> None:
    """The functions, then the sidecar; both answer when this returns."""
    began = time.perf_counter()
    children.append(functions(ports.FUNCTIONS_PORT, RUN / "functions.log"))
    config = ROOT / "config" / "sidecar.yaml"
    children.append(sidecar(config, ports.FUNCTIONS_PORT, ports.PORT, ports.ADMIN_PORT, RUN))
    where = f"functions on port {ports.FUNCTIONS_PORT}, sidecar on {ports.PORT}, its admin on {ports.ADMIN_PORT}"
    say(f"{where}: ready in {time.perf_counter() - began:.2f} s\n")


def serve(children: list[Child]) -> None:
    """Until Ctrl-C, which raises, or until a child ends by itself."""
    say("\nServing. Ctrl-C ends it.")
    while True:
        time.sleep(0.5)
        for child in children:
            if child.has_ended():
                raise Failed(child.last_words())


def end(children: list[Child]) -> bool:
    """Ends the sidecar first, so that it can finish its requests. Answers whether all ended well."""

    def pass_on(*_: object) -> None:
        """Another Ctrl-C: the sidecar takes a second signal as "now"."""
        for child in children:
            child.terminate()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    good = True
    for child in reversed(children):
        ran = not child.has_ended()
        if child.end() != 0 and ran:
            complain(child.last_words())
            good = False
    return good


def complain(text: object) -> None:
    print(f"{colour('31', 'failed')}: {text}", file=sys.stderr, flush=True)


def run(once: bool, children: list[Child]) -> int:
    """The whole, up to the end of the children. Answers the exit code."""
    serving = False
    try:
        ports = Ports.chosen()
        RUN.mkdir(parents=True, exist_ok=True)
        build_sidecar()
        start(ports, children)
        good = show(ports)
        say(next_steps(ports))
        if once:
            say("\nAll as it must be; `make run` does the same and goes on serving." if good else "\nNot as it must be.")
            return 0 if good else 1
        serving = True
        serve(children)
    except KeyboardInterrupt:
        say("\nfinishing what runs (Ctrl-C again: at once) ...")
        return 0 if serving else 130
    except (Failed, OSError, http.client.HTTPException) as problem:
        complain(problem)
    return 1


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    children: list[Child] = []
    code = run("--once" in sys.argv[1:], children)
    return code if end(children) else max(code, 1)


if __name__ == "__main__":
    sys.exit(main())
