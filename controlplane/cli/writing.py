"""apply, rollback, reschedule, delete: what people change."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controlplane.cli.connection import connect, path
from controlplane.cli.options import (
    DOCUMENTS,
    FilesOption,
    Kind,
    KindArgument,
    TimeoutOption,
    WaitOption,
    YesOption,
    kind_of,
)

if TYPE_CHECKING:
    from controlplane.client import Client
    from schemas.manifests import Manifest

POLL_SECONDS = 0.5
_SETTLED_BADLY = frozenset({"Unplaced", "Refused", "Failed", "Held"})


def apply(
    filename: FilesOption,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the difference and the decision; store nothing.")
    ] = False,
    wait: WaitOption = False,
    timeout: TimeoutOption = 120.0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="One line each, no differences.")] = False,
) -> None:
    """Make or change what files say, and show what differs from what was there."""
    from controlplane.cli.files import read_manifests
    from controlplane.cli.output import console
    from controlplane.cli.quota_files import check_together

    manifests = read_manifests(filename)
    brought = [item for each in manifests if each.kind == "Workload" for item in each.spec.manifests]
    failed, workloads = 0, list[str]()
    with connect() as client:
        check_together(client, manifests)
        for manifest in manifests:
            done = _apply_one(client, manifest, brought, dry_run=dry_run, quiet=quiet)
            failed += not done
            if done and manifest.kind == "Workload":
                workloads.append(manifest.metadata.name)
        if wait and not dry_run:
            failed += _wait_for(client, workloads, timeout)
    if failed:
        console(errors=True).print(f"{failed} of {len(manifests)} failed", style="red")
        raise typer.Exit(1)


def _apply_one(
    client: "Client", manifest: "Manifest", brought: Sequence[dict[str, Any]], *, dry_run: bool, quiet: bool
) -> bool:
    from controlplane.cli.differences import difference
    from controlplane.cli.files import address, document
    from controlplane.cli.output import console
    from controlplane.cli.reporting import report
    from controlplane.client import Refused
    from controlplane.migration.onto import onto

    where = address(manifest)
    name = f"{manifest.kind.lower()}/{manifest.metadata.name}"
    try:
        stored = client.find(where)
        written = onto(document(manifest), stored.body["manifest"] if stored else None)
        changed = difference(stored.body["manifest"] if stored else None, written)
        if changed is not None and not quiet and (stored is not None or dry_run):
            console().print(changed)
        if dry_run:
            _show_dry_run(client, where, written, name, brought)
            return True
        answer = client.put(where, written, if_match=stored.etag if stored else "")
    except Refused as error:
        report(error, name)
        return False
    made = "created" if stored is None else "unchanged" if answer.etag == stored.etag else "configured"
    console().print(f"{name} {made}", style="dim" if made == "unchanged" else "green")
    _warn(answer.body, brought)
    return True


def _warn(body: Mapping[str, Any], brought: Sequence[dict[str, Any]]) -> None:
    """brought: the objects of all that is applied at once."""
    if body.get("warnings"):
        from controlplane.cli.reporting import show_warnings
        from controlplane.placement.warnings import without_brought

        show_warnings(without_brought(body["warnings"], brought))


def _show_dry_run(
    client: "Client", where: str, written: Mapping[str, Any], name: str, brought: Sequence[dict[str, Any]]
) -> None:
    from controlplane.cli.explaining import show_explanation
    from controlplane.cli.output import console

    if written["kind"] != "Workload":
        console().print(f"{name} would be stored", style="dim")
        return
    body = client.put(where, written, dryRun="true").body
    show_explanation(body)
    _warn(body, brought)


def _wait_for(client: "Client", names: list[str], timeout: float) -> int:
    """How many do not run when the time is over; each is said with its reason."""
    from controlplane.cli.output import console

    deadline = time.monotonic() + timeout
    waiting = {name: [""] for name in names}
    while waiting and time.monotonic() < deadline:
        for name in list(waiting):
            body = client.get(path("workloads", name)).body
            status, waiting[name] = body["status"], standing(body)
            if status["state"] in ("Running", "Finished"):
                del waiting[name]
                where = ", ".join(f"{cluster}:{count}" for cluster, count in status["clusters"].items())
                how = "runs" if status["state"] == "Running" else "has run to its end"
                console().print(f"workload/{name} {how} ({where})", style="green")
            elif status["state"] in _SETTLED_BADLY and time.monotonic() > deadline - timeout / 2:
                # It may still find room; half of the time is given to that.
                deadline = time.monotonic()
        if waiting:
            time.sleep(POLL_SECONDS)
    for name, (said, *faults) in waiting.items():
        console(errors=True).print(f"workload/{name} does not run: {said}", style="red", markup=False)
        for fault in faults:
            console(errors=True).print(f"  {fault}", style="red", markup=False)
        console(errors=True).print(f"  muster explain {name}", style="dim")
    return len(waiting)


def standing(body: Mapping[str, Any]) -> list[str]:
    """How the whole stands; then the first cluster that could not do as it was told, and why."""
    status = body["status"]
    faults = [
        f"{row['cluster']}: {row['state']}: {row['message']}"
        for row in body["placements"]
        if row["state"] in _SETTLED_BADLY and row["message"]
    ]
    return [f"{status['state']}: {status['message']}", *faults[:1]]


def rollback(
    name: str,
    to: Annotated[int, typer.Option("--to", min=0, help="The revision; 0 is the one before.")] = 0,
    wait: WaitOption = False,
    timeout: TimeoutOption = 120.0,
) -> None:
    """Issue an old revision as a new one."""
    from controlplane.cli.output import console
    from controlplane.client import ClientError

    with connect() as client:
        rows = client.get(path("workloads", name, "revisions")).body["items"]
        current = max(row["revision"] for row in rows)
        earlier = [row["revision"] for row in rows if row["revision"] < current]
        if not to and not earlier:
            raise ClientError(f"workload/{name} has one revision only", "there is nothing to go back to")
        wanted = to or max(earlier)
        answer = client.post(path("workloads", name, "rollback"), {"revision": wanted})
        status = answer.body["status"]
        console().print(
            f"workload/{name} is at revision {status['revision']}, with what {wanted} had", style="green"
        )
        if wait and _wait_for(client, [name], timeout):
            raise typer.Exit(1)


def reschedule(
    name: str,
    wait: WaitOption = False,
    timeout: TimeoutOption = 120.0,
) -> None:
    """Place a workload anew, as if for the first time: what it holds now counts as room."""
    from controlplane.cli.output import console

    with connect() as client:
        client.post(path("workloads", name, "reschedule"), {})
        console().print(f"workload/{name} is being placed anew", style="green")
        if wait and _wait_for(client, [name], timeout):
            raise typer.Exit(1)


def diff(filename: FilesOption) -> None:
    """Show what an apply of these files would change. Exit 1 where it would change something."""
    from controlplane.cli.differences import difference
    from controlplane.cli.files import address, document, read_manifests
    from controlplane.cli.output import console
    from controlplane.migration.onto import onto

    different = 0
    with connect() as client:
        for manifest in read_manifests(filename):
            stored = client.find(address(manifest))
            before = stored.body["manifest"] if stored else None
            changed = difference(before, onto(document(manifest), before))
            if changed is not None:
                console().print(changed)
                different += 1
    if different:
        raise typer.Exit(1)


def delete(
    kind: KindArgument = "",
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...")] = None,
    filename: Annotated[
        list[Path] | None, typer.Option("--filename", "-f", help="What these files say, instead of names.")
    ] = None,
    yes: YesOption = False,
) -> None:
    """Delete workloads (withdrawn from every cluster), tenants, or what else was applied."""
    if bool(filename) == bool(kind and names):
        raise typer.BadParameter("either KIND NAME..., or -f FILE")
    if filename:
        _delete_files(filename, yes=yes)
    else:
        _delete_named(kind, names or [], yes=yes)


def _delete_files(filename: list[Path], *, yes: bool) -> None:
    """Workloads first: a tenant stays while something is its own. What is not there is no failure."""
    from controlplane.cli.files import address, named_last, read_manifests
    from controlplane.cli.output import console
    from controlplane.cli.reporting import report
    from controlplane.client import Refused

    manifests = named_last(read_manifests(filename))
    where = [address(each) for each in manifests]
    workloads = [each.metadata.name for each in manifests if each.kind == "Workload"]
    if workloads and not yes:
        typer.confirm(f"Withdraw {', '.join(workloads)} from every cluster?", abort=True)
    failed = 0
    with connect() as client:
        for manifest, at in zip(manifests, where, strict=True):
            name = f"{manifest.kind.lower()}/{manifest.metadata.name}"
            try:
                if client.find(at) is None:
                    console().print(f"{name} is not there", style="dim")
                    continue
                client.delete(at)
            except Refused as error:
                report(error, name)
                failed += 1
            else:
                done = "is being withdrawn" if manifest.kind == "Workload" else "deleted"
                console().print(f"{name} {done}", style="green")
    if failed:
        raise typer.Exit(1)


def _delete_named(kind: str, names: list[str], *, yes: bool) -> None:
    from controlplane.cli.output import console
    from controlplane.cli.reporting import report
    from controlplane.client import Refused

    wanted = kind_of(kind)
    if wanted not in (Kind.WORKLOADS, *DOCUMENTS):
        named = f"{', '.join((Kind.WORKLOADS, *DOCUMENTS[:-1]))} and {DOCUMENTS[-1]}"
        raise typer.BadParameter(f"{named} can be deleted; for clusters: muster clusters remove")
    singular = wanted.value.removesuffix("s")
    if not yes and wanted is Kind.WORKLOADS:
        typer.confirm(f"Withdraw {', '.join(names)} from every cluster?", abort=True)
    failed = 0
    with connect() as client:
        for name in names:
            try:
                client.delete(path(wanted.value, name))
            except Refused as error:
                report(error, f"{singular}/{name}")
                failed += 1
            else:
                done = "is being withdrawn" if wanted is Kind.WORKLOADS else "deleted"
                console().print(f"{singular}/{name} {done}", style="green")
    if failed:
        raise typer.Exit(1)


def plan(
    filename: Annotated[Path, typer.Option("--filename", "-f", help="A Workload.")],
    fleet: Annotated[Path, typer.Option("--fleet", help="A Fleet, as `muster get fleet -o yaml` writes it.")],
    tenant: Annotated[Path | None, typer.Option("--tenant", help="The Tenant of the workload.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="table, json or yaml.")] = "table",
) -> None:
    """Where a workload would go, on paper: no server is asked."""
    from controlplane.cli.planning import show_plan

    show_plan(filename, fleet, tenant, output)
