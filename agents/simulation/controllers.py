"""The controllers of a simulated cluster: garbage and workloads. One pass a tick, in order of names.

A pass is over what changed since the one before: a controller that changed nothing would do so again.
"""

import hashlib
from collections.abc import Callable

import msgspec

from agents.ports import Rejected
from agents.simulation import catalogue
from agents.simulation.bodies import (
    Body,
    annotations_of,
    copy_of,
    has_condition,
    items,
    labels_of,
    part,
    renewed,
)
from agents.simulation.ownership import COLLECTED, PODS, Ownership
from agents.simulation.store import Kind, Name, Objects, Stored, name_of

_KINDS = {resource.kind: Kind(resource.group, resource.plural) for resource in catalogue.BUILT_IN}
_FINISHED = ("Succeeded", "Failed")
CRASHES = "simulation.muster.dev/crashes"
"""As kubelets have it: here, that a Job has nothing left to try."""
_BACK_OFF_LIMIT = {
    "type": "Failed",
    "status": "True",
    "reason": "BackoffLimitExceeded",
    "message": "Job has reached the specified backoff limit",
}
_TEMPLATE = "simulation.muster.dev/template"


class Controllers:
    """Makes of workloads what their specs say. `create` gives a new object uid and times, and stores it."""

    def __init__(self, objects: Objects, create: Callable[[Kind, Body], Body]) -> None:
        self._objects = objects
        self._create = create
        self._ownership = Ownership(objects)
        self._digests = _Digests()
        objects.on_change(self._digests.changed, *(_KINDS[each.kind] for each in catalogue.WORKLOADS))

    def run(self, now: str) -> None:
        """One pass."""
        self._collect_garbage(now)
        for body in self._due("Deployment"):
            self._deployment(body)
        for body in self._due("ReplicaSet"):
            self._replicated(body, [], now)
        for body in self._due("StatefulSet"):
            ordinals = [f"{body['metadata']['name']}-{index}" for index in range(body["spec"]["replicas"])]
            self._replicated(body, ordinals, now)
        for body in self._due("DaemonSet"):
            self._daemons(body, now)
        for body in self._due("Job"):
            self._job(body, now)

    def _due(self, kind: str) -> list[Body]:
        return self._ownership.take_due(_KINDS[kind])

    def _pods(self, body: Body) -> list[Body]:
        return self._ownership.children(body, PODS)

    def _collect_garbage(self, now: str) -> None:
        for kind in COLLECTED:
            for body in self._ownership.take_orphans(kind):
                self.remove(kind, body, now)

    def remove(self, kind: Kind, body: Body, now: str) -> None:
        """Delete; a pod that stands on a node is only marked, its kubelet lets go later."""
        metadata = body["metadata"]
        name = Name(metadata.get("namespace", ""), metadata["name"])
        bound = kind == PODS and body["spec"].get("nodeName") and body["status"]["phase"] not in _FINISHED
        if not bound:
            self._objects.delete(kind, name)
        elif "deletionTimestamp" not in metadata:
            copy = self._objects.get(kind, name) or body
            copy["metadata"]["deletionTimestamp"] = now
            self._objects.put(kind, copy)

    def _deployment(self, body: Body) -> None:
        """Rolling update: at most a quarter more than wanted, at least three quarters available."""
        template = body["spec"]["template"]
        name = f"{body['metadata']['name']}-{self._digests.of(body, template)}"
        sets = self._ownership.children(body, _KINDS["ReplicaSet"])
        newest = next((each for each in sets if each["metadata"]["name"] == name), None)
        old = [each for each in sets if each is not newest]
        wanted = body["spec"]["replicas"]
        others = sum(each["spec"]["replicas"] for each in old)
        surge = -(-wanted // 4) if others else 0
        grown = max(0, min(wanted, wanted + surge - others))
        if newest is None:
            labels = template["metadata"]["labels"]
            child = _child(body, name, labels) | {"apiVersion": "apps/v1", "kind": "ReplicaSet"}
            child["spec"] = {"replicas": grown, "selector": {"matchLabels": labels}, "template": template}
            newest = self._create(_KINDS["ReplicaSet"], child)
        elif newest["spec"]["replicas"] != grown and (grown > newest["spec"]["replicas"] or wanted <= grown):
            newest = self._scale(newest, grown)
        ready = sum(part(each, "status").get("readyReplicas", 0) for each in [newest, *old])
        spare = max(0, ready - (wanted - wanted // 4))
        for each in old:
            down = min(spare, each["spec"]["replicas"]) if wanted else each["spec"]["replicas"]
            # What never became ready holds nothing up, and goes first.
            down = max(down, each["spec"]["replicas"] - part(each, "status").get("readyReplicas", 0))
            spare -= down
            if down:
                self._scale(each, each["spec"]["replicas"] - down)
            elif not each["spec"]["replicas"] and not part(each, "status").get("replicas"):
                self._objects.delete(_KINDS["ReplicaSet"], name_of(each))
        self._set_status(
            body, self._counts([newest, *old], newest) | {"observedGeneration": _generation(body)}
        )

    def _counts(self, sets: list[Body], newest: Body) -> Body:
        total = {
            field: sum(part(each, "status").get(field, 0) for each in sets)
            for field in ("replicas", "readyReplicas")
        }
        counted: Body = {
            **total,
            "availableReplicas": total["readyReplicas"],
            "updatedReplicas": part(newest, "status").get("replicas", 0),
        }
        failures = items(part(newest, "status"), "conditions")
        return counted | ({"conditions": failures} if failures else {})

    def _scale(self, body: Body, replicas: int) -> Body:
        kind = _KINDS[body["kind"]]
        copy = self._objects.get(kind, name_of(body)) or body
        copy["spec"]["replicas"] = replicas
        copy["metadata"]["generation"] = _generation(copy) + 1
        return self._objects.put(kind, copy)

    def _replicated(self, body: Body, ordinals: list[str], now: str) -> None:
        """ReplicaSet (no ordinals) and StatefulSet: as many pods as wanted, finished ones replaced."""
        wanted, template = body["spec"]["replicas"], body["spec"]["template"]
        all_pods = self._pods(body)
        pods, digest = self._living(all_pods), self._digests.of(body, template)
        if ordinals or body["kind"] == "StatefulSet":
            names = set(ordinals)
            keep = [pod for pod in pods if pod["metadata"]["name"] in names and _is_of(pod, digest)]
        else:
            keep = sorted(pods, key=_worth)[:wanted]
        kept = {pod["metadata"]["name"] for pod in keep}
        for pod in pods:
            if pod["metadata"]["name"] not in kept:
                self.remove(PODS, pod, now)
        present = {pod["metadata"]["name"] for pod in all_pods}
        missing = [name for name in ordinals if name not in present]
        if body["kind"] == "ReplicaSet":
            missing = self._fresh_names(body, wanted - len(keep))
        made, why_not = self._make([_pod(body, name, template, digest) for name in missing])
        keep += made
        ready = sum(_is_ready(pod) for pod in keep)
        status: Body = {"replicas": len(keep), "readyReplicas": ready, "availableReplicas": ready}
        if body["kind"] == "StatefulSet":
            status["updatedReplicas"] = len(keep)
        elif why_not:
            status["conditions"] = [_failed(why_not)]
        self._set_status(body, status | {"observedGeneration": _generation(body)})

    def _make(self, pods: list[Body]) -> tuple[list[Body], str]:
        """(pods made, why the first of the others was refused): one refusal is all it takes to give up."""
        made: list[Body] = []
        for pod in pods:
            try:
                made.append(self._create(PODS, pod))
            except Rejected as error:
                return made, str(error)
        return made, ""

    def _fresh_names(self, body: Body, count: int) -> list[str]:
        base = body["metadata"]["name"]
        start = self._objects.resource_version
        digests = (hashlib.sha256(f"{base}/{start}/{index}".encode()).hexdigest() for index in range(count))
        return [f"{base}-{digest[:6]}" for digest in digests]

    def _living(self, pods: list[Body]) -> list[Body]:
        """Pods that count; a finished one is deleted, so that its controller makes another."""
        living: list[Body] = []
        for pod in pods:
            if pod["status"]["phase"] in _FINISHED:
                self._objects.delete(PODS, name_of(pod))
            elif "deletionTimestamp" not in pod["metadata"]:
                living.append(pod)
        return living

    def _daemons(self, body: Body, now: str) -> None:
        template, base = body["spec"]["template"], body["metadata"]["name"]
        digest = self._digests.of(body, template)
        nodes = {f"{base}-{name.name}": name.name for name in sorted(self._objects.names(_KINDS["Node"]))}
        pods = {pod["metadata"]["name"]: pod for pod in self._living(self._pods(body))}
        for name, pod in pods.items():
            if name not in nodes or not _is_of(pod, digest):
                self.remove(PODS, pod, now)
        for name, node in nodes.items():
            if self._objects.peek(PODS, Name(body["metadata"].get("namespace", ""), name)) is None:
                pod = _pod(body, name, template, digest)
                pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
                pods |= {each["metadata"]["name"]: each for each in self._make([pod])[0]}
        ready = sum(_is_ready(pod) for pod in pods.values())
        status = {"desiredNumberScheduled": len(nodes), "numberReady": ready}
        status |= {"updatedNumberScheduled": len(pods), "observedGeneration": _generation(body)}
        self._set_status(body, status)

    def _job(self, body: Body, now: str) -> None:
        """As many pods at once as `parallelism`, until `completions` have succeeded."""
        spec = body["spec"]
        pods = self._pods(body)
        succeeded = sum(pod["status"]["phase"] == "Succeeded" for pod in pods)
        running = [
            pod
            for pod in pods
            if pod["status"]["phase"] not in _FINISHED and "deletionTimestamp" not in pod["metadata"]
        ]
        wanted = max(0, min(spec["parallelism"], spec["completions"] - succeeded))
        if any(pod["status"]["phase"] == "Failed" and CRASHES in annotations_of(pod) for pod in pods):
            wanted = 0
        for pod in running[wanted:]:
            self.remove(PODS, pod, now)
        digest = self._digests.of(body, spec["template"])
        names = self._fresh_names(body, wanted - len(running))
        running += self._make([_pod(body, name, spec["template"], digest) for name in names])[0]
        active = running[:wanted]
        status: Body = {"active": len(active), "ready": sum(map(_is_ready, active)), "succeeded": succeeded}
        failed = sum(pod["status"]["phase"] == "Failed" and CRASHES in annotations_of(pod) for pod in pods)
        if succeeded >= spec["completions"]:
            status["conditions"] = [{"type": "Complete", "status": "True"}]
        elif failed:
            status |= {"failed": failed, "conditions": [_BACK_OFF_LIMIT]}
        self._set_status(body, status)

    def _set_status(self, body: Body, status: Body) -> None:
        if body.get("status") != status:
            kind = _KINDS[body["kind"]]
            live = self._objects.peek(kind, name_of(body))
            if live is not None:
                self._objects.put(kind, renewed(live, status=status))


def _generation(body: Body) -> int:
    return body["metadata"].get("generation", 1)


def _child(owner: Body, name: str, labels: dict[str, str]) -> Body:
    metadata = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": metadata["name"]}
    reference |= {"uid": metadata["uid"], "controller": True}
    return {
        "metadata": {
            "name": name,
            "namespace": metadata.get("namespace", ""),
            "labels": dict(labels),
            "ownerReferences": [reference],
        }
    }


class _Digests:
    """Of templates, by the uid of who has them: its every new status has the same object."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Body, str]] = {}

    def of(self, owner: Body, template: Body) -> str:
        uid = owner["metadata"]["uid"]
        known = self._known.get(uid)
        if known is not None and known[0] is template:
            return known[1]
        digest = hashlib.sha256(msgspec.json.encode(template, order="deterministic")).hexdigest()[:10]
        self._known[uid] = template, digest
        return digest

    def changed(self, _: Kind, __: Name, before: Stored | None, after: Stored | None) -> None:
        """Hears of every change: who is gone has none any more."""
        if after is None and before is not None:
            self._known.pop(before.body["metadata"]["uid"], None)


def _pod(owner: Body, name: str, template: Body, digest: str) -> Body:
    pod = _child(owner, name, labels_of(template))
    pod |= {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": copy_of(template["spec"]),
    }
    pod["metadata"]["annotations"] = {**annotations_of(template), _TEMPLATE: digest}
    return pod


def _failed(message: str) -> Body:
    return {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}


def _is_of(pod: Body, digest: str) -> bool:
    """Whether the pod was made of the template with this digest."""
    return annotations_of(pod).get(_TEMPLATE) == digest


def _is_ready(pod: Body) -> bool:
    return has_condition(pod, "Ready")


def _worth(pod: Body) -> tuple[bool, bool, str]:
    """What is kept when there are too many: ready before bound before waiting."""
    return not _is_ready(pod), not pod["spec"].get("nodeName"), pod["metadata"]["name"]
