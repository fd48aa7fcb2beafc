"""Failures on demand: errors before an operation, or after it was done and before its answer arrives."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from agents.ports import KubeError, Rejected, Unreachable


@dataclass
class _Fault:
    operation: str
    error: KubeError
    times: int
    answer_lost: bool


@dataclass
class Faults:
    """What is broken now. `operation` is a method of the port, `list_continue`, or "*" for each."""

    unreachable: bool = False
    hook: Callable[[str], Awaitable[None]] | None = None
    """Awaited before every operation: the seeded world delays and interleaves here."""
    _faults: list[_Fault] = field(default_factory=list[_Fault])
    _rejected: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def any(self) -> bool:
        """Whether anything can strike at all."""
        return bool(self.hook or self.unreachable or self._faults or self._rejected)

    def fail_next(
        self, operation: str, error: KubeError, *, times: int = 1, answer_lost: bool = False
    ) -> None:
        """The next `times` calls fail; with `answer_lost` they are done all the same."""
        self._faults.append(_Fault(operation, error, times, answer_lost))

    def reject(self, kind: str, message: str) -> None:
        """An admission webhook refuses every write of this kind."""
        self._rejected[kind] = message

    def heal(self) -> None:
        """Nothing is broken any more."""
        self.unreachable = False
        self._faults.clear()
        self._rejected.clear()

    async def before(self, operation: str, manifest: dict[str, Any] | None) -> None:
        if self.hook is not None:
            await self.hook(operation)
        self.check_watch()
        self._raise(operation, answer_lost=False)
        if manifest is not None and (message := self._rejected.get(str(manifest.get("kind")))):
            raise Rejected(f"admission webhook denied the request: {message}")

    async def after(self, operation: str) -> None:
        self._raise(operation, answer_lost=True)

    def check_watch(self) -> None:
        """Raises Unreachable while the API server is."""
        if self.unreachable:
            raise Unreachable("the API server does not answer")

    def _raise(self, operation: str, *, answer_lost: bool) -> None:
        for fault in self._faults:
            if fault.operation in (operation, "*") and fault.answer_lost == answer_lost:
                fault.times -= 1
                if fault.times <= 0:
                    self._faults.remove(fault)
                raise fault.error
