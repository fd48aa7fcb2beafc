"""Words of an enum that a later release may know more of."""

from enum import StrEnum
from typing import Self

LONGEST_WORD = 64


class Growing(StrEnum):
    """A word that is none of its members is kept as it came: it is no member, and equal to none.

    Who compares with members takes it for none of them; `is_known` tells it apart. What is no word of
    letters, or longer than LONGEST_WORD, is refused as with any enum.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str) or not value.isascii() or not value.isalpha():
            return None
        if len(value) > LONGEST_WORD:
            return None
        word = str.__new__(cls, value)
        word._name_ = word._value_ = value
        return word

    @property
    def is_known(self) -> bool:
        """Whether this release has such a member."""
        return type(self).__members__.get(self.name) is self
