"""Where this process's files lie in memory, and how freed memory goes back."""

import ctypes
import os
from typing import Final

_MMAP_THRESHOLD: Final = (-3, 128 * 1024)
"""glibc's own figure to begin with; set, it no longer grows to 32 MiB after the first large body."""

_ARENA_MAX: Final = (-8, 2)
"""glibc takes eight for each processor, and each keeps its own free memory."""

_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 (memory: a key is not to touch a disk, and a root may be read-only)


def directory_in_memory() -> str | None:
    """Return a directory for files that are to lie in memory; `None` where there is none that can be written."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None


def give_back_freed_memory() -> bool:
    """Set both; `False` where the C library is another than glibc and knows neither."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*setting) for setting in (_MMAP_THRESHOLD, _ARENA_MAX))
