"""What an agent says that it may do, and which orders that lets into its cluster."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.observe.rights import VERBS, kinds_allowed, rights
from agents.ports import Resource, Rule
from controlplane.placement import ClusterView, PlacementRequest, place
from controlplane.placement.filters import refusals, surely_pass
from controlplane.placement.rights import (
    LEAVING,
    REMOVING,
    AgentRights,
    Written,
    asked_by,
    granting,
    may_not,
)
from controlplane.placement.rights import VERBS as VERBS_OF_WRITING
from schemas.reasons import Reason
from schemas.wire.codec import decode, encode
from schemas.wire.orders import ObjectRef, OrderBody, Verb
from schemas.wire.reports import MOST_RIGHTS, Facts, Right

SERVED = (
    Resource("apps", "v1", "deployments", "Deployment", True),
    Resource("apps", "v1", "statefulsets", "StatefulSet", True),
    Resource("", "v1", "services", "Service", True),
    Resource("", "v1", "secrets", "Secret", True),
)
ALL = ("*",)
SEE = ("get", "list", "watch")


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param([Rule(SEE, ALL, ALL)], {"*": SEE}, id="reading all of it"),
        pytest.param([Rule(ALL, ALL, ALL)], {"*": VERBS}, id="everything is one word"),
        pytest.param(
            [Rule(ALL, ("apps",), ALL)], {"*.apps": VERBS}, id="a whole group, kinds yet to come too"
        ),
        pytest.param(
            [Rule(ALL, ("apps", ""), ("deployments", "services", "deployments/scale"))],
            {"Deployment.apps": VERBS, "Service": VERBS},
            id="kinds by the names of their resources",
        ),
        pytest.param(
            [Rule(SEE, ALL, ALL), Rule(("create", "escalate"), ("",), ("secrets",))],
            {"*": SEE, "Secret": ("create", *SEE)},
            id="rules add up, and of verbs only those that Muster needs are told",
        ),
    ],
)
def test_rules_become_kinds(rules: list[Rule], told: dict[str, tuple[str, ...]]) -> None:
    assert kinds_allowed(rules, SERVED) == {kind: tuple(sorted(verbs)) for kind, verbs in told.items()}


def test_namespaces_that_are_alike_are_told_together() -> None:
    one = {"Service": VERBS, "Deployment.apps": VERBS}
    told = rights({"*": {}, "shop": one, "blog": one, "books": {"Secret": ("create", "get")}})
    assert told == [
        Right(["blog", "shop"], ["Deployment.apps", "Service"], list(VERBS)),
        Right(["books"], ["Secret"], ["create", "get"]),
    ]


def test_what_may_only_be_read_is_told_where_it_may_be_written_elsewhere() -> None:
    seen = {"*.apps": SEE, "Service": SEE, "Secret": SEE}
    assert rights({"*": seen}) == []
    told = rights({"*": seen, "shop": {"Service": VERBS}})
    assert told == [
        Right(["*"], ["*.apps", "Service"], list(SEE)),
        Right(["shop"], ["Service"], list(VERBS)),
    ]
    told = rights({"*": {"Deployment.apps": SEE, "Service": SEE}, "shop": {"*.apps": VERBS}})
    assert Right(["*"], ["Deployment.apps"], list(SEE)) in told


DEPLOYMENT = Written("apps/v1/Deployment", "shop")
SERVICE = Written("v1/Service", "shop")
ROLE = Written("rbac.authorization.k8s.io/v1/ClusterRole", "")
WATCHING = Right(["*"], ["*"], ["get", "list", "watch"])
IN_SHOP = Right(["shop"], ["Deployment.apps"], list(VERBS))


@pytest.mark.parametrize(
    ("given_rights", "wanted", "said"),
    [
        pytest.param([Right(["*"], ["*"], list(VERBS))], (DEPLOYMENT, ROLE), "", id="everything"),
        pytest.param([WATCHING, IN_SHOP], (DEPLOYMENT,), "", id="in that namespace"),
        pytest.param([WATCHING, Right(["*"], ["*.apps"], list(VERBS))], (DEPLOYMENT,), "", id="its group"),
        pytest.param(
            [WATCHING, IN_SHOP],
            (replace(DEPLOYMENT, namespace="blog"),),
            "its agent may not create, delete, patch Deployment.apps in namespace blog",
            id="another namespace",
        ),
        pytest.param(
            [WATCHING, IN_SHOP],
            (DEPLOYMENT, SERVICE),
            "its agent may not create, delete, patch Service in namespace shop",
            id="another kind",
        ),
        pytest.param(
            [WATCHING, Right(["shop"], ["*"], list(VERBS))],
            (ROLE,),
            "its agent may not create, delete, patch ClusterRole.rbac.authorization.k8s.io",
            id="what has no namespace is not in one",
        ),
        pytest.param(
            [IN_SHOP],
            (DEPLOYMENT,),
            "its agent may not list, watch Deployment.apps everywhere",
            id="what it cannot watch it can tell nothing of",
        ),
        pytest.param(
            [],
            (DEPLOYMENT,),
            "its agent may not create, delete, get, patch Deployment.apps in namespace shop",
            id="of what may be written nowhere it is not told whether it may be seen",
        ),
    ],
)
@pytest.mark.promise(7)
def test_who_may_what(given_rights: list[Right], wanted: tuple[Written, ...], said: str) -> None:
    held = AgentRights.of(given_rights)
    assert held is not None
    lacking = held.lacking(wanted)
    assert (may_not(lacking) if lacking else "") == said
    cluster = ClusterView("id-a", "a", rights=held)
    request = PlacementRequest("uid", 2, written=wanted)
    assert surely_pass(request, [cluster]) == [not said]
    assert [(each.reason, each.message) for each in refusals(request, cluster)] == (
        [(Reason.AGENT_MAY_NOT, said)] if said else []
    )
    assert not held.with_all(wanted).lacking(wanted), "what is said to help helps"
    # What runs there was let in by an agent that might: for want of it nothing is removed.
    running = place(replace(request, current={"id-a": 2}), [cluster], [5])
    assert running.assignments == {"id-a": 2}


REMOVAL = Right(["shop"], ["Deployment.apps"], ["delete", "get"])
REF = ObjectRef("apps/v1", "Deployment", "shop", "web")
MANIFEST = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}}
ORDERS = {
    "an apply needs what it writes": (Verb.APPLY, OrderBody(name="w", objects=[MANIFEST]), (SERVICE,)),
    "and does not wait for a right to delete what it drops": (
        Verb.APPLY,
        OrderBody(name="w", objects=[MANIFEST], dropped=[REF]),
        (SERVICE,),
    ),
    "a withdrawal needs no more than to delete": (
        Verb.WITHDRAW,
        OrderBody(name="w", dropped=[REF]),
        (replace(DEPLOYMENT, verbs=REMOVING),),
    ),
    "one that leaves all there, to take its labels off": (
        Verb.WITHDRAW,
        OrderBody(name="w", dropped=[REF], preserve=True),
        (replace(DEPLOYMENT, verbs=LEAVING),),
    ),
    "nothing": (Verb.WITHDRAW, OrderBody(name="w"), ()),
}


@pytest.mark.promise(7)
@pytest.mark.parametrize(("verb", "body", "wanted"), ORDERS.values(), ids=ORDERS.keys())
def test_what_an_order_asks_of_its_agent(verb: Verb, body: OrderBody, wanted: tuple[Written, ...]) -> None:
    assert asked_by(verb, body, removals_told=True) == wanted
    of_writing = tuple(each for each in wanted if each.verbs == VERBS_OF_WRITING)
    assert asked_by(verb, body, removals_told=False) == of_writing, "an agent that does not tell of removals"


def test_what_may_be_deleted_is_told_though_it_may_not_be_created() -> None:
    told = rights({"*": {"*": SEE}, "shop": {"*": SEE, "Deployment.apps": ("delete", "get")}})
    assert told == [Right(["*"], ["*"], list(SEE)), REMOVAL]
    held = AgentRights.of(told)
    assert held is not None
    assert not held.lacking(asked_by(Verb.WITHDRAW, OrderBody(name="w", dropped=[REF]), removals_told=True))
    leaving = asked_by(Verb.WITHDRAW, OrderBody(name="w", dropped=[REF], preserve=True), removals_told=True)
    assert may_not(held.lacking(leaving)) == "its agent may not patch Deployment.apps in namespace shop"


def test_what_would_help_is_said() -> None:
    held = AgentRights.of([WATCHING])
    assert held is not None
    assert granting(held.lacking((DEPLOYMENT, SERVICE))) == (
        "let its agent write Deployment.apps in namespace shop, Service in namespace shop:"
        " rbac in the values of its chart"
    )


NAMES = st.sampled_from(["shop", "blog", "books"])
RULES = st.lists(
    st.builds(
        Rule,
        st.sampled_from([VERBS, ALL, ("create",), SEE, ("patch", "delete")]),
        st.sampled_from([ALL, ("apps",), ("",), ("", "apps")]),
        st.sampled_from([ALL, ("deployments",), ("services", "secrets")]),
    ),
    max_size=4,
)


@given(
    RULES,
    st.dictionaries(NAMES, RULES),
    NAMES,
    st.sampled_from(SERVED),
    st.sampled_from([VERBS_OF_WRITING, REMOVING, LEAVING]),
)
def test_what_is_told_is_what_rbac_allows(
    wide: list[Rule],
    inside: dict[str, list[Rule]],
    namespace: str,
    resource: Resource,
    verbs: tuple[str, ...],
) -> None:
    """What the centre finds lacking is lacking, and nothing else."""
    here = wide + inside.get(namespace, [])
    told = rights(
        {"*": kinds_allowed(wide, SERVED)}
        | {name: kinds_allowed(wide + rules, SERVED) for name, rules in inside.items()}
    )
    held = AgentRights.of(told)
    assert held is not None

    def allows(rules: list[Rule], verb: str) -> bool:
        return any(
            {verb, "*"} & set(rule.verbs)
            and {resource.group, "*"} & set(rule.groups)
            and {resource.plural, "*"} & set(rule.resources)
            for rule in rules
        )

    written = Written(f"{resource.api_version}/{resource.kind}", namespace, verbs)
    enough = all(allows(here, verb) for verb in verbs)
    seen = all(allows(wide, verb) for verb in ("list", "watch"))
    lacking = held.lacking((written,))
    assert (not lacking) == (enough and seen)


def test_rights_over_the_bound_are_malformed() -> None:
    facts = Facts(incarnation=1, sequence=1, layout=1, kubernetes_version="v1")
    assert decode(Facts, encode(facts)).rights is None, "an agent that does not tell"
    over = [Right(["*"], ["*"], list(VERBS))] * (MOST_RIGHTS + 1)
    with pytest.raises(ValueError, match=r"rights: 201: up to 200"):
        replace_rights(facts, over)


def replace_rights(facts: Facts, given_rights: list[Right]) -> Facts:
    return Facts(incarnation=1, sequence=1, layout=1, kubernetes_version="v1", rights=given_rights)
