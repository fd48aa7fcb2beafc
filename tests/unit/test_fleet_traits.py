"""Features of nodes under one name over all versions of NFD, its operators, and runtime handlers."""

import re

import pytest

from controlplane.fleet import Demand, Fleet, Requirement
from controlplane.fleet.demand import Operator
from controlplane.fleet.patterns import pattern
from controlplane.fleet.traits import labels_of, value_of
from schemas.wire.reports import Profile
from tests.unit.reports import facts, inventory, usage

NFD = "feature.node.kubernetes.io/"


def feature(name: str, operator: Operator = Operator.EXISTS, *values: str) -> Requirement:
    return Requirement(f"feature:{name}", operator, values)


class TestSpelling:
    @pytest.mark.parametrize(
        ("name", "labels", "features", "expected"),
        [
            ("cpu.cpuid.AMXTILE", {"cpu-cpuid.AMXTILE": "true"}, {}, ""),
            ("cpu.cpuid.AMXTILE", {}, {"cpu.cpuid.AMXTILE": ""}, ""),
            ("cpu.cpuid.AVX10_VERSION", {"cpu-cpuid.AVX10_VERSION": "2"}, {}, "2"),
            ("cpu.rdt.RDTL3CA", {"cpu-rdt.RDTL3CA": "true"}, {}, "true"),
            ("cpu.rdt.RDTL3CA", {}, {"cpu.rdt.RDTL3CA": ""}, "true"),
            ("cpu.rdt.RDTL3CA", {}, {"cpu.rdt.RDTL3CA": "true"}, "true"),
            ("cpu.sst.bf.enabled", {"cpu-power.sst_bf.enabled": "true"}, {}, "true"),
            ("cpu.sst.bf.enabled", {}, {"cpu.sst.bf.enabled": "true"}, "true"),
            (
                "cpu.topology.hardware_multithreading",
                {"cpu-hardware_multithreading": "false"},
                {},
                "false",
            ),
            ("cpu.security.sgx.enabled", {"cpu-sgx.enabled": "true"}, {}, "true"),
            ("cpu.security.sgx.enabled", {"cpu-security.sgx.enabled": "true"}, {}, "true"),
            ("cpu.model.vendor_id", {"cpu-model.vendor_id": "Intel"}, {}, "Intel"),
            ("kernel.version.major", {"kernel-version.major": "6"}, {}, "6"),
            ("system.osrelease.ID", {"system-os_release.ID": "ubuntu"}, {}, "ubuntu"),
            ("system.osrelease.VERSION_ID.major", {"system-os_release.VERSION_ID.major": "24"}, {}, "24"),
            ("memory.numa.is_numa", {"memory-numa": "true"}, {}, "true"),
            ("memory.numa.is_numa", {}, {"memory.numa.is_numa": "false"}, "false"),
            ("pci.device.0300_10de.present", {"pci-0300_10de.present": "true"}, {}, "true"),
            ("network.device.sriov.capable", {"network-sriov.capable": "true"}, {}, "true"),
            ("storage.block.nonrotationaldisk", {"storage-nonrotationaldisk": "true"}, {}, "true"),
            ("kernel.loadedmodule.kvm_intel", {}, {"kernel.loadedmodule.kvm_intel": ""}, ""),
            ("cpu.cpuid.AMXTILE", {"cpu-cpuid.AMXINT8": "true"}, {"cpu.cpuid.AMXINT8": ""}, None),
        ],
    )
    def test_of_every_version(
        self, name: str, labels: dict[str, str], features: dict[str, str], expected: str | None
    ) -> None:
        written = {f"{NFD}{key}": value for key, value in labels.items()}
        assert value_of(f"feature:{name}", written, features) == expected

    def test_what_the_label_says_is_not_held_twice(self) -> None:
        fleet = built(
            Profile(
                incarnation=1,
                sequence=1,
                labels={f"{NFD}cpu-cpuid.AVX": "true", f"{NFD}kernel-version.major": "6"},
                features={"cpu.cpuid.AVX": "", "cpu.cpuid.SSE42": "", "kernel.version.major": "6"},
                handlers=["runc"],
            )
        )
        (row,) = fleet.nodes("c")
        assert (row.features, row.handlers) == ({"cpu.cpuid.SSE42": ""}, ("runc",))
        for name in ("cpu.cpuid.AVX", "cpu.cpuid.SSE42", "kernel.version.major"):
            assert fits(fleet, feature(name)) == 4

    def test_every_spelling_is_a_label_of_nfd(self) -> None:
        assert labels_of("cpu.security.se.enabled") == (
            f"{NFD}cpu-security.se.enabled",
            f"{NFD}cpu-se.enabled",
        )


class TestOperators:
    """As NFD's evaluateMatchExpression: of what is absent or a flag only Exists and DoesNotExist speak."""

    @pytest.mark.parametrize(
        ("operator", "values", "takes"),
        [
            (Operator.EXISTS, (), {"flag", "5", "7", "word", "true", "false"}),
            (Operator.DOES_NOT_EXIST, (), {"absent"}),
            (Operator.IN, ("5", "word"), {"5", "word"}),
            (Operator.NOT_IN, ("5", "word"), {"7", "true", "false"}),
            (Operator.IN_REGEXP, ("^w.*d$", "[56]"), {"5", "word"}),
            (Operator.GT, ("5",), {"7"}),
            (Operator.GE, ("5",), {"5", "7"}),
            (Operator.LT, ("7",), {"5"}),
            (Operator.LE, ("7",), {"5", "7"}),
            (Operator.GT_LT, ("5", "8"), {"7"}),
            (Operator.GT_LT, ("8", "5"), set[str]()),
            (Operator.GE_LE, ("5", "7"), {"5", "7"}),
            (Operator.IS_TRUE, (), {"true"}),
            (Operator.IS_FALSE, (), {"false"}),
        ],
    )
    def test_on_features(self, operator: Operator, values: tuple[str, ...], takes: set[str]) -> None:
        found: set[str] = set()
        for each in ("flag", "absent", "5", "7", "word", "true", "false"):
            key = "cpu.cpuid.X" if each == "flag" else "a.b.c"
            value = {"flag": "", "absent": None}.get(each, each)
            if feature(key, operator, *values).admits(value):
                found.add(each)
        assert found == takes

    def test_not_in_of_a_label_holds_where_the_key_is_absent(self) -> None:
        assert Requirement("zone", Operator.NOT_IN, ("a",)).admits(None)
        assert not feature("a.b.c", Operator.NOT_IN, "a").admits(None)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("(", "missing )"),
            ("a)", "unexpected )"),
            ("[a", "missing ]"),
            ("a{2,1}", "invalid repetition size"),
            ("(a{900}){900}", "invalid repetition size"),
            ("a**", "bad repetition operator"),
            ("(?=a)", "invalid perl operator"),
            ("\\1", "invalid escape sequence"),
            ("*", "no argument for repetition operator"),
            ("x" * 300, "300 characters"),
            ("((.?){30}){30}y", "pattern too large"),
        ],
    )
    def test_a_pattern_that_is_none_is_refused_by_name(self, text: str, message: str) -> None:
        with pytest.raises(ValueError, match=re.escape(message)):
            feature("a.b.c", Operator.IN_REGEXP, text)

    def test_a_pattern_that_would_recurse_for_ever_elsewhere(self) -> None:
        assert not pattern("^(a+)+$").found("a" * 500 + "b")
        assert not pattern("(a|a)*(a|a)*(a|a)*c").found("a" * 500)


OLD = {f"{NFD}cpu-rdt.RDTMBA": "true", f"{NFD}kernel-version.major": "5", "pool": "old"}
NEW = {f"{NFD}kernel-version.major": "6", "pool": "new"}
NEW_RAW = {"cpu.rdt.RDTMBA": "true", "cpu.cpuid.SSE42": "", "kernel.version.major": "6"}


def built(*profiles: Profile) -> Fleet:
    """One node `n<i>` of four cores for each profile."""
    fleet = Fleet()
    fleet.apply_facts("c", facts())
    for each in profiles:
        fleet.apply_profile("c", each.hash, each)
    names = " ".join(f"n{at}" for at in range(len(profiles)))
    fleet.apply_inventory("c", "1-0", inventory(names, profiles=[each.hash for each in profiles]))
    fleet.apply_usage("c", "1-0", usage(len(profiles)))
    return fleet


def fits(fleet: Fleet, *traits: Requirement) -> int:
    demand = Demand.of({"cpu": 1000}, traits=traits)
    (found,) = fleet.available(demand, ["c"])
    counted = fleet.explain("c", demand)
    assert counted.replicas == found
    assert [counted.nodes - sum(count for _, count in counted.unselected)] == fleet.matching(demand, ["c"])
    return found


@pytest.fixture
def mixed() -> Fleet:
    """n0 of an older NFD, n1 of a newer one with Kata, n2 that tells nothing."""
    return built(
        Profile(incarnation=1, sequence=1, labels=OLD, handlers=["runc"]),
        Profile(incarnation=1, sequence=1, labels=NEW, features=NEW_RAW, handlers=["runc", "kata"]),
        Profile(incarnation=1, sequence=1, labels={"pool": "plain"}),
    )


class TestNodes:
    def test_one_feature_over_versions(self, mixed: Fleet) -> None:
        assert fits(mixed, feature("cpu.rdt.RDTMBA")) == 8
        assert fits(mixed, feature("cpu.rdt.RDTMBA", Operator.IS_TRUE)) == 8
        assert fits(mixed, feature("kernel.version.major", Operator.GE, "6")) == 4
        assert fits(mixed, feature("cpu.rdt.RDTMBA"), feature("kernel.version.major", Operator.LT, "6")) == 4
        assert fits(mixed, feature("cpu.rdt.RDTMBA", Operator.DOES_NOT_EXIST)) == 4

    def test_labels_are_traits_too(self, mixed: Fleet) -> None:
        assert fits(mixed, Requirement("pool", Operator.IN_REGEXP, ("^(old|new)$",))) == 8

    def test_handlers_where_they_are_known_and_where_not(self, mixed: Fleet) -> None:
        kata = Requirement("handler:kata", Operator.EXISTS)
        assert fits(mixed, kata) == 8, "the node that tells none may have it"
        counted = mixed.explain("c", Demand.of({"cpu": 1}, traits=[kata]))
        assert counted.unselected == (("runtime handler kata", 1),)

    def test_explained_by_name(self, mixed: Fleet) -> None:
        wanted = Demand.of({"cpu": 1}, traits=[feature("cpu.cpuid.AMXTILE")])
        assert mixed.explain("c", wanted).unselected == (("feature cpu.cpuid.AMXTILE", 3),)
        newer = feature("kernel.version.major", Operator.GT, "9")
        counted = mixed.explain("c", Demand.of({"cpu": 1}, traits=[newer]))
        assert counted.unselected == (("feature kernel.version.major Gt (9)", 3),)

    def test_together_with_a_name(self, mixed: Fleet) -> None:
        rdt = feature("cpu.rdt.RDTMBA")
        for name, expected in (("n1", 4), ("n2", 0)):
            demand = Demand.of({"cpu": 1000}, {"kubernetes.io/hostname": name}, traits=[rdt])
            assert mixed.available(demand, ["c"]) == [expected]

    def test_profiles_of_equal_labels_and_other_features_are_kept_apart(self) -> None:
        fleet = built(
            Profile(incarnation=1, sequence=1, labels=NEW, features=NEW_RAW),
            Profile(incarnation=1, sequence=1, labels=NEW),
        )
        assert fits(fleet, feature("cpu.cpuid.SSE42")) == 4
