"""What an apply would change, as a unified diff in colours."""

import difflib
from collections.abc import Mapping
from typing import Any, cast

from rich.text import Text

from controlplane.cli.output import to_yaml
from controlplane.queries.sealed import HIDDEN, hide

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def difference(stored: Mapping[str, Any] | None, written: Mapping[str, Any]) -> Text | None:
    """None where nothing differs that can be seen; values of Secrets cannot, and are not shown."""
    before = _lines(stored) if stored is not None else []
    after = _lines(written)
    name = f"{written['kind']} {written['metadata']['name']}"
    lines = list(difflib.unified_diff(before, after, f"stored {name}", f"given {name}", lineterm="", n=2))
    if not lines:
        return None
    return Text("\n").join(
        Text(line, style="bold" if line[:3] in ("+++", "---") else _STYLES.get(line[:1], ""))
        for line in lines
    )


def _lines(manifest: Mapping[str, Any]) -> list[str]:
    shown = {**manifest, "spec": _shown(manifest.get("spec") or {})}
    return to_yaml(_sorted(shown)).splitlines()


def _shown(spec: Mapping[str, Any]) -> dict[str, Any]:
    hidden = hide(spec)
    for each in hidden.get("manifests", []):
        # Both are kept as `data`; how a value was given is no difference.
        if each.get("kind") == "Secret" and "stringData" in each:
            given = cast(dict[str, str], each.pop("stringData"))
            each["data"] = dict.fromkeys(sorted({*given, *(each.get("data") or {})}), HIDDEN)
    return hidden


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        order = ("apiVersion", "kind", "metadata", "name", "namespace")
        fields = cast(dict[str, Any], value)
        keys = sorted(fields, key=lambda key: (order.index(key) if key in order else 9, key))
        return {key: _sorted(fields[key]) for key in keys}
    if isinstance(value, list):
        return [_sorted(each) for each in cast(list[Any], value)]
    return value
