"""What this agent may do in its cluster, kept up to date and told compactly.

1. What it may do everywhere; where that is everything, there is nothing to tell.
2. Otherwise what it may do in each namespace that it was told of, or, told of none, in each that there is.
3. Where not all of it can be found out, nothing is told: then the API server's 403 is what says no.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from random import Random

import msgspec
import structlog

from agents.observe.shapes import RawList
from agents.ports import Clock, Forbidden, Kube, KubeError, Resource, Rule
from agents.timing import Backoff
from schemas.wire.reports import EVERYWHERE, MOST_RIGHTS, Right

VERBS = ("create", "delete", "get", "list", "patch", "watch")
"""What is needed to carry an order out, and to see what became of it."""
WRITING = frozenset({"create", "delete", "patch"})
MOST_NAMESPACES = 100
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False)
Verbs = tuple[str, ...]
_decode_list = msgspec.json.Decoder(RawList)
_log = structlog.get_logger()


class _Metadata(msgspec.Struct):
    name: str


class _Namespace(msgspec.Struct):
    metadata: _Metadata


_decode_namespace = msgspec.json.Decoder(_Namespace)


def kinds_allowed(rules: Iterable[Rule], served: Iterable[Resource]) -> dict[str, Verbs]:
    """By `Kind.group`: verbs among VERBS, at least one. `*.group` and `*`: of kinds yet to come, too."""
    rules = list(rules)
    groups = {group for rule in rules for group in rule.groups if group not in ("", "*")}
    found = {"*": _verbs(rules, "*", "*")} | {f"*.{group}": _verbs(rules, group, "*") for group in groups}
    for each in served:
        verbs = _verbs(rules, each.group, each.plural)
        name = f"{each.kind}.{each.group}" if each.group else each.kind
        if verbs not in (found["*"], found.get(f"*.{each.group}")):
            found[name] = verbs
    return {kind: verbs for kind, verbs in found.items() if verbs}


def _writes(verbs: Verbs) -> bool:
    """What may not be created may still be there, and be deleted by a withdrawal."""
    return not WRITING.isdisjoint(verbs)


def _concerns(kind: str, writable: set[str]) -> bool:
    if kind.startswith("*"):
        return bool(writable)
    return not writable.isdisjoint((kind, f"*.{kind.partition('.')[2]}", "*"))


def _verbs(rules: list[Rule], group: str, resource: str) -> Verbs:
    granted = {
        verb
        for rule in rules
        if ("*" in rule.groups or group in rule.groups)
        and ("*" in rule.resources or resource in rule.resources)
        for verb in rule.verbs
    }
    return VERBS if "*" in granted else tuple(each for each in VERBS if each in granted)


def rights(by_namespace: Mapping[str, Mapping[str, Verbs]]) -> list[Right]:
    """Grouped by what is alike: first kinds of one namespace, then namespaces.

    Only of kinds that may be written somewhere: an order can be for no others.
    """
    writable = {kind for kinds in by_namespace.values() for kind, verbs in kinds.items() if _writes(verbs)}
    namespaces: dict[tuple[Verbs, tuple[str, ...]], list[str]] = {}
    for namespace in sorted(by_namespace):
        kinds: dict[Verbs, list[str]] = {}
        for kind, verbs in sorted(by_namespace[namespace].items()):
            if _writes(verbs) or (namespace == EVERYWHERE and _concerns(kind, writable)):
                kinds.setdefault(verbs, []).append(kind)
        for verbs, names in kinds.items():
            namespaces.setdefault((verbs, tuple(names)), []).append(namespace)
    return [Right(where, list(kinds), list(verbs)) for (verbs, kinds), where in namespaces.items()]


class Rights:
    """`told` hears of what it may do: None where that is everything, or is not known."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        random: Random,
        told: Callable[[list[Right] | None], None],
        served: Callable[[], Iterable[Resource]],
        *,
        namespaces: tuple[str, ...],
        seconds: float,
    ) -> None:
        """namespaces: where there may be more than everywhere; none for all that there are.

        `discovered` is to be set once it is known what is served.
        """
        self._kube = kube
        self._clock = clock
        self._random = random
        self._told = told
        self._served = served
        self._namespaces = namespaces
        self._seconds = seconds
        self.discovered = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        backoff, is_told = Backoff(self._random), False
        await self.discovered.wait()
        while True:
            try:
                self._told(await self._review())
                backoff.succeeded()
                is_told, pause = True, self._seconds
            except (KubeError, msgspec.MsgspecError) as error:
                _log.warning("rights_not_reviewed", detail=str(error))
                if not is_told:
                    self._told(None)
                is_told, pause = True, min(self._seconds, backoff.failed())
            await self._clock.sleep(pause)

    async def _review(self) -> list[Right] | None:
        everywhere = await self._kube.allowed("")
        if everywhere is None or _all_verbs(everywhere):
            return None
        served = tuple(self._served())
        found = {EVERYWHERE: kinds_allowed(everywhere, served)}
        names = self._namespaces or await self._all_namespaces()
        if names is None:
            return None
        for name in names:
            rules = await self._kube.allowed(name)
            if rules is None:
                return None
            beyond = kinds_allowed(rules, served)
            if beyond != found[EVERYWHERE]:
                found[name] = beyond
        told = rights(found)
        return told if len(told) <= MOST_RIGHTS else None

    async def _all_namespaces(self) -> tuple[str, ...] | None:
        """None where they may not be listed, or are too many to ask for each."""
        names: list[str] = []
        try:
            async for body in self._kube.list(NAMESPACES):
                items = _decode_list.decode(body).items or ()
                names += [_decode_namespace.decode(item).metadata.name for item in items]
        except Forbidden:
            return None
        return tuple(names) if len(names) <= MOST_NAMESPACES else None


def _all_verbs(rules: Iterable[Rule]) -> bool:
    return any("*" in rule.verbs and "*" in rule.groups and "*" in rule.resources for rule in rules)
