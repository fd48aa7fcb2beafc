"""The scene of quota: a business line borrows what another leaves, gives it back, and is granted its own."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from controlplane.cli.demo.installation import Installation
from controlplane.cli.demo.outcome import Seen
from controlplane.client import Client, Context
from schemas.manifests import API_VERSION

LENDING_SECONDS = 14.0
"""What the scene takes, with some to spare."""
COHORT, FLAVOR = "lines", "standard"
LENDER, BORROWER = "payroll", "travel"
OWN_CORES = {LENDER: 2, BORROWER: 1}
LATE, EARLY = "wages", "bookings"
CORES = {LATE: 2, EARLY: 3}
WHERE = "cloud-eu"
"""Where nothing else of the demo's happens."""


class Until(Protocol):
    """Waits, within a bound, for what is seen."""

    async def __call__(self, what: str, holds: Callable[[Seen], bool], /) -> None: ...


@dataclass(frozen=True)
class Lending:
    """tell: a line; with lead, one that begins a scene."""

    installation: Installation
    client: Client
    tell: Callable[..., None]
    until: Until

    async def prepare(self) -> None:
        """Two business lines in one cohort, and what one of them runs: more than its own."""
        await self._put("flavors", FLAVOR, "Flavor", {})
        await self._put("cohorts", COHORT, "Cohort", {})
        for name, cores in OWN_CORES.items():
            await self._put("tenants", name, "Tenant", _tenant(name, cores))
        await self._submit(EARLY, BORROWER)

    async def play(self) -> None:
        cores = f"{CORES[EARLY]} cores and has {OWN_CORES[BORROWER]}"
        self.tell(f"{BORROWER} runs {EARLY} with {cores}: it borrows of {LENDER} (muster quota)", lead=True)
        await self._submit(LATE, LENDER)
        self.tell(f"{LENDER} submits {LATE}, which needs its {OWN_CORES[LENDER]} cores back")
        await self.until(f"{EARLY} gives way", lambda seen: not _is_placed(seen, EARLY))
        row = (await asyncio.to_thread(self.client.get, f"/workloads/{EARLY}")).body["status"]
        self.tell(f"{EARLY}: {row['reason']}: {row['message']}")
        await self.until(f"{LATE} runs", lambda seen: _runs(seen, LATE))
        self.tell(f"{LATE} runs, as soon as those pods are gone")
        await asyncio.to_thread(self._ask_and_grant)
        await self.until(f"{EARLY} runs again", lambda seen: _runs(seen, EARLY))
        self.tell(
            f"{EARLY} runs again, by quota of {BORROWER}'s own: muster quota ledger --tenant {BORROWER}"
        )

    def _ask_and_grant(self) -> None:
        missing = CORES[EARLY] - OWN_CORES[BORROWER]
        asked = {"tenant": BORROWER, "amounts": {FLAVOR: {"cpu": str(missing)}}, "why": "the summer sale"}
        number = self.client.post("/quota/requests", asked).body["id"]
        effect = self.client.get(f"/quota/requests/{number}").body["effect"]
        admissible = ", ".join(each["workload"] for each in effect["admissible"]) or "nothing"
        self.tell(f"{BORROWER} requests {missing} cores more; granted, {admissible} would be admitted")
        with Client(Context(self.installation.url, self.installation.approver_token)) as approver:
            granted = approver.post(f"/quota/requests/{number}/approve", {}).body
        self.tell(f"request {number} of {granted['requested_by']} is approved by {granted['decided_by']}")

    async def _submit(self, name: str, tenant: str) -> None:
        await self._put("workloads", name, "Workload", _workload_spec(name, tenant))

    async def _put(self, plural: str, name: str, kind: str, spec: dict[str, Any]) -> None:
        manifest = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
        await asyncio.to_thread(self.client.put, f"/{plural}/{name}", manifest)


def _tenant(name: str, cores: int) -> dict[str, Any]:
    amounts = [{"name": "cpu", "nominalQuota": cores}]
    quota = {"cohort": COHORT, "uncovered": "Allow", "flavors": [{"name": FLAVOR, "resources": amounts}]}
    return {"namespaces": [f"{name}-*"], "quota": quota}


def _workload_spec(name: str, tenant: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": f"registry.example.com/{name}:1",
        "resources": {"requests": {"cpu": "1"}},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": f"{tenant}-apps"},
        "spec": {
            "replicas": CORES[name],
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    }
    placement = {
        "clusterAffinity": {"clusterNames": [WHERE]},
        "replicaScheduling": {"replicaSchedulingType": "Divided"},
    }
    return {"tenant": tenant, "placement": placement, "manifests": [deployment]}


def _runs(seen: Seen, name: str) -> bool:
    return any(row["name"] == name and row["state"] == "Running" for row in seen.workloads)


def _is_placed(seen: Seen, name: str) -> bool:
    return any(row["name"] == name and row["clusters"] for row in seen.workloads)
