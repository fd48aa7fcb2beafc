"""serve, demo, nats init, version: what starts programs, or needs none."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

nats_app = typer.Typer(name="nats", help="A NATS that Muster does not run itself.", no_args_is_help=True)


def serve(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Loopback unless told otherwise.")] = "",
    data_dir: Annotated[Path | None, typer.Option(help="Keys, embedded NATS and Postgres.")] = None,
    nats_url: Annotated[str, typer.Option(help="Empty starts an embedded server.")] = "",
    postgres_dsn: Annotated[str, typer.Option(help="Empty starts an embedded server.")] = "",
    prefix: Annotated[str, typer.Option(help="Of every subject; several share a server.")] = "",
    namespace: Annotated[
        str, typer.Option(help="A Postgres schema and subjects of its own: several services share both.")
    ] = "",
    alerts_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Alertmanager's configuration; SIGHUP reads it again.")
    ] = None,
    web_listen_address: Annotated[
        str,
        typer.Option(
            "--web.listen-address",
            metavar="HOST:PORT",
            help="Instead of --listen; /api/v2 is open there, as Alertmanager's. :9093 is every interface.",
        ),
    ] = "",
    public_url: Annotated[str, typer.Option(help="How agents and people reach the API.")] = "",
    tokens_file: Annotated[Path | None, typer.Option(help="NAME ROLE SHA256 a line.")] = None,
    loops: Annotated[
        str,
        typer.Option(metavar="NAMES", help="One or more of deciding,alerting,api: what this process runs."),
    ] = "",
    log_format: Annotated[str, typer.Option(help="console or json.")] = "",
) -> None:
    """Run the central service, until it is told to stop. Every flag is also MUSTER_..., and wins over it."""
    host, port = _split_address(listen)
    if listen and web_listen_address:
        raise typer.BadParameter("--listen and --web.listen-address: there is one listener, name one of them")
    _check_web_address(web_listen_address)
    given = {
        "MUSTER_LISTEN_HOST": host,
        "MUSTER_LISTEN_PORT": port,
        "MUSTER_DATA_DIR": str(data_dir or ""),
        "MUSTER_NATS_URL": nats_url,
        "MUSTER_POSTGRES_DSN": postgres_dsn,
        "MUSTER_PREFIX": prefix,
        "MUSTER_NAMESPACE": namespace,
        "MUSTER_ALERTS_CONFIG": str(alerts_config or ""),
        "MUSTER_WEB_LISTEN_ADDRESS": web_listen_address,
        "MUSTER_PUBLIC_URL": public_url,
        "MUSTER_TOKENS_FILE": str(tokens_file or ""),
        "MUSTER_LOOPS": loops,
        "MUSTER_LOG_FORMAT": log_format,
    }
    environment = {**os.environ, **{name: value for name, value in given.items() if value}}
    # The same process goes on as the service, so that signals and the exit code are its own.
    os.execve(sys.executable, [sys.executable, "-m", "controlplane"], environment)


def demo(
    for_seconds: Annotated[
        float | None, typer.Option("--for", min=1, help="End by itself after so long.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="No table; one JSON object on the last line.")
    ] = False,
    kube: Annotated[bool, typer.Option("--kube", help="Member clusters on real API servers.")] = False,
) -> None:
    """The whole of Muster on this machine: three member clusters, samples placed, a live table."""
    from controlplane.cli.demo import run_demo

    raise typer.Exit(run_demo(for_seconds=for_seconds, as_json=as_json, kube=kube))


@nats_app.command("init")
def nats_init(
    folder: Annotated[Path, typer.Argument(metavar="DIR")],
    prefix: Annotated[str, typer.Option(help="Of every subject and stream.")] = "muster",
) -> None:
    """Write the keys of the centre and the configuration of a NATS server that trusts them."""
    import time

    from controlplane.client import ClientError
    from controlplane.identity.server_configuration import init_nats

    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = init_nats(folder.resolve(), prefix, int(time.time()))
    except (ValueError, OSError) as error:
        raise ClientError(str(error)) from error
    for each in written:
        print(each)
    keys = folder.resolve() / "keys"
    print(f"\nStart the server with nats-server -c {folder.resolve() / 'nats-server.conf'}", file=sys.stderr)
    print(f"and the centre with MUSTER_KEYS_DIR={keys} MUSTER_NATS_URL=nats://HOST:4222", file=sys.stderr)


def version() -> None:
    """The version of this program."""
    from importlib.metadata import version as installed

    print(f"muster {installed('muster')} (API v1, Python {sys.version.split()[0]})")


def token(
    name: str,
    role: Annotated[str, typer.Option(help="admin, viewer, approver or tenant:NAME.")] = "viewer",
) -> None:
    """Make a bearer token: the token on stdout, the line for the service's file of tokens on stderr."""
    import secrets

    from controlplane.access.tokens import parse_role, token_entry
    from controlplane.client import ClientError

    made = f"mt1_{secrets.token_urlsafe(32)}"
    try:
        which, tenant = parse_role(role)
        entry = token_entry(name, which, made, tenant)
    except ValueError as error:
        raise ClientError(str(error)) from error
    print(made)
    print(f"put this line into the service's file of tokens:\n{entry}", file=sys.stderr)


def _check_web_address(text: str) -> None:
    host, colon, port = text.rpartition(":")
    if text and (not colon or not port.isdigit() or int(port) > 65535 or (":" in host and "[" not in host)):
        raise typer.BadParameter(f"--web.listen-address {text!r}: HOST:PORT or :PORT, as 127.0.0.1:9093")


def _split_address(text: str) -> tuple[str, str]:
    if not text:
        return "", ""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise typer.BadParameter(f"{text!r}: HOST:PORT, as 127.0.0.1:8420")
    return host.strip("[]"), port
