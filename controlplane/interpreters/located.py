"""The components of an object where they stand in it: counted, hashed, labelled."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import msgspec

from controlplane.interpreters.kinds import Amount, Kind, Part
from controlplane.interpreters.pods import NotUnderstood, mapping, sequence
from schemas.paths import Path, Product, drop, find, first, path_text, put
from schemas.quantities import quantity_amount, quantity_text
from schemas.wire.orders import TEMPLATE_LABEL, WORKLOAD_LABEL

MOST_REPLICAS = 2**31 - 1
MOST_COMPONENTS = 64
_OURS = (WORKLOAD_LABEL, TEMPLATE_LABEL)
_BINARY = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])b?", re.IGNORECASE)
_PLACING = (
    "nodeSelector",
    "nodeName",
    "affinity",
    "tolerations",
    "volumes",
    "imagePullSecrets",
    "serviceAccountName",
)
"""What is kept of a pod spec whose containers do not say what its pods ask for."""


@dataclass(frozen=True)
class Located:
    """`root`: the very object that stands at `where` of the manifest; `path` leads there for people."""

    kind: Kind
    part: Part
    name: str
    root: dict[str, Any]
    path: str
    stopped: bool

    def at(self, path: Path) -> str:
        return _joined(self.path, path)

    @cached_property
    def pod_path(self) -> str:
        """Of the pod spec."""
        if self.part.template is None:
            return self.at(self.part.pods[-1]) if self.part.pods else self.path
        return self.at((*self.part.template, "spec"))

    @cached_property
    def template(self) -> dict[str, Any]:
        """The pod template itself; one made up of what is stated where the kind has none.

        NotUnderstood when it has no containers and is to have them.
        """
        if not self.part.has_containers:
            inner = self.part.pods if self.part.template is None else ((*self.part.template, "spec"),)
            return {**self._stated, "spec": self._made_up(inner)}
        spec = mapping(self._stated.get("spec"), self.pod_path)
        if not sequence(spec.get("containers"), f"{self.pod_path}.containers"):
            raise NotUnderstood(f"{self.pod_path}.containers: at least one container is needed")
        return self._stated

    @property
    def _stated(self) -> dict[str, Any]:
        path = self.part.template
        return {} if path is None else mapping(first(self.root, path), self.at(path))

    @property
    def replicas(self) -> int:
        """In one set; 0 while it is stopped, or where its nodes count it."""
        count = self.part.count
        if self.stopped or self.kind.per_node:
            return 0
        stated = self._stated_first(count.alternatives)
        replicas = count.default if stated is None else self._product(stated)
        if replicas > MOST_REPLICAS:
            raise NotUnderstood(f"{self.path}: {replicas} pods: up to {MOST_REPLICAS} are taken")
        return replicas

    @property
    def hash(self) -> str:
        """Of the template as written: neither Muster's labels nor what scaling writes into it count."""
        part = self.part
        if part.template is None:
            return template_hash(self.template, self.name)
        at = (*part.at, *part.template)
        written = [path for path in (self.kind.scaled, self.kind.minimum) if path is not None]
        inside = [path[len(at) :] for path in written if part.template and path[: len(at)] == at]
        template = copy_of(self._stated) if inside else self._stated
        for path in inside:
            drop(template, path)
        return template_hash(template, self.name, self.at(part.template))

    def label(self, labels: Mapping[str, str]) -> None:
        """Where the kind passes them on to its pods."""
        part = self.part
        above = part.labels if part.template is None else (*part.template, "metadata", "labels")
        held = mapping(first(self.root, above), self.at(above))
        write_field(self.root, above, {**held, **labels}, self.path)

    def _whole(self, path: Path) -> int:
        return whole(first(self.root, path), self.at(path), as_text=self.kind.as_text)

    def _made_up(self, pods: Sequence[Path]) -> dict[str, Any]:
        """A pod spec; its one container asks for the amounts, where the kind states them."""
        merged: dict[str, Any] = {}
        for path in pods:
            merged |= mapping(first(self.root, path), self.at(path))
        if not self.part.amounts:
            return merged
        requests = {
            each.resource: quantity_text(each.resource, amount)
            for each in self.part.amounts
            if (amount := self._amount(each)) is not None
        }
        for path in self.part.devices:
            for where, device in find(self.root, path):
                if not isinstance(device, str):
                    raise NotUnderstood(f"{_joined(self.path, where)}: {device!r}: a string is needed")
                requests[device] = str(int(requests.get(device, "0")) + 1)
        placing = {field: merged[field] for field in _PLACING if merged.get(field) is not None}
        return placing | {"containers": [{"name": "all", "resources": {"requests": requests}}]}

    def _stated_first(self, alternatives: Sequence[Product]) -> Product | None:
        return next((each for each in alternatives if first(self.root, each[0][1]) is not None), None)

    def _product(self, product: Product) -> int:
        total = 1
        for operator, path in product:
            if first(self.root, path) is not None:
                number = self._whole(path)
                total = total * number if operator == "*" else -(-total // max(1, number))
        return total

    def _amount(self, amount: Amount) -> int | None:
        product = self._stated_first(amount.alternatives)
        if product is None:
            return None if amount.default is None else quantity_amount(amount.resource, amount.default)
        if len(product) > 1:
            return quantity_amount(amount.resource, self._product(product))
        return self._quantity(amount.resource, product[0][1])

    def _quantity(self, resource: str, path: Path) -> int:
        given = first(self.root, path)
        if isinstance(given, bool) or not isinstance(given, str | int | float):
            raise NotUnderstood(f"{self.at(path)}: {given!r}: a quantity is needed")
        unit = _BINARY.fullmatch(str(given)) if self.part.binary else None
        try:
            return quantity_amount(resource, f"{unit[1]}{unit[2].upper()}i" if unit else given)
        except ValueError as error:
            raise NotUnderstood(f"{self.at(path)}: {error}") from error


def locate(manifest: Mapping[str, Any], kind: Kind, path: str) -> list[Located]:
    """Its components in order; NotUnderstood names the field that cannot be taken."""
    for field, message in kind.refused:
        if first(manifest, field) is not None:
            raise NotUnderstood(f"{_joined(path, field)}: {message}")
    stopped = any(first(manifest, field) in values for field, values in kind.stopped)
    located: list[Located] = []
    for part in kind.parts:
        for where, root in _roots(manifest, part, path):
            at = _joined(path, where)
            name = _name(part, where, mapping(root, at))
            located.append(Located(kind, part, name, mapping(root, at), at, stopped))
    if len(located) > MOST_COMPONENTS:
        raise NotUnderstood(f"{path}: {len(located)} components: up to {MOST_COMPONENTS} are taken")
    if kind.selector is not None:
        _check_selector(manifest, kind.selector, located, path)
    return located


def write_field(root: dict[str, Any], path: Path, value: Any, at: str) -> None:
    """NotUnderstood where something else than objects stands on the way; `at`: where `root` stands."""
    try:
        put(root, path, value)
    except ValueError as error:
        raise NotUnderstood(f"{at}.{error}") from error


def _roots(manifest: Mapping[str, Any], part: Part, path: str) -> list[tuple[tuple[str | int, ...], Any]]:
    try:
        return find(manifest, part.at)
    except ValueError as error:
        raise NotUnderstood(f"{path}: {error}") from error


def whole(given: Any, path: str, *, as_text: bool = False) -> int:
    """A number of something, as text too where the kind has it so; NotUnderstood says what would be right."""
    is_text = as_text and isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 20
    number = int(given) if is_text else given
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MOST_REPLICAS:
        raise NotUnderstood(f"{path}: {given!r}: a whole number from 0 to {MOST_REPLICAS} is needed")
    return number


def template_hash(template: Mapping[str, Any], name: str = "", path: str = "") -> str:
    """16 hex digits over a pod template and its component's name, Muster's own labels left out."""
    at = _joined(path, ("metadata",)).removeprefix(".")
    metadata = mapping(template.get("metadata"), at)
    labels = mapping(metadata.get("labels"), f"{at}.labels")
    counted: dict[str, Any] = {
        "labels": {key: value for key, value in labels.items() if key not in _OURS},
        "annotations": mapping(metadata.get("annotations"), f"{at}.annotations"),
        "spec": template.get("spec"),
    }
    text = msgspec.json.encode(counted | ({"name": name} if name else {}), order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def copy_of(manifest: Any) -> Any:
    # By way of JSON, which manifests are: several times as fast as copy.deepcopy.
    return msgspec.json.decode(msgspec.json.encode(manifest))


def _name(part: Part, where: Sequence[str | int], root: Mapping[str, Any]) -> str:
    named = None if part.names is None else first(root, part.names)
    if isinstance(named, str):
        return named
    return str(where[-1]) if None in part.at else part.name


def _check_selector(
    manifest: Mapping[str, Any], selector: Path, located: Sequence[Located], path: str
) -> None:
    at = _joined(path, selector)
    given = first(manifest, selector)
    fields = mapping(given, at)
    wanted = mapping(fields.get("matchLabels"), f"{at}.matchLabels")
    if given is not None and not wanted and not fields.get("matchExpressions"):
        raise NotUnderstood(f"{at}: empty: it has to match the template's labels")
    for each in located:
        metadata = mapping(each.template.get("metadata"), f"{each.path}.spec.template.metadata")
        labels = mapping(metadata.get("labels"), f"{each.path}.spec.template.metadata.labels")
        for key, value in wanted.items():
            if labels.get(key) != value:
                at = f"{each.path}.spec.template.metadata.labels"
                raise NotUnderstood(f"{at}: {key}: {value} is needed, as the selector has it")


@lru_cache(maxsize=4096)
def _joined(path: str, rest: tuple[str | int | None, ...]) -> str:
    """Worked out for every object, and read only where something is wrong: nearly always the same few."""
    text = path_text(rest)
    return f"{path}.{text}" if text and not text.startswith("[") else f"{path}{text}"
