"""What only a real API server can show of the agent's port: ownership, admission, credentials, failures."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from agents.kube import KubernetesApi, find_access, in_cluster_access, kubeconfig_access
from agents.kube import api as api_module
from agents.kube.discovery import discover, discover_by_group
from agents.kube.http import KubeHttp
from agents.kube.tokens import fixed_token
from agents.ports import Forbidden, Gone, NotServed, Rejected, Resource, Unreachable
from controlplane.embedded.kube import KubeControlPlane
from controlplane.embedded.processes import free_port
from schemas.wire.orders import FIELD_MANAGER, ObjectRef
from tests.conformance.kube_worlds import define

BOUND_SECONDS = 20.0
POLL_SECONDS = 0.05
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True)

Object = dict[str, Any]


@pytest_asyncio.fixture
async def kube(kube_api: KubeControlPlane) -> AsyncGenerator[KubernetesApi]:
    async with KubernetesApi(kubeconfig_access(kube_api.kubeconfig)) as port:
        yield port


@pytest_asyncio.fixture
async def admin(kube_api: KubeControlPlane) -> AsyncGenerator[httpx.AsyncClient]:
    async with kube_api.client() as client:
        yield client


def manifest(kind: str, name: str, namespace: str, api_version: str = "v1", **rest: Any) -> Object:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        **rest,
    }


def pod_template(**container: Any) -> Object:
    main = {"name": "main", "image": "registry.example/none:1", **container}
    return {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [main]}}


# Ownership

OWNED: dict[str, tuple[str, str, str, Object]] = {
    "data": ("v1", "ConfigMap", "configmaps", {"data": {"a": "1", "b": ""}}),
    "ports told apart by a default": (
        "v1",
        "Service",
        "services",
        {
            "spec": {
                "selector": {"app": "a"},
                "ports": [
                    {"name": "one", "port": 80},
                    {"name": "two", "port": 80, "protocol": "UDP", "targetPort": "dns"},
                ],
            }
        },
    ),
    "a pod template": (
        "apps/v1",
        "Deployment",
        "deployments",
        {
            "spec": {
                "replicas": 0,
                "strategy": {},
                "selector": {"matchLabels": {"app": "a"}},
                "template": pod_template(
                    env=[
                        {"name": "A", "value": "1"},
                        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    ],
                    ports=[{"containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
                    resources={"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
                    args=["a", "b"],
                ),
            }
        },
    ),
    "a job": ("batch/v1", "Job", "jobs", {"spec": {"suspend": True, "template": pod_template()}}),
    "a claim": (
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    ),
    "rules": (
        "rbac.authorization.k8s.io/v1",
        "Role",
        "roles",
        {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    ),
}


@pytest.mark.parametrize(("api_version", "kind", "plural", "rest"), OWNED.values(), ids=list(OWNED))
async def test_what_muster_created_it_owns_as_if_it_had_applied_it(
    kube: KubernetesApi,
    admin: httpx.AsyncClient,
    kube_namespace: str,
    api_version: str,
    kind: str,
    plural: str,
    rest: Object,
) -> None:
    ours = manifest(kind, "ours", kube_namespace, api_version, **rest)
    ours["metadata"] |= {"labels": {"x": "1"}, "finalizers": ["test.example/a"]}
    if kind == "Job":
        ours["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    created = await kube.create(ours)
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    answer = await admin.patch(
        f"{root}/namespaces/{kube_namespace}/{plural}/applied",
        params={"fieldManager": FIELD_MANAGER, "dryRun": "All"},
        content=json.dumps({**ours, "metadata": {**ours["metadata"], "name": "applied"}}),
        headers={"content-type": "application/apply-patch+yaml"},
    )
    answer.raise_for_status()
    (mine,) = entries_of_muster(created)
    (applied,) = entries_of_muster(answer.json())
    assert mine["operation"] == "Apply"
    assert mine["fieldsV1"] == applied["fieldsV1"]
    found = await admin.patch(
        f"{root}/namespaces/{kube_namespace}/{plural}/ours",
        json={"metadata": {"finalizers": None}},
        headers={"content-type": "application/merge-patch+json"},
    )
    found.raise_for_status()


def entries_of_muster(found: Object) -> list[Object]:
    return [entry for entry in found["metadata"]["managedFields"] if entry["manager"] == FIELD_MANAGER]


async def test_what_admission_added_is_not_taken_away_again(
    kube: KubernetesApi, admin: httpx.AsyncClient, kube_namespace: str
) -> None:
    name = f"default-{kube_namespace}"
    storage_class = {
        "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "test.example/none",
    }
    path = "/apis/storage.k8s.io/v1/storageclasses"
    (await admin.post(path, json=storage_class)).raise_for_status()
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = manifest("PersistentVolumeClaim", "claim", kube_namespace, spec=spec)
    try:
        await until(lambda: _has_default_class(kube, claim, name))
        created = await kube.get(ref(claim))
        assert created is not None
        labelled = {**claim, "metadata": {**claim["metadata"], "labels": {"a": "1"}}}
        applied = await kube.apply(labelled, **identity(created))
        assert applied["spec"]["storageClassName"] == name
    finally:
        (await admin.delete(f"{path}/{name}")).raise_for_status()


async def _has_default_class(kube: KubernetesApi, claim: Object, name: str) -> bool:
    """Admission learns of the class by a watch of its own: try until it has."""
    found = await kube.get(ref(claim)) or await kube.create(claim)
    if found["spec"].get("storageClassName") == name:
        return True
    await kube.delete(ref(claim), **identity(found))
    return False


async def test_an_agent_that_died_between_create_and_move_still_drops_what_it_no_longer_names(
    kube: KubernetesApi, admin: httpx.AsyncClient, kube_namespace: str
) -> None:
    path = f"/api/v1/namespaces/{kube_namespace}/configmaps"
    left = manifest("ConfigMap", "left", kube_namespace, data={"kept": "1", "dropped": "1"})
    answer = await admin.post(path, params={"fieldManager": FIELD_MANAGER}, json=left)
    answer.raise_for_status()
    applied = await kube.apply({**left, "data": {"kept": "2"}}, **identity(answer.json()))
    assert applied["data"] == {"kept": "2"}
    assert [entry["operation"] for entry in entries_of_muster(applied)] == ["Apply"]


async def test_controllers_that_write_at_once_do_not_hinder_a_create(
    kube: KubernetesApi, kube_namespace: str
) -> None:
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": pod_template()}
    manifests = [manifest("Deployment", f"d-{n}", kube_namespace, "apps/v1", spec=spec) for n in range(20)]
    created = await asyncio.gather(*(kube.create(each) for each in manifests))
    assert {entry["operation"] for found in created for entry in entries_of_muster(found)} == {"Apply"}


# Discovery


async def test_group_by_group_discovery_finds_the_same(kube_api: KubeControlPlane) -> None:
    http = KubeHttp(kubeconfig_access(kube_api.kubeconfig), user_agent="test")
    try:
        assert set(await discover(http)) == {found async for found in discover_by_group(http)}
    finally:
        await http.close()


async def test_kinds_come_and_go_while_the_agent_runs(
    kube: KubernetesApi, admin: httpx.AsyncClient, kube_namespace: str
) -> None:
    group = f"{kube_namespace}.example"
    first = Resource(group, "v1", "firsts", "First", True)
    second = Resource(group, "v1", "seconds", "Second", False)
    with pytest.raises(NotServed):
        await kube.get(ObjectRef(f"{group}/v1", "First", kube_namespace, "x"))
    await define(admin, first)
    assert await kube.create(manifest("First", "x", kube_namespace, f"{group}/v1", spec={"a": 1}))
    await define(admin, second)
    named = {"apiVersion": f"{group}/v1", "kind": "Second", "metadata": {"name": "x"}}
    assert await kube.create(named)
    assert {first, second} <= set(await kube.served())
    definition = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{first.plural}.{group}"
    (await admin.delete(definition)).raise_for_status()

    async def gone() -> bool:
        try:
            await kube.get(ObjectRef(f"{group}/v1", "First", kube_namespace, "x"))
        except NotServed:
            return True
        return False

    await until(gone)


# Who may


async def test_a_service_account_may_what_rbac_lets_it(
    kube_api: KubeControlPlane, admin: httpx.AsyncClient, kube_namespace: str, tmp_path: Path
) -> None:
    accounts = f"/api/v1/namespaces/{kube_namespace}/serviceaccounts"
    (await admin.post(accounts, json={"metadata": {"name": "agent"}})).raise_for_status()
    answer = await admin.post(f"{accounts}/agent/token", json={"spec": {"expirationSeconds": 600}})
    answer.raise_for_status()
    (tmp_path / "token").write_text(answer.json()["status"]["token"])
    (tmp_path / "ca.crt").write_text(kube_api.authority.read_text())
    port = kube_api.url.rpartition(":")[2]
    pod = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
    async with KubernetesApi(in_cluster_access(pod, tmp_path)) as kube:
        made = manifest("ConfigMap", "made", kube_namespace, data={})
        with pytest.raises(Forbidden, match="cannot create resource"):
            await kube.create(made)
        with pytest.raises(Forbidden, match="cannot list resource"):
            await anext(aiter(kube.list(CONFIG_MAPS)))
        binding = {
            "metadata": {"name": "agent"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": kube_namespace}],
        }
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{kube_namespace}/rolebindings"
        (await admin.post(path, json=binding)).raise_for_status()

        async def may() -> bool:
            try:
                return bool(await kube.create(made))
            except Forbidden:
                return False

        await until(may)


async def test_a_token_that_nobody_knows_is_forbidden(kube_api: KubeControlPlane) -> None:
    access = replace(kubeconfig_access(kube_api.kubeconfig), token=fixed_token("unknown"))
    async with KubernetesApi(access) as kube:
        with pytest.raises(Forbidden, match="credential"):
            await kube.cluster_uid()


async def test_a_command_may_print_the_credential(kube_api: KubeControlPlane, tmp_path: Path) -> None:
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "status": {"token": kube_api.token}}
    config = json.loads(kube_api.kubeconfig.read_text())
    config["users"][0]["user"] = {
        "exec": {
            "command": "sh",
            "args": ["-c", 'echo "$SAID"'],
            "env": [{"name": "SAID", "value": json.dumps(credential)}],
        }
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    async with KubernetesApi(find_access(str(tmp_path / "kubeconfig"))) as kube:
        assert await kube.cluster_uid()


async def test_what_admission_forbids_is_rejected_and_not_a_matter_of_rights(
    kube: KubernetesApi, admin: httpx.AsyncClient, kube_one: KubeControlPlane, kube_namespace: str
) -> None:
    level = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    headers = {"content-type": "application/merge-patch+json"}
    path = f"/api/v1/namespaces/{kube_namespace}"
    (await admin.patch(path, json=level, headers=headers)).raise_for_status()
    account = ObjectRef("v1", "ServiceAccount", kube_namespace, "default")

    async def has_account() -> bool:
        return await kube.get(account) is not None

    await until(has_account)
    with pytest.raises(Rejected, match="PodSecurity"):
        await kube.create(manifest("Pod", "bare", kube_namespace, spec=pod_template()["spec"]))


async def test_a_namespace_that_is_going_is_a_reason_to_try_later(
    kube: KubernetesApi, admin: httpx.AsyncClient, kube_namespace: str
) -> None:
    held = manifest("ConfigMap", "held", kube_namespace)
    held["metadata"]["finalizers"] = ["test.example/held"]
    await kube.create(held)
    (await admin.delete(f"/api/v1/namespaces/{kube_namespace}")).raise_for_status()
    try:
        with pytest.raises(Unreachable, match="being terminated"):
            await kube.create(manifest("ConfigMap", "late", kube_namespace))
    finally:
        path = f"/api/v1/namespaces/{kube_namespace}/configmaps/held"
        headers = {"content-type": "application/merge-patch+json"}
        await admin.patch(path, json={"metadata": {"finalizers": None}}, headers=headers)


# What breaks


async def test_where_nobody_listens_nothing_is_reached(kube_api: KubeControlPlane) -> None:
    access = replace(kubeconfig_access(kube_api.kubeconfig), server=f"https://127.0.0.1:{free_port()}")
    async with KubernetesApi(access) as kube:
        with pytest.raises(Unreachable):
            await kube.version()
        with pytest.raises(Unreachable):
            await anext(aiter(kube.list(CONFIG_MAPS)))
        with pytest.raises(Unreachable):
            await anext(aiter(kube.watch(CONFIG_MAPS, "0")))


async def test_a_server_of_another_authority_is_not_spoken_to(kube_api: KubeControlPlane) -> None:
    access = replace(kubeconfig_access(kube_api.kubeconfig), server_name="elsewhere.example")
    async with KubernetesApi(access) as kube:
        with pytest.raises(Unreachable, match="certificate"):
            await kube.version()


async def test_a_continue_token_that_expired_on_the_way_says_gone(
    kube: KubernetesApi,
    kube_api: KubeControlPlane,
    kube_namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events are the one kind that the API server reads from etcd page by page, and not from its memory."""
    monkeypatch.setattr(api_module, "PAGE_ITEMS", 2)
    about = {"namespace": kube_namespace}
    for n in range(3):
        await kube.create(manifest("Event", f"e-{n}", kube_namespace, involvedObject=about))
    listed = kube.list(Resource("", "v1", "events", "Event", True))
    version = int(msgspec.json.decode(await anext(listed))["metadata"]["resourceVersion"])
    await kube.create(manifest("Event", "later", kube_namespace, involvedObject=about))
    assert kube_api.layout is not None
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{kube_api.layout.etcd_port}") as etcd:
        body = {"revision": version + 1, "physical": True}
        (await etcd.post("/v3/kv/compaction", json=body)).raise_for_status()
    with pytest.raises(Gone):
        await anext(listed)


async def test_a_watch_line_of_a_megabyte_arrives_whole(kube: KubernetesApi, kube_namespace: str) -> None:
    page = await anext(kube.list(CONFIG_MAPS))
    version = msgspec.json.decode(page)["metadata"]["resourceVersion"]
    data = {"large": "x" * 1_000_000}
    await kube.create(manifest("ConfigMap", "large", kube_namespace, data=data))
    async with asyncio.timeout(BOUND_SECONDS):
        async for line in kube.watch(CONFIG_MAPS, version):
            event = msgspec.json.decode(line)
            if event["object"]["metadata"]["name"] == "large":
                assert event["object"]["data"] == data
                break


def ref(of: Object) -> ObjectRef:
    metadata = of["metadata"]
    return ObjectRef(of["apiVersion"], of["kind"], metadata["namespace"], metadata["name"])


def identity(found: Object) -> dict[str, str]:
    return {"uid": found["metadata"]["uid"], "resource_version": found["metadata"]["resourceVersion"]}


async def until(holds: Any) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while not await holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(POLL_SECONDS)
