"""`muster alerts check` and `muster alerts route`: an Alertmanager file looked into, without any server."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from controlplane.alerts.configuration import Configuration, Route
    from controlplane.alerts.routes import Step

app = typer.Typer(name="alerts", help="Alerts: who hears, and why. Without a command: what fires now.")


class Shown(StrEnum):
    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of Alertmanager, or -.")],
) -> None:
    """Whether files of Alertmanager are taken; what is wrong, as FILE:LINE: PATH: what would be right."""
    taken = [_check(file) for file in files]
    if not all(taken):
        raise typer.Exit(1)


@app.command()
def route(
    labels: Annotated[list[str], typer.Argument(metavar="LABEL=VALUE...", help="Of the alert.")],
    config: Annotated[
        Path, typer.Option("--config", "--config.file", "-c", help="The file of Alertmanager, or -.")
    ],
    output: Annotated[Shown, typer.Option("--output", "-o", help="How to print.")] = Shown.TEXT,
    expected: Annotated[
        str, typer.Option("--verify.receivers", help="Receivers, by commas: exit 1 where it is not these.")
    ] = "",
) -> None:
    """Which receivers an alert with these labels goes to, by which routes, and why."""
    from controlplane.alerts.compile import ConfigurationError
    from controlplane.cli.output import Output, print_data

    alert = _labels(labels)
    try:
        answer = explained(_load(config), alert)
    except ConfigurationError as error:
        _print_problems(config, error)
        raise typer.Exit(1) from error
    if output is Shown.TEXT:
        _print_text(answer)
    else:
        print_data(answer, Output(output.value))
    found = ",".join(answer["receivers"])
    if expected and expected != found:
        typer.echo(f"expected {expected}, found {found}", err=True)
        raise typer.Exit(1)


def explained(configuration: "Configuration", labels: dict[str, str]) -> dict[str, Any]:
    """receivers: of the routes taken, in their order; routes: those; steps: all on the way, and why."""
    from controlplane.alerts.routes import explain_routes

    steps = explain_routes(configuration.root, labels)
    chosen = [step.route for step in steps if step.chosen]
    return {
        "labels": labels,
        "receivers": [route.receiver for route in chosen],
        "routes": [_route(route, labels) for route in chosen],
        "steps": [_step(step) for step in steps],
    }


def _route(route: "Route", labels: dict[str, str]) -> dict[str, Any]:
    from controlplane.alerts.routes import group_key, group_labels
    from schemas.manifests.alertmanager_values import duration_text

    grouped = group_labels(route, labels)
    return {
        "receiver": route.receiver,
        "id": route.id,
        "key": route.key,
        "matchers": [str(matcher) for matcher in route.matchers],
        "continue": route.continues,
        "group_by": ["..."] if route.group_by_all else list(route.group_by),
        "group_labels": grouped,
        "group_key": group_key(route, grouped),
        "group_wait": duration_text(route.group_wait_seconds),
        "group_interval": duration_text(route.group_interval_seconds),
        "repeat_interval": duration_text(route.repeat_interval_seconds),
        "mute_time_intervals": list(route.mute),
        "active_time_intervals": list(route.active),
        "escalate": [
            {"after": duration_text(step.after_seconds), "receiver": step.receiver}
            for step in route.escalations
        ],
    }


def _step(step: "Step") -> dict[str, Any]:
    return {
        "id": step.route.id,
        "depth": step.depth,
        "receiver": step.route.receiver,
        "matchers": [str(matcher) for matcher in step.route.matchers],
        "matched": step.matched,
        "chosen": step.chosen,
        "failed": [str(matcher) for matcher in step.failed],
        "why": _why(step),
    }


def _why(step: "Step") -> str:
    if step.passed_over:
        return "passed over: a route before it matched and does not continue"
    if step.failed:
        return "does not match: " + ", ".join(map(str, step.failed))
    if not step.chosen:
        return "matches, and a route below it does too"
    if not step.route.routes:
        return "matches"
    return "matches, and no route below it does"


def _labels(texts: list[str]) -> dict[str, str]:
    from controlplane.alerts.matchers import Operator, parse_matcher

    labels: dict[str, str] = {}
    for text in texts:
        try:
            matcher = parse_matcher(text)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="LABEL=VALUE") from error
        if matcher.operator is not Operator.EQUAL:
            raise typer.BadParameter(f"{text!r}: LABEL=VALUE is needed", param_hint="LABEL=VALUE")
        labels[matcher.name] = matcher.value
    return labels


def _load(file: Path) -> "Configuration":
    import sys

    from controlplane.alert_files import load_configuration, load_text
    from schemas.manifests.alertmanager_yaml import MAX_BYTES

    if str(file) == "-":
        return load_text(sys.stdin.buffer.read(MAX_BYTES + 1), Path.cwd())
    return load_configuration(file)


def _check(file: Path) -> bool:
    from controlplane.alerts.compile import ConfigurationError

    try:
        configuration = _load(file)
    except ConfigurationError as error:
        typer.echo(f"Checking '{file}'  FAILED")
        _print_problems(file, error)
        return False
    typer.echo(f"Checking '{file}'  SUCCESS")
    typer.echo("Found:")
    typer.echo(" - global config")
    typer.echo(" - route")
    typer.echo(f" - {len(configuration.inhibit_rules)} inhibit rules")
    typer.echo(f" - {len(configuration.receivers)} receivers")
    typer.echo(f" - {len(configuration.templates)} templates")
    return True


def _print_problems(file: Path, error: Any) -> None:
    for problem in error.problems:
        typer.echo(f"{file}:{problem}", err=True)


def _print_text(answer: dict[str, Any]) -> None:
    typer.echo(",".join(answer["receivers"]))
    typer.echo()
    for step in answer["steps"]:
        mark = "->" if step["chosen"] else "  "
        written = "{" + ",".join(step["matchers"]) + "}" if step["matchers"] else "(root)"
        receiver = f"  receiver: {step['receiver']}" if step["chosen"] else ""
        typer.echo(f"{mark} {'  ' * step['depth']}{written}{receiver}  {step['why']}")
