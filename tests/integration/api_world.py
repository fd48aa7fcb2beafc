"""The API in front of a real Postgres, with a fleet that was reported to it."""

import os
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from controlplane.access.tokens import Access, Role, token_entry
from controlplane.api import ApiDeps, NotReady, create_api
from controlplane.identity.keys import generate
from controlplane.identity.order_keys import SecretValues
from controlplane.joining import Registrar
from controlplane.known.known import Heard, Known
from controlplane.loops.follow import Follow
from controlplane.store.store import PostgresStore
from schemas.wire.beats import Beat
from schemas.wire.codec import pack_column
from schemas.wire.reports import Facts, Inventory, Profile, Usage, profile_hash
from schemas.wire.subjects import shard_name
from tests.installation import NatsInstallation

ADMIN, VIEWER = "admin-token-" + "a" * 24, "viewer-token-" + "v" * 24
ASKER, APPROVER = "asker-token-" + "b" * 24, "approver-token-" + "m" * 24
"""Of bob, for the tenant shop; of max."""


class WallClock:
    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the API does not sleep by this clock")


@dataclass
class World:
    """client: as the administrator. waits: what `/readyz` names."""

    deps: ApiDeps
    store: PostgresStore
    known: Known
    app: FastAPI
    client: httpx.AsyncClient
    waits: list[NotReady] = field(default_factory=list[NotReady])

    async def follow(self) -> None:
        """What the loop that follows the changes does."""
        await Follow(self.store, self.known).take_changes()

    async def join(self, name: str, **labels: str) -> str:
        """A cluster as `muster clusters invite` and its agent make one. Its id."""
        invited = await self.client.post("/api/v1/cluster-invitations", json={"name": name, "labels": labels})
        assert invited.status_code == 201, invited.text
        joined = await self.client.post("/api/v1/join", json=join_body(invited.json()["token"]))
        assert joined.status_code == 200, joined.text
        await self.follow()
        return joined.json()["cluster_id"]

    def report(self, cluster: str, nodes: int, *, cpu: int = 4000, region: str = "eu", **labels: str) -> None:
        """What an agent's first reports and beat bring; every node is the same."""
        for_each = {"kubernetes.io/arch": "amd64", **labels}
        made = profile_hash(for_each)
        fleet, shard = self.known.fleet, shard_name(1, 0)
        fleet.apply_facts(
            cluster,
            Facts(
                incarnation=1,
                sequence=1,
                layout=1,
                kubernetes_version="v1.34.1",
                provider="sim",
                region=region,
                zones=[f"{region}-1", f"{region}-2"],
                served=["apps/v1/Deployment", "v1/ConfigMap", "v1/Secret"],
            ),
        )
        fleet.apply_profile(cluster, made, Profile(incarnation=1, sequence=2, labels=for_each))
        fleet.apply_inventory(cluster, shard, _inventory(nodes, made, cpu))
        fleet.apply_usage(cluster, shard, _usage(nodes))
        beat = Beat(incarnation=1, sequence=5, clock=time.time(), agent_version="0.1.0")
        self.known.heard[cluster] = Heard(time.time(), 1, beat)


def _inventory(nodes: int, profile: str, cpu: int) -> Inventory:
    zeros = pack_column([0] * nodes)
    return Inventory(
        incarnation=1,
        sequence=3,
        epoch=1,
        names=[f"node-{index:04}" for index in range(nodes)],
        profile_hashes=[profile],
        profiles=zeros,
        resources=["cpu", "memory", "pods"],
        allocatable=[pack_column([amount] * nodes) for amount in (cpu, 16 * 2**30, 110)],
        taint_sets=[[]],
        taints=zeros,
        condition_sets=[["Ready"]],
        conditions=zeros,
    )


def _usage(nodes: int) -> Usage:
    return Usage(
        incarnation=1,
        sequence=4,
        epoch=1,
        nodes=nodes,
        resources=["cpu", "memory", "pods"],
        foreign=[pack_column([amount] * nodes) for amount in (1000, 2**30, 3)],
        used_resources=["cpu"],
        used=[pack_column([500] * nodes)],
    )


@asynccontextmanager
async def api_world(dsn: str, nats: NatsInstallation) -> AsyncGenerator[World, None]:
    """Store, identity and NATS are the real ones; only the loops are not running."""
    keys, clock, known, waits = nats.keys, WallClock(), Known(), list[NotReady]()
    async with PostgresStore(dsn) as store:
        known.replace_records(await store.load())
        registrar = Registrar(
            keys=keys,
            subjects=nats.subjects,
            intent=store,
            seeds=store,
            admission=nats.bus,
            nats_urls=(nats.url,),
            random_bytes=os.urandom,
            now=clock.now,
        )
        deps = ApiDeps(
            known=known,
            intent=store,
            changes=store,
            ledger=store,
            registrar=registrar,
            sealer=SecretValues(generate().master),
            access=Access(
                (
                    token_entry("ada", Role.ADMIN, ADMIN),
                    token_entry("vera", Role.VIEWER, VIEWER),
                    token_entry("bob", Role.TENANT, ASKER, "shop"),
                    token_entry("max", Role.APPROVER, APPROVER),
                )
            ),
            clock=clock,
            not_ready=lambda: waits,
            random_bytes=secrets.token_bytes,
            metrics=CollectorRegistry(),
        )
        app = create_api(deps)
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {ADMIN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
            yield World(deps, store, known, app, client, waits)


def join_body(token: str) -> dict[str, str]:
    """What a fresh agent sends."""
    import base64

    from controlplane.identity.nkey import KeyKind, NKey

    return {
        "token": token,
        "agent_key": NKey.from_random(KeyKind.USER, secrets.token_bytes(32)).public,
        "sealing_key": base64.b64encode(secrets.token_bytes(32)).decode(),
        "cluster_uid": secrets.token_hex(8),
    }


def deployment(name: str, namespace: str = "default", replicas: int = 2, cpu: str = "500m") -> dict[str, Any]:
    container = {"name": "main", "image": "example/app:1", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }


def workload(name: str, *manifests: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "muster.dev/v1",
        "kind": "Workload",
        "metadata": {"name": name},
        "spec": {"manifests": list(manifests) or [deployment(name)], **spec},
    }


def tenant(name: str, *namespaces: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "muster.dev/v1",
        "kind": "Tenant",
        "metadata": {"name": name},
        "spec": {"namespaces": list(namespaces), **spec},
    }
