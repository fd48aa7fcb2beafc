"""What is wrong in a configuration file, by line: everything at once."""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from schemas.manifests.alertmanager_values import Section, WrongField
from schemas.manifests.alertmanager_yaml import Document, Path, Unreadable
from schemas.manifests.load import field_path

_MOST = 200
_SAID = {
    "missing": "missing",
    "string_type": "a text is needed",
    "list_type": "a list is needed",
    "dict_type": "a mapping is needed",
    "model_type": "a mapping is needed",
    "model_attributes_type": "a mapping is needed",
    "bool_type": "true or false is needed",
    "bool_parsing": "true or false is needed",
    "int_type": "a whole number is needed",
    "int_parsing": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "float_type": "a number is needed",
    "float_parsing": "a number is needed",
    "string_too_short": "must not be empty",
}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """line: from 1. path: `route.routes[2].matchers[0]`, "" for the file. message: what would be right."""

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.line}: {self.path}: {self.message}" if self.path else f"{self.line}: {self.message}"


class ConfigurationError(ValueError):
    """The file is not taken: all that is wrong in it, by line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(f"line {problem}" for problem in problems))
        self.problems = tuple(problems)


class Problems:
    """Those of one document, as they are found."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: dict[Problem, None] = {}

    def add(self, path: Path, message: str) -> None:
        if len(self._found) < _MOST:
            self._found[Problem(self._document.line_of(path), field_path(path), message)] = None

    def add_in(self, path: Path, line: int, message: str) -> None:
        """At this line, from 1, of the text that stands there."""
        if len(self._found) < _MOST:
            self._found[Problem(self._document.line_in(path, line), field_path(path), message)] = None

    def add_doubled(self) -> None:
        for line, path in self._document.doubled[:_MOST]:
            self._found[Problem(line, field_path(path), "stands there twice; once is right")] = None

    def add_errors(
        self, kind: type[Section], error: ValidationError, besides: Collection[Path] = ()
    ) -> list[Path]:
        """What pydantic has to say of a file of that kind; the paths of it.

        besides: what was left out before; what is said of these, or of what is around them, follows from it.
        """
        paths: list[Path] = []
        for each in error.errors(include_url=False, include_input=False):
            where: Path = each["loc"]
            cause = each.get("ctx", {}).get("error")
            wrong = cause.wrong if isinstance(cause, WrongField) else (("", _message(kind, where, each)),)
            for field, right in wrong:
                path = (*where, field) if field else where
                if not any(known[: len(path)] == path for known in besides):
                    self.add(path, right)
                paths.append(path)
        return paths

    def refuse(self) -> None:
        """Raises ConfigurationError where anything was found."""
        if self._found:
            raise ConfigurationError(sorted(self._found))


def unreadable(error: Unreadable) -> ConfigurationError:
    return ConfigurationError([Problem(error.line, "", str(error))])


def _message(kind: type[Section], where: Path, error: Any) -> str:
    name: str = error["type"]
    if name == "extra_forbidden":
        return _no_such_field(kind, where)
    if name == "literal_error":
        return f"one of {error['ctx']['expected']} is needed".replace("''", '""')
    return _SAID.get(name) or str(error["msg"]).removeprefix("Value error, ")


def _no_such_field(kind: type[Section], where: Path) -> str:
    section = _section_at(kind, where[:-1])
    if section is None:
        return "no such field"
    names = [field.alias or name for name, field in section.model_fields.items()]
    near = difflib.get_close_matches(str(where[-1]), names, n=1)
    if near:
        return f"no such field; {near[0]} is one"
    return f"no such field; there are {', '.join(sorted(names))}"


def _section_at(kind: type[Section], path: Path) -> type[Section] | None:
    section: type[Section] | None = kind
    for part in path:
        if section is None:
            return None
        if isinstance(part, int):
            continue
        fields = {field.alias or name: field for name, field in section.model_fields.items()}
        section = _section_in(fields[part].annotation) if part in fields else section
    return section


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for each in get_args(annotation) if (found := _section_in(each))), None)
