"""Trajectories on disk: the one place that writes and reads Zarr stores.

Store format 1. A Zarr 3 group, readable by ``xarray.open_zarr``, with the dimension `time` preallocated at full
length and one time step per chunk. A step is written chunk by chunk and committed by raising the group attribute
`steps_done`, last and atomically: what lies beyond it is unwritten or unfinished, and `open_trajectory` leaves it
out. The metadata of all arrays are consolidated in the file that holds this attribute, so that readers see one state
of the store, also while a longer run makes room for its steps. `steps` is the number of steps of the whole run
(`steps_done` < `steps`: a partial run), `problem` a digest of the input that a resuming run must share. A store is
made in a folder beside its place and moved there whole. One process writes at a time, guarded by a lock file beside
the store that the operating system releases when its process ends, however it ends; reading needs no lock.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

FORMAT = 1
SIDES = {0: 1, 1: 2**20, 2: 2**10, 3: 2**7}  # cells a side of a chunk, by dimension: 8 MB of float64, in space 16


def open_trajectory(store: str | os.PathLike) -> xr.Dataset:
    """Open the finished steps of a trajectory store.

    Parameters
    ----------
    store : path
        A store written by `evolve`; it may be in the course of being written.

    Returns
    -------
    xarray.Dataset
        Lazy, with dimension `time` cut to the committed steps.

    Raises
    ------
    FileNotFoundError
        If there is no such store.
    ValueError
        If it is not a trajectory, or of a newer format.
    """
    path = Path(store)
    _attributes(path)
    data = xr.open_zarr(path, consolidated=True, chunks={})
    return data.isel(time=slice(0, data.attrs["steps_done"] + 1))


def problem_digest(arrays: Mapping[str, np.ndarray], parameters: Mapping[str, Any]) -> str:
    """Digest of the input of a run: equal for equal arrays and parameters."""
    digest = hashlib.sha256(json.dumps(dict(parameters), sort_keys=True, default=str).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()[:32]


class Writer:
    """Creates or resumes a store and commits steps to it; use as a context manager.

    Parameters
    ----------
    store : path
        Where the store is, or is to be.
    initial : xarray.Dataset
        The state at time 0, without dimension `time`: fields and per-time scalars, with their attributes; the
        Dataset's attributes are the parameters of the run.
    times : array, shape (steps + 1,)
        All times of the run.
    problem : str
        See `problem_digest`.

    Attributes
    ----------
    done : int
        Number of committed steps.

    Raises
    ------
    ValueError
        If the store was written by another problem or in a newer format; it is left untouched.
    RuntimeError
        If another run is writing it.
    OSError
        If it cannot be written.
    """

    def __init__(self, store: str | os.PathLike, initial: xr.Dataset, times: np.ndarray, problem: str):
        from filelock import FileLock, Timeout

        self.path, self.times = Path(store).resolve(), np.asarray(times, float)  # one lock whatever the way to it
        self._lock = FileLock(f"{self.path}.lock")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(blocking=False)
            self._open(initial, problem)
        except Timeout:
            raise RuntimeError(f"store {self.path} is being written by another run") from None
        except BaseException as error:
            self._lock.release()
            if not isinstance(error, OSError):
                raise
            why = error.strerror or error
            message = f"store {self.path} could not be written ({why}); steps that it holds are intact"
            raise type(error)(error.errno, message) from error

    def _open(self, initial: xr.Dataset, problem: str) -> None:
        import zarr

        if self.path.exists():
            if _attributes(self.path)["problem"] != problem:
                raise ValueError(
                    f"store {self.path} was written by another problem (other fields, parameters, method or version, "
                    "or in blocks where this one is not): give another path, or delete it first"
                )
        else:
            _create(self.path, initial, self.times, problem)
        for left in self.path.rglob("*.partial"):  # of zarr, where it was killed
            left.unlink()
        self._group = zarr.open_group(self.path, mode="r+", use_consolidated=True)
        if self._group.attrs["steps"] < len(self.times) - 1:
            self._lengthen()
            self._group = zarr.open_group(self.path, mode="r+", use_consolidated=True)
            self._group.attrs["steps"] = len(self.times) - 1
        self.done = int(self._group.attrs["steps_done"])

    def _lengthen(self) -> None:
        """Make room for more steps: a longer run of the same problem takes up where the shorter one ended."""
        import zarr

        arrays = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        for name in arrays.array_keys():
            array = arrays[name]
            if array.metadata.dimension_names[:1] == ("time",):
                array.resize((len(self.times), *array.shape[1:]))
        arrays["time"][:] = self.times
        _consolidate(self.path)  # readers see the old lengths until this moment

    def latest(self) -> xr.Dataset:
        """The state of the last committed step, lazy."""
        return open_trajectory(self.path).isel(time=self.done, drop=True)

    def commit(self, step: int, values: Mapping[str, Any]) -> None:
        """Write the fields and scalars of a step, then count it as done."""
        if step != self.done + 1:
            raise ValueError(f"step must be {self.done + 1}, the first that is not committed, got {step}")
        try:
            for name, value in values.items():
                _write(self._group[name], step, value)
            self._group.attrs["steps_done"] = step
        except OSError as error:
            raise OSError(
                error.errno,
                f"step {step} could not be written to {self.path} ({error.strerror or error}); "
                f"the {self.done} steps before it are intact",
            ) from error
        self.done = step

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()


def _create(path: Path, initial: xr.Dataset, times: np.ndarray, problem: str) -> None:
    """Lay out a store with the state at time 0, beside its place, and move it there in one go."""
    import dask.array as da

    layout = initial.drop_vars(list(initial.data_vars)).assign_coords(
        time=("time", times, {"long_name": "time", "units": "length^2"})
    )
    encoding: dict[str, dict] = {"time": {"chunks": (len(times),)}}
    for name, var in initial.variables.items():
        if name in initial.coords:
            encoding[name] = {"chunks": var.shape} if var.ndim else {}
            continue
        chunks = (1, *(min(n, SIDES[var.ndim]) for n in var.shape))
        blank = da.zeros((len(times), *var.shape), dtype=var.dtype, chunks=-1)  # never computed
        layout[name] = (("time", *var.dims), blank, var.attrs)
        encoding[name] = {"chunks": chunks}
        if var.dtype.kind == "f":
            encoding[name]["_FillValue"] = np.nan
    layout.attrs = {**initial.attrs, "format": FORMAT, "problem": problem, "steps": len(times) - 1, "steps_done": 0}
    temporary = path.with_name(f".{path.name}.tmp")  # ours alone: the lock is held
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        layout.to_zarr(temporary, mode="w", zarr_format=3, consolidated=False, compute=False, encoding=encoding)
        import zarr

        group = zarr.open_group(temporary, mode="r+", use_consolidated=False)
        for name in initial.data_vars:
            _write(group[name], 0, initial[name].data)
        _consolidate(temporary)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Slot:
    """One time step of a stored array, to be written to; it can be sent to another process."""

    def __init__(self, array: Any, step: int):
        self.array, self.step = array, step

    def __setitem__(self, where: tuple, value: Any) -> None:
        place = Path(self.array.store.root) / self.array.path
        if not (place / "zarr.json").exists():  # chunks would be written all the same, where nobody looks for them
            raise FileNotFoundError(errno.ENOENT, f"a worker does not see {place}: it must share this file system")
        self.array[(self.step, *where)] = value


def _write(array: Any, step: int, value: Any) -> None:
    """Write one time step of an array; a lazy field by its blocks, one stored chunk by one task, wherever they run."""
    if hasattr(value, "dask"):
        value.rechunk(array.chunks[1:]).store(_Slot(array, step), lock=False)
    else:
        array[step] = np.asarray(value)


def _consolidate(path: Path) -> None:
    import zarr

    with warnings.catch_warnings():  # zarr warns that other implementations may not know of it: they need not
        warnings.simplefilter("ignore", zarr.errors.ZarrUserWarning)
        zarr.consolidate_metadata(path)


def _attributes(path: Path) -> dict[str, Any]:
    import zarr

    if not path.exists():
        raise FileNotFoundError(f"store {path} does not exist")
    try:
        attrs = dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)
    except (FileNotFoundError, KeyError, ValueError) as error:
        raise ValueError(f"store {path} is not a Zarr group") from error
    if "steps_done" not in attrs:
        raise ValueError(f"store {path} is not a trajectory: it counts no steps")
    if attrs.get("format", 0) > FORMAT:
        raise ValueError(f"store {path} has format {attrs['format']}, newer than {FORMAT}, which this version reads")
    return attrs
