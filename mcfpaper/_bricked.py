"""Fields in space by bricks (`solvers.bricks`): which are kept, and what is done on all of them or near a front."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import dask
import dask.array as da
import numpy as np
from scipy.spatial import cKDTree

from mcfpaper.solvers import bricks, tiles

PAIR = bricks.first, bricks.second
delayed = partial(dask.delayed, pure=False)  # named by chance: by content, every input would be hashed


class Bricks:
    """A level function by bricks: delayed values, the least size of each, and whether it has cells in- and outside.

    Bricks without values count as `Bricked.kept` from the front.
    """

    def __init__(self, parts, least, inside, outside):
        self.parts, self.least, self.inside, self.outside = parts, least, inside, outside

    def replaced(self, parts, found):
        """With other values of some bricks, and what `bricks.summed` says of them."""
        out = Bricks(self.parts | parts, self.least.copy(), self.inside.copy(), self.outside.copy())
        for t, (least, inside, outside) in found.items():
            out.least[t], out.inside[t], out.outside[t] = least, inside, outside
        return out

    def pieces(self, numbers):
        """Those of the bricks that have values."""
        return {t: self.parts[t] for t in numbers if t in self.parts}

    def fill(self, numbers, size):
        """Values for the others, of that size."""
        return {t: size * (1.0 if self.inside[t] else -1.0) for t in numbers if t not in self.parts}

    def near(self, width):
        """Numbers of the bricks that the front meets or comes as near to as `width`."""
        return np.flatnonzero((self.least < width) | (self.inside & self.outside)).tolist()


class BrickLevel:
    """A signed distance: bricks near its front, patches of all of the front; `full` says that there is no front."""

    def __init__(self, data=None, seeds=None, full=None):
        self.data, self.seeds, self.full = data, seeds, full
        self.handle = None if seeds is None else delayed(seeds).persist()


class Bricked:
    """The bricks of a grid and the densities on them; `level` functions are `Bricks`, signed distances `BrickLevel`.

    Those that are nearer than `kept` (length) to a front are kept: figures ask for distances up to `eps`.
    """

    def __init__(self, shape: tuple, spacing: tuple, densities: list[da.Array], eps: float):
        self.h, self.densities = spacing, densities
        self.kept = max(bricks.KNOWN * max(spacing), eps + 4.0 * max(spacing))
        self.tiling = tiles.Tiling(shape, bricks.SIDE, bricks.FORGET)
        self.all = range(self.tiling.size)
        self.resident: dict[int, list] = {}

    def pose(self, eps: float, tau: float, floor: float) -> None:
        """Take the parameters of steps."""
        self.setup = bricks.Setup(self.tiling, self.h, eps, tau, floor)

    def about(self, w: Bricks, lo: np.ndarray, hi: np.ndarray) -> tuple[dict, dict]:
        """Bricks of `w` for a window, which may reach beyond the walls, and values for those that it lacks."""
        numbers = self.tiling.meeting(np.maximum(lo, 0), np.minimum(hi, self.tiling.shape))
        return w.pieces(numbers), w.fill(numbers, self.kept)

    def map(self, function: Callable, numbers: Iterable[int], fields: list, *args: object) -> dict:
        """Results of a function of bricks (`_tilework`) and windows about them, by number."""
        tasks = {}
        for t in (int(t) for t in numbers):
            lo, hi = self.tiling.box(t, self.tiling.margin)
            windows = [self.window(f, lo, hi) for f in fields]
            tasks[t] = delayed(function)(self.tiling, t, windows, *args)
        return dict(sorted(dask.compute(tasks)[0].items()))

    def window(self, field: da.Array | Bricks, lo: tuple, hi: tuple) -> object:
        """The values of a field in a window, delayed."""
        if isinstance(field, da.Array):  # delayed too: in a list of both kinds dask changes the order
            return delayed(np.asarray)(field[bricks.slices(lo, hi)])
        pieces, fill = self.about(field, lo, hi)
        return delayed(bricks.window)(self.tiling, pieces, lo, hi, fill)

    def brick(self, data: da.Array, t: int) -> object:
        """The values of a field in a brick, delayed."""
        margin = self.tiling.margin if data.dtype == bool else 0
        lo, hi = self.tiling.box(t, margin)
        core = tuple(slice(a - c, b - c) for a, b, c in zip(*self.tiling.box(t), lo, strict=True))
        return delayed(bricks.read)(data[bricks.slices(lo, hi)], self.h, core)

    def surveyed(self, data: da.Array) -> Bricks:
        """A level function, none of whose bricks is kept."""
        parts = {t: self.brick(data, t) for t in range(self.tiling.size)}
        (found,) = dask.compute({t: delayed(bricks.surveyed)(p) for t, p in parts.items()})
        if np.array([kinds for _, kinds in found.values()]).any(0).sum() > 1:
            raise ValueError("u must be finite everywhere, or infinite of one sign, got values of several kinds")
        empty = np.zeros(self.tiling.size, bool)
        w = Bricks(parts, np.full(self.tiling.size, np.inf), empty, empty)
        return w.replaced({}, {t: summary for t, (summary, _) in found.items()})

    def patches(self, w: Bricks) -> np.ndarray:
        """Patches of the front of a level function, from the bricks that it passes or may touch."""
        tasks = {}
        for t in range(self.tiling.size):
            lo, hi = self.tiling.box(t, 1)
            about = self.tiling.meeting(np.array(lo), np.array(hi))
            if w.inside[about].any() and w.outside[about].any():
                lo, hi = (np.array(b) for b in self.tiling.box(t, bricks.FORGET))
                tasks[t] = delayed(bricks.patches)(self.setup, t, *self.about(w, lo, hi))
        return np.concatenate(list(dask.compute(tasks)[0].values()))

    def near(self, level: BrickLevel, width: float) -> tuple[np.ndarray, np.ndarray]:
        """Which bricks are within `width` of the front, and which of the others are inside."""
        if level.full is not None:
            return np.zeros(self.tiling.size, bool), np.full(self.tiling.size, level.full)
        return level.data.least < width, level.data.inside.copy()

    def least(self, seeds: np.ndarray) -> np.ndarray:
        """Distances of the bricks from the front."""
        boxes = np.array([self.tiling.box(t) for t in range(self.tiling.size)], float)
        h = np.array(self.h)
        lo, hi = boxes[:, 0] * h, (boxes[:, 1] - 1.0) * h
        tree, middle = cKDTree(seeds[:, :3]), 0.5 * (lo + hi)
        half = np.linalg.norm(0.5 * (hi - lo), axis=1)
        least = np.maximum(tree.query(middle)[0] - half, 0.0)
        for t in np.flatnonzero(least < self.kept):
            near = seeds[tree.query_ball_point(middle[t], half[t] + self.kept), :3]
            apart = np.linalg.norm(np.maximum(np.maximum(lo[t] - near, near - hi[t]), 0.0), axis=1)
            least[t] = apart.min(initial=self.kept)
        return least

    def uniform(self, full: bool) -> BrickLevel:
        """The full or the empty set."""
        size = self.tiling.size
        return BrickLevel(Bricks({}, np.full(size, np.inf), np.full(size, full), np.full(size, not full)), full=full)

    def levelled(self, w: Bricks) -> BrickLevel:
        """The signed distance to the front of a level function."""
        if not (w.inside.any() and w.outside.any()):
            return self.uniform(bool(w.inside.any()))
        s, parts = self.setup, {}
        level = BrickLevel(seeds=self.patches(w))
        least = self.least(level.seeds)
        for t in np.flatnonzero(least < self.kept).tolist():
            lo, hi = (np.array(b) for b in self.tiling.box(t, s.cut))
            given = *self.about(w, lo, hi), level.handle
            parts[t] = delayed(bricks.signed_distance)(s, t, *given)
        (parts,) = dask.persist(parts)
        level.data = Bricks(parts, least, w.inside, w.outside)
        return level

    def known(self, data: da.Array) -> BrickLevel:
        """What is known of a signed distance, which is looked through; bricks near its front are kept."""
        w = self.surveyed(data)
        if not (w.inside.any() and w.outside.any()):
            return self.uniform(bool(w.inside.any()))
        level = BrickLevel(seeds=self.patches(w))
        least = self.least(level.seeds)
        (parts,) = dask.persist(w.pieces(np.flatnonzero(least < self.kept).tolist()))
        level.data = Bricks(parts, least, w.inside, w.outside)
        return level

    def lazy(self, level: BrickLevel) -> da.Array:
        """A level as an array whose chunks are bricks."""
        grid = np.empty(self.tiling.counts, object)
        for t in self.all:
            lo, hi = self.tiling.box(t)
            shape = tuple(b - a for a, b in zip(lo, hi, strict=True))
            place = np.unravel_index(t, self.tiling.counts)
            grid[place] = da.from_delayed(self.part(level, t), shape, float, meta=np.empty((0, 0, 0)))
        return da.block(grid.tolist())

    def part(self, level: BrickLevel, t: int) -> object:
        """A brick of a level, delayed, near the front or not."""
        if level.full is not None:
            return delayed(bricks.far_distance)(self.setup, t, level.full, None)
        if t in level.data.parts:
            return level.data.parts[t]
        inside = bool(level.data.inside[t])
        return delayed(bricks.far_distance)(self.setup, t, inside, level.handle)

    def forget(self, level: BrickLevel) -> None:
        """Drop the bricks of the densities far from a front."""
        kept = set(level.data.near(self.setup.mass * max(self.h)))
        self.resident = {t: v for t, v in self.resident.items() if t in kept}

    def masses(self, numbers: list[int]) -> dict[int, list[dict]]:
        """Bricks of the densities about bricks; those that a step has read stay until the next one."""
        about = {}
        for t in numbers:
            lo, hi = self.setup.own(t)
            lo, hi = np.maximum(lo - self.setup.mass, 0), np.minimum(hi + self.setup.mass, self.tiling.shape)
            about[t] = self.tiling.meeting(lo, hi)
        missing = {n for near in about.values() for n in near if n not in self.resident}
        self.resident |= dask.persist({n: [self.brick(v, n) for v in self.densities] for n in missing})[0]
        return {t: [{n: self.resident[n][k] for n in near} for k in range(2)] for t, near in about.items()}
