"""`muster quota`: whose it is, who uses it, borrows and lends it, and why something waits."""

import time
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from controlplane.cli.connection import connect, path
from controlplane.cli.options import LimitOption, Output, OutputOption

PAGE = 500
MOST_ROWS = 100_000
app = typer.Typer(name="quota", help="Quota: nominal, used, borrowed, lent. Without a command: the tree.")


@app.callback(invoke_without_command=True)
def quota(
    context: typer.Context,
    output: OutputOption = Output.TABLE,
    tenant: Annotated[str, typer.Option("--tenant", help="Only this one, and the cohorts above it.")] = "",
    cohort: Annotated[str, typer.Option("--cohort", help="Only this one, and what is below it.")] = "",
) -> None:
    """Quota: nominal, used, borrowed, lent. Without a command: the tree of cohorts and tenants."""
    if context.invoked_subcommand is None:
        _tree(output, tenant, cohort)


def _tree(output: Output, tenant: str, cohort: str) -> None:
    if tenant and cohort:
        raise typer.BadParameter("either --tenant or --cohort")
    with connect() as client:
        rows = list(islice(client.pages("/quota", limit=PAGE), MOST_ROWS))
    if tenant:
        rows = _above(rows, tenant)
    if cohort:
        rows = _below(rows, cohort)
    if output is not Output.TABLE:
        from controlplane.cli.output import print_data

        print_data({"items": rows}, output)
    else:
        from controlplane.cli.quota_tree import show_tree

        show_tree(rows)


def _above(rows: list[dict[str, Any]], tenant: str) -> list[dict[str, Any]]:
    found = [row for row in rows if (row["kind"], row["name"]) == ("Tenant", tenant)]
    if not found:
        raise typer.BadParameter(f"{tenant}: no such tenant has a quota, or uses any", param_hint="--tenant")
    above = set(found[0]["path"][:-1])
    return [row for row in rows if row["kind"] == "Cohort" and row["name"] in above] + found


def _below(rows: list[dict[str, Any]], cohort: str) -> list[dict[str, Any]]:
    """With it as the root."""
    found = [row for row in rows if (row["kind"], row["name"]) == ("Cohort", cohort)]
    if not found:
        raise typer.BadParameter(f"{cohort}: no such cohort", param_hint="--cohort")
    top = found[0]["path"]
    below = [row for row in rows if row["path"][: len(top)] == top]
    return [{**row, "depth": row["depth"] - found[0]["depth"]} for row in below]


@app.command()
def explain(tenant: str, output: OutputOption = Output.TABLE) -> None:
    """Why each workload of a tenant waits, and what would help."""
    with connect() as client:
        body = client.get(path("quota", "tenants", tenant)).body
    if output is not Output.TABLE:
        from controlplane.cli.output import print_data

        print_data(body, output)
    else:
        from controlplane.cli.quota_explaining import show_tenant

        show_tenant(body, time.time())


@app.command()
def ledger(
    tenant: Annotated[str, typer.Option("--tenant", help="Of this one.")] = "",
    workload: Annotated[str, typer.Option("--workload", help="Of this one, by name or uid.")] = "",
    cluster: Annotated[str, typer.Option("--cluster", help="In this one.")] = "",
    flavor: Annotated[str, typer.Option("--flavor", help="Of this flavor.")] = "",
    resource: Annotated[str, typer.Option("--resource", help="As cpu.")] = "",
    since: Annotated[str, typer.Option("--since", help="Not older than this, as 2h.")] = "",
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="As it came about.")] = False,
    limit: LimitOption = 100,
    output: OutputOption = Output.TABLE,
) -> None:
    """Every unit that was charged, released or seen to drift: when, of what, why, by which order."""
    given = {
        "tenant": tenant,
        "workload": workload,
        "cluster": cluster,
        "flavor": flavor,
        "resource": resource,
    }
    asked: dict[str, Any] = {name: value for name, value in given.items() if value}
    if since:
        from controlplane.cli.alerting import seconds_of

        asked["since"] = time.time() - seconds_of(since, "--since")
    if oldest_first:
        asked["oldestFirst"] = "true"
    with connect() as client:
        rows = list(islice(client.pages("/ledger", **asked, limit=min(limit, PAGE)), limit))
    if output is not Output.TABLE:
        from controlplane.cli.output import print_data

        print_data({"items": rows}, output)
    else:
        from controlplane.cli.quota_ledger import show_ledger

        show_ledger(rows, with_tenant=not tenant)


@app.command("what-if")
def what_if(
    filename: Annotated[
        Path, typer.Option("--filename", "-f", help="Cohorts, tenants, and a request; - for stdin.")
    ],
    output: OutputOption = Output.TABLE,
) -> None:
    """What would be available, shared and admitted, on paper: no server is asked."""
    from controlplane.cli.quota_paper import show_what_if

    show_what_if(filename, output)
