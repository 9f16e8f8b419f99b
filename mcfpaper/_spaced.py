"""Steps on dask-backed fields in space: bricks near the front work, the caller solves for the front's displacement.

As in the plane (`_chunked`) nothing is cut along chunk borders. Level functions are kept as bricks near the front, one
task's result each, where they were computed; the caller's process gathers what Newton's method needs at the front (some
hundred bytes for each cell that it passes), solves the linear system on it and sends the displacement back.
"""

from __future__ import annotations

import dask
import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from mcfpaper._bricked import PAIR, Bricked, BrickLevel, Bricks, delayed
from mcfpaper._chunked import ChunkedProblem
from mcfpaper.solvers import bricks, front, newton, starts
from mcfpaper.solvers.rays import reflected

FACING = 0.75  # least share of a normal across a wall for a front that faces it
DENSE = 2e7  # cells of the box about a front in trouble that one task solves as a whole: about 2.6 GB of its worker


class SpaceWork:
    """What `newton.relax` asks of a problem, of level functions that are `Bricks`."""

    def __init__(self, fields: Bricked, f: Bricks):
        self.fields, self.f = fields, f
        self.px, self.spacing = fields.setup.px, fields.setup.spacing

    def reflected(self, w: Bricks) -> Bricks:
        """Windows are reflected when they are taken."""
        return w

    def has_front(self, w: Bricks) -> bool:
        """As `newton.StepData.has_front`."""
        return bool(w.inside.any() and w.outside.any())


class Lost(Exception):
    """The front left the surroundings of the old one."""


class SpaceState:
    """As `newton.State`; the signed distances stay where they were computed."""

    def __init__(self, w: Bricks, problem: SpaceWork, fresh: bool = False):
        self.w, self.fresh = w, fresh
        self._look(problem)
        found = {t: v for t, v in dask.compute(self.reports)[0].items() if v is not None and len(v[0].c)}
        bands = [b for b, _ in found.values()]
        self.counts = {t: len(b.c) for t, (b, _) in found.items()}
        self.empty = not bands
        self.gap = self.merit = np.inf
        if any(lost for _, lost in found.values()):
            raise Lost
        if not self.empty:
            names = ("turn", "cells", "distance", "c", "k", "a", "rough")
            self.turn, *rest = (np.concatenate([getattr(b, name) for b in bands]) for name in names)
            self.system = newton.System(*rest, problem.spacing)
            self.gap, self.merit = self.system.gap, self.system.merit
            self.proved = all(b.free for b in bands) and self.system.least > newton.LEAST_SLOPE

    def _look(self, problem: SpaceWork) -> None:
        """Have bricks near the front looked at."""
        fields, s = problem.fields, problem.fields.setup
        near = self.w.near((newton.WIDTH - 0.5) * s.px)
        masses, views = fields.masses(near), {}
        for t in near:
            lo, hi = s.own(t)
            level, fill = fields.about(self.w, lo - s.level, hi + s.level)
            f, f_fill = fields.about(problem.f, lo - s.data, hi + s.data)
            views[t] = delayed(bricks.look)(s, t, [level, f, *masses[t]], [fill, f_fill], self.fresh)
        parts = ({t: delayed(f)(view) for t, view in views.items()} for f in (bricks.cells, bricks.second))
        self.views, self.cells, self.reports = dask.persist(views, *parts)

    def moved(self, v: np.ndarray, problem: SpaceWork) -> Bricks:
        """Bricks of the level function of the front moved outward by `v`."""
        fields, s, size = problem.fields, problem.fields.setup, float(np.abs(v).max())
        most = (bricks.KNOWN - newton.WIDTH) / 3.0 * s.px
        v, size = v * min(1.0, most / size), min(size, most)
        reach = newton.reach(size, s.px)
        margin = int(np.ceil(reach / min(s.spacing))) + 4
        if not self.views:
            self._look(problem)
        parts, found = {}, {}
        split = np.split(v, np.cumsum(list(self.counts.values()))[:-1])
        moves = {t: (self.cells[t], delayed(part)) for t, part in zip(self.counts, split, strict=True)}
        for t in self.w.near(reach):
            lo, hi = (np.array(b) for b in s.tiling.box(t))
            around = s.tiling.meeting(np.maximum(lo - margin, 0), np.minimum(hi + margin, s.tiling.shape))
            about = [moves[n] for n in around if n in moves]
            pieces, fill = fields.about(self.w, lo - bricks.FORGET, hi + bricks.FORGET)
            both = delayed(bricks.move)(s, t, self.views.get(t, (None, None)), pieces, fill, about, size)
            parts[t], found[t] = (delayed(f)(both) for f in PAIR)
        parts, found = dask.persist(parts, found)
        self.views, self.cells, self.reports = {}, {}, {}  # most of what workers hold, seldom wanted twice
        return self.w.replaced(parts, dask.compute(found)[0])


class SpaceProblem(ChunkedProblem):
    """A problem in space for the smooth method whose fields stay where they are; see `Problem`."""

    def _load(self, u: xr.DataArray, rho: xr.Dataset) -> None:
        self._keep(u, rho)
        self.fields = Bricked(u.shape, self.h, [self.rho[v].data for v in ("rho0", "rho1")], self.eps)
        self._weigh()
        self.fields.pose(self.eps, self.tau, self.floor)
        self.initial = self.fields.surveyed(self.u.data)

    def _level(self, u: xr.DataArray) -> BrickLevel:
        """What is known of a field of a state; one that was read from a store is looked through."""
        if u.data.name not in self.levels:
            self._remember(u.data.name, self.fields.known(u.data))
        return self.levels[u.data.name]

    def _lazy(self, level: BrickLevel | bool) -> xr.DataArray:
        """A level as a lazy field in the chunks of the input."""
        level = self.fields.uniform(level) if isinstance(level, bool) else level
        data = self.fields.lazy(level).rechunk(self.chunks)
        self._remember(data.name, level)
        return self._field(data)

    def start(self) -> xr.DataArray:
        """Signed distance to the front of the initial set."""
        return self._lazy(self.fields.levelled(self.initial))

    def _solve(self, level: BrickLevel) -> front.Result:
        """As `front.step`; `u` of the result is a BrickLevel."""
        self.fields.forget(level)
        try:
            if not self._doubtful(level):
                work = SpaceWork(self.fields, level.data)
                state, iterations, settled = newton.relax(work, level.data, self.tol, True, state=SpaceState)
                if state is not None and settled and state.proved:
                    gap = float(state.system.bound)
                    return front.Result(self.fields.levelled(state.w), gap, True, iterations, gap <= self.tol)
        except Lost:
            pass
        return self._dense(level)

    def _doubtful(self, level: BrickLevel) -> bool:
        """Whether points at the distances that `starts.doubtful` asks for, along normals, have others nearer to them.

        If they have not, all level sets between are parallel surfaces.
        """
        x, n = level.seeds[:, :3], level.seeds[:, 3:6]
        tree = cKDTree(x)
        for s, facing in zip(starts.critical(self.eps, self.tau, 3), (FACING, 1.0), strict=True):
            for sign in (s, -s):
                ends = (x + sign * n)[::4]
                # necks: of the points beyond a wall the mirror image, if the front faces that wall
                folded, turned = reflected(ends / self.h, self.fields.tiling.shape)
                seen = ((turned > 0.0) | (np.abs(n[::4]) > facing)).all(1)
                found, _ = tree.query((folded * self.h)[seen], distance_upper_bound=s - 0.25 * max(self.h))
                if np.isfinite(found).any():
                    return True
        return False

    def _dense(self, level: BrickLevel) -> front.Result:
        """The step on the box about the front in one task, where its topology or the method is in doubt."""
        x, h = level.seeds[:, :3] / self.h, np.array(self.h)
        pad = (self.eps + 3.0 * self.tau**0.5) / h + 2 * bricks.FORGET
        lo = np.maximum(np.floor(x.min(0) - pad), 0).astype(int)
        hi = np.minimum(np.ceil(x.max(0) + pad) + 1, self.fields.tiling.shape).astype(int)
        if np.prod(hi - lo) > DENSE:
            raise RuntimeError(
                f"the front may change its topology in this step, and the box about it, {' x '.join(map(str, hi - lo))}"
                f" cells, is too large for one task: take a coarser grid"
            )
        numbers = self.fields.tiling.meeting(lo, hi)
        pieces = {t: self.fields.part(level, t) for t in numbers}
        f = delayed(bricks.window)(self.fields.tiling, pieces, lo, hi)
        slabs = [self.fields.window(v, lo, hi) for v in self.fields.densities]
        task = delayed(front.step)(f, *slabs, self.eps, self.tau, self.h, tol=self.tol).persist()
        full, outcome = delayed(_outcome)(task).compute()
        if full is not None:
            return front.Result(full, *outcome)
        both = {t: delayed(_pasted)(self.fields.setup, t, pieces[t], task, lo, hi) for t in numbers}
        parts, found = dask.persist(*({t: delayed(f)(b) for t, b in both.items()} for f in PAIR))
        (found,) = dask.compute(found)
        return front.Result(self.fields.levelled(level.data.replaced(parts, found)), *outcome)


def _outcome(result: front.Result) -> tuple:
    full = bool(result.u.flat[0] > 0) if np.isinf(result.u).all() else None
    return full, (result.gap, result.certified, result.iterations, result.converged)


def _pasted(setup, t, values, result, lo, hi):
    """A brick with the part of a box in it replaced by the new level function."""
    a, b = (np.array(v) for v in setup.tiling.box(t))
    start, stop = np.maximum(a, lo), np.minimum(b, hi)
    out = values.copy()
    out[bricks.slices(start - a, stop - a)] = result.u[bricks.slices(start - lo, stop - lo)]
    return bricks.summed(out)
