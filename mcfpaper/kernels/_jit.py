"""Compilation of the kernels, and a cache of it that is safe.

Off by default. Where ``MCFPAPER_CACHE`` names a folder (the runner of the notebooks and the tests do), compiled kernels
are kept there, in a sub-folder named by a digest of the package's source: numba itself looks at the file of a function
only, not at those of the functions that it calls. Numba's cache is not safe against two processes that write at once
(they can take the same file for different signatures), so there are several caches side by side, and a process takes
the first that no other holds, until it ends. A new one begins as a copy of the fullest: the workers of a cluster need
not compile what their client has compiled.
"""

import functools
import hashlib
import os
import shutil
from pathlib import Path

import numba

PLACES = 64  # processes that may have a cache at one time


def _cached() -> bool:
    named = os.environ.get("MCFPAPER_CACHE")
    if not named:
        return False
    from filelock import FileLock, Timeout

    folder = Path(named) / _digest()
    for place in range(PLACES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f"{place}.lock")
            lock.acquire(blocking=False)
        except Timeout:  # an OSError too
            continue
        except OSError:
            return False
        _held.append(lock)
        _prune(folder)
        _seed(folder / str(place))
        numba.config.CACHE_DIR = str(folder / str(place))
        return True
    return False


def _digest() -> str:
    """Of all that makes numba write a file anew; with these unchanged it only adds files, each in one go."""
    package, digest = Path(__file__).resolve().parents[1], hashlib.sha256(numba.__version__.encode())
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)} {path.stat().st_mtime_ns} ".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _seed(own: Path) -> None:
    """Begin a new cache as a copy of the one beside it that holds most, which may be in use: see `_digest`."""
    if own.exists():
        return
    beside = [p for p in own.parent.iterdir() if p.is_dir()]
    if beside:
        fullest = max(beside, key=lambda p: sum(1 for _ in p.rglob("*.nbc")))
        try:
            shutil.copytree(fullest, own, ignore=shutil.ignore_patterns("*.tmp.*"))
        except (OSError, shutil.Error):  # what is not there is compiled
            return


def _prune(current: Path) -> None:
    """Delete what other versions of the package left, unless a process holds it."""
    from contextlib import ExitStack

    from filelock import FileLock

    for other in {lock.parent for lock in current.parent.glob("*/*.lock")} - {current}:
        try:
            with ExitStack() as held:
                for lock in other.glob("*.lock"):
                    held.enter_context(FileLock(lock, blocking=False))
                shutil.rmtree(other, ignore_errors=True)
        except OSError:
            continue


_held: list = []  # locks live as long as the process
njit = functools.partial(numba.njit, nogil=True, cache=_cached())
