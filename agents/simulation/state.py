"""A simulated cluster as its owner and other people see it: what is stored, and what is done to it."""

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec

from agents.ports import Conflict, NotServed, Rejected, Resource
from agents.simulation import catalogue, fields, gpus
from agents.simulation.admission import admit_pod
from agents.simulation.bodies import Body, annotations_of, copy_of, items, part
from agents.simulation.controllers import Controllers
from agents.simulation.faults import Faults
from agents.simulation.kubelets import NODES, PODS, Kubelets, Pace, timestamp
from agents.simulation.makes import SITES, Make
from agents.simulation.networks import Networks
from agents.simulation.population import population
from agents.simulation.store import Kind, Name, Objects
from schemas.wire.orders import ObjectRef

NAMESPACES = Kind("", "namespaces")
_NAME_LONGEST = 253
HISTORY_SECONDS = 60.0
"""An event is kept for so long, and for as long again at most: by its number alone the history would grow for
a quarter of an hour in a quiet cluster, and what is measured of the agent's memory with it."""


class ClusterState:
    """Everything but the port. `faults` breaks it; `..._as` is what others do to it."""

    def __init__(
        self,
        path: str | Path = ":memory:",
        make: Make | str = Make.CLOUD,
        seed: int = 0,
        *,
        nodes: int | None = None,
        page_size: int = 500,
        history: int = 8192,
        pace: Pace | None = None,
    ) -> None:
        self.faults = Faults()
        self._site = SITES[Make(make)]
        self._identity = f"{Make(make)}/{seed}"
        self._seed = seed
        self._page_size = page_size
        self._objects = Objects(path, history=history)
        self._resources = {
            (each.api_version, each.kind): each for each in (*catalogue.BUILT_IN, *self._site.serves)
        }
        self._now = float(self._objects.meta("now") or "0")
        self._time = timestamp(self._now)
        self._aged_at = 0.0
        self._generation = 0
        self._controllers = Controllers(self._objects, self._store_new)
        networks = Networks(self._objects, self._store_new)
        self._kubelets = Kubelets(self._objects, pace or Pace(), networks, self._controllers.remove)
        if self._objects.empty:
            self._populate(nodes)

    def _populate(self, nodes: int | None) -> None:
        with self._objects.transaction():
            for manager, manifest in population(self._site, random.Random(self._seed), nodes=nodes):
                self.put_as(manager, manifest)

    def close(self) -> None:
        self._objects.close()

    def tick(self, now: float) -> None:
        """Let controllers, scheduler and kubelets act once. `now` in Unix seconds never goes back."""
        self._now = max(now, self._now)
        self._time = timestamp(self._now)
        if self._now - self._aged_at >= HISTORY_SECONDS:
            self._objects.age()
            self._aged_at = self._now
        with self._objects.transaction():
            self._objects.set_meta("now", repr(self._now))
            self._controllers.run(self._time)
            self._kubelets.schedule()
            self._kubelets.run(self._now)
        self._objects.wake()

    def serve(self, resource: Resource) -> None:
        """Serve one more kind, as a CustomResourceDefinition does."""
        self._resources[resource.api_version, resource.kind] = resource

    def stop_serving(self, resource: Resource) -> None:
        """Its CustomResourceDefinition goes, and its objects with it."""
        del self._resources[resource.api_version, resource.kind]
        kind = Kind(resource.group, resource.plural)
        for name in self._objects.names(kind):
            self._objects.delete(kind, name)

    def put_as(self, manager: str, manifest: Body, *, subresource: str = "") -> Body:
        """Create or update as somebody else. Raises KubeError as the API server would."""
        resource, name = self._locate(manifest)
        kind = Kind(resource.group, resource.plural)
        live = self._objects.get(kind, name)
        body = copy_of(manifest)
        if live is None:
            fields.updated({"metadata": {}}, body, manager, self._time)
            return self._store_new(kind, body)
        body["metadata"] = {**live["metadata"], **body["metadata"]}
        if "status" in live:
            body.setdefault("status", live["status"])
        fields.updated(live, body, manager, self._time, subresource=subresource)
        return self._store_changed(kind, live, body)

    def scale_as(self, manager: str, ref: ObjectRef, replicas: int) -> Body:
        """What an autoscaler does: replicas through the scale subresource."""
        body = self.look(ref)
        if body is None:
            raise Rejected(f"{ref} not found")
        body["spec"]["replicas"] = replicas
        return self.put_as(manager, body, subresource="scale")

    def look(self, ref: ObjectRef) -> Body | None:
        """A copy of the object, past all faults."""
        resource = self._resource(ref.api_version, ref.kind)
        return self._objects.get(Kind(resource.group, resource.plural), Name(ref.namespace, ref.name))

    def objects(self, kind: str) -> list[Body]:
        """Copies of all objects of a kind, past all faults."""
        resource = next(each for each in self._resources.values() if each.kind == kind)
        stored = self._objects.of(Kind(resource.group, resource.plural))
        return [msgspec.json.decode(each.raw) for each in stored]

    def remove(self, ref: ObjectRef) -> None:
        """Delete as somebody else; a namespace takes everything in it along."""
        resource = self._resource(ref.api_version, ref.kind)
        self._remove(Kind(resource.group, resource.plural), Name(ref.namespace, ref.name))

    def change_node(self, name: str, change: Callable[[Body], None]) -> None:
        """Change a node in place: labels, taints, allocatable."""
        node = self._objects.get(NODES, Name("", name))
        if node is None:
            raise Rejected(f"no node {name}")
        change(node)
        self._objects.put(NODES, node)

    def node_down(self, name: str) -> None:
        """The kubelet falls silent: Ready turns Unknown, the node is tainted."""
        self._set_node_ready(name, "Unknown")

    def node_up(self, name: str) -> None:
        self._set_node_ready(name, "True")

    def _set_node_ready(self, name: str, status: str) -> None:
        def change(node: Body) -> None:
            for condition in node["status"]["conditions"]:
                if condition["type"] == "Ready":
                    condition |= {"status": status, "lastTransitionTime": self._time}
            taints = [
                taint for taint in items(node["spec"], "taints") if not taint["key"].endswith("unreachable")
            ]
            if status != "True":
                key = "node.kubernetes.io/unreachable"
                taints += [{"key": key, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
            node["spec"]["taints"] = taints

        self.change_node(name, change)

    def crash_pod(self, namespace: str, name: str, *, for_good: bool = False) -> None:
        """The pod's container dies: it becomes ready again after a while, or fails for good."""
        pod = self._objects.get(PODS, Name(namespace, name))
        if pod is None:
            raise Rejected(f"no pod {namespace}/{name}")
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]
        if for_good:
            pod["status"]["phase"] = "Failed"
        else:
            pod["status"]["startTime"] = self._time
        self._objects.put(PODS, pod)

    def trouble_gpu(self, node: str, gpu: int, *, xid: int = 0, used_share: float | None = None) -> None:
        """A GPU reports an error (0: none), or its memory is in use to this share (None: as usual)."""

        def change(body: Body) -> None:
            told: Body = msgspec.json.decode(annotations_of(body).get(gpus.TROUBLED, "{}"))
            said: Body = {"xid": xid} | ({} if used_share is None else {"used_share": used_share})
            told[str(gpu)] = said
            text = msgspec.json.encode(told).decode()
            body["metadata"]["annotations"] = annotations_of(body) | {gpus.TROUBLED: text}

        self.change_node(node, change)

    def close_watches(self) -> None:
        """The server ends every watch, as it does every few minutes."""
        self._generation += 1
        self._objects.wake()

    def compact(self) -> None:
        """Forget the history: whoever resumes a watch meets 410."""
        self._objects.compact()

    def _resource(self, api_version: str, kind: str) -> Resource:
        found = self._resources.get((api_version, kind))
        if found is None:
            raise NotServed(f"{api_version} {kind} is not served")
        return found

    def _locate(self, manifest: Body) -> tuple[Resource, Name]:
        """Resource and name of a manifest that is whole enough to be taken."""
        resource = self._resource(str(manifest.get("apiVersion", "")), str(manifest.get("kind", "")))
        metadata = part(manifest, "metadata")
        name, namespace = str(metadata.get("name") or ""), str(metadata.get("namespace") or "")
        if not name or len(name) > _NAME_LONGEST or name != name.lower() or "/" in name or "_" in name:
            raise Rejected(f"{resource.kind}: metadata.name: {name!r} is no lower-case RFC 1123 subdomain")
        if resource.namespaced and not namespace:
            raise Rejected(f"{resource.kind} {name}: metadata.namespace: Required value")
        if not resource.namespaced and namespace:
            raise Rejected(f"{resource.kind} {name}: metadata.namespace: not allowed on this type")
        if namespace and self._objects.peek(NAMESPACES, Name("", namespace)) is None:
            raise Rejected(f'namespaces "{namespace}" not found')
        return resource, Name(namespace, name)

    def _expect(self, kind: Kind, name: Name, uid: str, resource_version: str) -> Body:
        """The shared body of the object that is meant. Raises Conflict when it is another by now, or none."""
        live = self._objects.peek(kind, name)
        if live is None:
            raise Conflict(f"{kind.plural} {name.name!r} does not exist")
        metadata = live["metadata"]
        if uid and metadata["uid"] != uid:
            raise Conflict(f"{kind.plural} {name.name!r}: uid is {metadata['uid']}, not {uid}")
        if resource_version and metadata["resourceVersion"] != resource_version:
            now = metadata["resourceVersion"]
            raise Conflict(f"{kind.plural} {name.name!r}: resource version is {now}, not {resource_version}")
        return live

    def _store_new(self, kind: Kind, body: Body) -> Body:
        if kind == PODS:
            admit_pod(self._objects, body)
        catalogue.fill_defaults(body)
        catalogue.validate(body)
        number = self._objects.resource_version + 1
        digest = hashlib.sha256(f"{self._identity}/{number}".encode()).digest()
        body["metadata"] |= {
            "uid": str(UUID(bytes=digest[:16], version=4)),
            "creationTimestamp": self._time,
        }
        if catalogue.counts_generations(body["kind"]):
            body["metadata"]["generation"] = 1
        return self._objects.put(kind, body)

    def _store_changed(self, kind: Kind, live: Body, body: Body) -> Body:
        catalogue.fill_defaults(body)
        catalogue.validate(body)
        catalogue.validate_change(live, body)
        if catalogue.counts_generations(body["kind"]) and live.get("spec") != body.get("spec"):
            body["metadata"]["generation"] = live["metadata"].get("generation", 0) + 1
        # What changes nothing gets no new resource version.
        return live if body == live else self._objects.put(kind, body)

    def _remove(self, kind: Kind, name: Name) -> None:
        body = self._objects.peek(kind, name)
        if body is None:
            return
        with self._objects.transaction():
            self._controllers.remove(kind, body, self._time)
            if kind == NAMESPACES:
                for each in self._objects.kinds():
                    for stored in self._objects.of(each):
                        if stored.body["metadata"].get("namespace") == name.name:
                            self._controllers.remove(each, stored.body, self._time)
