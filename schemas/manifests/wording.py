"""What a model refused, in our words: what stands there, and what would be right."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from schemas.manifests.base import shown
from schemas.manifests.objects import ObjectError, ObjectErrors

_NEEDED = {
    "missing": "missing",
    "extra_forbidden": "no such field here",
    "string_type": "{shown}: text is needed{quoted}",
    "int_type": "{shown}: a whole number is needed",
    "int_from_float": "{shown}: a whole number is needed",
    "int_parsing_size": "{shown}: a smaller number is needed",
    "float_type": "{shown}: a number is needed",
    "finite_number": "{shown}: a finite number is needed",
    "bool_type": "{shown}: true or false is needed",
    "list_type": "{shown}: a list is needed",
    "dict_type": "{shown}: an object is needed",
    "model_type": "{shown}: an object is needed",
    "model_attributes_type": "{shown}: an object is needed",
    "literal_error": "{shown}: {expected} is needed",
    "greater_than": "{shown}: more than {gt} is needed",
    "greater_than_equal": "{shown}: {ge} or more is needed",
    "less_than": "{shown}: less than {lt} is needed",
    "less_than_equal": "{shown}: {le} at most is needed",
    "too_short": "{actual_length} of them: at least {min_length} needed",
    "too_long": "{actual_length} of them: at most {max_length} are taken",
    "string_pattern_mismatch": "{shown}: text that matches {pattern} is needed",
    "string_too_short": "{shown}: at least {min_length} characters are needed",
    "string_too_long": "{shown}: at most {max_length} characters are taken",
}
"""By pydantic's type of error. Of any other kind its own text stands."""


def worded_all(error: ValidationError) -> list[tuple[tuple[str | int, ...], str]]:
    """(path, message) of each thing that is wrong."""
    return [found for each in error.errors(include_url=False) for found in _worded(each)]


def _worded(error: Any) -> list[tuple[tuple[str | int, ...], str]]:
    """Of one of pydantic's errors: more than one where a check of ours names several."""
    path: tuple[str | int, ...] = error["loc"]
    context: Mapping[str, Any] = error.get("ctx") or {}
    cause = context.get("error")
    if isinstance(cause, ObjectError | ObjectErrors):
        errors = cause.errors if isinstance(cause, ObjectErrors) else (cause,)
        return [((*path, *each.path), each.message) for each in errors]
    value, kind = error.get("input"), str(error["type"])
    if kind not in _NEEDED:
        return [(path, str(error["msg"]).removeprefix("Value error, "))]
    fields = {
        **context,
        "shown": shown(value),
        "quoted": ", so quote it" if isinstance(value, bool | int | float) else "",
        "expected": _one_of(str(context.get("expected", ""))),
    }
    return [(path, _NEEDED[kind].format_map(fields))]


def _one_of(expected: str) -> str:
    """Pydantic's `'A', 'B' or 'C'`."""
    names = [each.strip().strip("'") or "''" for each in expected.replace(" or ", ", ").split(",")]
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
