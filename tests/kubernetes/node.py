"""A node: runs the Pods of the API server as processes, in the order and with the signals of the kubelet.

A container's image names its program. Its arguments, environment, probes and hooks are those of the manifest; what a mount of its own would
give it is put into them: paths of volumes, and addresses, as all Pods share one loopback. Volumes of ConfigMaps are written as the kubelet
does: each version a folder of its own, to which `..data` is swapped.
"""

import asyncio
import os
import shutil
import socket
import time

# Seconds: from look to look at the API server, and until the Service knows that a Pod ends.
SYNC = 0.2
NEWS = 0.5


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def project(folder, data):
    """Writes a volume by a swap of `..data`; True if it was not that already."""
    there = os.path.join(folder, "..data")
    names = [name for name in os.listdir(folder) if not name.startswith("..")] if os.path.isdir(folder) else []
    if os.path.isdir(there) and {name: open(os.path.join(there, name)).read() for name in names} == data:
        return False
    os.makedirs(folder, exist_ok=True)
    fresh = os.path.join(folder, f"..{time.time_ns()}")
    os.mkdir(fresh)
    for name, text in data.items():
        with open(os.path.join(fresh, name), "w") as file:
            file.write(text)
    old = os.path.realpath(there) if os.path.islink(there) else None
    os.symlink(os.path.basename(fresh), there + "_tmp")
    os.rename(there + "_tmp", there)
    for name in data:
        if name not in names:
            os.symlink(os.path.join("..data", name), os.path.join(folder, name))
    for name in set(names) - set(data):
        os.unlink(os.path.join(folder, name))
    if old:
        shutil.rmtree(old)
    return True


class Pod:
    """A Pod's folder, ports and processes."""

    def __init__(self, node, manifest):
        self.node, self.name, self.spec = node, manifest["metadata"]["name"], manifest["spec"]
        self.folder = os.path.join(node.folder, self.name)
        self.ports = {number: free_port() for number in (8080, 9901)}
        self.processes, self.ready, self.ending, self.known_until = {}, False, False, 0
        os.makedirs(self.folder)

    @property
    def namespace(self):
        return self.node.namespace

    def natives(self):
        return [c for c in self.spec.get("initContainers", []) if c.get("restartPolicy") == "Always"]

    def containers(self):
        return self.natives() + self.spec["containers"]

    def volume(self, name):
        return os.path.join(self.folder, "volumes", name)

    async def sync_volumes(self):
        for volume in self.spec.get("volumes", []):
            if "configMap" in volume:
                found = await self.node.client.get(f"{self.namespace}/configmaps/{volume['configMap']['name']}")
                if found and project(self.volume(volume["name"]), found.get("data", {})):
                    self.node.say("projected", pod=self.name, volume=volume["name"])
            else:
                os.makedirs(self.volume(volume["name"]), exist_ok=True)

    def inside(self, container):
        """How the paths of a container are found here, and the environment of all that runs in it."""

        def here(text):
            for mount in sorted(container.get("volumeMounts", []), key=lambda mount: -len(mount["mountPath"])):
                text = text.replace(mount["mountPath"] + "/", self.volume(mount["name"]) + "/")
            return text

        environment = {entry["name"]: here(entry["value"]) for entry in container.get("env", [])}
        environment |= {"PATH": f"{self.node.programs}:{os.environ['PATH']}"}
        if container["name"] == "edge-sidecar":
            environment |= {
                "EDGE_SIDECAR_LISTEN": f"127.0.0.1:{self.ports[8080]}",
                "EDGE_SIDECAR_ADMIN_ADDRESS": f"127.0.0.1:{self.ports[9901]}",
                "EDGE_SIDECAR_UPSTREAM": self.node.functions,
            }
            if any(mount["name"] == "rules" for mount in container["volumeMounts"]):
                environment["EDGE_SIDECAR_RULES"] = self.volume("rules") + "/rules.yaml"
        elif "FUNCTIONS_URL" in environment:
            environment["FUNCTIONS_URL"] = f"http://127.0.0.1:{self.ports[8080]}"
        return here, environment

    async def begin(self, container):
        here, environment = self.inside(container)
        program = os.path.join(self.node.programs, container["image"].split(":")[0])
        log = open(os.path.join(self.folder, f"{container['name']}.log"), "ab")
        args = [here(arg) for arg in container.get("args", [])]
        self.processes[container["name"]] = await asyncio.create_subprocess_exec(program, *args, env=environment, stdout=log, stderr=log)
        log.close()

    async def probe(self, container, which):
        """Whether a probe passes; one that a container does not have does."""
        get = container.get(which, {}).get("httpGet")
        if get is None:
            return True
        port = next(p["containerPort"] for p in container["ports"] if p["name"] == get["port"])
        return await self.node.client.status(f"http://127.0.0.1:{self.ports[port]}{get['path']}") == 200

    async def live(self):
        """Start to end: sidecars one by one, each until its startup probe passes, then the others together."""
        await self.sync_volumes()
        for container in self.natives():
            await self.begin(container)
            while not await self.probe(container, "startupProbe"):
                await asyncio.sleep(0.05)
        for container in self.spec["containers"]:
            await self.begin(container)
        while not self.ending:
            await self.sync_volumes()
            main = [self.processes[c["name"]].returncode for c in self.spec["containers"]]
            if self.spec.get("restartPolicy") == "Never" and None not in main:
                await self.end()
                return await self.tell("Succeeded" if not any(main) else "Failed")
            for container in self.containers():
                if self.processes[container["name"]].returncode is not None:
                    self.node.say("restarted", pod=self.name, container=container["name"])
                    await self.begin(container)
            ready = all([await self.probe(container, "readinessProbe") for container in self.containers()])
            self.ready = ready and not self.ending
            await self.tell("Running")
            await asyncio.sleep(SYNC)

    async def tell(self, phase):
        said = (phase, self.ready)
        if said != getattr(self, "said", None):
            self.said = said
            conditions = [{"type": "Ready", "status": str(self.ready and phase == "Running")}]
            await self.node.client.patch(f"{self.namespace}/pods/{self.name}", {"status": {"phase": phase, "conditions": conditions}})

    async def end(self):
        """All hooks at once; SIGTERM to each container after its own, to sidecars when the others have ended; SIGKILL after the grace."""
        self.ending, self.ready, self.known_until = True, False, time.monotonic() + NEWS if self.ready else 0
        self.node.say("ending", pod=self.name)
        natives = [container["name"] for container in self.natives()]
        hooks = {c["name"]: asyncio.create_task(self.hook(c)) for c in self.containers()}

        async def stop(name):
            await hooks[name]
            process = self.processes[name]
            if process.returncode is None:
                process.terminate()
                await process.wait()

        async def all_of_them():
            await asyncio.gather(*[stop(name) for name in hooks if name not in natives])
            for name in reversed(natives):
                await stop(name)

        try:
            await asyncio.wait_for(all_of_them(), self.spec["terminationGracePeriodSeconds"])
        except asyncio.TimeoutError:
            for name, process in self.processes.items():
                if process.returncode is None:
                    self.node.say("killed", pod=self.name, container=name)
                    process.kill()
                    await process.wait()
        self.node.say("ended", pod=self.name, codes={name: process.returncode for name, process in self.processes.items()})

    async def hook(self, container):
        action = container.get("lifecycle", {}).get("preStop", {})
        if "sleep" in action:
            await asyncio.sleep(action["sleep"]["seconds"])
        if "exec" in action:
            _, environment = self.inside(container)
            process = await asyncio.create_subprocess_exec(*action["exec"]["command"], env=environment, stdout=asyncio.subprocess.DEVNULL)
            if code := await process.wait():
                self.node.say("hook failed", pod=self.name, container=container["name"], code=code)


class Node:
    """All Pods of the namespace, and the port of their Service."""

    def __init__(self, client, folder, programs, functions, namespace, say):
        self.client, self.folder, self.programs, self.functions = client, folder, programs, functions
        self.namespace, self.say, self.pods, self.turn = namespace, say, {}, 0

    async def run(self):
        while True:
            for manifest in await self.client.list(f"{self.namespace}/pods"):
                name = manifest["metadata"]["name"]
                if name not in self.pods:
                    self.pods[name] = Pod(self, manifest)
                    asyncio.create_task(self.pods[name].live())
                elif manifest["metadata"].get("deletionTimestamp") and not self.pods[name].ending:
                    self.pods[name].ending = True
                    asyncio.create_task(self.remove(self.pods[name]))
            await asyncio.sleep(SYNC)

    async def remove(self, pod):
        await pod.end()
        await self.client.delete(f"{self.namespace}/pods/{pod.name}?gracePeriodSeconds=0")

    def log(self, name):
        return os.path.join(self.pods[name].folder, "edge-sidecar.log")

    def ports(self, name):
        return self.pods[name].ports

    def inside(self, name, container, command):
        pod = self.pods[name]
        here, environment = pod.inside(next(c for c in pod.containers() if c["name"] == container))
        return [here(word) for word in command], environment

    async def serve(self, reader, writer):
        """A connection to the Service: to each ready Pod in turn. That one has gone is known a moment later."""
        ready = [pod for pod in self.pods.values() if pod.ready or time.monotonic() < pod.known_until]
        if ready:
            self.turn += 1
            with_pod = await asyncio.open_connection("127.0.0.1", ready[self.turn % len(ready)].ports[8080])
            await asyncio.gather(pipe(reader, with_pod[1]), pipe(with_pod[0], writer), return_exceptions=True)
        writer.close()


async def pipe(reader, writer):
    try:
        while text := await reader.read(65536):
            writer.write(text)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()
