"""The tree of quota in a terminal: a line for each cohort and tenant, and one for each of its resources."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from controlplane.cli.output import Row, amount, console
from controlplane.quota.lending import split
from schemas.quantities import quantity_text

MOST_BAR, LEAST_BAR = 24, 8
USED, BORROWED, LENT, FREE = "█", "▓", "▒", "░"
_STYLES = {USED: "green", BORROWED: "yellow", LENT: "blue", FREE: "dim"}
_GAP = "  "
_USED, _FREE = "used / own", "free"


@dataclass(frozen=True)
class _Line:
    """Of one resource: what stands in each column, and what the bar is made of."""

    label: Text
    used: str
    free: str
    notes: Text
    quota: Row


def show_tree(rows: Sequence[Row]) -> None:
    """Rows in the order of the tree."""
    to = console()
    if not rows:
        console(errors=True).print("no cohort and no tenant has a quota: muster apply -f FILE", style="dim")
        return
    drawn = [
        (head, [_line(prefix, quota) for quota in row["quotas"]])
        for row, (lead, prefix) in zip(rows, _guides(rows), strict=True)
        for head in [_headline(lead, row)]
    ]
    lines = [line for _, below in drawn for line in below]
    widths = _widths(lines, to.width)
    if lines:
        to.print(_header(widths), no_wrap=True, overflow="ellipsis")
    for head, below in drawn:
        to.print(head, no_wrap=True, overflow="ellipsis")
        for line in below:
            to.print(_drawn(line, widths), no_wrap=True, overflow="ellipsis")
    if lines:
        to.print(legend(lines_of(rows)))


def show_quotas(row: Row) -> None:
    """The lines of one tenant or cohort, without a tree around them."""
    to = console()
    lines = [_line("  ", quota) for quota in row["quotas"]]
    widths = _widths(lines, to.width)
    for line in lines:
        to.print(_drawn(line, widths), no_wrap=True, overflow="ellipsis")


def bar(quota: Row, width: int) -> Text:
    """Used of its own, lent to others, free; and behind it what is borrowed."""
    borrowed, lent = int(quota["borrowed"]), int(quota["lent"])
    own = max(0, int(quota["used"]) - borrowed)
    free = max(0, int(quota["total"]) - own - lent)
    parts = {USED: own, LENT: lent, FREE: free, BORROWED: borrowed}
    if not any(parts.values()):
        return Text("·" * width, style="dim")
    return Text("").join(
        Text(mark * cells, style=_STYLES[mark]) for mark, cells in _cells(parts, width).items()
    )


def _cells(parts: Mapping[str, int], width: int) -> dict[str, int]:
    """Whole cells that add up to `width`; what is there is seen, however small it is."""
    there = {mark: part for mark, part in parts.items() if part}
    cells = dict(zip(there, split(width, list(there.values())), strict=True))
    for mark in [mark for mark, count in cells.items() if not count]:
        cells[max(cells, key=lambda each: cells[each])] -= 1
        cells[mark] = 1
    return cells


def _guides(rows: Sequence[Row]) -> Iterable[tuple[str, str]]:
    """What stands before the name of each row, and before the lines below it."""
    lasts = _lasts(rows)
    open_: list[bool] = []
    for index, row in enumerate(rows):
        depth = int(row["depth"])
        del open_[depth:]
        before = "".join("│ " if each else "  " for each in open_[1:])
        lead = before + ("" if depth == 0 else "└ " if lasts[index] else "├ ")
        below = before + ("" if depth == 0 else "  " if lasts[index] else "│ ")
        parent = index + 1 < len(rows) and int(rows[index + 1]["depth"]) > depth
        open_.append(not lasts[index])
        yield lead, below + ("│ " if parent else "  ")


def _lasts(rows: Sequence[Row]) -> list[bool]:
    """Whether each row is the last child of its parent: seen from the end."""
    lasts: list[bool] = []
    seen: set[int] = set()
    for row in reversed(rows):
        depth = int(row["depth"])
        seen = {each for each in seen if each <= depth}
        lasts.append(depth not in seen)
        seen.add(depth)
    return lasts[::-1]


def _headline(lead: str, row: Row) -> Text:
    text = Text.assemble((lead, "dim"), (str(row["name"]), "bold"))
    for part in headline_parts(row):
        text.append(_GAP)
        text.append_text(part)
    return text


def headline_parts(row: Row) -> Iterable[Text]:
    """Beside the name: its share, its weight, what waits, its budget."""
    if row["kind"] == "Cohort" and not row["declared"]:
        yield Text("only named: a root without quota", style="dim")
    if row["kind"] == "Tenant" and not row["bounded"]:
        yield Text("not bounded", style="dim")
    if row["share"]:
        of = f" of {row['share_resource']}" if row["share_resource"] else ""
        yield Text(f"share {row['share']}{of}", style="red" if row["share"] == "infinite" else "dim")
    if row["weight"] != 1:
        yield Text(f"weight {row['weight']:g}", style="dim")
    if row["waiting"]:
        yield Text(f"{row['waiting']:,} waiting", style="yellow")
    if row["budget"]:
        yield budget_text(row["budget"])


def budget_text(budget: Mapping[str, Any]) -> Text:
    style = {"Within": "dim", "Warned": "yellow"}.get(budget["state"], "red")
    return Text(f"{budget['share']:.0%} of {budget['amount']} {budget['currency']} spent", style=style)


def shown(resource: str, value: int) -> str:
    """Short, and never rounded to what it is not: 250m, not 0.2."""
    if resource == "cpu" and value % 100 and value < 10_000:
        return quantity_text(resource, value)
    return amount(resource, value)


def _line(prefix: str, quota: Row) -> _Line:
    resource, used = str(quota["resource"]), shown(quota["resource"], quota["used"])
    of = f" / {shown(resource, quota['total'])}" if quota["available"] is not None else ""
    free = shown(resource, quota["available"]) if quota["available"] is not None else ""
    label = Text.assemble((prefix, "dim"), (f"{quota['flavor'] or '-'} ", "cyan"), resource)
    return _Line(label, f"{used}{of}", free, Text(", ").join(_notes(quota)), quota)


def _notes(quota: Row) -> Iterable[Text]:
    resource = str(quota["resource"])
    for field, said, style in (
        ("borrowed", "borrows", _STYLES[BORROWED]),
        ("lent", "lends", _STYLES[LENT]),
        ("drift", "drift", "red"),
        ("leaving", "leaving", "dim"),
    ):
        if quota[field]:
            yield Text(f"{said} {shown(resource, quota[field])}", style=style)
    if quota["window"]:
        yield Text(f"window {quota['window']}", style="magenta")


def _widths(lines: Sequence[_Line], width: int) -> tuple[int, int, int, int]:
    """Label, bar, used, free: the bar takes what the others and the notes leave."""
    label, used, free, notes = (
        max(of, default=0)
        for of in (
            [line.label.cell_len for line in lines],
            [len(_USED), *(len(line.used) for line in lines)],
            [len(_FREE), *(len(line.free) for line in lines)],
            [line.notes.cell_len for line in lines],
        )
    )
    rest = width - label - used - free - notes - 4 * len(_GAP)
    return label, min(MOST_BAR, max(LEAST_BAR, rest)), used, free


def _header(widths: tuple[int, int, int, int]) -> Text:
    label, bar_, used, free = widths
    return Text(_GAP.join((" " * label, " " * bar_, _USED.rjust(used), _FREE.rjust(free))), style="dim")


def _drawn(line: _Line, widths: tuple[int, int, int, int]) -> Text:
    label, bar_, used, free = widths
    start = line.label.copy()
    start.pad_right(label - line.label.cell_len)
    drawn = bar(line.quota, bar_) if line.free else Text(" " * bar_)
    cells = (start, drawn, Text(line.used.rjust(used)), Text(line.free.rjust(free)), line.notes)
    text = Text(_GAP).join(cells)
    text.rstrip()
    return text


def lines_of(rows: Iterable[Row]) -> Iterable[Row]:
    return (quota for row in rows for quota in row["quotas"])


def legend(quotas: Iterable[Row]) -> Text:
    """What the marks mean, of those that are there."""
    seen = list(quotas)
    said = {USED: "used", LENT: "lent to others", FREE: "free", BORROWED: "borrowed"}
    there = {USED, FREE} | ({LENT} if any(each["lent"] for each in seen) else set[str]())
    there |= {BORROWED} if any(each["borrowed"] for each in seen) else set()
    return Text(_GAP).join(
        Text.assemble((mark, _STYLES[mark]), (f" {text}", "dim"))
        for mark, text in said.items()
        if mark in there
    )
