"""What the agent may rely on from `agents.ports.Kube`, asked of a real API server and of the simulated one.

What the seeded world shows is worth as much as this suite: where the simulation answers otherwise than the
real thing, it lies.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from agents.kube import KubernetesApi, kubeconfig_access
from agents.ports import AlreadyExists, Conflict, Gone, NotServed, Rejected, Resource, Rule
from agents.simulated import SimulatedCluster
from controlplane.embedded.kube import KubeControlPlane
from schemas.wire.orders import FIELD_MANAGER, MANAGED_BY_LABEL, WORKLOAD_LABEL, ObjectRef
from tests.conformance.kube_worlds import RealWorld, SimulatedWorld, World, resource

BOUND_SECONDS = 20.0
READ_AGAIN_TIMES = 20
CONFIG_MAPS = resource("ConfigMap")
DEPLOYMENTS = resource("Deployment")
UNSERVED = Resource("never.example", "v1", "nevers", "Never", True)

Object = dict[str, Any]


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.kube)])
def world(request: pytest.FixtureRequest) -> World:
    return request.getfixturevalue(f"{request.param}_world")


@pytest.fixture
def simulated_world() -> Generator[World]:
    cluster = SimulatedCluster(nodes=2)
    cluster.put_as("admin", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "test"}})
    yield SimulatedWorld(cluster, "test")
    cluster.close()


@pytest_asyncio.fixture
async def real_world(kube_api: KubeControlPlane, kube_namespace: str) -> AsyncGenerator[World]:
    access = kubeconfig_access(kube_api.kubeconfig)
    async with KubernetesApi(access, watch_seconds=1.0) as kube, kube_api.client() as admin:
        yield RealWorld(kube, admin, kube_namespace)


def config_map(world: World, name: str, **data: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": world.namespace, "labels": {"of": world.namespace}},
        "data": data,
    }


def deployment(world: World, name: str, **spec: Any) -> Object:
    labels = {"app": name}
    container = {"name": "main", "image": "registry.example/none:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": world.namespace},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def ref(manifest: Object) -> ObjectRef:
    metadata = manifest["metadata"]
    return ObjectRef(
        manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"]
    )


def identity(found: Object) -> dict[str, str]:
    return {"uid": found["metadata"]["uid"], "resource_version": found["metadata"]["resourceVersion"]}


def managers(found: Object) -> set[tuple[str, str]]:
    return {(entry["manager"], entry["operation"]) for entry in found["metadata"]["managedFields"]}


async def read(world: World, manifest: Object) -> Object:
    found = await world.kube.get(ref(manifest))
    assert found is not None
    return found


async def apply_to_the_newest(world: World, manifest: Object) -> Object:
    """As the agent does: a controller that wrote in between is a reason to read again."""
    for _ in range(READ_AGAIN_TIMES):
        found = await read(world, manifest)
        try:
            return await world.kube.apply(manifest, **identity(found))
        except Conflict:
            continue
    raise AssertionError(f"{ref(manifest)} never stood still")


async def pages(world: World, of: Resource, selector: str) -> list[Object]:
    return [msgspec.json.decode(page) async for page in world.kube.list(of, label_selector=selector)]


# Discovery and identity


async def test_the_version_is_the_servers(world: World) -> None:
    assert (await world.kube.version()).startswith("v1.")


async def test_the_cluster_is_known_by_the_uid_of_kube_system(world: World) -> None:
    system = await world.kube.get(ObjectRef("v1", "Namespace", "", "kube-system"))
    assert system is not None
    assert await world.kube.cluster_uid() == system["metadata"]["uid"]


@pytest.mark.parametrize(
    ("api_version", "kind", "plural", "namespaced"),
    [
        ("v1", "Node", "nodes", False),
        ("v1", "ConfigMap", "configmaps", True),
        ("apps/v1", "Deployment", "deployments", True),
        ("batch/v1", "Job", "jobs", True),
        ("networking.k8s.io/v1", "Ingress", "ingresses", True),
    ],
)
async def test_served_kinds(world: World, api_version: str, kind: str, plural: str, namespaced: bool) -> None:
    group, _, version = api_version.rpartition("/")
    assert Resource(group, version, plural, kind, namespaced) in await world.kube.served()


async def test_subresources_are_no_kinds(world: World) -> None:
    assert not [found for found in await world.kube.served() if "/" in found.plural]


# Reading one object


@pytest.mark.parametrize("namespace", ["of the test", "that is not there"])
async def test_what_is_not_there_is_none(world: World, namespace: str) -> None:
    where = world.namespace if namespace == "of the test" else "never-made"
    assert await world.kube.get(ObjectRef("v1", "ConfigMap", where, "never")) is None


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [("never.example/v1", "Never"), ("apps/v1", "Never"), ("v1", "Never"), ("apps/v9", "Deployment")],
)
async def test_an_unknown_kind_is_not_served(world: World, api_version: str, kind: str) -> None:
    at = ObjectRef(api_version, kind, world.namespace, "some")
    manifest = {"apiVersion": api_version, "kind": kind} | {
        "metadata": {"name": "some", "namespace": world.namespace}
    }
    with pytest.raises(NotServed, match=kind):
        await world.kube.get(at)
    with pytest.raises(NotServed, match=kind):
        await world.kube.create(manifest)
    with pytest.raises(NotServed, match=kind):
        await world.kube.apply(manifest, uid="x", resource_version="1")
    with pytest.raises(NotServed, match=kind):
        await world.kube.delete(at, uid="x", resource_version="1")


# Create


async def test_what_was_created_is_there_as_it_was_answered(world: World) -> None:
    created = await world.kube.create(config_map(world, "made", a="1"))
    assert created["metadata"]["uid"]
    assert created["data"] == {"a": "1"}
    assert await read(world, created) == created


async def test_a_create_enters_muster_as_one_who_applied(world: World) -> None:
    created = await world.kube.create(config_map(world, "made", a="1"))
    assert managers(created) == {(FIELD_MANAGER, "Apply")}


async def test_what_exists_is_not_created_again(world: World) -> None:
    await world.put_as("someone", config_map(world, "theirs", a="1"))
    with pytest.raises(AlreadyExists):
        await world.kube.create(config_map(world, "theirs", a="2"))
    assert (await read(world, config_map(world, "theirs")))["data"] == {"a": "1"}


def without_namespace(manifest: Object) -> None:
    del manifest["metadata"]["namespace"]


def in_a_missing_namespace(manifest: Object) -> None:
    manifest["metadata"]["namespace"] = "never-made"


def without_name(manifest: Object) -> None:
    del manifest["metadata"]["name"]


def with_a_name_that_is_none(manifest: Object) -> None:
    manifest["metadata"]["name"] = "No_Name"


def with_replicas_in_words(manifest: Object) -> None:
    manifest["spec"]["replicas"] = "three"


def with_fewer_than_no_replicas(manifest: Object) -> None:
    manifest["spec"]["replicas"] = -1


def with_a_selector_that_misses(manifest: Object) -> None:
    manifest["spec"]["selector"] = {"matchLabels": {"app": "another"}}


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (without_namespace, "namespace"),
        (in_a_missing_namespace, "never-made"),
        (without_name, "name"),
        (with_a_name_that_is_none, "name"),
        (with_replicas_in_words, "replicas"),
        (with_fewer_than_no_replicas, "replicas"),
        (with_a_selector_that_misses, "selector"),
    ],
)
async def test_a_manifest_with_a_fault_is_rejected_and_the_fault_named(
    world: World, spoil: Any, named: str
) -> None:
    manifest = deployment(world, "wrong")
    spoil(manifest)
    with pytest.raises(Rejected, match=named):
        await world.kube.create(manifest)


# Apply


async def test_an_apply_removes_what_muster_created_and_no_longer_names(world: World) -> None:
    created = await world.kube.create(config_map(world, "ours", kept="1", dropped="1"))
    applied = await world.kube.apply(config_map(world, "ours", kept="2"), **identity(created))
    assert applied["data"] == {"kept": "2"}
    assert await read(world, applied) == applied


async def test_an_apply_removes_what_an_earlier_apply_named(world: World) -> None:
    created = await world.kube.create(config_map(world, "ours", a="1"))
    grown = await world.kube.apply(config_map(world, "ours", a="1", b="1"), **identity(created))
    shrunk = await world.kube.apply(config_map(world, "ours", a="1"), **identity(grown))
    assert shrunk["data"] == {"a": "1"}


async def test_an_apply_that_changes_nothing_makes_no_new_version(world: World) -> None:
    created = await world.kube.create(config_map(world, "ours", a="1"))
    again = await world.kube.apply(config_map(world, "ours", a="1"), **identity(created))
    assert identity(again) == identity(created)


async def test_an_apply_leaves_other_peoples_fields(world: World) -> None:
    created = await world.kube.create(config_map(world, "ours", a="1"))
    theirs = {**created, "data": {"a": "1", "theirs": "1"}}
    await world.put_as("someone", theirs)
    found = await read(world, created)
    applied = await world.kube.apply(config_map(world, "ours", a="2"), **identity(found))
    assert applied["data"] == {"a": "2", "theirs": "1"}


async def test_an_apply_takes_back_what_somebody_changed(world: World) -> None:
    created = await world.kube.create(config_map(world, "ours", a="1"))
    await world.put_as("someone", {**created, "data": {"a": "changed"}})
    found = await read(world, created)
    assert ("someone", "Update") in managers(found)
    applied = await world.kube.apply(config_map(world, "ours", a="1"), **identity(found))
    assert applied["data"] == {"a": "1"}
    assert managers(applied) == {(FIELD_MANAGER, "Apply")}


async def test_replicas_that_an_autoscaler_took_stay_when_muster_leaves_them_out(world: World) -> None:
    created = await world.kube.create(deployment(world, "scaled", replicas=2))
    await world.scale_as("autoscaler", ref(created), 7)
    applied = await apply_to_the_newest(world, deployment(world, "scaled"))
    assert applied["spec"]["replicas"] == 7


async def test_an_apply_meets_exactly_the_object_that_was_read(world: World) -> None:
    manifest = config_map(world, "ours", a="1")
    first = await world.kube.create(manifest)
    second = await world.kube.apply(config_map(world, "ours", a="2"), **identity(first))
    with pytest.raises(Conflict):
        await world.kube.apply(manifest, **identity(first))
    await world.remove(ref(manifest))
    with pytest.raises(Conflict):
        await world.kube.apply(manifest, **identity(second))
    assert await world.kube.get(ref(manifest)) is None
    third = await world.kube.create(manifest)
    with pytest.raises(Conflict):
        await world.kube.apply(manifest, **identity(second))
    assert await read(world, manifest) == third


async def test_an_immutable_field_is_named(world: World) -> None:
    await world.kube.create(deployment(world, "fixed"))
    spec = deployment(world, "other")["spec"]
    with pytest.raises(Rejected, match="selector"):
        await apply_to_the_newest(world, deployment(world, "fixed", **spec))


# Replace and delete


async def test_a_replace_needs_the_version_that_was_read(world: World) -> None:
    created = await world.kube.create(config_map(world, "record", a="1"))
    replaced = await world.kube.replace({**created, "data": {"b": "1"}})
    assert replaced["data"] == {"b": "1"}
    with pytest.raises(Conflict):
        await world.kube.replace({**created, "data": {"c": "1"}})
    await world.remove(ref(created))
    with pytest.raises(Conflict):
        await world.kube.replace({**replaced, "data": {"c": "1"}})


@pytest.mark.promise(9)
async def test_a_delete_meets_exactly_the_object_that_was_read(world: World) -> None:
    manifest = config_map(world, "ours", a="1")
    first = await world.kube.create(manifest)
    second = await world.kube.apply(config_map(world, "ours", a="2"), **identity(first))
    with pytest.raises(Conflict):
        await world.kube.delete(ref(manifest), **identity(first))
    other_uid = {**identity(second), "uid": "00000000-0000-4000-8000-000000000000"}
    with pytest.raises(Conflict):
        await world.kube.delete(ref(manifest), **other_uid)
    await world.kube.delete(ref(manifest), **identity(second))
    assert await world.kube.get(ref(manifest)) is None
    await world.kube.delete(ref(manifest), **identity(second))


# Taking over, and leaving behind


def ours(world: World, name: str, **spec: Any) -> Object:
    """A Deployment as the centre orders it."""
    manifest = deployment(world, name, **spec)
    labels = {WORKLOAD_LABEL: "w1", MANAGED_BY_LABEL: FIELD_MANAGER, "app": name}
    return {**manifest, "metadata": {**manifest["metadata"], "labels": labels}}


def owners_of_replicas(found: Object) -> set[str]:
    return {
        entry["manager"]
        for entry in found["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {}) and entry.get("subresource") != "status"
    }


async def adopt_the_newest(world: World, manifest: Object) -> Object:
    for _ in range(READ_AGAIN_TIMES):
        try:
            return await world.kube.adopt(manifest, **identity(await read(world, manifest)))
        except Conflict:
            continue
    raise AssertionError(f"{ref(manifest)} never stood still")


async def test_what_somebody_made_is_taken_over_with_its_replicas(world: World) -> None:
    await world.put_as("kubectl", deployment(world, "theirs", replicas=2))
    before = await read(world, deployment(world, "theirs"))
    adopted = await adopt_the_newest(world, ours(world, "theirs", replicas=2))
    assert adopted["metadata"]["uid"] == before["metadata"]["uid"]
    assert owners_of_replicas(adopted) == {FIELD_MANAGER}
    scaled = await apply_to_the_newest(world, ours(world, "theirs", replicas=3))
    assert scaled["spec"]["replicas"] == 3


async def test_an_autoscaler_goes_on_owning_replicas_of_what_is_taken_over(world: World) -> None:
    await world.put_as("kubectl", deployment(world, "scaled", replicas=2))
    await world.scale_as("autoscaler", ref(deployment(world, "scaled")), 7)
    adopted = await adopt_the_newest(world, ours(world, "scaled"))
    assert adopted["spec"]["replicas"] == 7
    assert "autoscaler" in owners_of_replicas(adopted)


async def test_what_is_taken_over_is_exactly_what_was_read(world: World) -> None:
    await world.put_as("kubectl", config_map(world, "theirs", a="1"))
    read_first = await read(world, config_map(world, "theirs"))
    await world.put_as("kubectl", {**read_first, "data": {"a": "2"}})
    with pytest.raises(Conflict):
        await world.kube.adopt(config_map(world, "theirs", a="3"), **identity(read_first))
    adopted = await adopt_the_newest(world, config_map(world, "theirs", a="3"))
    assert adopted["data"] == {"a": "3"}


@pytest.mark.promise(9)
async def test_what_is_left_behind_stays_as_it_is_without_our_labels_and_ownership(world: World) -> None:
    await world.kube.create(ours(world, "left", replicas=2))
    for _ in range(READ_AGAIN_TIMES):
        before = await read(world, ours(world, "left"))
        try:
            await world.kube.disown(ref(before), **identity(before))
            break
        except Conflict:
            continue
    after = await read(world, ours(world, "left"))
    assert after["spec"] == before["spec"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["labels"] == {"app": "left"}
    assert FIELD_MANAGER not in {entry["manager"] for entry in after["metadata"].get("managedFields", [])}


async def test_what_nobody_else_ever_wrote_is_left_behind_without_any_owner(world: World) -> None:
    created = await world.kube.create(config_map(world, "alone", a="1"))
    with pytest.raises(Conflict):
        await world.kube.disown(ref(created), uid=created["metadata"]["uid"], resource_version="1")
    await world.kube.disown(ref(created), **identity(created))
    after = await read(world, created)
    assert after["data"] == {"a": "1"}
    assert not after["metadata"].get("managedFields")
    await world.remove(ref(created))
    await world.kube.disown(ref(created), **identity(created))


# Lists and watches


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("", {"a", "b", "c"}),
        ("tier=front", {"a"}),
        ("tier in (front,back)", {"a", "b"}),
        ("tier", {"a", "b"}),
        ("!tier", {"c"}),
        ("tier!=front", {"b", "c"}),
        ("tier=none", set[str]()),
    ],
)
async def test_a_list_holds_what_the_selector_names(world: World, selector: str, names: set[str]) -> None:
    for name, tier in (("a", "front"), ("b", "back"), ("c", "")):
        manifest = config_map(world, name)
        manifest["metadata"]["labels"] |= {"tier": tier} if tier else {}
        await world.kube.create(manifest)
    found = await pages(world, CONFIG_MAPS, f"of={world.namespace}{',' if selector else ''}{selector}")
    assert {item["metadata"]["name"] for page in found for item in page["items"]} == names
    assert all(page["metadata"]["resourceVersion"] for page in found)


async def test_a_long_list_comes_in_pages_of_one_version(world: World) -> None:
    manifests = [config_map(world, f"many-{n:03}") for n in range(501)]
    for start in range(0, len(manifests), 50):
        batch = manifests[start : start + 50]
        await asyncio.gather(*(world.put_as("someone", manifest) for manifest in batch))
    found = await pages(world, CONFIG_MAPS, f"of={world.namespace}")
    assert [len(page["items"]) for page in found] == [500, 1]
    assert len({page["metadata"]["resourceVersion"] for page in found}) == 1


async def test_the_list_of_an_unknown_kind_is_not_served(world: World) -> None:
    with pytest.raises(NotServed, match="Never"):
        await pages(world, UNSERVED, "")
    with pytest.raises(NotServed, match="Never"):
        await anext(aiter(world.kube.watch(UNSERVED, "1")))


async def test_a_list_of_one_namespace_has_nothing_of_another(world: World) -> None:
    await world.kube.create(config_map(world, "here"))
    for namespace, names in ((world.namespace, {"here"}), ("kube-system", set[str]())):
        pages = [
            msgspec.json.decode(page)
            async for page in world.kube.list(
                CONFIG_MAPS, label_selector=f"of={world.namespace}", namespace=namespace
            )
        ]
        assert {item["metadata"]["name"] for page in pages for item in page["items"]} == names


async def test_who_may_do_everything_is_told_so(world: World) -> None:
    for namespace in ("", world.namespace):
        rules = await world.kube.allowed(namespace)
        assert rules is not None
        assert Rule(("*",), ("*",), ("*",)) in rules


async def until(world: World, version: str, last: tuple[str, str]) -> list[tuple[str, str]]:
    """(type, name) of what a watch tells, up to and with `last`; bookmarks left out."""
    told: list[tuple[str, str]] = []
    watched = world.kube.watch(CONFIG_MAPS, version, label_selector=f"of={world.namespace}")
    async with asyncio.timeout(BOUND_SECONDS):
        async for line in watched:
            event = msgspec.json.decode(line)
            assert event["object"]["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                told.append((event["type"], event["object"]["metadata"]["name"]))
            if told and told[-1] == last:
                break
    return told


async def test_a_watch_tells_what_changed_since_the_list_in_its_order(world: World) -> None:
    (page,) = await pages(world, CONFIG_MAPS, f"of={world.namespace}")
    first = await world.kube.create(config_map(world, "first", a="1"))
    changed = await world.kube.apply(config_map(world, "first", a="2"), **identity(first))
    await world.put_as("someone", config_map(world, "second"))
    await world.kube.delete(ref(changed), **identity(changed))
    told = await until(world, page["metadata"]["resourceVersion"], ("DELETED", "first"))
    # The move of the managed fields is a write of its own on a real server.
    distinct = [event for n, event in enumerate(told) if event not in told[:n]]
    assert distinct == [("ADDED", "first"), ("MODIFIED", "first"), ("ADDED", "second"), ("DELETED", "first")]


async def test_a_watch_tells_what_happens_while_it_runs(world: World) -> None:
    (page,) = await pages(world, CONFIG_MAPS, f"of={world.namespace}")
    watching = asyncio.create_task(until(world, page["metadata"]["resourceVersion"], ("ADDED", "later")))
    await asyncio.sleep(0)
    await world.put_as("someone", config_map(world, "later"))
    assert await watching == [("ADDED", "later")]


async def test_what_leaves_the_selector_is_told_as_deleted(world: World) -> None:
    await world.put_as("someone", config_map(world, "leaving"))
    (page,) = await pages(world, CONFIG_MAPS, f"of={world.namespace}")
    found = await read(world, config_map(world, "leaving"))
    found["metadata"]["labels"] = {"of": "another"}
    await world.put_as("someone", found)
    version = page["metadata"]["resourceVersion"]
    assert await until(world, version, ("DELETED", "leaving")) == [("DELETED", "leaving")]


async def test_a_watch_ends_normally_when_the_server_closes_it(world: World) -> None:
    (page,) = await pages(world, CONFIG_MAPS, f"of={world.namespace}")

    async def watch_to_the_end() -> None:
        async for _ in world.kube.watch(CONFIG_MAPS, page["metadata"]["resourceVersion"]):
            pass

    watching = asyncio.create_task(watch_to_the_end())
    await asyncio.sleep(0)
    await world.end_watches()
    await asyncio.wait_for(watching, BOUND_SECONDS)


async def test_a_watch_from_a_forgotten_version_says_gone(world: World) -> None:
    await world.put_as("someone", config_map(world, "any"))
    of, version = await world.forget_history()
    with pytest.raises(Gone):
        async for _ in world.kube.watch(of, version):
            pass


async def test_promise_5_nothing_cluster_scoped_hides_behind_a_namespace(world: World) -> None:
    """A tenant may use its namespace; an API server would drop it, and make the object for everyone."""
    metadata = {"name": "hidden", "namespace": world.namespace}
    hidden = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": metadata, "handler": "runc"}
    with pytest.raises(Rejected, match="namespace"):
        await world.kube.create(hidden)
    assert await world.kube.get(ObjectRef("node.k8s.io/v1", "RuntimeClass", "", "hidden")) is None
