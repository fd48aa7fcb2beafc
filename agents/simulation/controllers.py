"""The controllers of a simulated cluster: garbage and workloads. One pass a tick, in order of names."""

import hashlib
from collections.abc import Callable

import msgspec

from agents.simulation import catalogue
from agents.simulation.bodies import Body, annotations_of, copy_of, has_condition, labels_of, owners_of, part
from agents.simulation.store import Kind, Name, Objects

_KINDS = {resource.kind: Kind(resource.group, resource.plural) for resource in catalogue.BUILT_IN}
PODS = _KINDS["Pod"]
_FINISHED = ("Succeeded", "Failed")


class Controllers:
    """Makes of workloads what their specs say. `create` gives a new object uid and times, and stores it."""

    def __init__(self, objects: Objects, create: Callable[[Kind, Body], Body]) -> None:
        self._objects = objects
        self._create = create
        self._children: dict[str, list[Body]] = {}

    def run(self, now: str) -> None:
        """One pass."""
        self._collect_garbage(now)
        self._children = self._by_owner(_KINDS["ReplicaSet"]) | self._by_owner(PODS)
        for body in self._bodies("Deployment"):
            self._deployment(body)
        self._children |= self._by_owner(_KINDS["ReplicaSet"])
        for body in self._bodies("ReplicaSet"):
            self._replicated(body, [], now)
        for body in self._bodies("StatefulSet"):
            ordinals = [f"{body['metadata']['name']}-{index}" for index in range(body["spec"]["replicas"])]
            self._replicated(body, ordinals, now)
        for body in self._bodies("DaemonSet"):
            self._daemons(body, now)
        for body in self._bodies("Job"):
            self._job(body, now)

    def _bodies(self, kind: str) -> list[Body]:
        return [stored.body for stored in self._objects.of(_KINDS[kind])]

    def _by_owner(self, kind: Kind) -> dict[str, list[Body]]:
        owned: dict[str, list[Body]] = {}
        for stored in self._objects.of(kind):
            for owner in owners_of(stored.body):
                owned.setdefault(owner["uid"], []).append(stored.body)
        return owned

    def _collect_garbage(self, now: str) -> None:
        alive = {
            stored.body["metadata"]["uid"]
            for kind in self._objects.kinds()
            for stored in self._objects.of(kind)
        }
        for kind in (_KINDS["ReplicaSet"], _KINDS["Job"], PODS):
            for stored in self._objects.of(kind):
                metadata = stored.body["metadata"]
                owners = owners_of(stored.body)
                if owners and not any(owner["uid"] in alive for owner in owners):
                    self.remove(kind, stored.body, now)
                    alive.discard(metadata["uid"]) if kind != PODS else None

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
        digest = hashlib.sha256(msgspec.json.encode(template, order="deterministic")).hexdigest()[:10]
        name = f"{body['metadata']['name']}-{digest}"
        sets = [
            each for each in self._children.get(body["metadata"]["uid"], []) if each["kind"] == "ReplicaSet"
        ]
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
                self._objects.delete(_KINDS["ReplicaSet"], _name(each))
        self._set_status(
            body, self._counts([newest, *old], newest) | {"observedGeneration": _generation(body)}
        )

    def _counts(self, sets: list[Body], newest: Body) -> Body:
        total = {
            field: sum(part(each, "status").get(field, 0) for each in sets)
            for field in ("replicas", "readyReplicas")
        }
        return {
            **total,
            "availableReplicas": total["readyReplicas"],
            "updatedReplicas": part(newest, "status").get("replicas", 0),
        }

    def _scale(self, body: Body, replicas: int) -> Body:
        kind = _KINDS[body["kind"]]
        copy = self._objects.get(kind, _name(body)) or body
        copy["spec"]["replicas"] = replicas
        copy["metadata"]["generation"] = _generation(copy) + 1
        return self._objects.put(kind, copy)

    def _replicated(self, body: Body, ordinals: list[str], now: str) -> None:
        """ReplicaSet (no ordinals) and StatefulSet: as many pods as wanted, finished ones replaced."""
        wanted, template = body["spec"]["replicas"], body["spec"]["template"]
        pods = self._living_pods(body)
        if ordinals or body["kind"] == "StatefulSet":
            keep = [
                pod for pod in pods if pod["metadata"]["name"] in ordinals and _same_template(pod, template)
            ]
        else:
            keep = sorted(pods, key=_worth)[:wanted]
        for pod in pods:
            if all(pod is not kept for kept in keep):
                self.remove(PODS, pod, now)
        present = {pod["metadata"]["name"] for pod in self._children.get(body["metadata"]["uid"], [])}
        missing = [name for name in ordinals if name not in present]
        if body["kind"] == "ReplicaSet":
            missing = self._fresh_names(body, wanted - len(keep))
        for name in missing:
            keep.append(self._create(PODS, _pod(body, name, template)))
        ready = sum(_is_ready(pod) for pod in keep)
        status = {"replicas": len(keep), "readyReplicas": ready, "availableReplicas": ready}
        if body["kind"] == "StatefulSet":
            status["updatedReplicas"] = len(keep)
        self._set_status(body, status | {"observedGeneration": _generation(body)})

    def _fresh_names(self, body: Body, count: int) -> list[str]:
        base = body["metadata"]["name"]
        start = self._objects.resource_version
        digests = (hashlib.sha256(f"{base}/{start}/{index}".encode()).hexdigest() for index in range(count))
        return [f"{base}-{digest[:6]}" for digest in digests]

    def _living_pods(self, body: Body) -> list[Body]:
        """Pods that count; a finished one is deleted, so that its controller makes another."""
        living: list[Body] = []
        for pod in self._children.get(body["metadata"]["uid"], []):
            if pod["status"]["phase"] in _FINISHED:
                self._objects.delete(PODS, _name(pod))
            elif "deletionTimestamp" not in pod["metadata"]:
                living.append(pod)
        return living

    def _daemons(self, body: Body, now: str) -> None:
        template, base = body["spec"]["template"], body["metadata"]["name"]
        nodes = {f"{base}-{node['metadata']['name']}": node for node in self._bodies("Node")}
        pods = {pod["metadata"]["name"]: pod for pod in self._living_pods(body)}
        for name, pod in pods.items():
            if name not in nodes or not _same_template(pod, template):
                self.remove(PODS, pod, now)
        for name, node in nodes.items():
            if self._objects.peek(PODS, Name(body["metadata"].get("namespace", ""), name)) is None:
                pod = _pod(body, name, template)
                pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node["metadata"]["name"]}
                pods[name] = self._create(PODS, pod)
        ready = sum(_is_ready(pod) for pod in pods.values())
        status = {"desiredNumberScheduled": len(nodes), "numberReady": ready}
        status |= {"updatedNumberScheduled": len(pods), "observedGeneration": _generation(body)}
        self._set_status(body, status)

    def _job(self, body: Body, now: str) -> None:
        """As many pods at once as `parallelism`, until `completions` have succeeded."""
        spec = body["spec"]
        pods = self._children.get(body["metadata"]["uid"], [])
        succeeded = sum(pod["status"]["phase"] == "Succeeded" for pod in pods)
        running = [
            pod
            for pod in pods
            if pod["status"]["phase"] not in _FINISHED and "deletionTimestamp" not in pod["metadata"]
        ]
        wanted = max(0, min(spec["parallelism"], spec["completions"] - succeeded))
        for pod in running[wanted:]:
            self.remove(PODS, pod, now)
        for name in self._fresh_names(body, wanted - len(running)):
            running.append(self._create(PODS, _pod(body, name, spec["template"])))
        active = running[:wanted]
        status: Body = {"active": len(active), "ready": sum(map(_is_ready, active)), "succeeded": succeeded}
        if succeeded >= spec["completions"]:
            status["conditions"] = [{"type": "Complete", "status": "True"}]
        self._set_status(body, status)

    def _set_status(self, body: Body, status: Body) -> None:
        if body.get("status") != status:
            kind = _KINDS[body["kind"]]
            copy = self._objects.get(kind, _name(body))
            if copy is not None:
                copy["status"] = status
                self._objects.put(kind, copy)


def _name(body: Body) -> Name:
    return Name(body["metadata"].get("namespace", ""), body["metadata"]["name"])


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


def _pod(owner: Body, name: str, template: Body) -> Body:
    pod = _child(owner, name, labels_of(template))
    pod |= {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": copy_of(template["spec"]),
    }
    digest = hashlib.sha256(msgspec.json.encode(template, order="deterministic")).hexdigest()[:10]
    pod["metadata"]["annotations"] = {"simulation.muster.dev/template": digest}
    return pod


def _same_template(pod: Body, template: Body) -> bool:
    digest = hashlib.sha256(msgspec.json.encode(template, order="deterministic")).hexdigest()[:10]
    return annotations_of(pod).get("simulation.muster.dev/template") == digest


def _is_ready(pod: Body) -> bool:
    return has_condition(pod, "Ready")


def _worth(pod: Body) -> tuple[bool, bool, str]:
    """What is kept when there are too many: ready before bound before waiting."""
    return not _is_ready(pod), not pod["spec"].get("nodeName"), pod["metadata"]["name"]
