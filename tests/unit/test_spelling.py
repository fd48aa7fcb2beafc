"""A cluster's own scheduler is told what was decided on: by labels that its nodes have, or by their names."""

from typing import Any

import pytest

from controlplane.fleet import Demand
from controlplane.fleet.demand import HOSTNAME, Operator, Requirement
from controlplane.interpreters.adaption import Adaption
from controlplane.placement.hardware import Resolved
from controlplane.placement.needs import Needs
from controlplane.placement.paper import paper_fleet
from controlplane.placement.spelling import adaptions
from schemas.manifests import FleetSpec

NFD = "feature.node.kubernetes.io/"
AMX = Requirement("feature:cpu.cpuid.AMXTILE", Operator.EXISTS)
GPU = Requirement("nvidia.com/gpu.product", Operator.IN, ("T4",))
LABELLED = {"labels": {f"{NFD}cpu-cpuid.AMXTILE": "true"}}
RAW = {"features": {"cpu.cpuid.AMXTILE": ""}}
ALIGNING = {"topology": {"zones": [{"cpu": 4}]}}


def told(needs: Needs, *nodes: dict[str, Any], adaption: Adaption | None = None) -> Adaption:
    makes = [{"allocatable": {"cpu": 4}, **each} for each in nodes]
    fleet = paper_fleet(FleetSpec.model_validate({"clusters": [{"name": "a", "nodes": makes}]}))
    resolved = Resolved(Demand.of({}), adaption or Adaption())
    return adaptions(fleet, "a", (needs,), (resolved,))[0]


def named(*names: str) -> Requirement:
    return Requirement(HOSTNAME, Operator.IN, names)


@pytest.mark.parametrize(
    ("needs", "nodes", "terms"),
    [
        (Needs(), [LABELLED], ()),
        (
            Needs(traits=(AMX,)),
            [LABELLED, {}],
            ((Requirement(f"{NFD}cpu-cpuid.AMXTILE", Operator.EXISTS),),),
        ),
        (Needs(traits=(AMX,)), [{}, RAW], ((named("make-1-0"),),)),
        (Needs(traits=(AMX,)), [LABELLED, RAW, {}], ((named("make-0-0", "make-1-0"),),)),
        (Needs(single_numa=True), [{}, ALIGNING], ((named("make-1-0"),),)),
        (Needs(traits=(AMX,)), [{}], ()),
    ],
    ids=[
        "nothing to tell",
        "a label says it",
        "only a raw feature says it",
        "one node by label, one by raw feature",
        "one zone: no label says it",
        "no node has it any more",
    ],
)
def test_by_label_or_by_name(needs: Needs, nodes: list[dict[str, Any]], terms: object) -> None:
    assert told(needs, *nodes).node_terms == terms


def test_it_joins_what_is_required_already() -> None:
    adaption = told(Needs(traits=(AMX, GPU)), LABELLED, {}, adaption=Adaption(node_terms=((GPU,),)))
    assert adaption.node_terms == ((GPU, Requirement(f"{NFD}cpu-cpuid.AMXTILE", Operator.EXISTS)),)
