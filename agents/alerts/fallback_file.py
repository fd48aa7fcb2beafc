"""What people write of sending without the centre: MUSTER_AGENT_FALLBACK_FILE, YAML.

fallback:
  - receiver: plant-siren
    matchers: ['severity="critical"']
    url: http://siren.plant.svc:8080/alerts
labels:
  cluster: edge-07
"""

from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agents.matching import Matcher, all_hold, read_matcher
from schemas.wire.alerts import Alert

M = TypeVar("M", bound=BaseModel)


class BadFile(ValueError):
    """The text names the file, the field and what would be right."""


def _is_matcher(text: str) -> str:
    read_matcher(text)
    return text


def _is_url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError("http:// or https:// is expected")
    return text


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FallbackReceiver(_Model):
    """after_seconds: how long the centre has for its confirmation. repeat_seconds: what fires on is told
    again after that. give_up_seconds: how long a message is tried. bearer_token_file: read at each attempt.
    """

    receiver: str = Field(min_length=1, max_length=100)
    matchers: list[Annotated[str, AfterValidator(_is_matcher)]] = Field(min_length=1, max_length=20)
    url: Annotated[str, AfterValidator(_is_url)]
    after_seconds: float = Field(120.0, ge=1, le=3600)
    repeat_seconds: float = Field(14_400.0, ge=60, le=604_800)
    give_up_seconds: float = Field(900.0, ge=1, le=86_400)
    send_resolved: bool = True
    bearer_token_file: Path | None = None


class FallbackFile(_Model):
    """labels: added to what is sent, so that it says where it comes from: the agent knows no name."""

    fallback: list[FallbackReceiver] = Field(default_factory=list[FallbackReceiver], max_length=20)
    labels: dict[str, str] = Field(default_factory=dict)


class Rule:
    """A receiver with its matchers read."""

    def __init__(self, receiver: FallbackReceiver) -> None:
        self.receiver = receiver
        self._matchers: list[Matcher] = [read_matcher(each) for each in receiver.matchers]

    def wants(self, alert: Alert) -> bool:
        return all_hold(self._matchers, alert.labels)


def read_fallback_file(path: Path) -> FallbackFile:
    """Raises BadFile."""
    return read_yaml(path, FallbackFile)


def read_yaml(path: Path, model: type[M]) -> M:
    """One YAML file as `model`. Raises BadFile."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        file = model.model_validate(found if found is not None else {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadFile(f"{path}: {error}") from error
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise BadFile(f"{path}: {'; '.join(problems[:10])}") from None
    return file
