"""Which routes an alert takes, and the group it falls into there."""

from collections.abc import Iterator
from dataclasses import dataclass

from controlplane.alerts.alert import Labels
from controlplane.alerts.configuration import Route
from controlplane.alerts.matcher_index import MatcherIndex
from controlplane.alerts.matchers import Matcher, matches_all
from controlplane.alerts.quoting import go_quote


def match_routes(root: Route, labels: Labels) -> list[Route]:
    """Depth first, left to right; a match without `continue` ends its level; no child: the node itself.

    Empty only where the root has matchers that do not match. The model that `Routes` is tested against.
    """
    if not matches_all(root.matchers, labels):
        return []
    found: list[Route] = []
    for child in root.routes:
        below = match_routes(child, labels)
        found += below
        if below and not child.continues:
            break
    return found or [root]


class Routes:
    """The same as match_routes, quick for hundreds of routes. Built once."""

    def __init__(self, root: Route) -> None:
        self.root = root
        self._node = _indexed(root)

    def match(self, labels: Labels) -> tuple[Route, ...]:
        if not matches_all(self.root.matchers, labels):
            return ()
        found: list[Route] = []
        _match(self._node, labels, found)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class _Node:
    route: Route
    children: "MatcherIndex[_Node] | None"


def _indexed(route: Route) -> _Node:
    if not route.routes:
        return _Node(route, None)
    return _Node(route, MatcherIndex((child.matchers, _indexed(child)) for child in route.routes))


def _match(node: _Node, labels: Labels, found: list[Route]) -> None:
    """A node whose own matchers hold."""
    before = len(found)
    if node.children is not None:
        for child in node.children.candidates(labels):
            if matches_all(child.route.matchers, labels):
                _match(child, labels, found)
                if not child.route.continues:
                    break
    if len(found) == before:
        found.append(node.route)


def every_route(root: Route) -> Iterator[Route]:
    """Depth first, a node before its children."""
    yield root
    for child in root.routes:
        yield from every_route(child)


def group_labels(route: Route, labels: Labels) -> dict[str, str]:
    """The labels that an alert is grouped by there; one that it lacks is left out."""
    if route.group_by_all:
        return dict(labels)
    return {name: labels[name] for name in route.group_by if name in labels}


def group_key(route: Route, labels: Labels) -> str:
    """Of the group labels: `{}/{owner="team-A"}:{alertname="X", b="c"}`, as the webhook's `groupKey`.

    Two routes with the same matchers under the same parents have the same; `group_id` tells them apart.
    """
    return f"{route.key}:{label_set(labels)}"


def group_id(route: Route, labels: Labels) -> str:
    """As group_key, by the route's id: one for each group there is."""
    return f"{route.id}:{label_set(labels)}"


def label_set(labels: Labels) -> str:
    """`{a="1", b="2"}`, sorted by name."""
    return "{" + ", ".join(f"{name}={go_quote(labels[name])}" for name in sorted(labels)) + "}"


@dataclass(frozen=True, slots=True)
class Step:
    """One route on the way, and why it was taken or not. failed: the matchers that did not match.

    passed_over: not looked at, for a sibling before it matched and does not continue.
    """

    route: Route
    depth: int
    matched: bool
    failed: tuple[Matcher, ...] = ()
    passed_over: bool = False
    chosen: bool = False


def explain_routes(root: Route, labels: Labels) -> list[Step]:
    """Every route that was looked at or passed over, top down; those `chosen` are what match_routes says.

    What is below a route that did not match, or was passed over, is left out.
    """
    failed = tuple(matcher for matcher in root.matchers if not matcher.matches(labels))
    return [Step(root, 0, False, failed)] if failed else _explained(root, 0, labels)


def _explained(route: Route, depth: int, labels: Labels) -> list[Step]:
    steps: list[Step] = []
    taken = ended = False
    for child in route.routes:
        failed = tuple(matcher for matcher in child.matchers if not matcher.matches(labels))
        if ended:
            steps.append(Step(child, depth + 1, False, passed_over=True))
        elif failed:
            steps.append(Step(child, depth + 1, False, failed))
        else:
            steps += _explained(child, depth + 1, labels)
            taken, ended = True, not child.continues
    return [Step(route, depth, True, chosen=not taken), *steps]
