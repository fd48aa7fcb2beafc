"""What the API server makes of a pod that names a runtime class.

Source: kubernetes plugin/pkg/admission/runtimeclass.
"""

from agents.ports import Rejected
from agents.simulation import catalogue
from agents.simulation.bodies import Body, items, part
from agents.simulation.store import Kind, Name, Objects

RUNTIME_CLASSES = Kind(catalogue.RUNTIME_CLASSES.group, catalogue.RUNTIME_CLASSES.plural)


def runtime_class_of(objects: Objects, pod: Body) -> Body | None:
    """The class that a pod names; None where it names none, or one that is not there."""
    name = pod["spec"].get("runtimeClassName")
    return objects.peek(RUNTIME_CLASSES, Name("", name)) if name else None


def admit_pod(objects: Objects, pod: Body) -> None:
    """Overhead, node selector and tolerations of its class. Raises Rejected."""
    spec, said = pod["spec"], f'pods "{pod["metadata"]["name"]}" is forbidden:'
    name = spec.get("runtimeClassName")
    found = runtime_class_of(objects, pod)
    if name and found is None:
        raise Rejected(f'{said} pod rejected: RuntimeClass "{name}" not found')
    overhead = part(found or {}, "overhead", "podFixed")
    if spec.get("overhead") and spec["overhead"] != overhead:
        raise Rejected(f"{said} pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    if found is None:
        return
    if overhead:
        spec["overhead"] = dict(overhead)
    scheduling = part(found, "scheduling")
    selector, own = part(scheduling, "nodeSelector"), part(spec, "nodeSelector")
    if clash := [key for key, value in selector.items() if own.get(key, value) != value]:
        raise Rejected(f"{said} conflict: runtimeClass.scheduling.nodeSelector[{clash[0]}]")
    if selector:
        spec["nodeSelector"] = {**own, **selector}
    more = [each for each in items(scheduling, "tolerations") if each not in items(spec, "tolerations")]
    if more:
        spec["tolerations"] = [*items(spec, "tolerations"), *more]


def starts_on(node: Body, runtime_class: Body) -> bool:
    """Whether the node's container runtime has the handler; one that does not tell has all."""
    handlers = items(part(node, "status"), "runtimeHandlers")
    return not handlers or any(each.get("name") == runtime_class["handler"] for each in handlers)
