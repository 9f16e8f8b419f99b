"""Compilation of the kernels, and a cache of it that is safe.

Off by default. Where ``MCFPAPER_CACHE`` names a folder (the runner of the notebooks and the tests do), compiled kernels
are kept there, in a sub-folder named by a digest of the package's source: numba itself looks at the file of a function
only, not at those of the functions that it calls. Numba's cache is not safe against two processes that write at once
(they can take the same file for different signatures), so the first process locks it until it ends; one that
finds it locked compiles for itself.
"""

import functools
import os
import shutil
from pathlib import Path

import numba

from mcfpaper._workspace import package_hash


def _cached() -> bool:
    named = os.environ.get("MCFPAPER_CACHE")
    if not named:
        return False
    from filelock import FileLock, Timeout

    folder = Path(named) / package_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        lock.acquire(blocking=False)
    except (OSError, Timeout):
        return False
    _held.append(lock)
    _prune(folder)
    numba.config.CACHE_DIR = str(folder)
    return True


def _prune(current: Path) -> None:
    """Delete what other versions of the package left, unless a process holds it."""
    from filelock import FileLock, Timeout

    for other in current.parent.glob("*/lock"):
        if other.parent != current:
            try:
                with FileLock(other, blocking=False):
                    shutil.rmtree(other.parent, ignore_errors=True)
            except (OSError, Timeout):
                continue


_held: list = []  # locks live as long as the process
njit = functools.partial(numba.njit, nogil=True, cache=_cached())
