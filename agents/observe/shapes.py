"""The few fields of Kubernetes objects that count, for decoding raw lists and watch lines."""

from typing import Any

import msgspec

from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL

NOTHING = msgspec.Raw()


class Metadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class TaintShape(msgspec.Struct):
    key: str
    effect: str = ""
    value: str = ""


class Condition(msgspec.Struct):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class NodeSpec(msgspec.Struct, rename={"provider_id": "providerID"}):
    taints: list[TaintShape] | None = None
    unschedulable: bool = False
    provider_id: str = ""


class RuntimeHandler(msgspec.Struct):
    name: str = ""


class NodeStatus(msgspec.Struct):
    allocatable: dict[str, str | int | float] | None = None
    conditions: list[Condition] | None = None
    runtime_handlers: list[RuntimeHandler] | None = msgspec.field(default=None, name="runtimeHandlers")


class NodeShape(msgspec.Struct):
    metadata: Metadata
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


class Resources(msgspec.Struct):
    requests: dict[str, str | int | float] | None = None
    limits: dict[str, str | int | float] | None = None


class Container(msgspec.Struct, rename="camel"):
    resources: Resources | None = None
    restart_policy: str = ""


class PodSpec(msgspec.Struct, rename="camel"):
    node_name: str = ""
    containers: list[Container] = []
    init_containers: list[Container] | None = None
    overhead: dict[str, str | int | float] | None = None
    resources: Resources | None = None


class Waiting(msgspec.Struct):
    reason: str = ""


class ContainerState(msgspec.Struct):
    waiting: Waiting | None = None


class ContainerStatus(msgspec.Struct):
    state: ContainerState | None = None


class PodCondition(msgspec.Struct):
    type: str
    status: str


class PodStatus(msgspec.Struct):
    phase: str = ""
    containers: list[ContainerStatus] | None = msgspec.field(default=None, name="containerStatuses")
    init_containers: list[ContainerStatus] | None = msgspec.field(default=None, name="initContainerStatuses")
    qos_class: str = msgspec.field(default="", name="qosClass")
    conditions: list[PodCondition] | None = None


class PodLabels(msgspec.Struct, rename={"workload": WORKLOAD_LABEL, "template": TEMPLATE_LABEL}):
    workload: str = ""
    template: str = ""


class PodMetadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str = ""
    labels: PodLabels | None = None
    deletion_timestamp: str | None = None


class UnreadContainer(msgspec.Struct, rename="camel"):
    """As `Container`, whose resources are read when they are not known yet."""

    resources: msgspec.Raw = NOTHING
    restart_policy: str = ""


class UnreadSpec(msgspec.Struct, rename="camel"):
    node_name: str = ""
    containers: list[UnreadContainer] = []
    init_containers: list[UnreadContainer] | None = None
    overhead: msgspec.Raw = NOTHING
    resources: msgspec.Raw = NOTHING


class PodShape(msgspec.Struct):
    metadata: PodMetadata
    spec: UnreadSpec = msgspec.field(default_factory=UnreadSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class AskingPod(msgspec.Struct):
    """The same pod, of which the resources are read."""

    spec: PodSpec = msgspec.field(default_factory=PodSpec)


class ObjectSpec(msgspec.Struct):
    replicas: int | None = None
    parallelism: int | None = None
    completions: int | None = None
    suspend: bool = False


class ObjectStatusShape(msgspec.Struct, rename="camel"):
    """Union of what the status of the built-in workload kinds counts."""

    observed_generation: int | None = None
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    desired_number_scheduled: int = 0
    number_ready: int = 0
    updated_number_scheduled: int = 0
    active: int | None = None
    ready: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    phase: str | None = None
    conditions: list[Condition] | None = None


class CronJobStatus(msgspec.Struct, rename="camel"):
    """`active` lists Jobs here, where other kinds count pods."""

    active: list[msgspec.Raw] | None = None
    last_schedule_time: str | None = None


class ObjectShape(msgspec.Struct):
    """An object of a kind that Muster orders. `spec` and `status` are decoded for known kinds only."""

    metadata: Metadata
    spec: msgspec.Raw = msgspec.Raw(b"null")
    status: msgspec.Raw = msgspec.Raw(b"null")


class ListMetadata(msgspec.Struct, rename={"resource_version": "resourceVersion", "continue_": "continue"}):
    resource_version: str = ""
    continue_: str = ""


class RawList(msgspec.Struct):
    """A list body whose items are decoded one by one, so that one odd item does not hide the others."""

    metadata: ListMetadata
    items: list[msgspec.Raw] | None = None


class WatchEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class UsageShape(msgspec.Struct):
    """An item of metrics.k8s.io nodes."""

    metadata: Metadata
    usage: dict[str, Any] = {}
