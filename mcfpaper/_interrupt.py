"""Ctrl-C while kernels and solvers work, which do not look at signals."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator


def promptly(function: Callable, *args: object) -> object:
    """The result of a call that Ctrl-C ends at once, however long its kernels run.

    Made from the main thread, the call goes to another one, for which the main thread waits. After an interrupt nobody
    hears of that one any more; it ends with the call or with the process, whichever comes first.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*args)
    outcome: dict = {}

    def call() -> None:
        try:
            outcome["result"] = function(*args)
        except BaseException as error:  # raised below
            outcome["error"] = error

    with _daemons():
        thread = threading.Thread(target=contextvars.copy_context().run, args=(call,), daemon=True)
        thread.start()
        thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


@contextlib.contextmanager
def _daemons() -> Iterator[None]:
    """Let threads of dask, where it starts them itself, not outlive an interrupted program by the task they are at."""
    if "dask" not in sys.modules:
        yield
        return
    import dask.base
    import dask.threaded

    chosen = any(dask.config.get(name, None) is not None for name in ("pool", "num_workers"))
    if chosen or dask.base.get_scheduler() not in (None, dask.threaded.get):
        yield
        return
    with dask.config.set(pool=_pool()):
        yield


@functools.cache
def _pool() -> object:
    from multiprocessing.pool import ThreadPool

    from dask.system import CPU_COUNT

    pool = ThreadPool(CPU_COUNT)
    atexit.register(pool.terminate)  # waits for no task
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not come along
