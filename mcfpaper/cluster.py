"""Who does the work of a parameter study: the workers of a dask scheduler, or processes on this machine.

``MCFPAPER_SCHEDULER`` names a scheduler (``tcp://host:8786``) that sweeps use where the program names none; ``mcfpaper
reproduce --scheduler`` sets it for the notebooks.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from multiprocessing import process
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client

VARIABLE = "MCFPAPER_SCHEDULER"
TIMEOUT = 10  # seconds for a scheduler to answer
# Read when the libraries load, so they must be there before a worker's process starts. Each worker runs one job at
# a time: with more threads of their own, numba and BLAS would share the processors with the other workers.
PINNED = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

PATIENCE = 60.0  # seconds for idle workers to end: dask gives them 4, too few on a busy machine, and warns

PULLED = {"distributed.scheduler.worker-saturation": 1.0}  # a worker gets no job while it has one: they may be long


@contextlib.contextmanager
def local(workers: int | None = None) -> Iterator[Client]:
    """Worker processes on this machine, with one thread each, until the end of the ``with`` block.

    Sweeps inside the block use them, so that several sweeps share one start and one compilation of the kernels::

        with cluster.local() as client:
            first = mcf.sweep(...)
            second = mcf.sweep(...)

    A script must call this below ``if __name__ == "__main__":``, because each worker loads the script.

    Parameters
    ----------
    workers : int, optional
        By default as many as this process may use processors (the quota of its control group counts).

    Yields
    ------
    distributed.Client

    Raises
    ------
    ValueError
        If `workers` is not a positive integer.
    RuntimeError
        If the workers do not start.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers must be a positive integer, got {workers!r}")
    if getattr(process.current_process(), "_inheriting", False):  # this process is a worker that loads the script
        raise RuntimeError(
            "worker processes load the script that starts them: put that under if __name__ == '__main__'"
        )
    import dask.system
    from distributed import Client

    with _started(workers or dask.system.CPU_COUNT) as cluster, _until_the_end(Client(cluster)) as client:
        client.register_plugin(_uninterrupted())
        yield client


@contextlib.contextmanager
def _until_the_end(client: Client) -> Iterator[Client]:
    """The client until the end of a ``with`` block; after Ctrl-C asyncio does not list what is cut off."""
    with contextlib.ExitStack() as last, client:
        try:
            yield client
        except KeyboardInterrupt:
            last.enter_context(_hushed("asyncio"))
            raise


@contextlib.contextmanager
def _hushed(*names: str) -> Iterator[None]:
    """Let loggers tell of disasters only."""
    levels = {log: log.level for log in map(logging.getLogger, names)}
    for log in levels:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        gc.collect()  # asyncio tells of a task when that goes
        for log, level in levels.items():
            log.setLevel(level)


@contextlib.contextmanager
def _started(workers: int):
    import dask
    from distributed import LocalCluster

    before = {name: os.environ.get(name) for name in PINNED}
    os.environ.update(PINNED)
    try:
        with dask.config.set({"distributed.nanny.pre-spawn-environ": PINNED, **PULLED}):
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
            )
    except RuntimeError as error:
        raise RuntimeError(
            f"worker processes did not start ({error}); in a script, start them under if __name__ == '__main__'"
        ) from error
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    try:
        yield cluster
        cluster.sync(_end, cluster, PATIENCE)
    except BaseException:  # Ctrl-C, a job that failed: nothing waits for the jobs that run
        with _hushed("distributed.nanny", "distributed.scheduler"):
            cluster.sync(_kill, cluster)
            cluster.close()
        raise
    finally:
        cluster.close()


async def _kill(cluster) -> None:
    import signal

    for nanny in cluster.workers.values():
        with contextlib.suppress(OSError, TypeError):  # it has none any more, or not yet
            os.kill(nanny.pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # asked to end, it tells of all it is at
    await _end(cluster, 0.5)


async def _end(cluster, timeout: float) -> None:
    import asyncio

    await asyncio.gather(*(nanny.close(timeout=timeout) for nanny in cluster.workers.values()))


def _uninterrupted():
    """Plugin of workers that leave Ctrl-C to the process that started them."""
    import signal

    from distributed import WorkerPlugin

    class Uninterrupted(WorkerPlugin):
        def setup(self, worker):
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return Uninterrupted()


@contextlib.contextmanager
def connected(client: Client | str | None = None, jobs: int = 1) -> Iterator[Client | None]:
    """The client to send jobs to; None: do them here.

    That is the one given or at the address given, else the one that is active in this process, else one at the
    address in ``MCFPAPER_SCHEDULER``, else one of worker processes started for the purpose, unless there is one job
    or one processor only. Inside a job of a worker it is None.

    Raises
    ------
    TypeError
        If `client` is neither a `distributed.Client` nor an address, or an asynchronous one.
    ConnectionError
        If no scheduler answers at the address, or a worker lacks this version of the package.
    """
    chosen = client if client is not None else _active()
    if isinstance(chosen, str):
        with _at(chosen) as found:
            yield found
    elif chosen is not None and chosen is not SERIAL:
        yield _checked(chosen)
    elif (workers := min(_processors(), jobs)) < 2 or chosen is SERIAL:
        yield None
    else:
        with local(workers) as found:
            yield found


SERIAL = object()


def _active() -> Client | str | object | None:
    if "distributed" in sys.modules:
        from distributed import Client, get_worker

        with contextlib.suppress(ValueError):
            get_worker()
            return SERIAL
        with contextlib.suppress(ValueError):
            return Client.current()
    return os.environ.get(VARIABLE) or None


def _processors() -> int:
    import dask.system

    return dask.system.CPU_COUNT


@contextlib.contextmanager
def _at(address: str, active: bool = False) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=TIMEOUT, set_as_default=active)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no dask scheduler answers at {address!r}: {error}") from error
    with _until_the_end(client):
        yield _checked(client)


def _version() -> str:
    return version("mcfpaper")


def _checked(client: Client) -> Client:
    """The client, if its workers can do our jobs."""
    from distributed import Client

    if not isinstance(client, Client):
        raise TypeError(f"client must be a distributed.Client or an address, got {type(client).__name__}")
    if client.asynchronous:
        raise TypeError("client must be a synchronous distributed.Client, got an asynchronous one")
    where = client.scheduler.address
    try:
        found = set(client.run(_version).values())
    except Exception as error:  # of whatever kind a worker meets
        raise ConnectionError(f"a worker of {where} cannot load mcfpaper: {error}") from error
    if other := found - {_version()}:
        raise ConnectionError(f"workers of {where} have mcfpaper {', '.join(other)}; here it is {_version()}")
    return client


@contextlib.contextmanager
def named(address: str | None) -> Iterator[None]:
    """Let this process and those that it starts use the scheduler at an address (None: that of the environment)."""
    before = os.environ.get(VARIABLE)
    if address := address or before:
        with _at(address) as client:
            link = dashboard(client)
            print(f"Parameter studies run at {address}" + f", dashboard: {link}" * bool(link), file=sys.stderr)
        os.environ[VARIABLE] = address
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        os.environ.update({} if before is None else {VARIABLE: before})


@contextlib.contextmanager
def active(address: str | None) -> Iterator[None]:
    """Let the scheduler at an address, if one is given, compute whatever is lazy."""
    if not address:
        yield
        return
    with _at(address, active=True):
        print(f"Blocks are computed at {address}", file=sys.stderr)
        yield


def active_dashboard() -> str:
    """Address of the dashboard of the client that is active in this process, empty if there is none."""
    if "distributed" in sys.modules:
        from distributed import Client

        with contextlib.suppress(ValueError):
            return dashboard(Client.current())
    return ""


def dashboard(client: Client) -> str:
    """Address of the dashboard of a client's scheduler, empty if there is none."""
    ours = getattr(client.cluster, "scheduler_spec", None) or {}
    return "" if ours.get("options", {}).get("dashboard") is False else client.dashboard_link or ""
