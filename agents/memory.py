"""What the agent takes in lists and lets go again goes back to the system, instead of staying with it.

A page of a list is 10 MB. By itself glibc, once such a piece is freed, keeps the next in its heap instead
of mapping each for itself, and the heap stays as large as it was; it also keeps an arena for each thread.
"""

import ctypes
import sys

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
LARGE_BYTES = 256 << 10


def give_back_large() -> None:
    """Of this process, before it begins. Nothing where the C library is another than glibc."""
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    mallopt = getattr(library, "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_TRIM_THRESHOLD, LARGE_BYTES)
        mallopt(_ARENA_MAX, 2)
