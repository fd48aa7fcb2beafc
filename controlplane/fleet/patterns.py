"""Regular expressions that people write: RE2, as NFD has them, in time linear in the value."""

from functools import lru_cache
from typing import Any

import re2 as _untyped  # pyright: ignore[reportMissingTypeStubs]

_re2: Any = _untyped
MOST_PATTERN = 256
MOST_VALUE = 512
_MOST_BYTES = 64 * 1024
"""Linear is not yet quick: of 1 MiB and 4,096 characters, one look of `((.?){30}){30}y` took 110 ms."""


class Pattern:
    """One expression. `found`: whether it matches anywhere in a value, as Go's MatchString."""

    def __init__(self, text: str) -> None:
        """ValueError says what of it is not taken."""
        if len(text) > MOST_PATTERN:
            raise ValueError(f"a pattern of {len(text)} characters: up to {MOST_PATTERN} are taken")
        options = _re2.Options()
        options.max_mem, options.log_errors = _MOST_BYTES, False
        try:
            self._compiled = _re2.compile(text, options)
        except _re2.error as error:
            said: bytes = error.args[0]
            raise ValueError(f"{text!r} is no pattern of RE2: {said.decode()}") from error

    def found(self, value: str) -> bool:
        """False for a value above MOST_VALUE characters."""
        return len(value) <= MOST_VALUE and self._compiled.search(value) is not None


@lru_cache(maxsize=1_024)
def pattern(text: str) -> Pattern:
    """ValueError says what of it is not taken."""
    return Pattern(text)
