"""The port `agents.ports.Kube` on a real API server."""

import random
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote

import msgspec

from agents.kube.access import KubeAccess
from agents.kube.discovery import discover, discover_version, version_path
from agents.kube.fields import join_to_apply, move_to_apply, take_replicas, without_manager
from agents.kube.http import KubeHttp, NotFound, Status, decoded, failure, gathered, read_bounded
from agents.kube.rights import allowed
from agents.ports import Conflict, KubeError, NotServed, Rejected, Resource, Rule, Unreachable
from schemas.wire.orders import FIELD_MANAGER, OUR_LABELS, ObjectRef

PAGE_ITEMS = 500
PAGE_LIMIT_BYTES = 256 << 20
LIST_TIMEOUT_SECONDS = 120.0
WATCH_SECONDS = 300.0
LINE_LIMIT_BYTES = 16 << 20
GATHER_SECONDS = 0.1
BUSY_SECONDS = 0.25
MOVE_ATTEMPTS = 5

JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_EVENT, _ERROR = b'{"type":"', b'{"type":"ERROR"'

Object = dict[str, Any]
Patch = list[Object]


class _Version(msgspec.Struct, rename="camel"):
    git_version: str


class _ListMetadata(msgspec.Struct, rename={"next": "continue"}):
    next: str = ""


class _List(msgspec.Struct):
    metadata: _ListMetadata


class _WatchLine(msgspec.Struct):
    type: str


class _ErrorLine(msgspec.Struct):
    object: Status


class KubernetesApi:
    """Raw requests; kinds are looked up in discovery once and again when one is not known."""

    def __init__(
        self, access: KubeAccess, *, user_agent: str = "muster-agent", watch_seconds: float = WATCH_SECONDS
    ) -> None:
        """A watch is closed by the server after between one and two times `watch_seconds`."""
        self._http = KubeHttp(access, user_agent=user_agent)
        self._watch_seconds = watch_seconds
        self._kinds: dict[str, dict[str, Resource]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.close()

    async def version(self) -> str:
        return decoded(await self._http.send("GET", "/version"), _Version).git_version

    async def cluster_uid(self) -> str:
        found = await self._object("GET", "/api/v1/namespaces/kube-system")
        return str(found["metadata"]["uid"])

    async def served(self) -> list[Resource]:
        found = await discover(self._http)
        kinds: dict[str, dict[str, Resource]] = {}
        for resource in found:
            kinds.setdefault(resource.api_version, {}).setdefault(resource.kind, resource)
        self._kinds = kinds
        return found

    async def allowed(self, namespace: str) -> tuple[Rule, ...] | None:
        return await allowed(self._http, namespace)

    async def list(
        self, resource: Resource, *, label_selector: str = "", namespace: str = "", field_selector: str = ""
    ) -> AsyncIterator[bytes]:
        where = f"namespaces/{quote(namespace, safe='')}/" if namespace else ""
        path = f"{version_path(resource.api_version)}/{where}{resource.plural}"
        query = {"limit": str(PAGE_ITEMS), **_selected(label_selector, field_selector)}
        while True:
            try:
                async with self._http.open(
                    "GET", path, query=query, timeout_seconds=LIST_TIMEOUT_SECONDS
                ) as response:
                    page = await read_bounded(response, PAGE_LIMIT_BYTES)
            except NotFound as error:
                raise NotServed(f"{resource.kind} of {resource.api_version}: {error}") from None
            yield page
            following = decoded(page, _List).metadata.next
            if not following:
                return
            query["continue"] = following

    async def watch(
        self, resource: Resource, resource_version: str, *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncIterator[bytes]:
        path = f"{version_path(resource.api_version)}/{resource.plural}"
        # Spread, so that the watches of many agents do not all come back in the same second.
        seconds = self._watch_seconds * random.uniform(1.0, 2.0)
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, round(seconds))),
            **_selected(label_selector, field_selector),
        }
        try:
            async with self._http.open("GET", path, query=query, timeout_seconds=None) as response:
                async for line in _lines(gathered(response, GATHER_SECONDS, BUSY_SECONDS)):
                    # What begins as the API server writes events is not read twice.
                    is_plain = line.startswith(_EVENT) and not line.startswith(_ERROR)
                    if not is_plain and decoded(line, _WatchLine).type == "ERROR":
                        raise failure(decoded(line, _ErrorLine).object)
                    yield line
        except NotFound as error:
            raise NotServed(f"{resource.kind} of {resource.api_version}: {error}") from None

    async def get(self, ref: ObjectRef) -> Object | None:
        path = await self._path(ref)
        try:
            return await self._object("GET", path)
        except NotFound as error:
            if error.name == ref.name:
                return None
            raise self._forget(ref.api_version, ref.kind, error) from None

    async def create(self, manifest: Object) -> Object:
        ref = reference(manifest)
        path = await self._path(ref)
        try:
            created = await self._object(
                "POST", path.rpartition("/")[0], query={"fieldManager": FIELD_MANAGER}, body=manifest
            )
        except NotFound as error:
            raise self._missing(ref, error) from None
        return await self._move_to_apply(ref, path, created, manifest)

    async def apply(self, manifest: Object, *, uid: str, resource_version: str) -> Object:
        ref = reference(manifest)
        path = await self._path(ref)
        applied = await self._apply(ref, path, manifest, uid, resource_version)
        left = join_to_apply(applied, FIELD_MANAGER)
        if left is None:
            return applied
        joined = await self._object("PATCH", path, body=left, content_type=JSON_PATCH)
        return await self._apply(ref, path, manifest, uid, joined["metadata"]["resourceVersion"])

    async def adopt(self, manifest: Object, *, uid: str, resource_version: str) -> Object:
        ref = reference(manifest)
        if "replicas" in (manifest.get("spec") or {}):
            found = await self._exactly(ref, uid, resource_version)
            if found is None:
                raise Conflict(f"{ref} is not there any more")
            patch = take_replicas(found, FIELD_MANAGER)
            if patch is not None:
                found = await self._patch_exactly(ref, found, patch)
            resource_version = found["metadata"]["resourceVersion"]
        return await self.apply(manifest, uid=uid, resource_version=resource_version)

    async def replace(self, manifest: Object) -> Object:
        ref = reference(manifest)
        path = await self._path(ref)
        try:
            return await self._object("PUT", path, query={"fieldManager": FIELD_MANAGER}, body=manifest)
        except NotFound as error:
            raise self._missing(ref, error) from None

    async def delete(self, ref: ObjectRef, *, uid: str, resource_version: str) -> None:
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
        }
        try:
            await self._http.send("DELETE", await self._path(ref), body=options)
        except NotFound as error:
            if error.name != ref.name:
                raise self._forget(ref.api_version, ref.kind, error) from None

    async def disown(self, ref: ObjectRef, *, uid: str, resource_version: str) -> None:
        found = await self._exactly(ref, uid, resource_version)
        if found is None:
            return
        await self._patch_exactly(ref, found, without_manager(found, FIELD_MANAGER, OUR_LABELS))

    async def _patch_exactly(self, ref: ObjectRef, found: Object, patch: Patch) -> Object:
        """A JSON patch that tests uid and resource version. Conflict when it is not that object any more."""
        try:
            return await self._object("PATCH", await self._path(ref), body=patch, content_type=JSON_PATCH)
        except NotFound as error:
            raise self._missing(ref, error) from None
        except Rejected as error:
            # A test that fails is a 422, as is everything else that is wrong with a patch.
            metadata = found["metadata"]
            if await self._exactly(ref, metadata["uid"], metadata["resourceVersion"]) is None:
                raise Conflict(str(error)) from error
            raise

    async def _exactly(self, ref: ObjectRef, uid: str, resource_version: str) -> Object | None:
        """What was read before, with all its fields; None where it is gone. Conflict where it moved on."""
        found = await self.get(ref)
        if found is None:
            return None
        metadata = found["metadata"]
        if (metadata["uid"], metadata["resourceVersion"]) != (uid, resource_version):
            raise Conflict(f"{ref} is at {metadata['resourceVersion']}, not {resource_version}")
        return found

    async def _apply(
        self, ref: ObjectRef, path: str, manifest: Object, uid: str, resource_version: str
    ) -> Object:
        metadata = {**manifest["metadata"], "uid": uid, "resourceVersion": resource_version}
        try:
            return await self._object(
                "PATCH",
                path,
                query={"fieldManager": FIELD_MANAGER, "force": "true"},
                body={**manifest, "metadata": metadata},
                content_type=APPLY_PATCH,
            )
        except NotFound as error:
            raise self._missing(ref, error) from None

    async def _move_to_apply(self, ref: ObjectRef, path: str, created: Object, manifest: Object) -> Object:
        """Several attempts: a controller's first write can put its entry before ours."""
        found = created
        for _ in range(MOVE_ATTEMPTS):
            patch = move_to_apply(found, manifest, FIELD_MANAGER)
            if patch is None:
                return found
            try:
                return await self._object("PATCH", path, body=patch, content_type=JSON_PATCH)
            except (Rejected, Conflict):
                current = await self.get(ref)
            except NotFound:
                current = None
            if current is None or current["metadata"]["uid"] != created["metadata"]["uid"]:
                raise Conflict(f"{ref} was removed as soon as it was made")
            found = current
        raise Unreachable(
            f"{ref}: its managed fields could not be moved to Apply in {MOVE_ATTEMPTS} attempts"
        )

    async def _object(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "",
    ) -> Object:
        answer = await self._http.send(
            method, path, query=query, body=body, content_type=content_type or "application/json"
        )
        return decoded(answer, Object)

    async def _path(self, ref: ObjectRef) -> str:
        resource = await self._resource(ref.api_version, ref.kind)
        if resource.namespaced and not ref.namespace:
            raise Rejected(f"{ref}: metadata.namespace is missing")
        if ref.namespace and not resource.namespaced:
            # The API server would drop it without a word, and a tenant of that namespace rule the cluster.
            raise Rejected(f"{ref}: {ref.kind} is cluster-scoped: leave metadata.namespace out")
        if not ref.name:
            raise Rejected(f"{ref.kind}: metadata.name is missing")
        where = f"namespaces/{quote(ref.namespace, safe='')}/" if resource.namespaced else ""
        return f"{version_path(ref.api_version)}/{where}{resource.plural}/{quote(ref.name, safe='')}"

    async def _resource(self, api_version: str, kind: str) -> Resource:
        found = self._kinds.get(api_version, {}).get(kind)
        if found is None:
            try:
                resources = await discover_version(self._http, api_version)
            except NotFound as error:
                raise NotServed(f"{kind} of {api_version}: {error}") from None
            self._kinds[api_version] = {resource.kind: resource for resource in reversed(resources)}
            found = self._kinds[api_version].get(kind)
        if found is None:
            raise NotServed(f"{api_version} is served without a kind {kind}")
        return found

    def _forget(self, api_version: str, kind: str, error: NotFound) -> NotServed:
        self._kinds.pop(api_version, None)
        return NotServed(f"{kind} of {api_version}: {error}")

    def _missing(self, ref: ObjectRef, error: NotFound) -> KubeError:
        """A write met 404: the object or its namespace is not there, or the kind is not served any more."""
        if error.name == ref.name and error.kind != "namespaces":
            return Conflict(str(error))
        return Rejected(str(error)) if error.name else self._forget(ref.api_version, ref.kind, error)


def _selected(label_selector: str, field_selector: str) -> dict[str, str]:
    selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: selector for name, selector in selectors.items() if selector}


def reference(manifest: Object) -> ObjectRef:
    """Raises Rejected naming the field that a manifest lacks."""
    metadata = cast("Object", manifest.get("metadata") or {})
    for field, value in (("apiVersion", manifest.get("apiVersion")), ("kind", manifest.get("kind"))):
        if not isinstance(value, str) or not value:
            raise Rejected(f"{field} is missing in the manifest")
    return ObjectRef(
        manifest["apiVersion"], manifest["kind"], metadata.get("namespace") or "", metadata.get("name") or ""
    )


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines; what the server cut off in the middle is dropped with the connection."""
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" not in chunk:
            if len(rest) > LINE_LIMIT_BYTES:
                raise Rejected(f"a watch line exceeds {LINE_LIMIT_BYTES} bytes")
            continue
        *whole, last = bytes(rest).split(b"\n")
        rest = bytearray(last)
        for line in whole:
            if line:
                yield line
