"""`muster quota`: whose it is, who uses it, borrows and lends it, and why something waits."""

from pathlib import Path
from typing import Annotated

import typer

from controlplane.cli.connection import connect, path
from controlplane.cli.options import Output, OutputOption

app = typer.Typer(name="quota", help="Quota: nominal, used, borrowed, lent. Without a command: the tree.")


@app.callback(invoke_without_command=True)
def quota(
    context: typer.Context,
    output: OutputOption = Output.TABLE,
    tenant: Annotated[str, typer.Option("--tenant", help="Only the cohorts of this one, and itself.")] = "",
) -> None:
    """Quota: nominal, used, borrowed, lent. Without a command: the tree of cohorts and tenants."""
    if context.invoked_subcommand is None:
        _tree(output, tenant)


def _tree(output: Output, tenant: str) -> None:
    from controlplane.cli.output import print_data

    with connect() as client:
        body = client.get("/quota", **({"tenant": tenant} if tenant else {})).body
    print_data(body, Output.YAML if output is Output.TABLE else output)


@app.command()
def explain(tenant: str, output: OutputOption = Output.TABLE) -> None:
    """Why each workload of a tenant waits, and what would help."""
    from controlplane.cli.output import print_data

    with connect() as client:
        body = client.get(path("quota", "tenants", tenant)).body
    print_data(body, Output.YAML if output is Output.TABLE else output)


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
