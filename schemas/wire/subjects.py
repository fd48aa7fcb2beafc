"""Where a message goes: the one place that turns names into subjects and streams."""

import re
from dataclasses import dataclass

_PREFIX = re.compile(r"[a-z][a-z0-9-]{0,31}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")

RELEASE = "_release"
"""The workload token under which a signed release of a held agent travels."""


def token(name: str) -> str:
    """`name` where it may stand between two dots of a subject; ValueError where it may not."""
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a subject token: 1 to 64 of A-Z a-z 0-9 _ -")
    return name


def is_prefix(text: str) -> bool:
    """Whether it may stand before every subject of an installation."""
    return _PREFIX.fullmatch(text) is not None


@dataclass(frozen=True)
class Subjects:
    """The subjects of one installation. `prefix` keeps several apart on one server."""

    prefix: str = "muster"

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f"prefix {self.prefix!r}: a lower-case letter, then up to 31 of a-z 0-9 -")

    def _stream(self, name: str) -> str:
        return f"{self.prefix.upper().replace('-', '_')}_{name}"

    @property
    def state_stream(self) -> str:
        return self._stream("STATE")

    @property
    def usage_stream(self) -> str:
        return self._stream("USAGE")

    @property
    def alerts_stream(self) -> str:
        return self._stream("ALERTS")

    @property
    def meter_stream(self) -> str:
        return self._stream("METER")

    @property
    def orders_stream(self) -> str:
        return self._stream("ORDERS")

    def facts(self, cluster: str) -> str:
        return f"{self.prefix}.state.{token(cluster)}.facts"

    def profile(self, cluster: str, profile_hash: str) -> str:
        return f"{self.prefix}.state.{token(cluster)}.profile.{token(profile_hash)}"

    def inventory(self, cluster: str, shard: str) -> str:
        return f"{self.prefix}.state.{token(cluster)}.inventory.{token(shard)}"

    def hardware(self, cluster: str) -> str:
        return f"{self.prefix}.state.{token(cluster)}.hardware"

    def topology(self, cluster: str, shard: str) -> str:
        return f"{self.prefix}.state.{token(cluster)}.topology.{token(shard)}"

    def namespaces(self, cluster: str) -> str:
        return f"{self.prefix}.state.{token(cluster)}.namespaces"

    def work(self, cluster: str, workload: str) -> str:
        return f"{self.prefix}.state.{token(cluster)}.work.{token(workload)}"

    def usage(self, cluster: str, shard: str) -> str:
        return f"{self.prefix}.usage.{token(cluster)}.{token(shard)}"

    def alert(self, cluster: str) -> str:
        return f"{self.prefix}.alert.{token(cluster)}"

    def meter(self, cluster: str) -> str:
        return f"{self.prefix}.meter.{token(cluster)}"

    def beat(self, cluster: str) -> str:
        return f"{self.prefix}.beat.{token(cluster)}"

    def order(self, cluster: str, workload: str) -> str:
        return f"{self.prefix}.order.{token(cluster)}.{token(workload)}"

    def of_cluster(self, subject: str) -> tuple[str, str]:
        """(cluster, rest) of any subject above; rest is what stands behind the cluster, "" for none.

        The cluster is what NATS let the sender publish under, so it is the truth about who spoke.
        """
        parts = subject.split(".", 3)
        if len(parts) < 3 or parts[0] != self.prefix:
            raise ValueError(f"{subject!r} is no subject of {self.prefix!r}")
        return parts[2], parts[3] if len(parts) == 4 else ""


def shard_name(layout: int, index: int) -> str:
    """Shards carry their layout (how many there are), so that two layouts never mix."""
    return f"{layout}-{index}"


def parse_shard(shard: str) -> tuple[int, int]:
    """(layout, index) of a shard's name; ValueError where it is none."""
    layout, _, index = shard.partition("-")
    if not (layout.isdigit() and index.isdigit() and int(index) < int(layout)):
        raise ValueError(f"{shard!r} is no shard: LAYOUT-INDEX with INDEX below LAYOUT")
    return int(layout), int(index)
