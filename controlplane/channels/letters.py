"""One notice on its way to one integration: what channels fill in their messages with."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from controlplane.alerts.rendering import FIRING, Data
from controlplane.alerts.template_bounds import TemplateError
from controlplane.alerts.templates import Templates
from controlplane.channels.answers import Undeliverable

Measure = Callable[[str], int]


def in_bytes(text: str) -> int:
    return len(text.encode())


def in_characters(text: str) -> int:
    return len(text)


@dataclass
class Letter:
    """settings: of the integration. secrets: of its fields, also what stood in files. now: Unix seconds.

    problems: templates that came to nothing, for which the default text went out.
    """

    key: str
    data: Data
    settings: Any
    secrets: Mapping[str, str]
    templates: Templates
    now: float
    problems: list[str] = field(default_factory=list[str])

    @property
    def fires(self) -> bool:
        return self.data.Status == FIRING

    @property
    def group_hash(self) -> str:
        """What vendors tell one incident from another by, as Alertmanager makes it."""
        return sha256(self.data.GroupKey.encode()).hexdigest()

    def secret(self, name: str) -> str:
        """Of the field, or of the file that stands for it; a template in it is filled in."""
        return self.exact(name, self.secrets.get(name) or str(getattr(self.settings, name, None) or ""))

    def host_is_filled_in(self, name: str) -> bool:
        """Whether a template stands where the host of this address does."""
        source = self.secrets.get(name) or str(getattr(self.settings, name, None) or "")
        scheme, separator, rest = source.partition("://")
        host = re.split(r"[/?#]", rest, maxsplit=1)[0] if separator and "{" not in scheme else source
        return "{{" in host or "{%" in host

    def exact(self, name: str, source: str) -> str:
        """Undeliverable: a template that comes to nothing, where no other text would do."""
        try:
            return self.templates.text(source, self.data)
        except TemplateError as error:
            raise Undeliverable(f"{name} cannot be filled in: {error}") from error

    def text(self, name: str, default: str = "", data: Data | None = None, *, html: bool = False) -> str:
        """The field's template; where it is left out, or comes to nothing, the one named `default`."""
        source = getattr(self.settings, name, None)
        fallback = f'{{{{ template("{default}") }}}}' if default else ""
        return self.filled(name, fallback if source is None else source, fallback, data, html=html)

    def filled(
        self, name: str, source: str, fallback: str = "", data: Data | None = None, *, html: bool = False
    ) -> str:
        """A template that fails keeps nobody from hearing: the fallback goes out, and it is said."""
        fill = self.templates.html if html else self.templates.text
        try:
            return fill(source, data or self.data)
        except TemplateError as error:
            problem = f"{name} cannot be filled in: {error}"
            if problem not in self.problems:
                self.problems.append(problem)
            return fill(fallback, data or self.data)

    def title(self, name: str, default: str, most_characters: int) -> str:
        """One line, cut."""
        return cut(" ".join(self.text(name, default).split()), most_characters, in_characters)

    def fitted(
        self,
        name: str,
        default: str,
        most: int,
        measure: Measure = in_bytes,
        *,
        html: bool = False,
        frame: Callable[[str], str] = str,
    ) -> str:
        """The text of as many alerts as fit, and how many more there are; cut where not even one does.

        frame: what is measured of it, as the message that it is part of.
        """

        def written(count: int) -> str:
            data = self.data.first(count)
            text = self.text(name, default, data, html=html)
            return f"{text.rstrip()}\n\n… {data.TruncatedAlerts} more" if data.TruncatedAlerts else text

        def fits(text: str) -> bool:
            return measure(frame(text)) <= most

        whole = written(len(self.data.Alerts))
        if fits(whole):
            return whole
        low, high, best = 1, len(self.data.Alerts), ""
        while low < high:
            middle = (low + high) // 2
            text = written(middle)
            if fits(text):
                low, best = middle + 1, text
            else:
                high = middle
        return best or cut(written(min(1, len(self.data.Alerts))), most, lambda text: measure(frame(text)))


def cut(text: str, most: int, measure: Measure = in_bytes) -> str:
    """No longer than `most`, never inside a character; `…` where something is gone."""
    if measure(text) <= most:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle].rstrip() + "…") <= most:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…" if most >= measure("…") else ""
