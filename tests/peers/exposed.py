"""What a page of metrics exposes, and what an expression of PromQL asks for."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.MULTILINE)
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? \S+$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="(?:[^"\\]|\\.)*"')
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}
_NAME = re.compile(r"\b(?:muster|process|alertmanager)_\w+")
_MATCHERS = re.compile(r"\b((?:muster|process|alertmanager)_\w+)\{([^}]*)\}")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPED = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
OF_PROMETHEUS = {"job", "instance"}
"""Labels that it gives to what it scrapes."""


@dataclass
class Exposed:
    """names: of series that are there, or may come to be. labels: of those that are."""

    names: set[str] = field(default_factory=set[str])
    labels: dict[str, set[str]] = field(default_factory=dict[str, set[str]])

    def add(self, page: str) -> None:
        for name, kind in _TYPE.findall(page):
            self.names.update(name + suffix for suffix in _SUFFIXES.get(kind, ("",)))
        for name, labels in _SAMPLE.findall(page):
            self.labels.setdefault(name, set()).update(_LABEL.findall(labels))

    def has(self, name: str) -> bool:
        """A metric, as people name it: a histogram without what is written behind it."""
        return name in self.names or f"{name}_bucket" in self.names

    def missing(self, expression: str) -> list[str]:
        """What the expression names, and nobody exposes: metrics, and labels of those that are there."""
        asked = set(_NAME.findall(expression))
        missing = sorted(asked - self.names)
        for name, matchers in _MATCHERS.findall(expression):
            if name in self.labels:
                missing += sorted(set(_MATCHER.findall(matchers)) - self.labels[name])
        if asked <= self.labels.keys():
            known = OF_PROMETHEUS.union(*(self.labels[name] for name in asked))
            for labels in _GROUPED.findall(expression):
                missing += sorted({each.strip() for each in labels.split(",") if each.strip()} - known)
        return missing


def all_missing(exposed: Exposed, expressions: Iterable[str]) -> dict[str, list[str]]:
    return {each: missing for each in expressions if (missing := exposed.missing(each))}
