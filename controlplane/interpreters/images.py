"""The parts of an image's name: `[registry/]repository[:tag][@digest]`.

Source: github.com/distribution/reference, and how Karmada tells a registry from a path.
"""

import re
from dataclasses import dataclass, replace

_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?(?:/[a-z0-9._/-]+)?")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")


class BadImage(ValueError):
    """No name of an image; the text says which part is wrong."""


@dataclass(frozen=True)
class Image:
    """A part that is not there is ""."""

    registry: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> "Image":
        """Raises BadImage. The first part is a registry where it has a dot or a colon, or is localhost."""
        name, _, digest = text.partition("@")
        head, colon, tag = name.rpartition(":")
        if not colon or "/" in tag:
            head, tag = name, ""
        first, slash, rest = head.partition("/")
        has_registry = bool(slash) and (any(sign in first for sign in ".:") or first == "localhost")
        registry, repository = (first, rest) if has_registry else ("", head)
        return cls(registry, repository, tag, digest).checked(text)

    def checked(self, text: str = "") -> "Image":
        for part, pattern, what in (
            (self.registry, _REGISTRY, "registry"),
            (self.tag, _TAG, "tag"),
            (self.digest, _DIGEST, "digest"),
        ):
            if part and not pattern.fullmatch(part):
                raise BadImage(f"{text or self}: {part!r} is no {what}")
        if not _REPOSITORY.fullmatch(self.repository):
            raise BadImage(f"{text or self}: {self.repository!r} is no repository")
        return self

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}" if self.registry else self.repository
        tag = f":{self.tag}" if self.tag else ""
        return f"{name}{tag}@{self.digest}" if self.digest else f"{name}{tag}"

    def changed(self, component: str, operator: str, value: str) -> "Image":
        """add appends to the part. Tag means the digest, too, where it has the shape of one. BadImage."""
        if component == "Registry":
            return replace(self, registry=_part(self.registry, operator, value)).checked()
        if component == "Repository":
            return replace(self, repository=_part(self.repository, operator, value)).checked()
        # A digest that stays would go on naming the old image: only the new tag or digest is kept.
        if operator == "remove":
            return replace(self, tag="", digest="")
        marked = _part(self.tag or self.digest, operator, value.removeprefix("@"))
        if _TAG.fullmatch(marked):
            return replace(self, tag=marked, digest="")
        if _DIGEST.fullmatch(marked):
            return replace(self, tag="", digest=marked)
        raise BadImage(f"{marked!r} is no tag and no digest")


def _part(before: str, operator: str, value: str) -> str:
    return {"add": before + value, "replace": value, "remove": ""}[operator]
