"""What a kubelet aligns of a pod as it is written, and what is said where it will not pin."""

from typing import Any

import pytest

from controlplane.fleet import Numa
from controlplane.fleet.numa import pinning_warning, with_devices, with_overhead
from controlplane.interpreters.pods import pod_demand, pod_shape
from schemas.wire.hardware import DEVICE_CLASS_RESOURCE

GI = 2**30


def container(
    name: str, requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    return {"name": name, "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def whole(name: str, cpu: str, memory: str = "1Gi", **more: str) -> dict[str, Any]:
    """Guaranteed: limits are requests."""
    return container(name, limits={"cpu": cpu, "memory": memory, **more})


def numa(spec: dict[str, Any]) -> Numa | None:
    return pod_demand(spec, "spec").numa


MAIN = (("cpu", 4000), ("memory", GI))


class TestAligned:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            ({"containers": [container("main")]}, None),
            ({"containers": [container("main", {"cpu": "4", "memory": "1Gi"})]}, None),
            ({"containers": [container("main", {"cpu": "4"}, {"cpu": "4"})]}, None),
            ({"containers": [whole("main", "4")]}, Numa(running=(MAIN,), pod=MAIN)),
            (
                {"containers": [whole("main", "5500m")]},
                Numa(running=((("memory", GI),),), pod=(("memory", GI),)),
            ),
            (
                {"containers": [whole("main", "4"), whole("side", "500m")]},
                Numa(running=(MAIN, (("memory", GI),)), pod=(("cpu", 4000), ("memory", 2 * GI))),
            ),
            ({"containers": [whole("main", "4"), container("side", {"cpu": "1"})]}, None),
            (
                {"containers": [container("main", {"cpu": "1"}, {"nvidia.com/gpu": "2"})]},
                Numa(running=((("nvidia.com/gpu", 2),),), pod=(("nvidia.com/gpu", 2),)),
            ),
            (
                {"containers": [container("main", limits={"nvidia.com/gpu": "2"})]},
                Numa(running=((("nvidia.com/gpu", 2),),), pod=(("nvidia.com/gpu", 2),)),
            ),
            ({"containers": [container("main", {"cpu": "1"}, {"hugepages-1Gi": "1Gi"})]}, None),
            (
                {"containers": [whole("main", "4", **{"hugepages-1Gi": "2Gi", "ephemeral-storage": "1Gi"})]},
                Numa(
                    running=((("cpu", 4000), ("hugepages-1Gi", 2 * GI), ("memory", GI)),),
                    pod=(("cpu", 4000), ("hugepages-1Gi", 2 * GI), ("memory", GI)),
                ),
            ),
            (
                {"containers": [whole("main", "4")], "overhead": {"cpu": "250m", "pods": "1"}},
                Numa(running=(MAIN,), pod=(("cpu", 4250), ("memory", GI))),
            ),
            (
                {
                    "initContainers": [
                        whole("first", "8"),
                        whole("proxy", "1") | {"restartPolicy": "Always"},
                    ],
                    "containers": [whole("main", "4")],
                },
                Numa(
                    starting=((("cpu", 8000), ("memory", GI)),),
                    running=((("cpu", 1000), ("memory", GI)), MAIN),
                    pod=(("cpu", 8000), ("memory", 2 * GI)),
                ),
            ),
            (
                {
                    "resources": {"limits": {"cpu": "8", "memory": "2Gi"}},
                    "containers": [whole("main", "4")],
                },
                None,
            ),
        ],
    )
    def test_only_what_a_zone_may_lack(self, spec: dict[str, Any], expected: Numa | None) -> None:
        assert numa(spec) == expected


class TestAdded:
    PINNED = Numa(running=(MAIN,), pod=MAIN)

    def test_overhead_counts_where_its_kind_is_aligned(self) -> None:
        overhead = (("cpu", 250), ("pods", 1))
        assert with_overhead(self.PINNED, overhead) == Numa(
            running=(MAIN,), pod=(("cpu", 4250), ("memory", GI))
        )
        assert with_overhead(None, overhead) is None

    def test_devices_are_aligned_of_every_pod(self) -> None:
        added = (("nvidia.com/gpu", 1),)
        assert with_devices(None, added) == Numa(running=(added,), pod=added)
        assert with_devices(self.PINNED, added) == Numa(running=((*MAIN, *added),), pod=(*MAIN, *added))

    def test_claimed_devices_are_not(self) -> None:
        claimed = ((f"{DEVICE_CLASS_RESOURCE}gpu.example.com", 1),)
        assert with_devices(self.PINNED, claimed) == self.PINNED
        assert with_devices(None, claimed) is None


class TestPinning:
    """The paper measured Redis on 20 pods with 110 cores: 5.5 each, which the static policy does not pin."""

    @pytest.mark.parametrize(
        ("spec", "warning"),
        [
            ({"containers": [whole("main", "4")]}, None),
            (
                {"containers": [whole("redis", "5500m")]},
                "no CPU will be pinned: redis asks for 5.5 cores: a whole number is needed",
            ),
            (
                {"containers": [whole("main", "4"), whole("side", "100m")]},
                "not every CPU will be pinned: side asks for 0.1 cores: a whole number is needed",
            ),
            (
                {"containers": [container("main", {"cpu": "4", "memory": "1Gi"}, {"cpu": "4"})]},
                "no CPU will be pinned: the pod is Burstable, and must be Guaranteed: "
                "container main has no limit of memory",
            ),
            (
                {"containers": [container("main", {"cpu": "2"}, {"cpu": "4", "memory": "1Gi"})]},
                "no CPU will be pinned: the pod is Burstable, and must be Guaranteed: "
                "container main asks for 2 cpu, and its limit is 4",
            ),
            (
                {"containers": [container("main")]},
                "no CPU will be pinned: the pod is BestEffort, and must be Guaranteed: "
                "container main has no limit of cpu",
            ),
            (
                {
                    "resources": {"limits": {"cpu": "8", "memory": "2Gi"}},
                    "containers": [whole("main", "4")],
                },
                "no CPU will be pinned: the pod states resources itself: state them of its containers",
            ),
        ],
    )
    def test_why_not(self, spec: dict[str, Any], warning: str | None) -> None:
        assert pinning_warning(pod_shape(spec, "spec")) == warning
