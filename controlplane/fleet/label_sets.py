"""What nodes have in common, held once for all who have it."""

import sys
from collections.abc import Iterable, Mapping
from weakref import WeakValueDictionary

from controlplane.fleet.traits import untold, value_of
from schemas.wire.reports import Profile

_NO_FEATURES: Mapping[str, str] = {}


class LabelSet:
    """What a profile says, one object for all who have it: compared by identity.

    features: raw ones that the labels do not tell anyway.
    """

    __slots__ = ("__weakref__", "features", "handlers", "hash", "labels")

    def __init__(
        self,
        profile_hash: str,
        labels: Mapping[str, str],
        features: Mapping[str, str] = _NO_FEATURES,
        handlers: Iterable[str] = (),
    ) -> None:
        self.hash = profile_hash
        # Keys and most values recur over thousands of profiles.
        self.labels = {sys.intern(key): sys.intern(value) for key, value in labels.items()}
        self.features = (
            {sys.intern(key): sys.intern(value) for key, value in untold(features, labels).items()}
            if features
            else _NO_FEATURES
        )
        self.handlers = frozenset(map(sys.intern, handlers))

    def says(self, labels: Mapping[str, str], features: Mapping[str, str], handlers: Iterable[str]) -> bool:
        """Whether it is of exactly these."""
        told = untold(features, labels) if features else _NO_FEATURES
        return self.labels == labels and self.features == told and self.handlers == frozenset(handlers)

    def value(self, key: str) -> str | None:
        """Of a label, a feature or a handler; None for what its nodes lack."""
        return value_of(key, self.labels, self.features, self.handlers)


class LabelSets:
    """Of the whole fleet, for as long as anyone holds one."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[str, LabelSet] = WeakValueDictionary()

    def of(self, profile_hash: str, profile: Profile) -> LabelSet:
        """One object for equal profiles. The hash is short enough to be forged, so all is compared."""
        known = self._known.get(profile_hash)
        if known is not None and known.says(profile.labels, profile.features, profile.handlers):
            return known
        fresh = LabelSet(profile_hash, profile.labels, profile.features, profile.handlers)
        if known is None:
            self._known[profile_hash] = fresh
        return fresh
