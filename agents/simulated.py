"""A member cluster without Kubernetes: an API server, its controllers and kubelets behind the agent's port.

Its state lies in a SQLite file that outlives the agent (":memory:" for a world that ends with it). It has no
clock and no tasks of its own: whoever owns it calls `tick`. Between two ticks only what is asked happens.
"""

from collections.abc import AsyncIterator, Callable

import msgspec

from agents.observe.gpus import ScrapeFailed
from agents.ports import AlreadyExists, Gone, NotServed, Rejected, Resource, Rule, Unreachable
from agents.simulation import catalogue, fields, gpus, metrics
from agents.simulation.bodies import Body, copy_of, labels_of
from agents.simulation.faults import Faults
from agents.simulation.kubelets import NODES, PODS
from agents.simulation.selectors import compile_selector
from agents.simulation.state import NAMESPACES, ClusterState
from agents.simulation.store import Event, Kind, Name, Objects, TooOld
from schemas.wire.orders import FIELD_MANAGER, OUR_LABELS, ObjectRef

_BOOKMARK_EVERY = 1_000
"""Resource versions of which a watcher has seen nothing, well within the history that is kept; of what is
about to age it is told as well."""
_Labelled = list[tuple[dict[str, str], bytes]]
_Resources = list[Resource]


class SimulatedCluster(ClusterState):
    """Implements `agents.ports.Kube`."""

    async def version(self) -> str:
        async with self._calling("version"):
            return self._site.version

    async def cluster_uid(self) -> str:
        async with self._calling("cluster_uid"):
            namespace = self._objects.peek(NAMESPACES, Name("", "kube-system"))
            if namespace is None:
                raise Unreachable("namespace kube-system is missing")
            return namespace["metadata"]["uid"]

    async def served(self) -> _Resources:
        async with self._calling("served"):
            return [*self._resources.values(), *(catalogue.METRICS if self._site.metrics_served else ())]

    async def list(
        self, resource: Resource, *, label_selector: str = "", namespace: str = "", field_selector: str = ""
    ) -> AsyncIterator[bytes]:
        matches, bears = compile_selector(label_selector), _on_fields(field_selector)
        async with self._calling("list"):
            items, version = self._items(resource, namespace), self._objects.resource_version
            raws = [raw for labels, raw in items if matches(labels) and bears(raw)]
        api_version, kind = resource.api_version, f"{resource.kind}List"
        for start in range(0, max(len(raws), 1), self._page_size):
            if start:
                async with self._calling("list_continue"):
                    pass
            page, rest = raws[start : start + self._page_size], len(raws) - start - self._page_size
            metadata: Body = {"resourceVersion": str(version)}
            if rest > 0:
                metadata |= {"continue": f"{version}:{start + self._page_size}", "remainingItemCount": rest}
            head = msgspec.json.encode({"kind": kind, "apiVersion": api_version, "metadata": metadata})
            yield head[:-1] + b',"items":[' + b",".join(page) + b"]}"

    def _items(self, resource: Resource, namespace: str = "") -> _Labelled:
        if resource.group == "metrics.k8s.io":
            return self._metrics(resource)
        self._resource(resource.api_version, resource.kind)
        stored = self._objects.of(Kind(resource.group, resource.plural))
        return [
            (labels_of(each.body), each.raw)
            for each in stored
            if not namespace or each.body["metadata"].get("namespace") == namespace
        ]

    def _metrics(self, resource: Resource) -> _Labelled:
        if not self._site.metrics_served:
            raise NotServed("metrics.k8s.io/v1beta1 is not served")
        pods = [each.body for each in self._objects.of(PODS)]
        running = [pod for pod in pods if pod["spec"].get("nodeName") and pod["status"]["phase"] == "Running"]
        if resource.plural == "pods":
            items = metrics.pod_metrics(running, seed=self._seed, now=self._now)
        else:
            nodes = [each.body for each in self._objects.of(NODES)]
            items = metrics.node_metrics(nodes, running, seed=self._seed, now=self._now)
        return [(labels_of(item), msgspec.json.encode(item)) for item in items]

    async def allowed(self, namespace: str) -> tuple[Rule, ...] | None:
        """Everything."""
        return (Rule(("*",), ("*",), ("*",)),)

    async def watch(
        self, resource: Resource, resource_version: str, *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[bytes]:
        matches, bears = compile_selector(label_selector), _on_fields(field_selector)
        kind, seen, generation = (
            Kind(resource.group, resource.plural),
            int(resource_version),
            self._generation,
        )
        async with self._calling("watch"):
            if resource.group == "metrics.k8s.io":
                raise Rejected("metrics.k8s.io does not support watch")
            self._resource(resource.api_version, resource.kind)
        told = seen
        while True:
            try:
                events = self._objects.since(seen)
            except TooOld:
                raise Gone(f"too old resource version: {seen}") from None
            for event in events:
                seen = event.resource_version
                if event.kind == kind and bears(event.raw) and (type_ := _seen_as(event, matches)):
                    told = seen
                    yield _line(type_, event.raw)
            if generation != self._generation:
                return
            self.faults.check_watch()
            if seen - told >= _BOOKMARK_EVERY or told < self._objects.aged <= seen:
                told = seen
                yield _bookmark(resource, seen)
            await self._objects.changed(kind)

    async def scrape(self, url: str) -> str:
        """What an exporter in this cluster says; implements `agents.observe.gpus.Scrape`."""
        host = url.partition("://")[2].partition(":")[0]
        for stored in self._objects.of(PODS):
            pod = stored.body
            if pod["status"].get("podIP") == host:
                node = self._objects.peek(NODES, Name("", pod["spec"].get("nodeName", "")))
                if node is not None and labels_of(pod) == gpus.EXPORTER_LABELS:
                    return gpus.exposition(node)
        raise ScrapeFailed(f"{url}: nobody answers")

    async def get(self, ref: ObjectRef) -> Body | None:
        async with self._calling("get"):
            return self.look(ref)

    async def create(self, manifest: Body) -> Body:
        async with self._writing("create", manifest):
            resource, name = self._locate(manifest)
            kind = Kind(resource.group, resource.plural)
            if self._objects.peek(kind, name) is not None:
                raise AlreadyExists(f"{resource.plural} {name.name!r} already exists")
            body = fields.applied({"metadata": {}}, _strip(manifest), FIELD_MANAGER, self._time)
            body |= {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"]}
            body["metadata"] |= {"name": name.name} | (
                {"namespace": name.namespace} if name.namespace else {}
            )
            self._store_new(kind, body)
            return self._stored(kind, name)

    async def apply(self, manifest: Body, *, uid: str, resource_version: str) -> Body:
        async with self._writing("apply", manifest):
            resource, name = self._locate(manifest)
            kind = Kind(resource.group, resource.plural)
            live = self._expect(kind, name, uid, resource_version)
            body = fields.applied(copy_of(live), _strip(manifest), FIELD_MANAGER, self._time)
            self._store_changed(kind, live, body)
            return self._stored(kind, name)

    async def adopt(self, manifest: Body, *, uid: str, resource_version: str) -> Body:
        async with self._writing("adopt", manifest):
            resource, name = self._locate(manifest)
            kind = Kind(resource.group, resource.plural)
            live = self._expect(kind, name, uid, resource_version)
            body = copy_of(live)
            if "replicas" in (manifest.get("spec") or {}):
                fields.disowned(body, ("spec", "replicas"), FIELD_MANAGER)
            body = fields.applied(body, _strip(manifest), FIELD_MANAGER, self._time)
            self._store_changed(kind, live, body)
            return self._stored(kind, name)

    async def disown(self, ref: ObjectRef, *, uid: str, resource_version: str) -> None:
        async with self._writing("disown"):
            resource = self._resource(ref.api_version, ref.kind)
            kind, name = Kind(resource.group, resource.plural), Name(ref.namespace, ref.name)
            if self._objects.peek(kind, name) is None:
                return
            live = self._expect(kind, name, uid, resource_version)
            body = copy_of(live)
            labels = labels_of(body)
            for key, value in OUR_LABELS.items():
                if value in ("", labels.get(key)):
                    labels.pop(key, None)
            body["metadata"]["labels"] = labels
            fields.forgotten(body, FIELD_MANAGER)
            self._store_changed(kind, live, body)

    async def replace(self, manifest: Body) -> Body:
        async with self._writing("replace", manifest):
            resource, name = self._locate(manifest)
            kind = Kind(resource.group, resource.plural)
            metadata = manifest["metadata"]
            live = self._expect(kind, name, metadata.get("uid", ""), metadata.get("resourceVersion", ""))
            body = copy_of(manifest)
            body["metadata"] = {**live["metadata"], **body["metadata"]}
            fields.updated(live, body, FIELD_MANAGER, self._time)
            self._store_changed(kind, live, body)
            return self._stored(kind, name)

    async def delete(self, ref: ObjectRef, *, uid: str, resource_version: str) -> None:
        async with self._writing("delete"):
            resource = self._resource(ref.api_version, ref.kind)
            kind, name = Kind(resource.group, resource.plural), Name(ref.namespace, ref.name)
            if self._objects.peek(kind, name) is not None:
                self._expect(kind, name, uid, resource_version)
                self._remove(kind, name)

    def _stored(self, kind: Kind, name: Name) -> Body:
        """The answer to a write: shared, for nobody changes what he was answered."""
        return self._objects.peek(kind, name) or {}

    def _calling(self, operation: str, manifest: Body | None = None) -> "_Calling":
        return _Calling(self.faults, operation, manifest)

    def _writing(self, operation: str, manifest: Body | None = None) -> "_Writing":
        return _Writing(self.faults, operation, manifest, self._objects)


class _Calling:
    """What is broken strikes before the call, or after it was done. By hand: it is around every call."""

    __slots__ = ("_faults", "_manifest", "_operation")

    def __init__(self, faults: Faults, operation: str, manifest: Body | None) -> None:
        self._faults, self._operation, self._manifest = faults, operation, manifest

    async def __aenter__(self) -> None:
        if self._faults.any:
            await self._faults.before(self._operation, self._manifest)

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if error is None and self._faults.any:
            await self._faults.after(self._operation)


class _Writing(_Calling):
    """Answered once it is written down. What is inside of it does not await."""

    __slots__ = ("_objects",)

    def __init__(self, faults: Faults, operation: str, manifest: Body | None, objects: Objects) -> None:
        super().__init__(faults, operation, manifest)
        self._objects = objects

    async def __aenter__(self) -> None:
        await super().__aenter__()
        self._objects.begin_gathering()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self._objects.end_gathering()
        await self._objects.saved()
        await super().__aexit__(kind, error, trace)


class _Fields(msgspec.Struct):
    type: str = ""


def _on_fields(selector: str) -> Callable[[bytes], bool]:
    """A test on an object's raw body: of the fields that may be selected by, those of events."""
    if not selector:
        return lambda _: True
    matches = compile_selector(selector)
    return lambda raw: matches({"type": msgspec.json.decode(raw, type=_Fields).type})


def _seen_as(event: Event, matches: Callable[[dict[str, str]], bool]) -> str:
    """The event's type for a watcher with this selector, "" when it does not concern it."""
    now = matches(event.labels)
    before = event.previous_labels is not None and matches(event.previous_labels)
    if event.type == "DELETED":
        return "DELETED" if before else ""
    if now:
        return "MODIFIED" if before else "ADDED"
    return "DELETED" if before else ""


def _line(type_: str, raw: bytes) -> bytes:
    return b'{"type":"%s","object":%s}' % (type_.encode(), raw)


def _bookmark(resource: Resource, resource_version: int) -> bytes:
    body = {"kind": resource.kind, "apiVersion": resource.api_version}
    return _line(
        "BOOKMARK", msgspec.json.encode({**body, "metadata": {"resourceVersion": str(resource_version)}})
    )


def _strip(manifest: Body) -> Body:
    """Without what a client cannot set."""
    return {key: value for key, value in copy_of(manifest).items() if key != "status"}
