"""Errors, as a person can act on them."""

from collections.abc import Iterable

from controlplane.client import ClientError, Refused


def report(error: ClientError, about: str = "") -> None:
    """On stderr: what, in which field, and what to do."""
    from rich.text import Text

    from controlplane.cli.output import console

    to = console(errors=True)
    fields = [each for each in error.errors if each[0]] if isinstance(error, Refused) else []
    head = Text("error: ", style="bold red") + Text(f"{about}: " if about else "", style="bold")
    fields = [each for each in fields if not str(error).endswith(each[1])]
    # A path or a command that is broken over lines can be copied by nobody.
    to.print(head + Text(str(error)), soft_wrap=True)
    for field, message in fields:
        to.print(Text("  ") + Text(field, style="yellow") + Text(f": {message}"), soft_wrap=True)
    if error.hint:
        to.print(Text(f"  {error.hint}", style="dim"), soft_wrap=True)


def show_warnings(warnings: Iterable[str]) -> None:
    """On stderr, below what they are of."""
    from controlplane.cli.output import console

    for warning in warnings:
        console(errors=True).print(f"  warning: {warning}", style="yellow", markup=False)
