"""muster backup, muster restore: everything that an installation is, in one file."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[Path | None, typer.Option("--data-dir", help="As of muster serve.")]
DsnOption = Annotated[str, typer.Option("--postgres-dsn", help="As of muster serve.")]
NamespaceOption = Annotated[str, typer.Option("--namespace", help="As of muster serve.")]
AlertsOption = Annotated[
    Path | None, typer.Option("--alerts-config", metavar="FILE", help="As of muster serve.")
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written anew, mode 0600; - for stdout.")],
    data_dir: DataOption = None,
    postgres_dsn: DsnOption = "",
    namespace: NamespaceOption = "",
    alerts_config: AlertsOption = None,
) -> None:
    """Postgres, keys, tokens and the configuration of alerts into one file, while the service goes on.

    Run it where the service runs, with the same MUSTER_... settings. The file holds the keys, not encrypted.
    """
    _run(["create", str(file)], data_dir, postgres_dsn, namespace, alerts_config)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="- for stdin.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="What is in the database goes; other keys are moved aside.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only look whether the file is whole.")] = False,
    data_dir: DataOption = None,
    postgres_dsn: DsnOption = "",
    namespace: NamespaceOption = "",
    alerts_config: AlertsOption = None,
) -> None:
    """Bring a backup back, all of it or nothing, while no centre runs. Afterwards: muster recover CLUSTER."""
    if check and replace:
        raise typer.BadParameter("state --check or --replace, not both")
    arguments = ["check" if check else "restore", str(file), *(["--replace"] if replace else [])]
    _run(arguments, data_dir, postgres_dsn, namespace, alerts_config)


def _run(
    arguments: list[str], data_dir: Path | None, postgres_dsn: str, namespace: str, alerts_config: Path | None
) -> None:
    given = {
        "MUSTER_DATA_DIR": str(data_dir or ""),
        "MUSTER_POSTGRES_DSN": postgres_dsn,
        "MUSTER_NAMESPACE": namespace,
        "MUSTER_ALERTS_CONFIG": str(alerts_config or ""),
    }
    environment = {**os.environ, **{name: value for name, value in given.items() if value}}
    # The same process goes on as the program that may read keys and database, which the command may not.
    os.execve(sys.executable, [sys.executable, "-m", "controlplane.backup", *arguments], environment)
