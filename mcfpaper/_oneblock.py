"""Steps on dask-backed fields that are solved in one block: the exact method, and fields on a line.

Each step is one task, on a worker where there are some; fields stay there, in the chunks of the input, and only figures
come back.
"""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import xarray as xr

from mcfpaper import _checks
from mcfpaper._problem import SIDES, Problem

OUTCOME = ("gap", "certified", "converged", "iterations")


def _call(problem: Problem, name: str, *args: object) -> object:
    return getattr(problem, name)(*args)


def _outcome(result: xr.Dataset) -> dict[str, np.ndarray]:
    return {name: result[name].values for name in OUTCOME}


class OneBlockProblem(Problem):
    """A `Problem` whose fields are in one task's memory while it works on them, and in chunks otherwise."""

    def _load(self, u: xr.DataArray, rho: xr.Dataset) -> None:
        lazy = next(v for v in (u, rho["rho0"], rho["rho1"]) if _checks.is_lazy(v))
        self.u, self.chunks = u, lazy.chunks
        given = (self.eps, self.tau, self.method, self.ball, self.side, self.tol)
        self.whole = dask.delayed(Problem, pure=False)(u, rho, *given).persist()
        self.whole.tau.compute()  # what its checks find is raised here

    def digest(self) -> str:
        """Digest of the input of a run."""
        return self.whole.digest().compute()

    def start(self) -> xr.DataArray:
        """As `Problem.start`."""
        return self._field(self._chunked(self.whole.start(), float))

    def taken_up(self, state: xr.Dataset) -> xr.Dataset:
        """A state that a store holds, left there."""
        return state

    def step(self, f: xr.DataArray) -> xr.Dataset:
        """As `Problem.step`."""
        result = self.whole.step(f).persist()
        outcome = dask.delayed(_outcome, pure=False)(result).compute()
        sides = {name: self._chunked(result[name], bool) for name in SIDES} if self.method == "exact" else {}
        return self._dataset({"u": self._chunked(result["u"], float)} | outcome | sides)

    def _chunked(self, field: object, dtype: type) -> da.Array:
        """A delayed DataArray as a dask array, computed and kept in the chunks of the input."""
        shape = tuple(sum(c) for c in self.chunks)
        return (
            da.from_delayed(field.data, shape, dtype, meta=np.empty((0,) * len(shape), dtype))
            .rechunk(self.chunks)
            .persist()
        )

    def _figures(self, u: xr.DataArray, before: xr.DataArray | None) -> dict[str, float]:
        name = "_measure_cells" if self.method == "exact" else "_measure_subcell"
        return dask.delayed(_call, pure=False)(self.whole, name, u, before).compute()

    _measure_cells = _measure_subcell = _figures

    def vanished(self, before: xr.DataArray, after: xr.DataArray) -> str:
        """As `Problem.vanished`."""
        return self.whole.vanished(before, after).compute()
