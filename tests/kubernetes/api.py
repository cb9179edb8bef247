"""An API server for kubectl: kmock's emulator, with what kubectl asks of a server beyond it.

Added here: names of kinds, label and field selectors, watches, `resourceVersion` and `generation`, replace, JSON and strategic merge patches,
Pods that end gracefully, evictions, and the doors into a Pod's node (`streams`). It judges no object: `kubernetes-validate` does.
"""

import asyncio
import copy
import datetime
import itertools
import json
import uuid

import jsonpatch
import kmock
from aiohttp import web

import streams

# plural: kind and API version; those with a namespace unless said otherwise
KINDS = {
    "configmaps": ("ConfigMap", "v1"),
    "pods": ("Pod", "v1"),
    "services": ("Service", "v1"),
    "namespaces": ("Namespace", "v1"),
    # where `Api` keeps them
    "spaces": ("Namespace", "v1"),
    "nodes": ("Node", "v1"),
    "deployments": ("Deployment", "apps/v1"),
    "replicasets": ("ReplicaSet", "apps/v1"),
    "jobs": ("Job", "batch/v1"),
    "networkpolicies": ("NetworkPolicy", "networking.k8s.io/v1"),
    "poddisruptionbudgets": ("PodDisruptionBudget", "policy/v1"),
    "horizontalpodautoscalers": ("HorizontalPodAutoscaler", "autoscaling/v2"),
    "podmonitors": ("PodMonitor", "monitoring.coreos.com/v1"),
    "prometheusrules": ("PrometheusRule", "monitoring.coreos.com/v1"),
}
CLUSTER_WIDE = {"namespaces", "spaces", "nodes"}
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
SHORT = {"configmaps": ["cm"], "deployments": ["deploy"], "namespaces": ["ns"], "pods": ["po"], "replicasets": ["rs"]}
# By which field the entries of a list are told apart in a strategic merge; a list under another key is replaced.
MERGE_KEYS = {
    "containers": ["name"],
    "initContainers": ["name"],
    "env": ["name"],
    "volumes": ["name"],
    "volumeMounts": ["mountPath"],
    "ports": ["containerPort", "port"],
    "topologySpreadConstraints": ["topologyKey"],
}


def merge(old, new, strategic):
    """A merge patch (RFC 7386), or a strategic one of Kubernetes."""
    if not isinstance(new, dict):
        return new
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if strategic and key.startswith("$"):
            continue
        if value is None:
            merged.pop(key, None)
        elif strategic and key in MERGE_KEYS and isinstance(value, list):
            merged[key] = merge_list(merged.get(key, []), value, MERGE_KEYS[key])
        else:
            merged[key] = merge(merged.get(key), value, strategic)
    return merged


def merge_list(old, new, keys):
    name = lambda entry: next(entry[key] for key in keys if key in entry)
    entries = {name(entry): entry for entry in old}
    for entry in new:
        if entry.get("$patch") == "delete":
            entries.pop(name(entry), None)
        else:
            entries[name(entry)] = merge(entries.get(name(entry)), entry, True)
    return list(entries.values())


def at(value, path):
    for key in path.split("."):
        value = (value or {}).get(key)
    return value


def selected(thing, params):
    labels = thing["metadata"].get("labels", {})
    wanted = [pair.split("=", 1) for pair in params.get("labelSelector", "").replace("==", "=").split(",") if pair]
    fields = [pair.split("=", 1) for pair in params.get("fieldSelector", "").split(",") if pair]
    return all(labels.get(key) == value for key, value in wanted) and all((at(thing, key) or "") == value for key, value in fields)


def refusal(code, reason, message):
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(status, status=code)


class Api(kmock.KubernetesEmulator):
    """The server. `node` has the Pods' processes."""

    node = None
    version = itertools.count(1)

    async def __call__(self, request):
        # kmock takes the paths of a namespace itself for those of what is in it
        rest = request.path.removeprefix("/api/v1/namespaces")
        if rest != request.path and rest.count("/") < 2:
            request = request.clone(rel_url=str(request.rel_url).replace("/namespaces", "/spaces", 1))
        return await super().__call__(request)

    def declare(self):
        for plural, (kind, version) in KINDS.items():
            self.resources[f"{version}/{plural}"] = {
                "kind": kind,
                "singular": kind.lower(),
                "namespaced": plural not in CLUSTER_WIDE,
                "verbs": VERBS,
                "shortnames": SHORT.get(plural, []),
                "categories": [],
                "subresources": [],
            }

    def stored(self, request, name=None):
        key = (request.resource, request.namespace, name or request.name)
        return key, self.objects[key].raw if key in self.objects and not self.objects[key].deleted else None

    def all(self, request):
        things = [(key, thing.raw) for key, thing in self.objects.items() if not thing.deleted]
        wanted = lambda key: key[0] == request.resource and request.namespace in (None, key[1])
        return [thing for key, thing in things if wanted(key) and selected(thing, request.params)]

    def write(self, key, new, old=None, dry=False):
        new = copy.deepcopy(new)
        meta, before = new["metadata"], (old or {}).get("metadata", {})
        meta.setdefault("namespace", key[1]) if key[1] else None
        meta["uid"] = before.get("uid") or str(uuid.uuid4())
        meta["creationTimestamp"] = before.get("creationTimestamp") or now()
        same = old is not None and old.get("spec") == new.get("spec")
        meta["generation"] = before.get("generation", 0) + (0 if same else 1)
        meta["resourceVersion"] = before.get("resourceVersion")
        if new == old:
            return web.json_response(old)
        meta["resourceVersion"] = str(next(self.version))
        if key in self.objects and not dry:
            self.objects[key].create(new)
        elif not dry:
            self.objects[key] = new
        return web.json_response(new)

    async def _handle(self, request):
        path = request.url.path
        if path.startswith("/openapi/v3"):
            return web.json_response(openapi(path))
        if path == "/api/v1":
            core = await self._serve_version(request)
            evictions = {"name": "pods/eviction", "kind": "Eviction", "group": "policy", "version": "v1", "namespaced": True, "verbs": ["create"]}
            return web.json_response(core | {"groupVersion": "v1", "resources": [*core["resources"], evictions]})
        if request.subresource:
            return await self.inside(request)
        if request.action == kmock.action.WATCH:
            return await self.watch(request)
        if request.action == kmock.action.LIST and request.resource.plural:
            kind, version = KINDS[request.resource.plural]
            rest = {"metadata": {"resourceVersion": str(next(self.version))}, "items": self.all(request)}
            return web.json_response({"kind": f"{kind}List", "apiVersion": version} | rest)
        if request.resource and request.method in ("POST", "PUT", "PATCH", "DELETE"):
            return self.change(request)
        return await super()._handle(request)

    def change(self, request):
        key, old = self.stored(request, None if request.name else request.data["metadata"]["name"])
        if request.method == "POST":
            return refusal(409, "AlreadyExists", f"{key[2]} already exists") if old else self.write(key, request.data)
        if old is None:
            return refusal(404, "NotFound", f"{key[2]} not found")
        if request.method == "DELETE":
            return self.delete(key, old, request)
        if request.method == "PUT":
            given = request.data["metadata"].get("resourceVersion")
            stale = given not in (None, old["metadata"]["resourceVersion"])
            return refusal(409, "Conflict", f"{key[2]} has been modified") if stale else self.write(key, request.data, old)
        form, dry = request.headers["Content-Type"], "dryRun" in request.params
        if form == "application/json-patch+json":
            return self.write(key, jsonpatch.apply_patch(old, request.data), old, dry)
        return self.write(key, merge(old, request.data, form == "application/strategic-merge-patch+json"), old, dry)

    def delete(self, key, old, request):
        """A Pod is marked, and gone once its node says so with a grace of 0."""
        grace = (request.data or {}).get("gracePeriodSeconds", request.params.get("gracePeriodSeconds"))
        if key[0].plural == "pods" and str(grace) != "0":
            marked = {"metadata": {"deletionTimestamp": old["metadata"].get("deletionTimestamp") or now()}}
            return self.write(key, merge(old, marked, False), old)
        self.objects[key].delete()
        return web.json_response(old)

    async def inside(self, request):
        raw, name = request._raw_request, request.name
        match request.subresource:
            case "eviction":
                return self.evict(request)
            case "log":
                return await streams.log(raw, self.node.log(name), raw.query.get("follow") == "true")
            case "exec":
                return await streams.execute(raw, *self.node.inside(name, raw.query["container"], raw.query.getall("command")))
            case "portforward":
                return await streams.forward(raw, self.node.ports(name))
        return refusal(404, "NotFound", request.url.path)

    def evict(self, request):
        """Ends a Pod if its PodDisruptionBudget has room; kubectl tries again later where it has none."""
        key, pod = self.stored(request)
        if pod is None:
            return refusal(404, "NotFound", f"{request.name} not found")
        of = lambda plural: [thing.raw for k, thing in self.objects.items() if k[0].plural == plural and not thing.deleted]
        for budget in of("poddisruptionbudgets"):
            labels = budget["spec"]["selector"]["matchLabels"].items()
            if labels <= pod["metadata"]["labels"].items():
                covered = [p for p in of("pods") if labels <= p["metadata"]["labels"].items()]
                healthy = [p for p in covered if ready(p) and not p["metadata"].get("deletionTimestamp")]
                wanted = sum(d["spec"]["replicas"] for d in of("deployments") if labels <= d["spec"]["template"]["metadata"]["labels"].items())
                if len(healthy) - 1 < wanted - budget["spec"]["maxUnavailable"]:
                    return refusal(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")
        return self.delete(key, pod, request)

    async def watch(self, request):
        """Looks ten times a second and tells what is new: nothing is missed, some steps between may be."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request._raw_request)
        since, known = int(request.params.get("resourceVersion") or 0), {}
        if since:
            known = {t["metadata"]["uid"]: t for t in self.all(request) if int(t["metadata"]["resourceVersion"]) <= since}
        while True:
            there = {thing["metadata"]["uid"]: thing for thing in self.all(request)}
            events = [("DELETED", thing) for uid, thing in known.items() if uid not in there]
            fresh = [(uid, t) for uid, t in there.items() if known.get(uid, {}).get("metadata") != t["metadata"]]
            events += [("MODIFIED" if uid in known else "ADDED", thing) for uid, thing in fresh]
            for kind, thing in events:
                await response.write(json.dumps({"type": kind, "object": thing}).encode() + b"\n")
            known = there
            await asyncio.sleep(0.1)


def ready(pod):
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def openapi(path):
    """As little of an OpenAPI document as lets kubectl leave it to the server to judge fields."""
    versions = sorted({version for _, version in KINDS.values()})
    place = lambda version: f"api/{version}" if version == "v1" else f"apis/{version}"
    if path == "/openapi/v3":
        return {"paths": {place(v): {"serverRelativeURL": f"/openapi/v3/{place(v)}"} for v in versions}}
    paths = {}
    for plural, (kind, version) in KINDS.items():
        if path == f"/openapi/v3/{place(version)}":
            group, _, number = version.rpartition("/")
            patch = {
                "parameters": [{"name": "fieldValidation", "in": "query"}],
                "x-kubernetes-group-version-kind": {"group": group, "version": number, "kind": kind},
                "responses": {},
            }
            paths[f"/{place(version)}/{plural}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.32.0"}, "paths": paths}
