"""The tree of cohorts with tenants at its leaves, and what follows from quota alone. Never changed once made.

Formulas: Kueue's `resource_node.go`. Nothing here descends by recursion: a tree may have any depth.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from controlplane.quota.quota import CohortQuota, FlavorResource, Limits, TenantQuota

Bounds = tuple[int, int, int | None]
"""subtree, local, borrowing limit."""
NO_QUOTA: Bounds = (0, 0, None)


class CohortCycle(ValueError):
    """names: of the cohorts on it, each the parent of the one before, and the last of them of the first."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"cohorts in a cycle: {' -> '.join((*names, names[0]))}")
        self.names = names


class Kind(StrEnum):
    TENANT = "Tenant"
    COHORT = "Cohort"


class Node:
    """A tenant or a cohort.

    subtree: its quota and what its children lend to it. local: of that, what it never lends to its parent.
    bounds: both, and the borrowing limit, of each flavor and resource that it has quota of.
    index: its place among all nodes of the tree. root: itself where it has no parent.
    """

    __slots__ = (
        "_lendable", "_potential", "bounds", "children", "depth", "index", "kind", "limits", "local", "name",
        "parent", "root", "subtree", "weight",
    )  # fmt: skip

    def __init__(self, kind: Kind, name: str, weight: int, limits: Mapping[FlavorResource, Limits]) -> None:
        self.kind = kind
        self.name = name
        self.weight = weight
        self.limits = limits
        self.parent: Node | None = None
        self.children: tuple[Node, ...] = ()
        self.subtree: dict[FlavorResource, int] = {}
        self.local: dict[FlavorResource, int] = {}
        self.bounds: dict[FlavorResource, Bounds] = {}
        self.index = 0
        self.depth = 0
        self.root: Node = self
        self._potential: dict[FlavorResource, int] = {}
        self._lendable: dict[str, int] | None = None

    def __repr__(self) -> str:
        return f"{self.kind} {self.name}"

    def potential(self, key: FlavorResource) -> int:
        """The most that could ever be had here: min(local + potential(parent), subtree + borrowing limit)."""
        known = self._potential.get(key)
        if known is not None:
            return known
        path: list[Node] = []
        node, above = self, 0
        while True:
            if node.parent is None:
                above = node.subtree.get(key, 0)
                break
            path.append(node)
            node = node.parent
            if key in node._potential:
                above = node._potential[key]
                break
        for node in reversed(path):
            above += node.local.get(key, 0)
            limits = node.limits.get(key)
            if limits is not None and limits.borrowing is not None:
                above = min(above, node.subtree.get(key, 0) + limits.borrowing)
            node._potential[key] = above
        return above

    def lendable(self) -> Mapping[str, int]:
        """Of a cohort, by resource: the sum over all flavors under its root of what it could ever have."""
        found = self._lendable
        if found is None:
            found = {}
            for key in self.root.subtree:
                found[key[1]] = found.get(key[1], 0) + self.potential(key)
            self._lendable = found
        return found

    def settle(self, children: list["Node"]) -> None:
        """What follows from its own limits and its children, which are settled."""
        self.children = tuple(children)
        self.subtree = {key: limits.nominal for key, limits in self.limits.items()}
        for child in children:
            for key, amount in child.subtree.items():
                self.subtree[key] = self.subtree.get(key, 0) + amount - child.local.get(key, 0)
        for key, limits in self.limits.items():
            if limits.lending is not None:
                kept = self.subtree.get(key, 0) - limits.lending
                if kept > 0:
                    self.local[key] = kept
        for key, subtree in self.subtree.items():
            limits = self.limits.get(key)
            borrowing = limits.borrowing if limits is not None else None
            self.bounds[key] = subtree, self.local.get(key, 0), borrowing


class Tree:
    """tenants, cohorts: as they were given, by name; a cohort that is only named is there without quota."""

    def __init__(self, tenants: Mapping[str, TenantQuota], cohorts: Mapping[str, CohortQuota]) -> None:
        """Of what has no cycle: made by `Tree.of`."""
        self.tenants = tenants
        self.cohorts = cohorts
        self._tenants: dict[str, Node] = {}
        self._cohorts: dict[str, Node] = {}
        self.nodes: tuple[Node, ...] = ()
        self._grow()

    @classmethod
    def of(cls, tenants: Iterable[TenantQuota], cohorts: Iterable[CohortQuota]) -> "Tree":
        """Raises CohortCycle. A cohort that is named and not declared is a root without quota."""
        leaves = {each.name: each for each in tenants}
        declared = {each.name: each for each in cohorts}
        named = [each.cohort for each in leaves.values()] + [each.parent for each in declared.values()]
        for name in named:
            if name and name not in declared:
                declared[name] = CohortQuota(name)
        _refuse_cycles(declared)
        return cls(leaves, declared)

    def tenant(self, name: str) -> Node | None:
        return self._tenants.get(name)

    def cohort(self, name: str) -> Node | None:
        return self._cohorts.get(name)

    def root(self, tenant: str) -> str:
        """The root cohort it is under; `tenant/NAME` for a tenant that shares with nobody."""
        node = self._tenants.get(tenant)
        return root_name(node) if node is not None else f"tenant/{tenant}"

    def children(self, cohort: str) -> tuple[Node, ...]:
        """Cohorts, then tenants, each by name. KeyError for none of that name."""
        return self._cohorts[cohort].children

    def potential(self, node: Node, key: FlavorResource) -> int:
        return node.potential(key)

    def _grow(self) -> None:
        for name, cohort in sorted(self.cohorts.items()):
            self._cohorts[name] = Node(Kind.COHORT, name, cohort.weight, cohort.limits)
        for name, tenant in sorted(self.tenants.items()):
            self._tenants[name] = Node(Kind.TENANT, name, tenant.weight, tenant.limits)
        children: dict[Node, list[Node]] = {node: [] for node in self._cohorts.values()}
        for name, node in self._cohorts.items():
            _join(node, self._cohorts.get(self.cohorts[name].parent), children)
        for name, node in self._tenants.items():
            _join(node, self._cohorts.get(self.tenants[name].cohort), children)
        ordered = _from_the_roots([*self._cohorts.values(), *self._tenants.values()], children)
        for index, node in enumerate(ordered):
            node.index = index
        for node in reversed(ordered):
            node.settle(children.get(node, []))
        self.nodes = tuple(ordered)


def root_name(node: Node) -> str:
    """As `Tree.root`."""
    root = node.root
    return root.name if root.kind is Kind.COHORT else f"tenant/{root.name}"


def _join(node: Node, parent: Node | None, children: dict[Node, list[Node]]) -> None:
    node.parent = parent
    if parent is not None:
        children[parent].append(node)


def _from_the_roots(nodes: list[Node], children: dict[Node, list[Node]]) -> list[Node]:
    """Every parent before its children."""
    ordered = [node for node in nodes if node.parent is None]
    for node in ordered:
        for child in children.get(node, ()):
            child.root = node.root
            child.depth = node.depth + 1
            ordered.append(child)
    return ordered


def _refuse_cycles(cohorts: Mapping[str, CohortQuota]) -> None:
    sound: set[str] = set()
    for start in cohorts:
        path: dict[str, None] = {}
        name = start
        while name and name not in sound:
            if name in path:
                names = tuple(path)
                raise CohortCycle(names[names.index(name) :])
            path[name] = None
            name = cohorts[name].parent
        sound.update(path)
