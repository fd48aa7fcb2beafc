"""Label selectors as the API server reads them in a query: `a=b`, `a!=b`, `a in (b,c)`, `a`, `!a`."""

import re
from collections.abc import Callable
from functools import lru_cache

from agents.ports import Rejected

Matcher = Callable[[dict[str, str]], bool]
_SETS = re.compile(r"([^\s!=,()]+)\s+(in|notin)\s+\(([^()]*)\)")
_EQUALS = re.compile(r"([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)")
_EXISTS = re.compile(r"(!?)\s*([^\s!=,()]+)")
_COMMAS = re.compile(r",(?![^()]*\))")


@lru_cache(maxsize=256)
def compile_selector(selector: str) -> Matcher:
    """A test on labels. Raises Rejected for what is no selector."""
    terms = [_term(part.strip()) for part in _COMMAS.split(selector) if part.strip()]
    if len(terms) == 1:
        return terms[0]
    return lambda labels: all(term(labels) for term in terms)


def _term(text: str) -> Matcher:
    if found := _SETS.fullmatch(text):
        key, operator, values = found.groups()
        wanted = {value.strip() for value in values.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in wanted
        return lambda labels: labels.get(key) not in wanted
    if found := _EQUALS.fullmatch(text):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTS.fullmatch(text):
        absent, key = found.groups()
        return lambda labels: (key in labels) != bool(absent)
    raise Rejected(f"unable to parse label selector {text!r}")
