"""What one rendering may cost. A template is written by people, and what it is filled with by anybody."""

from contextvars import ContextVar

MOST_BYTES = 32 * 1024 * 1024
"""Characters that one rendering may make, also for a moment."""
MOST_STEPS = 1_000_000
"""Rounds of loops and calls: 10,000 alerts of 30 labels and annotations are 300,000."""
MOST_DEPTH = 30


class TemplateError(Exception):
    """What a template came to, in words for whoever wrote it."""


class Budget:
    __slots__ = ("characters", "depth", "steps")

    def __init__(self) -> None:
        self.characters, self.steps, self.depth = MOST_BYTES, MOST_STEPS, 0


_budget: ContextVar[Budget | None] = ContextVar("template_budget", default=None)


class bounded:
    """One rendering; a template that it fills in shares its budget. TemplateError: too deep."""

    def __enter__(self) -> Budget:
        budget = _budget.get()
        self._token = _budget.set(budget := Budget()) if budget is None else None
        self._budget = budget
        budget.depth += 1
        if budget.depth > MOST_DEPTH:
            self.__exit__()
            raise TemplateError(f"templates that fill in each other more than {MOST_DEPTH} deep")
        return budget

    def __exit__(self, *_: object) -> None:
        self._budget.depth -= 1
        if self._token is not None:
            _budget.reset(self._token)


def charge(characters: int, steps: int = 1) -> None:
    """TemplateError: more than one rendering may cost. Outside of a rendering only the size counts."""
    budget = _budget.get()
    if characters > MOST_BYTES:
        raise TemplateError(f"makes more than {MOST_BYTES} characters")
    if budget is None:
        return
    budget.characters -= characters
    budget.steps -= steps
    if budget.characters < 0:
        raise TemplateError(f"makes more than {MOST_BYTES} characters")
    if budget.steps < 0:
        raise TemplateError(f"takes more than {MOST_STEPS} steps")
