"""What every manifest has in common."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

API_VERSION = "muster.dev/v1"
_MOST_SHOWN = 64

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def dns_subdomain(name: str) -> str:
    """`name` where Kubernetes takes it as a DNS-1123 subdomain; ValueError says what would be right."""
    if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        raise ValueError(f"{name!r} is no name: up to 253 of a-z 0-9 - . , first and last a letter or digit")
    return name


def label_key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if (slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix))) or not _LABEL_NAME.fullmatch(name):
        raise ValueError(f"{key!r} is no label key: [DNS-NAME/]NAME, NAME up to 63 of A-Z a-z 0-9 - _ .")
    return key


def label_value(value: str) -> str:
    if not _LABEL_VALUE.fullmatch(value):
        raise ValueError(f"{value!r} is no label value: up to 63 of A-Z a-z 0-9 - _ . , or empty")
    return value


def shown(value: object) -> str:
    """As YAML has it, within bounds; a list or an object by its kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        written = repr(value)
    except ValueError:
        # Python writes no whole numbers of thousands of digits.
        return "a number too long to read"
    return written if len(written) <= _MOST_SHOWN else f"{written[:_MOST_SHOWN]}..."


def number_or_text(value: object) -> object:
    """One refusal, where each member of the union has one of its own."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{shown(value)} is no quantity: a number or text is needed, as 4, 500m or 64Gi")
    return value


Quantity = Annotated[str | int | float, BeforeValidator(number_or_text)]
Name = Annotated[str, AfterValidator(dns_subdomain)]
LabelKey = Annotated[str, AfterValidator(label_key)]
LabelValue = Annotated[str, AfterValidator(label_value)]
Labels = dict[LabelKey, LabelValue]


class Strict(BaseModel):
    """camelCase outside, snake_case inside; what is not known is refused by name, and nothing is coerced."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
        serialize_by_alias=True,
    )


class Metadata(Strict):
    name: Name
    labels: Labels = Field(default_factory=dict)
    annotations: dict[LabelKey, str] = Field(default_factory=dict)
