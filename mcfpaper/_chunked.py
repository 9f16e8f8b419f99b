"""Steps on dask-backed fields in the plane: blocks do what needs the grid, the caller's process what needs the front.

The unknown of a step is the front, one dimension less than the grid. The blocks that it passes report pieces of it and
splines of the data near it (`tiles`), Newton's method and its certificate run on the curves as they do for a single
block, and the new signed distance is a lazy array made from the curves, block by block, where and when it is wanted.
Nothing is summed or cut along chunk borders, so that results do not depend on the chunks.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial

import dask
import dask.array as da
import numpy as np
import xarray as xr

from mcfpaper import _checks, _tilework
from mcfpaper._problem import Problem
from mcfpaper._tiled import Tiled, TiledLevel
from mcfpaper._tilestep import Step
from mcfpaper.solvers import energies, front, tiles


class ChunkedProblem(Problem):
    """A problem in the plane for the smooth method whose fields stay where they are; see `Problem`."""

    def _load(self, u: xr.DataArray, rho: xr.Dataset) -> None:
        self._keep(u, rho)
        self.fields = Tiled(u.shape, self.chunks, self.h, [self.rho[v].data for v in ("rho0", "rho1")])
        self.initial = TiledLevel(self.u.data)
        self.fields.survey(self.initial, self.fields.all)
        self._weigh()

    def _keep(self, u: xr.DataArray, rho: xr.Dataset) -> None:
        """The fields, all of them lazy."""
        lazy = next(v for v in (u, rho["rho0"], rho["rho1"]) if _checks.is_lazy(v))
        self.chunks = lazy.chunks
        layout = dict(zip(u.dims, self.chunks, strict=True))
        self.u = u if _checks.is_lazy(u) else u.chunk(layout)
        self.rho = rho.map(lambda v: v if _checks.is_lazy(v) else v.chunk(layout))
        self.levels: dict[str, TiledLevel] = {}

    def _weigh(self) -> None:
        """Masses of the tiles."""
        masses = self.fields.map(_tilework.masses, self.fields.all, self.fields.densities, self.h)
        self.masses = np.array(list(masses.values()))
        if self.masses[:, 2].max() <= 0:
            raise ValueError("densities must not vanish everywhere: rho0 + rho1 is 0")
        self.floor = 1e-12 * self.masses[:, 2].max() + 1e-300

    def digest(self) -> str:
        """Digest of the input of a run, whatever its chunks."""
        digest = hashlib.sha256(json.dumps(self.parameters, sort_keys=True, default=str).encode())
        for d in self.u.dims:
            digest.update(np.ascontiguousarray(self.u[d].values, float).tobytes())
        found = self.fields.map(_tilework.fingerprint, self.fields.all, [self.u.data, *self.fields.densities])
        digest.update(b"".join(found.values()))
        return digest.hexdigest()[:32]

    def _level(self, u: xr.DataArray) -> TiledLevel:
        """What is known of a field of a state; one that was read from a store is looked through."""
        if u.data.name not in self.levels:
            level = TiledLevel(u.data)
            self.fields.survey(level, self.fields.all)
            level.guide = None if level.full is not None else self.fields.guide(level)
            self._remember(u.data.name, level)
        level = self.levels[u.data.name]
        if level.full is None and level.known is None:
            self.fields.survey(level, np.flatnonzero(level.guide.near(self.fields.tiling, 3.0 * max(self.h))[0]))
        return level

    def _remember(self, name: str, level: TiledLevel) -> None:
        self.levels[name] = level
        for old in list(self.levels)[:-3]:
            del self.levels[old]

    def _lazy(self, field: tiles.CurveField | bool) -> xr.DataArray:
        """The signed distance as a lazy field; -inf or inf where a truth value says that the set is empty or full."""
        if isinstance(field, bool):
            level = TiledLevel(partial(_tilework.constant, full=field))
            level.full = field
        else:
            level = TiledLevel(field, field)
        data = da.map_blocks(
            _tilework.block,
            chunks=self.chunks,
            dtype=float,
            meta=np.empty((0, 0)),
            field=dask.delayed(level.data, pure=False),
        )
        self._remember(data.name, level)
        return self._field(data)

    def start(self) -> xr.DataArray:
        """Signed distance to the curves that the initial front is."""
        level = self.initial
        if level.full is not None:
            return self._lazy(level.full)
        if level.lines is None:
            raise ValueError("u must have a front made of curves, got pieces that end inside the box")
        return self._lazy(self.fields.guide(level))

    def taken_up(self, state: xr.Dataset) -> xr.Dataset:
        """A state that a store holds, left there."""
        return state

    def step(self, f: xr.DataArray) -> xr.Dataset:
        """One step with data `f`, a field that `start` or `step` gave or that a store holds."""
        level = self._level(f)
        if level.full is not None:
            r = front.Result(level.full, 0.0, True, 0, True)
        else:
            r = self._solve(level)
        if not np.isfinite(r.gap):
            raise FloatingPointError(f"the bound on the front's error is not finite: gap = {r.gap}")
        outcome = {k: getattr(r, k) for k in ("gap", "certified", "converged", "iterations")}
        return self._dataset({"u": self._lazy(r.u).data} | outcome)

    def _solve(self, level: TiledLevel) -> front.Result:
        """As `front.step`; `u` of the result as `_lazy` takes it."""
        return Step(self.fields, level, self.eps, self.tau, self.tol, self.floor).result()

    def vanished(self, before: xr.DataArray, after: xr.DataArray) -> str:
        """As `Problem.vanished`."""
        full, was = (self.levels[u.data.name].full for u in (after, before))  # a step has just seen both
        return "" if full is None or was is not None else self._wiped_out(full)

    def _measure_subcell(self, u: xr.DataArray, before: xr.DataArray | None) -> dict[str, float]:
        now, was = self._level(u), None if before is None else self._level(before)
        active, inside = self.fields.near(now, self.eps + 3.0 * max(self.h))
        fields = [now.data, *self.fields.densities]
        if was is not None and was.full is None:
            close, was_inside = self.fields.near(was, 3.0 * max(self.h))
            active |= close | (was_inside != inside)
            fields.append(was.data)
        cells = self.fields.tiling.cells() * float(np.prod(self.h))
        near = self.fields.map(_tilework.measure, np.flatnonzero(active), fields, self.h, self.eps)
        far = np.stack([0 * cells, inside * cells, inside * self.masses[:, 0], ~inside * self.masses[:, 1]], 1)
        rows = np.zeros((self.fields.tiling.size, len(energies.MASSES)))
        rows[:, :4], rows[:, 4:6] = far, far[:, 2:4]
        if near:
            rows[list(near)] = np.stack(list(near.values()))
        return self._figures(rows.sum(0).tolist())
