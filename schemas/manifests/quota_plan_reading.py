"""A quota plan from its text, with all that is wrong in it told at once.

What is wrong in one place hides nothing that is wrong elsewhere: it is taken out, and the rest is read again.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from schemas.manifests.load import ManifestError, Problem, field_path, load_documents
from schemas.manifests.objects import ObjectError
from schemas.manifests.quota_forms import (
    as_object,
    cohort_fields,
    flavors_by_name,
    named_list,
    request_fields,
    tenant_fields,
    workload_fields,
)
from schemas.manifests.quota_plan import QuotaPlan, QuotaPlanSpec, between
from schemas.manifests.wording import worded_all

Path = tuple[str | int, ...]
MOST_READINGS = 6
"""Of one text: what is taken out can show what stood behind it, a few levels deep."""


@dataclass(frozen=True)
class PlanRead:
    """spec: what could be understood; None where that is nothing.

    at: what stands before the paths of what is in it, `spec.` or nothing. unsure: tenants of which something
    is missing in it.
    """

    spec: QuotaPlanSpec | None
    problems: tuple[Problem, ...]
    at: str = ""
    unsure: frozenset[str] = frozenset()


def parse_quota_plan(text: str | bytes, source: str) -> QuotaPlanSpec:
    """The one plan of a YAML or JSON text, with apiVersion, kind and spec around it or without.

    ManifestError with all that is wrong, each by its field.
    """
    read = read_quota_plan(text, source)
    if read.problems or read.spec is None:
        raise ManifestError(list(read.problems))
    return read.spec


def read_quota_plan(text: str | bytes, source: str) -> PlanRead:
    """ManifestError for what is no plan at all."""
    documents = [each for each in load_documents(text, source) if each is not None]
    fields = as_object(documents[0]) if len(documents) == 1 else None
    if fields is None:
        found = f"{len(documents)} documents" if len(documents) != 1 else "no object"
        raise ManifestError([Problem(source, 0, "", f"{found}: one QuotaPlan is needed")])
    return _Reading(fields, source).read()


class _Reading:
    def __init__(self, fields: dict[str, Any], source: str) -> None:
        self._fields, self._source = fields, source
        self._is_wrapped = bool(fields.keys() & {"spec", "apiVersion", "kind"})
        self._at = ("spec",) if self._is_wrapped else ()
        self._problems: list[Problem] = []
        self._unsure: set[str] = set()
        self._unnamed = False
        self._asked_is_whole = True

    def read(self) -> PlanRead:
        spec = self._spec()
        if spec is not None:
            self._note((self._at + each.path, each.message) for each in self._between(spec))
        return PlanRead(
            spec, tuple(self._problems), "".join(f"{each}." for each in self._at), frozenset(self._unsure)
        )

    def _between(self, spec: QuotaPlanSpec) -> Iterator[ObjectError]:
        for each in between(spec, self._unnamed):
            # What it asks for may be what was taken out.
            if each.path != ("request",) or self._asked_is_whole:
                yield each

    def _spec(self) -> QuotaPlanSpec | None:
        model = QuotaPlan if self._is_wrapped else QuotaPlanSpec
        for _ in range(MOST_READINGS):
            try:
                found = model.model_validate(self._fields)
            except ValidationError as error:
                wrong = worded_all(error)
                self._note(wrong)
                if not self._take_out([path for path, _ in wrong]):
                    return None
            else:
                return found.spec if isinstance(found, QuotaPlan) else found
        return None

    def _note(self, wrong: Iterable[tuple[Path, str]]) -> None:
        for path, said in wrong:
            problem = Problem(self._source, 0, field_path(path), said)
            if problem not in self._problems:
                self._problems.append(problem)

    def _take_out(self, paths: Iterable[Path]) -> bool:
        """Whether there is a rest to read."""
        self._fields = _in_one_form(self._fields, is_wrapped=self._is_wrapped)
        taken: set[Path] = set()
        for path in paths:
            found = self._place(_whole(path))
            if found[-1:] in (("tenants",), ("spec",)):
                return False
            if found and found not in taken:
                taken.add(found)
                self._drop(found)
        return bool(taken)

    def _place(self, path: Path) -> Path:
        """How far it leads into what is there."""
        at: Any = self._fields
        for depth, key in enumerate(path):
            if not _has(at, key):
                return path[:depth]
            at = at[key]
        return path

    def _drop(self, path: Path) -> None:
        at: Any = self._fields
        for key in path[:-1]:
            if not _has(at, key):
                return
            at = at[key]
        within = path[len(self._at) :]
        self._note_tenant(within)
        self._asked_is_whole &= within[:2] not in (("request", "flavors"), ("request", "resources"))
        key = path[-1]
        if isinstance(at, list):
            # Those behind it keep their places.
            cast(list[Any], at)[cast(int, key)] = {"name": f"unnamed-{key}"}
        elif key == "name" and isinstance(path[-2], int):
            at["name"] = f"unnamed-{path[-2]}"
        else:
            at.pop(key, None)

    def _note_tenant(self, path: Path) -> None:
        if path[:1] != ("tenants",) or len(path) < 2:
            return
        tenants = (self._fields["spec"] if self._is_wrapped else self._fields)["tenants"]
        tenant = as_object(tenants[path[1]])
        name = tenant.get("name") if tenant is not None else None
        self._unnamed |= not isinstance(name, str) or len(path) == 2 or path[2:] == ("name",)
        self._unsure |= {name} if isinstance(name, str) else set()


def _has(at: Any, key: str | int) -> bool:
    if isinstance(at, list):
        return isinstance(key, int) and key < len(cast(list[Any], at))
    return isinstance(at, dict) and key in at


def _whole(path: Path) -> Path:
    """An amount that is wrong takes all of its flavor and resource with it: half of it says nothing."""
    if "flavors" not in path:
        return path
    return path[: path.index("flavors") + 3]


def _in_one_form(fields: dict[str, Any], *, is_wrapped: bool) -> dict[str, Any]:
    """A copy, with the short forms written out: problems are told by the places of the long one."""
    if is_wrapped:
        spec = as_object(fields.get("spec"))
        return fields if spec is None else {**fields, "spec": _in_one_form(spec, is_wrapped=False)}
    fields = copy.deepcopy(fields)
    _each(fields, "cohorts", cohort_fields)
    _each(fields, "tenants", _tenant)
    if "request" in fields:
        fields["request"] = request_fields(fields["request"])
    return fields


def _tenant(value: object) -> object:
    fields = as_object(tenant_fields(value))
    if fields is None:
        return value
    _each(fields, "workloads", workload_fields)
    if "flavors" in fields:
        fields["flavors"] = flavors_by_name(fields["flavors"])
    return fields


def _each(fields: dict[str, Any], name: str, form: Callable[[object], object]) -> None:
    values = named_list(fields.get(name))
    if isinstance(values, list):
        fields[name] = [_formed(each, form) for each in cast(list[Any], values)]


def _formed(value: object, form: Callable[[object], object]) -> object:
    try:
        return form(value)
    except ObjectError:
        # It is told with what is wrong.
        return value
