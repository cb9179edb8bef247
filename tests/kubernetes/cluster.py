"""A small cluster for kubectl: an emulated API server, what its controllers do, and a node whose Pods are processes.

    cluster.py FOLDER PROGRAMS FUNCTIONS

FOLDER gets a kubeconfig and the Pods' files. PROGRAMS has a program for each image. FUNCTIONS is the URL of the functions, which all Pods share.
Prints a JSON object for each thing that happens, first where the Service listens; ends with its standard input.
"""

import asyncio
import json
import os
import sys

import aiohttp
import kmock

from api import KINDS, Api
from controller import Controller
from node import Node

NAMESPACE = "edge-functions"
KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{{ name: emulated, cluster: {{ server: "{url}" }} }}]
users: [{{ name: nobody, user: {{}} }}]
contexts: [{{ name: emulated, context: {{ cluster: emulated, user: nobody }} }}]
current-context: emulated
"""


class Client:
    """Asks the API server over HTTP, by NAMESPACE/PLURAL[/NAME]."""

    def __init__(self, url, session):
        self.url, self.session = url, session

    def at(self, place):
        namespace, _, rest = place.partition("/")
        version = KINDS[rest.partition("/")[0].partition("?")[0]][1]
        return f"{self.url}/{'api' if version == 'v1' else 'apis'}/{version}/namespaces/{namespace}/{rest}"

    async def ask(self, method, place, body=None, form="application/json"):
        async with self.session.request(method, self.at(place), json=body, headers={"Content-Type": form}) as answer:
            return await answer.json() if answer.status == 200 else None

    async def list(self, place):
        return (await self.ask("GET", place))["items"]

    async def get(self, place):
        return await self.ask("GET", place)

    async def create(self, place, thing):
        return await self.ask("POST", place, thing)

    async def patch(self, place, change):
        return await self.ask("PATCH", place, change, "application/merge-patch+json")

    async def delete(self, place):
        return await self.ask("DELETE", place)

    async def status(self, url):
        """Of an answer; 0 where there is none."""
        try:
            async with self.session.get(url) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0


def say(event, **more):
    print(json.dumps({"event": event} | more), flush=True)


async def main(folder, programs, functions):
    async with Api() as api, kmock.Server(api) as server, aiohttp.ClientSession() as session:
        api.declare()
        url = f"http://127.0.0.1:{server.port}"
        with open(os.path.join(folder, "kubeconfig"), "w") as file:
            file.write(KUBECONFIG.format(url=url))
        client = Client(url, session)
        api.node = Node(client, os.path.join(folder, "pods"), programs, functions, NAMESPACE, say)
        api.objects["v1/nodes", None, "node"] = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node", "uid": "1", "resourceVersion": "0"}, "spec": {}}
        service = await asyncio.start_server(api.node.serve, "127.0.0.1", 0)
        say("serving", port=service.sockets[0].getsockname()[1])
        tasks = [asyncio.create_task(part.run()) for part in (api.node, Controller(client, NAMESPACE))]
        closed = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        done, _ = await asyncio.wait([*tasks, closed], return_when=asyncio.FIRST_COMPLETED)
        for pod in api.node.pods.values():
            for process in pod.processes.values():
                if process.returncode is None:
                    process.kill()
        for task in done:
            task.result()
        os._exit(0)


asyncio.run(main(*sys.argv[1:]))
