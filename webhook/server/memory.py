"""C library settings that return freed memory to the system."""

import ctypes
from typing import Final

_MMAP_THRESHOLD: Final = (-3, 128 * 1024)
"""glibc's own figure to begin with; set, it no longer grows to 32 MiB after the first large body."""

_ARENA_MAX: Final = (-8, 2)
"""glibc takes eight for each processor, and each keeps its own free memory."""


def give_back_freed_memory() -> bool:
    """Set both; `False` where the C library is another than glibc and knows neither."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*setting) for setting in (_MMAP_THRESHOLD, _ARENA_MAX))
