"""What the controllers do with a Deployment and a Job: Pods, their replacement one by one, and the status that kubectl waits for."""

import asyncio
import hashlib
import json

from api import ready

REVISION = "deployment.kubernetes.io/revision"


class Controller:
    """All Deployments and Jobs of a namespace."""

    def __init__(self, client, namespace):
        self.client, self.namespace, self.number = client, namespace, 0

    async def run(self):
        while True:
            scalers = await self.client.list(f"{self.namespace}/horizontalpodautoscalers")
            least = {s["spec"]["scaleTargetRef"]["name"]: s["spec"]["minReplicas"] for s in scalers}
            for deployment in await self.client.list(f"{self.namespace}/deployments"):
                await self.deploy(deployment, least.get(deployment["metadata"]["name"], 1))
            for job in await self.client.list(f"{self.namespace}/jobs"):
                await self.work(job)
            await asyncio.sleep(0.2)

    async def deploy(self, deployment, wanted):
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        if "replicas" not in deployment["spec"]:
            return await self.client.patch(f"{self.namespace}/deployments/{meta['name']}", {"spec": {"replicas": wanted}})
        current = await self.revise(deployment)
        pods = [p for p in await self.pods(template["metadata"]["labels"]) if not p["metadata"].get("deletionTimestamp")]
        fresh = [pod for pod in pods if pod["metadata"]["labels"]["pod-template-hash"] == current]
        old = [pod for pod in pods if pod not in fresh]
        available = [pod for pod in pods if ready(pod)]
        # maxUnavailable: 0, maxSurge: 1
        if len(fresh) < wanted and len(pods) < wanted + 1:
            owner = await self.client.get(f"{self.namespace}/replicasets/{meta['name']}-{current}")
            await self.create(owner, template, {"pod-template-hash": current})
        elif old and len(available) > wanted:
            await self.client.delete(f"{self.namespace}/pods/{old[0]['metadata']['name']}")
        status = {
            "observedGeneration": meta["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(fresh),
            "readyReplicas": len(available),
            "availableReplicas": len(available),
        }
        if deployment.get("status") != status:
            await self.client.patch(f"{self.namespace}/deployments/{meta['name']}", {"status": status})

    async def revise(self, deployment):
        """The hash of the template, whose ReplicaSet has the newest revision."""
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        current = hashlib.sha256(json.dumps(said(template), sort_keys=True).encode()).hexdigest()[:10]
        sets = await self.client.list(f"{self.namespace}/replicasets")
        newest = max([int(s["metadata"]["annotations"][REVISION]) for s in sets], default=0)
        own = next((s for s in sets if s["metadata"]["name"] == f"{meta['name']}-{current}"), None)
        labels = template["metadata"]["labels"] | {"pod-template-hash": current}
        if own is None:
            name = {"name": f"{meta['name']}-{current}", "labels": labels, "annotations": {REVISION: str(newest + 1)}}
            labelled = template | {"metadata": template["metadata"] | {"labels": labels}}
            spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": labelled}
            fresh = {"kind": "ReplicaSet", "apiVersion": "apps/v1", "metadata": name | owned(deployment), "spec": spec}
            await self.client.create(f"{self.namespace}/replicasets", fresh)
        elif int(own["metadata"]["annotations"][REVISION]) < newest:
            mark = {"metadata": {"annotations": {REVISION: str(newest + 1)}}}
            await self.client.patch(f"{self.namespace}/replicasets/{own['metadata']['name']}", mark)
        return current

    async def work(self, job):
        name, template = job["metadata"]["name"], job["spec"]["template"]
        pods = await self.pods(template["metadata"]["labels"])
        if not pods:
            return await self.create(job, template, {})
        if pods[0].get("status", {}).get("phase") == "Succeeded" and "status" not in job:
            done = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
            await self.client.patch(f"{self.namespace}/jobs/{name}", {"status": done})

    async def pods(self, labels):
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return await self.client.list(f"{self.namespace}/pods?labelSelector={selector}")

    async def create(self, owner, template, more):
        self.number += 1
        meta = {"name": f"{owner['metadata']['name']}-{self.number}", "labels": template["metadata"]["labels"] | more} | owned(owner)
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": template["spec"] | {"nodeName": "node"}}
        await self.client.create(f"{self.namespace}/pods", pod)


def said(value):
    """Without what says nothing: kubectl writes empty fields out when it brings an earlier template back."""
    if isinstance(value, dict):
        return {key: said(inner) for key, inner in value.items() if said(inner) not in (None, {}) and key != "pod-template-hash"}
    return [said(inner) for inner in value] if isinstance(value, list) else value


def owned(owner):
    reference = {key: owner[key] for key in ("kind", "apiVersion")} | {key: owner["metadata"][key] for key in ("name", "uid")}
    return {"ownerReferences": [reference | {"controller": True}]}

