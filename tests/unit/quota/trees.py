"""Trees by few words, and the formulas once more: slow, recursive, from scratch."""

from collections.abc import Mapping
from fractions import Fraction

from hypothesis import strategies as st

from controlplane.quota.quota import (
    Admitted,
    Amounts,
    Candidate,
    CohortQuota,
    FlavorResource,
    Limits,
    Preemption,
    Reclaim,
    TenantQuota,
    Within,
)
from controlplane.quota.tree import Node, Tree
from controlplane.quota.usage import Usage

CPU = ("default", "cpu")
GPU = ("default", "example.com/gpu")
Limited = Limits | Mapping[FlavorResource, Limits]


def tenant(name: str, cohort: str = "", limits: Limited = Limits(), **more: object) -> TenantQuota:
    """limits: of CPU where nothing else is named."""
    return TenantQuota(name, cohort, limits=_limits(limits), **more)  # type: ignore[arg-type]


def cohort(name: str, parent: str = "", limits: Limited | None = None, weight: int = 1000) -> CohortQuota:
    return CohortQuota(name, parent, weight, _limits(limits) if limits is not None else {})


def candidate(uid: str, tenant: str, needs: int | Amounts, priority: int = 0, created_at: float = 0.0):
    return Candidate(uid, tenant, priority, created_at, {CPU: needs} if isinstance(needs, int) else needs)


def admitted(
    uid: str, tenant: str, amounts: int | Amounts, priority: int = 0, at: float = 0.0, **more: object
):
    return Admitted(
        uid, tenant, priority, at, {CPU: amounts} if isinstance(amounts, int) else amounts, **more
    )  # type: ignore[arg-type]


def running(tree: Tree, *workloads: Admitted) -> Usage:
    usage = Usage(tree)
    for each in workloads:
        usage.add(each.tenant, each.amounts)
    return usage


def _limits(limits: Limited) -> Mapping[FlavorResource, Limits]:
    return {CPU: limits} if isinstance(limits, Limits) else limits


class Naive:
    """Of a tree and what each tenant uses."""

    def __init__(self, tree: Tree, used: Mapping[str, Amounts]) -> None:
        self.tree = tree
        self._used = used

    def subtree(self, node: Node, key: FlavorResource) -> int:
        nominal = node.limits[key].nominal if key in node.limits else 0
        return nominal + sum(self.subtree(each, key) - self.local(each, key) for each in node.children)

    def local(self, node: Node, key: FlavorResource) -> int:
        lending = node.limits[key].lending if key in node.limits else None
        return max(0, self.subtree(node, key) - lending) if lending is not None else 0

    def usage(self, node: Node, key: FlavorResource) -> int:
        if node.kind == "Tenant":
            return self._used.get(node.name, {}).get(key, 0)
        return sum(max(0, self.usage(each, key) - self.local(each, key)) for each in node.children)

    def available(self, node: Node, key: FlavorResource) -> int:
        used, subtree, local = self.usage(node, key), self.subtree(node, key), self.local(node, key)
        if node.parent is None:
            return subtree - used
        above = self.available(node.parent, key)
        borrowing = node.limits[key].borrowing if key in node.limits else None
        if borrowing is not None:
            above = min(above, (subtree - local) - max(0, used - local) + borrowing)
        return max(0, local - used) + above

    def potential(self, node: Node, key: FlavorResource) -> int:
        if node.parent is None:
            return self.subtree(node, key)
        most = self.local(node, key) + self.potential(node.parent, key)
        borrowing = node.limits[key].borrowing if key in node.limits else None
        return most if borrowing is None else min(most, self.subtree(node, key) + borrowing)

    def share(self, node: Node, keys: tuple[FlavorResource, ...]) -> tuple[bool, Fraction]:
        """(infinite, thousandths)."""
        if node.parent is None:
            return False, Fraction(0)
        greatest = Fraction(0)
        for resource in {resource for _, resource in keys}:
            of_it = [key for key in keys if key[1] == resource]
            lendable = sum(self.potential(node.parent, key) for key in of_it)
            borrowed = sum(max(0, self.usage(node, key) - self.subtree(node, key)) for key in of_it)
            if lendable > 0:
                greatest = max(greatest, Fraction(1000 * borrowed, lendable))
        if not node.weight:
            return greatest > 0, greatest
        return False, greatest * 1000 / node.weight


KEYS = (CPU, GPU, ("spot", "cpu"))
_AMOUNT = st.integers(0, 8)
_LIMIT = st.none() | st.integers(0, 6)


@st.composite
def trees(draw: st.DrawFn, keys: tuple[FlavorResource, ...] = KEYS, any_policy: bool = True) -> Tree:
    """Up to five cohorts, up to six tenants, every kind of limit and weight."""

    def limits() -> dict[FlavorResource, Limits]:
        named = draw(st.lists(st.sampled_from(keys), unique=True, max_size=len(keys)))
        return {key: Limits(draw(_AMOUNT), draw(_LIMIT), draw(_LIMIT)) for key in named}

    weights = st.sampled_from([0, 500, 1000, 1000, 3000])
    count = draw(st.integers(1, 5))
    parents = [""] + [draw(st.sampled_from(["", *(f"c{n}" for n in range(i))])) for i in range(1, count)]
    cohorts = [CohortQuota(f"c{i}", parent, draw(weights), limits()) for i, parent in enumerate(parents)]
    policies = st.builds(
        Preemption,
        st.sampled_from(Reclaim),
        st.sampled_from([Reclaim.NEVER, Reclaim.LOWER_PRIORITY]),
        st.none() | st.integers(0, 2),
        st.sampled_from(Within),
    )
    tenants = [
        TenantQuota(
            f"t{i}",
            draw(st.sampled_from(["", *(f"c{n}" for n in range(count))])),
            draw(weights),
            limits(),
            preemption=draw(policies) if any_policy else Preemption(),
            strict=draw(st.integers(0, 4)) == 0,
        )
        for i in range(draw(st.integers(2, 6)))
    ]
    return Tree.of(tenants, cohorts)


def amounts(keys: tuple[FlavorResource, ...] = KEYS) -> st.SearchStrategy[dict[FlavorResource, int]]:
    return st.dictionaries(st.sampled_from(keys), st.integers(1, 6), min_size=1, max_size=len(keys))


@st.composite
def candidates(draw: st.DrawFn, tree: Tree, most: int = 9) -> list[Candidate]:
    names = st.sampled_from(sorted(tree.tenants))
    return [
        Candidate(f"w{i}", draw(names), draw(st.integers(0, 2)), float(i), draw(amounts()))
        for i in range(draw(st.integers(2, most)))
    ]
