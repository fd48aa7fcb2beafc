"""From YAML or JSON to manifests, with every problem named: source, document, field, what would be right."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec
import yaml
from pydantic import BaseModel, ValidationError

from schemas.manifests.alert_rule import AlertRule
from schemas.manifests.base import API_VERSION
from schemas.manifests.cohort import Cohort, Flavor
from schemas.manifests.fleet import Fleet
from schemas.manifests.interpreter import Interpreter
from schemas.manifests.tenant import Tenant
from schemas.manifests.wording import worded_all
from schemas.manifests.workload import Workload

_Model = TypeVar("_Model", bound=BaseModel)
MAX_BYTES = 16 * 1024 * 1024
MAX_DOCUMENTS = 10_000
MAX_NODES = 2_000_000
MAX_DEPTH = 100

Document = Tenant | Cohort | Flavor | Interpreter | AlertRule
Manifest = Workload | Fleet | Document
DOCUMENTS: dict[str, type[Document]] = {
    "Tenant": Tenant,
    "Cohort": Cohort,
    "Flavor": Flavor,
    "Interpreter": Interpreter,
    "AlertRule": AlertRule,
}
"""Kinds that the service keeps as they stand, by name."""
KINDS: dict[str, type[Manifest]] = {"Workload": Workload, "Fleet": Fleet, **DOCUMENTS}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. document: counted from 0. path: `spec.manifests[0].kind`, "" for all."""

    source: str
    document: int
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.source}[{self.document}]"
        return f"{where} {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class ManifestError(ValueError):
    """What people wrote is not taken. All problems of all documents, in order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load_manifests(text: str | bytes, source: str) -> list[Manifest]:
    """Every manifest of a YAML stream or JSON text, in order; ManifestError with all that is wrong.

    Documents that are empty are passed over; a text without any manifest is a problem too.
    """
    manifests: list[Manifest] = []
    problems: list[Problem] = []
    for index, document in enumerate(load_documents(text, source)):
        if document is None:
            continue
        try:
            manifests.append(parse_manifest(document, source, index))
        except ManifestError as error:
            problems += error.problems
    if not manifests and not problems:
        problems.append(Problem(source, 0, "", f"no manifest in it: one of {', '.join(KINDS)} is needed"))
    if problems:
        raise ManifestError(problems)
    return manifests


def parse_manifest(document: Any, source: str, index: int = 0) -> Manifest:
    """One decoded document as a manifest; ManifestError with all that is wrong in it."""
    if not isinstance(document, dict):
        raise ManifestError([Problem(source, index, "", f"a {type(document).__name__}: an object is needed")])
    fields = cast(dict[str, Any], document)
    for field, right in (("apiVersion", API_VERSION), ("kind", f"one of {', '.join(KINDS)}")):
        value = fields.get(field)
        if not isinstance(value, str) or (
            value != API_VERSION if field == "apiVersion" else value not in KINDS
        ):
            found = repr(value) if field in fields else "missing"
            raise ManifestError([Problem(source, index, field, f"{found}: {right} is needed")])
    return validated(KINDS[fields["kind"]], fields, source, index)


def validated(kind: type[_Model], fields: dict[str, Any], source: str, index: int) -> _Model:
    """One decoded document as this model; ManifestError with all that is wrong in it."""
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise ManifestError(
            [Problem(source, index, field_path(path), message) for path, message in worded_all(error)]
        ) from error


def field_path(path: tuple[str | int, ...]) -> str:
    """`spec.manifests[0].metadata.name`"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def yaml_value(text: str, most_values: int = MAX_NODES) -> Any:
    """The one document of a YAML text as plain JSON values, within the bounds of a manifest; ValueError.

    Aliases are followed: what two of them lead to is there twice.
    """
    documents = list(_bounded(text, most_values))
    if len(documents) > 1:
        raise ValueError(f"{len(documents)} documents: one is taken")
    return msgspec.json.decode(msgspec.json.encode(documents[0] if documents else None))


def load_documents(text: str | bytes, source: str) -> list[Any]:
    """Every document of a YAML stream or JSON text, None for an empty one. ManifestError."""
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise ManifestError([Problem(source, 0, "", f"{size:,} bytes: up to {MAX_BYTES:,} are taken")])
    documents: list[Any] = []
    try:
        for document in _bounded(text):
            documents.append(document)
    except (yaml.YAMLError, _TooMuch, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ManifestError([Problem(source, len(documents), "", _yaml_message(error))]) from error
    return documents


class _TooMuch(ValueError):
    """More than the bounds take."""


class _Loader(yaml.CSafeLoader):
    """Plain dates stay text, as Kubernetes reads them."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _bounded(text: str | bytes, most_values: int = MAX_NODES) -> Iterator[Any]:
    """Documents one by one. Aliases are counted as what they stand for, before anything is built of them."""
    _check_depth(text)
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            _check_size(node, most_values)
            yield loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(text: str | bytes) -> None:
    """Before the composer sees it: it recurses in C, where a deep nest ends the process."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _TooMuch(f"nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > MAX_DOCUMENTS:
                raise _TooMuch(f"more than {MAX_DOCUMENTS:,} documents")


def _check_size(root: yaml.Node, most_values: int) -> None:
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise _TooMuch(f"nested more than {MAX_DEPTH} deep (an anchor inside itself?)")
        known = sizes.get(id(node))
        if known is not None:
            return known
        total = 1
        if isinstance(node, yaml.SequenceNode):
            total += sum(size(each, depth + 1) for each in node.value)
        elif isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                    if key.value in keys:
                        line = key.start_mark.line + 1
                        raise _TooMuch(f"line {line}: key {key.value!r} stands there twice")
                    keys.add(key.value)
                total += size(key, depth + 1) + size(value, depth + 1)
        if total > most_values:
            raise _TooMuch(f"more than {most_values:,} values once its aliases are followed")
        sizes[id(node)] = total
        return total

    size(root, 0)


def _yaml_message(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"not YAML at line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, RecursionError):
        return "nested too deep"
    return str(error)
