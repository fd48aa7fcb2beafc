"""What was recorded of each release, read back."""

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from schemas.wire.alerts import AlertBatch
from schemas.wire.beats import Beat, BeatReply
from schemas.wire.hardware import Hardware, Topology
from schemas.wire.orders import Order
from schemas.wire.reports import Facts, Inventory, Namespaces, Profile, Usage, Work
from schemas.wire.subjects import Subjects

FOLDER = Path(__file__).parent / "recorded"
SUBJECTS = Subjects()
_STATE: dict[str, type[msgspec.Struct]] = {
    "facts": Facts,
    "hardware": Hardware,
    "inventory": Inventory,
    "namespaces": Namespaces,
    "profile": Profile,
    "topology": Topology,
    "work": Work,
}
_OTHERS: dict[str, type[msgspec.Struct]] = {
    "usage": Usage,
    "alert": AlertBatch,
    "beat": Beat,
    "beat-reply": BeatReply,
    "order": Order,
}


@dataclass(frozen=True)
class Line:
    """family: state, usage, alert, beat, beat-reply, order."""

    subject: str
    body: bytes

    @property
    def family(self) -> str:
        return self.subject.split(".")[1]

    @property
    def workload(self) -> str:
        return self.subject.rpartition(".")[2]

    @property
    def kind(self) -> type[msgspec.Struct]:
        return _STATE[self.subject.split(".")[3]] if self.family == "state" else _OTHERS[self.family]

    @property
    def message(self) -> Any:
        """As plain data, inflated."""
        small = self.body.startswith(b"{")
        return json.loads(self.body if small else zstandard.ZstdDecompressor().decompress(self.body))


@dataclass(frozen=True)
class Recording:
    name: str
    version: str
    recorded_at: float
    cluster: str
    sealing_key: bytes
    order_key: bytes
    joins: tuple[dict[str, Any], ...]
    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return self.name

    @property
    def epoch(self) -> int:
        """Of the leader that was recorded."""
        return max(each.message["epoch"] for each in self.lines if each.family == "beat-reply")

    def of(self, *families: str) -> list[Line]:
        return [line for line in self.lines if line.family in families]


@cache
def recordings() -> tuple[Recording, ...]:
    return tuple(_read(folder) for folder in sorted(FOLDER.iterdir()) if folder.is_dir())


def _read(folder: Path) -> Recording:
    joined = json.loads((folder / "joined.json").read_text())
    lines = [json.loads(line) for line in (folder / "messages.jsonl").read_text().splitlines()]
    return Recording(
        name=folder.name,
        version=joined["version"],
        recorded_at=joined["recorded_at"],
        cluster=joined["cluster"],
        sealing_key=base64.b64decode(joined["sealing_key"]),
        order_key=base64.b64decode(joined["join"][0]["answered"]["order_key"]),
        joins=tuple(joined["join"]),
        lines=tuple(
            Line(
                each["subject"], each["text"].encode() if "text" in each else base64.b64decode(each["base64"])
            )
            for each in lines
        ),
    )
