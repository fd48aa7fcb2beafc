"""`muster quota limits`: a tenant's limits in the member clusters, and which pods they refuse."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from controlplane.cli.connection import connect, path
from controlplane.cli.options import Output, OutputOption

_TOLD = {
    "Off": "off: nothing is set. This is what would be: spec.quota.limits: Observe, then Enforce",
    "Observe": "observed: nothing is set. This is what would be with spec.quota.limits: Enforce",
    "Enforce": "enforced",
}


def limits(
    tenant: str,
    output: OutputOption = Output.TABLE,
    cluster: Annotated[str, typer.Option("--cluster", help="Only this one.")] = "",
) -> None:
    """Limits of a tenant's namespaces in the clusters: what is set, or would be, and what it refuses."""
    from controlplane.cli.output import print_data

    with connect() as client:
        body: dict[str, Any] = client.get(path("quota", "tenants", tenant, "limits")).body
    if cluster:
        body["clusters"] = [each for each in body["clusters"] if each["cluster"] == cluster]
    if output is not Output.TABLE:
        print_data(body, output)
    else:
        _show(body)


def _show(body: Mapping[str, Any]) -> None:
    from rich.text import Text

    from controlplane.cli.output import console, dim, print_table

    console().print(Text.assemble((str(body["tenant"]), "bold"), f"  {_TOLD[body['limits']]}"))
    if not body["resources"]:
        console().print(dim("its quota names nothing that a ResourceQuota can limit"))
    elif body["uncounted"]:
        console().print(dim(f"not limited in clusters: {', '.join(body['uncounted'])}"))
    rows = [
        {"cluster": cluster["cluster"], "namespace": namespace["namespace"], **limit}
        for cluster in body["clusters"]
        for namespace in cluster["namespaces"]
        for limit in namespace["limits"]
    ]
    print_table(_columns(), rows, "nothing of it runs anywhere, and nothing is there by hand")
    for cluster in body["clusters"]:
        _tell(cluster, "refused" if body["limits"] == "Enforce" else "would be refused")


def _columns() -> Any:
    from controlplane.cli.output import Column, Row
    from schemas.quantities import quantity_text

    def shown(name: str) -> Any:
        def read(row: Row) -> str:
            return "-" if row[name] is None else quantity_text(str(row["resource"]), int(row[name]))

        return read

    return (
        Column("CLUSTER", lambda row: str(row["cluster"])),
        Column("NAMESPACE", lambda row: str(row["namespace"])),
        Column("LIMIT OF", lambda row: str(row["name"])),
        Column("LIMIT", shown("limit"), right=True),
        Column("SET", shown("ordered"), right=True),
        Column("SHARE", shown("share"), right=True),
        Column("SURGE", shown("surge"), right=True),
        Column("DRIFT", shown("drift"), right=True),
        Column("FOREIGN NOW", shown("foreign_now"), right=True),
    )


def _tell(cluster: Mapping[str, Any], refuses: str) -> None:
    from rich.text import Text

    from controlplane.cli.output import console, dim, state

    to = console()
    if cluster["state"] != "NotSet" or cluster["message"]:
        to.print(
            Text.assemble(f"{cluster['cluster']}: ", state(str(cluster["state"])), f" {cluster['message']}")
        )
    for refusal in cluster["refusals"]:
        to.print(dim(f"  {refusal}"))
    if cluster["waiting"]:
        to.print(f"  {cluster['waiting']} orders wait until their limits are set")
    for namespace in cluster["namespaces"]:
        for refused in namespace["refused"]:
            where = f"{cluster['cluster']}/{namespace['namespace']}"
            what = f"workload {refused['workload']}" if refused["workload"] else f"{refused['pods']} pods"
            names = f" ({', '.join(refused['names'])})" if refused["names"] else ""
            to.print(Text.assemble((f"{refuses}  ", "yellow"), f"{where}: {what}{names}: "))
            to.print(Text(f"  {refused['message']}"))
