"""The command `muster`. Exit codes: 0 done, 1 refused or failed, 2 not understood."""

import sys
from collections.abc import Sequence

import typer

from controlplane.cli import (
    alerting,
    clusters,
    doctor,
    inventory,
    keeping,
    quota_limits,
    quota_requests,
    reading,
    silences,
    starting,
    writing,
)

_HELP = """Muster: every cluster streams in; one place decides.

The service is found by MUSTER_URL and MUSTER_TOKEN, else by the context file that the demo writes.
"""
_START, _WRITE, _READ = "Start", "Change", "Look"

app = typer.Typer(
    name="muster", help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=True
)
for command, panel in (
    (starting.demo, _START),
    (starting.serve, _START),
    (starting.token, _START),
    (starting.version, _START),
    (keeping.backup, _START),
    (keeping.restore, _START),
    (writing.apply, _WRITE),
    (writing.rollback, _WRITE),
    (writing.reschedule, _WRITE),
    (writing.delete, _WRITE),
    (writing.diff, _READ),
    (clusters.recover, _WRITE),
    (reading.get, _READ),
    (reading.describe, _READ),
    (reading.explain, _READ),
    (reading.history, _READ),
    (reading.top, _READ),
    (inventory.inventory, _READ),
    (reading.events, _READ),
    (writing.plan, _READ),
    (doctor.doctor, _READ),
):
    app.command(rich_help_panel=panel)(command)
clusters.app.command("register", help="As invite.")(clusters.invite)
app.add_typer(alerting.app, rich_help_panel=_READ)
app.add_typer(silences.app, rich_help_panel=_WRITE)
quota_requests.app.command()(quota_limits.limits)
app.add_typer(quota_requests.app, rich_help_panel=_READ)
app.add_typer(clusters.app, rich_help_panel=_WRITE)
app.add_typer(starting.nats_app, rich_help_panel=_START)


def main() -> None:
    """The entry of the installed command."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """One command; its exit code."""
    from controlplane.client import ClientError

    try:
        app(list(arguments), prog_name="muster")
    except ClientError as error:
        from controlplane.cli.reporting import report

        report(error)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough of it.
        sys.stderr.close()
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0
