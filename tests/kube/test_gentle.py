"""What a large cluster's API server is spared: lists that are not needed, and requests while it is busy."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import httpx
import msgspec

from agents.clock import SystemClock
from agents.kube import KubernetesApi, find_access
from agents.kube.access import KubeAccess
from agents.kube.tokens import fixed_token
from agents.observe.events import EVENTS, WARNINGS, Events
from agents.observe.keyed import Rows
from agents.observe.shapes import ObjectShape
from agents.observe.watching import Watching
from agents.ports import Resource
from agents.timing import ended
from controlplane.embedded.kube import KubeControlPlane
from tests.circle import Object, config_map, eventually
from tests.crash.proxy import Way

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True)
AT_ONCE = 12
FLOW_CONTROL = "/apis/flowcontrol.apiserver.k8s.io/v1"
_decode = msgspec.json.Decoder(ObjectShape)


def name_and_version(raw: msgspec.Raw) -> tuple[tuple[str, str], str]:
    metadata = _decode.decode(raw).metadata
    return (metadata.namespace, metadata.name), metadata.resource_version


async def requests_of(client: httpx.AsyncClient, verb: str) -> int:
    """For ConfigMaps of the whole cluster, as the API server counts them."""
    text = (await client.get("/metrics")).raise_for_status().text
    pattern = (
        rf'^apiserver_request_total\{{.*resource="configmaps",scope="cluster".*verb="{verb}".*\}} (\S+)$'
    )
    return sum(int(float(each)) for each in re.findall(pattern, text, re.MULTILINE))


async def test_neither_a_watch_that_is_closed_nor_one_that_is_lost_is_listed_again(
    kube_api: KubeControlPlane, kube_namespace: str
) -> None:
    rows = Rows[tuple[str, str], str](lambda _key, _before, _after: None)
    access = find_access(str(kube_api.kubeconfig), "")
    way = Way(int(kube_api.url.rpartition(":")[2]))
    await way.open()
    by_way = KubeAccess(f"https://127.0.0.1:{way.port}", access.tls, access.token)
    api = KubernetesApi(by_way, watch_seconds=1.0)
    watching = Watching(api, SystemClock(), Random(1), CONFIG_MAPS, rows, name_and_version)
    running = asyncio.create_task(watching.run())
    try:
        async with kube_api.client() as client:
            await watching.synced.wait()
            lists = await requests_of(client, "LIST")
            watches = await requests_of(client, "WATCH")
            await eventually(
                "the server has closed it twice",
                lambda: requests_of(client, "WATCH"),
                lambda counted: counted >= watches + 2,
            )
            await way.drop()
            made = config_map("after", kube_namespace, a="b")
            path = f"/api/v1/namespaces/{kube_namespace}/configmaps"
            (await client.post(path, json=made)).raise_for_status()
            await eventually("it is seen", lambda: (kube_namespace, "after") in rows.rows, bound_seconds=10)
            assert not running.done()
            assert await requests_of(client, "LIST") == lists
    finally:
        await ended(running)
        await api.close()
        await way.close()


@asynccontextmanager
async def limited_account(
    client: httpx.AsyncClient, kube_api: KubeControlPlane, namespace: str
) -> AsyncGenerator[KubeAccess]:
    """A service account that may read ConfigMaps, and of whose requests one is let in at a time."""
    await _made(client, f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "reader"}})
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    binding = {"metadata": {"name": namespace}, "roleRef": role, "subjects": [subject]}
    await _made(client, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
    limits = {
        "nominalConcurrencyShares": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": {"type": "Reject"},
    }
    level = {"metadata": {"name": namespace}, "spec": {"type": "Limited", "limited": limits}}
    await _made(client, f"{FLOW_CONTROL}/prioritylevelconfigurations", level)
    account = {"kind": "ServiceAccount", "serviceAccount": {"name": "reader", "namespace": namespace}}
    resources = [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    ]
    schema = {
        "metadata": {"name": namespace},
        "spec": {
            "priorityLevelConfiguration": {"name": namespace},
            "matchingPrecedence": 2,
            "rules": [{"subjects": [account], "resourceRules": resources}],
        },
    }
    await _made(client, f"{FLOW_CONTROL}/flowschemas", schema)
    token = await _made(client, f"/api/v1/namespaces/{namespace}/serviceaccounts/reader/token", {"spec": {}})
    administrator = find_access(str(kube_api.kubeconfig), "")
    try:
        yield KubeAccess(administrator.server, administrator.tls, fixed_token(token["status"]["token"]))
    finally:
        await client.delete(f"{FLOW_CONTROL}/flowschemas/{namespace}")
        await client.delete(f"{FLOW_CONTROL}/prioritylevelconfigurations/{namespace}")
        await client.delete(f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{namespace}")


async def _made(client: httpx.AsyncClient, path: str, manifest: Object) -> Object:
    return (await client.post(path, json=manifest)).raise_for_status().json()


async def refusals(client: httpx.AsyncClient, level: str) -> int:
    text = (await client.get("/metrics")).raise_for_status().text
    pattern = rf'^apiserver_flowcontrol_rejected_requests_total\{{.*priority_level="{level}".*\}} (\S+)$'
    return sum(int(float(each)) for each in re.findall(pattern, text, re.MULTILINE))


async def test_whoever_is_told_to_come_later_waits_as_long_as_the_server_says_and_goes_on(
    kube_api: KubeControlPlane, kube_namespace: str
) -> None:
    async with kube_api.client() as client, limited_account(client, kube_api, kube_namespace) as access:
        api = KubernetesApi(access)

        async def pages() -> int:
            return len([page async for page in api.list(CONFIG_MAPS)])

        async def refused() -> int:
            """Many at once, where one is let in: none of them fails."""
            assert min(await asyncio.gather(*(pages() for _ in range(AT_ONCE)))) >= 1
            return await refusals(client, kube_namespace)

        try:
            await eventually("some of them are refused at first", refused)
        finally:
            await api.close()


async def test_ordinary_events_are_not_asked_for(kube_api: KubeControlPlane, kube_namespace: str) -> None:
    api = KubernetesApi(find_access(str(kube_api.kubeconfig), ""))
    seen: list[str] = []
    events = Events(
        api, SystemClock(), Random(1), lambda warned, _now: seen.append(warned.reason), resync_seconds=60
    )
    passed: list[bytes] = []
    running = asyncio.create_task(events.run())
    try:
        await events.listed.wait()
        async with kube_api.client() as client:
            for kind in ("Normal", "Warning"):
                await _made(
                    client, f"/api/v1/namespaces/{kube_namespace}/events", event(kube_namespace, kind)
                )
        await eventually("the warning is seen", lambda: "TestedWarning" in seen)
        async for page in api.list(EVENTS, field_selector=WARNINGS, namespace=kube_namespace):
            passed.append(page)
        assert b"TestedWarning" in passed[0]
        assert b"TestedNormal" not in passed[0]
    finally:
        await ended(running)
        await api.close()


def event(namespace: str, kind: str) -> Object:
    about = {"kind": "Pod", "namespace": namespace, "name": "pod"}
    metadata = {"name": f"tested-{kind.lower()}", "namespace": namespace}
    return {"metadata": metadata, "type": kind, "reason": f"Tested{kind}", "involvedObject": about}
