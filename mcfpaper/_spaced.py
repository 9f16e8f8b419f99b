"""Steps on dask-backed fields in space: bricks near the front work, the caller solves for the front's displacement.

As in the plane (`_chunked`) nothing is cut along chunk borders. Level functions are kept as bricks near the front, one
task's result each, where they were computed; the caller's process gathers what Newton's method needs at the front (some
hundred bytes for each cell that it passes), solves the linear system on it and sends the displacement back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import dask
import dask.array as da
import numpy as np
import xarray as xr
from scipy.spatial import cKDTree

from mcfpaper import _checks
from mcfpaper._chunked import ChunkedProblem
from mcfpaper.solvers import bricks, front, newton, tiles

DENSE = 2e7  # cells of the box about a front in trouble that one task solves as a whole: about 2.6 GB of its worker

PAIR = bricks.first, bricks.second


class Bricks:
    """A level function by bricks: delayed values, the least size of each, and whether it has cells in- and outside.

    Bricks without values count as KNOWN cells from the front.
    """

    def __init__(self, parts, least, inside, outside):
        self.parts, self.least, self.inside, self.outside = parts, least, inside, outside

    def replaced(self, parts, found):
        """With other values of some bricks, and what `bricks.surveyed` says of them."""
        out = Bricks(self.parts | parts, self.least.copy(), self.inside.copy(), self.outside.copy())
        for t, (least, inside, outside) in found.items():
            out.least[t], out.inside[t], out.outside[t] = least, inside, outside
        return out

    def pieces(self, numbers):
        """Those of the bricks that have values."""
        return {t: self.parts[t] for t in numbers if t in self.parts}

    def fill(self, numbers, px):
        """Values for the others."""
        return {t: bricks.KNOWN * px * (1.0 if self.inside[t] else -1.0) for t in numbers if t not in self.parts}

    def near(self, width):
        """Numbers of the bricks that the front meets or comes as near to as `width`."""
        return np.flatnonzero((self.least < width) | (self.inside & self.outside)).tolist()


class Level:
    """A signed distance: bricks near its front, patches of all of the front; `full` says that there is no front."""

    def __init__(self, data=None, seeds=None, full=None):
        self.data, self.seeds, self.full = data, seeds, full
        self.handle = None if seeds is None else dask.delayed(seeds, pure=False).persist()


class SpaceWork:
    """What `newton.relax` asks of a problem, of level functions that are `Bricks`."""

    pad = 0

    def __init__(self, setup, f, masses):
        self.setup, self.f, self.masses = setup, f, masses
        self.px, self.spacing = setup.px, setup.spacing

    def reflected(self, w):
        return w

    def has_front(self, w):
        return bool(w.inside.any() and w.outside.any())

    def window(self, w, t, lo, hi):
        """Bricks of `w` for a window, and values for those that it lacks."""
        shape = np.array(self.setup.tiling.shape)
        numbers = self.setup.tiling.meeting(np.maximum(lo, 0), np.minimum(hi, shape))
        return w.pieces(numbers), w.fill(numbers, self.px)

    def about(self, w, t, margin):
        """As `window`, for a brick and a margin."""
        lo, hi = self.setup.own(t)
        return self.window(w, t, lo - margin, hi + margin)


class Lost(Exception):
    """The front left the surroundings of the old one."""


class SpaceState:
    """As `newton.State`; the signed distances stay where they were computed."""

    def __init__(self, w, problem, fresh=False):
        self.w, s = w, problem.setup
        self.views, self.cells, reports = {}, {}, {}
        near = w.near((newton.WIDTH - 0.5) * s.px)
        masses = problem.masses(near)
        for t in near:
            level, fill = problem.about(w, t, s.level)
            f, f_fill = problem.about(problem.f, t, s.data)
            view = dask.delayed(bricks.look, pure=False)(s, t, [level, f, *masses[t]], [fill, f_fill], fresh)
            self.views[t] = view
            self.cells[t], reports[t] = (dask.delayed(f, pure=False)(view) for f in (bricks.cells, bricks.second))
        self.views, self.cells, reports = dask.persist(self.views, self.cells, reports)
        found = {t: v for t, v in dask.compute(reports)[0].items() if v is not None and len(v[0].c)}
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
            self.proved = all(b.free for b in bands) and self.system.least > newton.FLOOR

    def moved(self, v, problem):
        """Bricks of the level function of the front moved outward by `v`."""
        s, size = problem.setup, float(np.abs(v).max())
        most = (bricks.KNOWN - newton.WIDTH) / 3.0 * s.px
        v, size = v * min(1.0, most / size), min(size, most)
        reach = newton.reach(size, s.px)
        margin = int(np.ceil(reach / min(s.spacing))) + 4
        parts, found = {}, {}
        split = np.split(v, np.cumsum(list(self.counts.values()))[:-1])
        moves = {t: (self.cells[t], dask.delayed(part, pure=False)) for t, part in zip(self.counts, split, strict=True)}
        for t in self.w.near(reach):
            lo, hi = (np.array(b) for b in s.tiling.box(t))
            around = s.tiling.meeting(np.maximum(lo - margin, 0), np.minimum(hi + margin, s.tiling.shape))
            about = [moves[n] for n in around if n in moves]
            pieces, fill = problem.window(self.w, t, lo - bricks.FORGET, hi + bricks.FORGET)
            view = self.views.get(t, (None, None))
            both = dask.delayed(bricks.move, pure=False)(s, t, view, pieces, fill, about, size)
            parts[t], found[t] = (dask.delayed(f, pure=False)(both) for f in PAIR)
        parts, found = dask.persist(parts, found)
        return self.w.replaced(parts, dask.compute(found)[0])


class SpaceProblem(ChunkedProblem):
    """A problem in space for the smooth method whose fields stay where they are; see `Problem`."""

    def _load(self, u: xr.DataArray, rho: xr.Dataset) -> None:
        lazy = next(v for v in (u, rho["rho0"], rho["rho1"]) if _checks.is_lazy(v))
        self.chunks = lazy.chunks
        layout = dict(zip(u.dims, self.chunks, strict=True))
        self.u = u if _checks.is_lazy(u) else u.chunk(layout)
        self.rho = rho.map(lambda v: v if _checks.is_lazy(v) else v.chunk(layout))
        self.densities = [self.rho[v].data for v in ("rho0", "rho1")]
        self.tiling = tiles.Tiling(u.shape, bricks.SIDE, bricks.FORGET)
        self._weigh()
        self.setup = bricks.Setup(self.tiling, self.h, self.eps, self.tau, self.floor)
        self.levels: dict[str, Level] = {}
        self.resident: dict[int, list] = {}
        self.initial = self._surveyed(self.u.data)

    def _map(self, function: Callable, numbers: Iterable[int], fields: list, *args: object) -> dict:
        """Results of a function of bricks (`_tilework`) and windows about them, by number."""
        tasks = {}
        for t in (int(t) for t in numbers):
            lo, hi = self.tiling.box(t, self.tiling.margin)
            windows = [self._window(f, lo, hi) for f in fields]
            tasks[t] = dask.delayed(function, pure=False)(self.tiling, t, windows, *args)
        return dict(sorted(dask.compute(tasks)[0].items()))

    def _window(self, field: da.Array | Bricks, lo: tuple, hi: tuple) -> object:
        if isinstance(field, da.Array):  # delayed too: in a list of both kinds dask changes the order
            return dask.delayed(np.asarray, pure=False)(field[bricks.slices(lo, hi)])
        numbers = self.tiling.meeting(lo, hi)
        given = field.pieces(numbers), lo, hi, field.fill(numbers, max(self.h))
        return dask.delayed(bricks.window, pure=False)(self.tiling, *given)

    def _brick(self, data: da.Array, t: int) -> object:
        """The values of a field in a brick, delayed."""
        margin = self.tiling.margin if data.dtype == bool else 0
        lo, hi = self.tiling.box(t, margin)
        core = tuple(slice(a - c, b - c) for a, b, c in zip(*self.tiling.box(t), lo, strict=True))
        return dask.delayed(bricks.read, pure=False)(data[bricks.slices(lo, hi)], self.h, core)

    def _surveyed(self, data: da.Array) -> Bricks:
        """A level function, none of whose bricks is kept."""
        parts = {t: self._brick(data, t) for t in range(self.tiling.size)}
        (found,) = dask.compute({t: dask.delayed(bricks.surveyed, pure=False)(p) for t, p in parts.items()})
        if np.array([kinds for _, kinds in found.values()]).any(0).sum() > 1:
            raise ValueError("u must be finite everywhere, or infinite of one sign, got values of several kinds")
        empty = np.zeros(self.tiling.size, bool)
        w = Bricks(parts, np.full(self.tiling.size, np.inf), empty, empty)
        return w.replaced({}, {t: summary for t, (summary, _) in found.items()})

    def _patches(self, w: Bricks) -> np.ndarray:
        """Patches of the front of a level function, from the bricks that have cells on both of its sides, or next to
        one that has not the same."""
        s, work, tasks = self.setup, SpaceWork(self.setup, None, None), {}
        for t in range(self.tiling.size):
            lo, hi = self.tiling.box(t, 1)
            about = self.tiling.meeting(np.array(lo), np.array(hi))
            if w.inside[about].any() and w.outside[about].any():
                lo, hi = (np.array(b) for b in self.tiling.box(t, bricks.FORGET))
                tasks[t] = dask.delayed(bricks.patches, pure=False)(s, t, *work.window(w, t, lo, hi))
        return np.concatenate(list(dask.compute(tasks)[0].values()))

    def _near(self, level: Level, width: float) -> tuple[np.ndarray, np.ndarray]:
        """Which bricks are within `width` of the front, and which of the others are inside."""
        if level.full is not None:
            return np.zeros(self.tiling.size, bool), np.full(self.tiling.size, level.full)
        return level.data.least < width, level.data.inside.copy()

    def _least(self, seeds: np.ndarray) -> np.ndarray:
        """Distances of the bricks from the front."""
        boxes = np.array([self.tiling.box(t) for t in range(self.tiling.size)], float)
        h = np.array(self.h)
        lo, hi = boxes[:, 0] * h, (boxes[:, 1] - 1.0) * h
        tree, middle = cKDTree(seeds[:, :3]), 0.5 * (lo + hi)
        half = np.linalg.norm(0.5 * (hi - lo), axis=1)
        least = np.maximum(tree.query(middle)[0] - half, 0.0)
        for t in np.flatnonzero(least < bricks.KNOWN * max(h)):
            near = seeds[tree.query_ball_point(middle[t], half[t] + bricks.KNOWN * max(h)), :3]
            apart = np.linalg.norm(np.maximum(np.maximum(lo[t] - near, near - hi[t]), 0.0), axis=1)
            least[t] = apart.min(initial=bricks.KNOWN * max(h))
        return least

    def _uniform(self, full: bool) -> Level:
        """The full or the empty set."""
        size = self.tiling.size
        return Level(Bricks({}, np.full(size, np.inf), np.full(size, full), np.full(size, not full)), full=full)

    def _levelled(self, w: Bricks) -> Level:
        """The signed distance to the front of a level function."""
        if not (w.inside.any() and w.outside.any()):
            return self._uniform(bool(w.inside.any()))
        s, work, parts = self.setup, SpaceWork(self.setup, None, None), {}
        level = Level(seeds=self._patches(w))
        least = self._least(level.seeds)
        for t in np.flatnonzero(least < bricks.KNOWN * s.px).tolist():
            lo, hi = (np.array(b) for b in self.tiling.box(t, s.cut))
            level_window = work.window(w, t, lo, hi)
            parts[t] = dask.delayed(bricks.signed_distance, pure=False)(s, t, *level_window, level.handle)
        (parts,) = dask.persist(parts)
        level.data = Bricks(parts, least, w.inside, w.outside)
        return level

    def _level(self, u: xr.DataArray) -> Level:
        """What is known of a field of a state; one that was read from a store is looked through."""
        if u.data.name not in self.levels:
            w = self._surveyed(u.data)
            level = self._uniform(bool(w.inside.any()))
            if w.inside.any() and w.outside.any():
                level = Level(seeds=self._patches(w))
                least = self._least(level.seeds)
                (parts,) = dask.persist(w.pieces(np.flatnonzero(least < bricks.KNOWN * max(self.h)).tolist()))
                level.data = Bricks(parts, least, w.inside, w.outside)
            self._remember(u.data.name, level)
        return self.levels[u.data.name]

    def _part(self, level: Level, t: int) -> object:
        """A brick of a level, delayed, near the front or not."""
        if level.full is not None:
            return dask.delayed(bricks.far_distance, pure=False)(self.setup, t, level.full, None)
        if t in level.data.parts:
            return level.data.parts[t]
        inside = bool(level.data.inside[t])
        return dask.delayed(bricks.far_distance, pure=False)(self.setup, t, inside, level.handle)

    def _lazy(self, level: Level | bool) -> xr.DataArray:
        """A level as a lazy field in the chunks of the input."""
        level = self._uniform(level) if isinstance(level, bool) else level
        grid = np.empty(self.tiling.counts, object)
        for t in range(self.tiling.size):
            lo, hi = self.tiling.box(t)
            shape = tuple(b - a for a, b in zip(lo, hi, strict=True))
            place = np.unravel_index(t, self.tiling.counts)
            grid[place] = da.from_delayed(self._part(level, t), shape, float, meta=np.empty((0, 0, 0)))
        data = da.block(grid.tolist()).rechunk(self.chunks)
        self._remember(data.name, level)
        return self._field(data)

    def start(self) -> xr.DataArray:
        """Signed distance to the front of the initial set."""
        return self._lazy(self._levelled(self.initial))

    def _masses(self, numbers: list[int]) -> dict[int, list[dict]]:
        """Bricks of the densities about bricks; those that a step has read stay until the next one."""
        about = {}
        for t in numbers:
            lo, hi = self.setup.own(t)
            lo, hi = np.maximum(lo - self.setup.mass, 0), np.minimum(hi + self.setup.mass, self.tiling.shape)
            about[t] = self.tiling.meeting(lo, hi)
        missing = {n for near in about.values() for n in near if n not in self.resident}
        self.resident |= dask.persist({n: [self._brick(v, n) for v in self.densities] for n in missing})[0]
        return {t: [{n: self.resident[n][k] for n in near} for k in range(2)] for t, near in about.items()}

    def _solve(self, level: Level) -> front.Result:
        """As `front.step`; `u` of the result is a Level."""
        kept = set(level.data.near(self.setup.mass * max(self.h)))
        self.resident = {t: v for t, v in self.resident.items() if t in kept}
        try:
            if not self._doubtful(level):
                work = SpaceWork(self.setup, level.data, self._masses)
                state, iterations, settled = newton.relax(work, level.data, self.tol, True, state=SpaceState)
                if state is not None and settled and state.proved:
                    gap = float(state.system.bound)
                    return front.Result(self._levelled(state.w), gap, True, iterations, gap <= self.tol)
        except Lost:
            pass
        return self._dense(level)

    def _doubtful(self, level: Level) -> bool:
        """Whether points at the distances that `front._doubtful` asks for, along normals, have others nearer to them.

        If they have not, all level sets between are parallel surfaces.
        """
        x, n = level.seeds[:, :3], level.seeds[:, 3:6]
        tree = cKDTree(x)
        for s in front.critical(self.eps, self.tau, 3):
            for sign in (s, -s):
                ends = (x + sign * n)[::4]
                inside = ((ends >= 0.0) & (ends <= (np.array(self.tiling.shape) - 1) * self.h)).all(1)
                found, _ = tree.query(ends[inside], distance_upper_bound=s - 0.25 * max(self.h))
                if np.isfinite(found).any():
                    return True
        return False

    def _dense(self, level: Level) -> front.Result:
        """The step on the box about the front in one task, where its topology or the method is in doubt."""
        x, h = level.seeds[:, :3] / self.h, np.array(self.h)
        pad = (self.eps + 3.0 * self.tau**0.5) / h + 2 * bricks.FORGET
        lo = np.maximum(np.floor(x.min(0) - pad), 0).astype(int)
        hi = np.minimum(np.ceil(x.max(0) + pad) + 1, self.tiling.shape).astype(int)
        if np.prod(hi - lo) > DENSE:
            raise RuntimeError(
                f"the front may change its topology in this step, and the box about it, {' x '.join(map(str, hi - lo))}"
                f" cells, is too large for one task: take a coarser grid"
            )
        numbers = self.tiling.meeting(lo, hi)
        pieces = {t: self._part(level, t) for t in numbers}
        f = dask.delayed(bricks.window, pure=False)(self.tiling, pieces, lo, hi)
        slabs = [self._window(v, lo, hi) for v in self.densities]
        task = dask.delayed(front.step, pure=False)(f, *slabs, self.eps, self.tau, self.h, tol=self.tol).persist()
        full, outcome = dask.delayed(_outcome, pure=False)(task).compute()
        if full is not None:
            return front.Result(full, *outcome)
        both = {t: dask.delayed(_pasted, pure=False)(self.setup, t, pieces[t], task, lo, hi) for t in numbers}
        parts, found = dask.persist(*({t: dask.delayed(f, pure=False)(b) for t, b in both.items()} for f in PAIR))
        (found,) = dask.compute(found)
        return front.Result(self._levelled(level.data.replaced(parts, found)), *outcome)


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
