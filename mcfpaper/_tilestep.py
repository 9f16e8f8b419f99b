"""One step on tiles, as `front.step` on a grid: Newton's method runs here, tasks on blocks see to what needs a grid."""

from __future__ import annotations

from collections.abc import Iterable

import dask
import dask.array as da
import numpy as np

from mcfpaper import _tilework
from mcfpaper._tiled import Tiled, TiledLevel
from mcfpaper.solvers import curvefront, front, newton, starts, tiles

COARSE = 160  # blocks a side of the lattice on which a minimum cut proposes another topology: a second or two of work
SAMPLES = 1024  # samples a side of f that tell whether its level sets change their topology: 8 MB on the caller
DENSE = 8e6  # cells of the box about a front in trouble that one task solves as a whole: about 1.5 GB of its worker


class TileField:
    """`force.Field` on tiles."""

    folded = newton.Field.folded

    def __init__(self, known, spacing, floor=None):
        self.known, self.spacing, self.floor = known, np.asarray(spacing, float), floor
        self.shape = known.tiling.shape

    def __call__(self, points):
        """Values at index points (m, 2)."""
        v = self.known.values(self.folded(points))
        return v if self.floor is None else np.maximum(v, self.floor)


class TileData(newton.StepData):
    """The data of a step as `newton.StepData` has them, on tiles."""

    def __init__(self, f, rho0, rho1, eps, tau, spacing, floor):
        self.spacing, self.px, self.pad = np.asarray(spacing, float), float(max(spacing)), 0
        self.eps, self.tau, self.shape, self.floor = eps, tau, f.tiling.shape, floor
        self.size = float(np.sqrt((np.array(self.shape) ** 2 * self.spacing**2).sum()))
        self.f, self.rho0, self.rho1 = (TileField(v, spacing, low) for v, low in ((f, None), (rho0, 0.0), (rho1, 0.0)))

    def distance(self, front):
        """Signed distance to a front of curves, as a function on windows."""
        return tiles.CurveField(front.pieces(), self.shape, self.spacing)


class Step:
    """One step from the front of `level` on the densities of `fields`."""

    def __init__(self, fields: Tiled, level: TiledLevel, eps: float, tau: float, tol: float, floor: float):
        self.fields, self.level, self.tol = fields, level, tol
        self.tiling, self.h = fields.tiling, fields.h
        self.data = TileData(level.known, *fields.known, eps, tau, fields.h, floor)

    def result(self) -> front.Result:
        """As `front.step`; `u` of the result is the signed distance as a function on windows, or False, True."""
        for known in self.fields.known:
            known.keep(self._near(self.level.guide, self.data.eps + tiles.TILE * max(self.h)))
        first = self._candidate(self.level)
        # `starts.wasteful` is not asked: it would read all blocks
        if first is not None and first.settled and not self._doubtful():
            result = first.result(self.data, self.tol)
            if result is not None and result.converged and result.certified:
                return result
        return self._best(first)

    def _near(self, field: tiles.CurveField, width: float) -> np.ndarray:
        return np.flatnonzero(field.near(self.tiling, width)[0])

    def _candidate(self, w: TiledLevel, reason: str = "") -> front.Candidate | None:
        """The local minimiser that Newton's method finds from the front of `w`; None where it fails."""
        start = self.fields.curves(w, 2.0 * self.data.tau**0.5) if w.lines else []
        if not start or None in start:
            return None
        now = curvefront.CurveFront(start, self.h)
        x, n = now.frame.points, self.data.eps * now.frame.normals / self.data.spacing
        reached = [self.tiling.numbers(self.data.f.folded(p)) for p in (x, x - n, x + n)]
        self.fields.known[0].need(np.concatenate(reached))
        now, iterations = curvefront.stable(self.data, now)
        if now is None:
            return None
        settled = front.settled(self.data, now)
        return front.Candidate(self.data.distance(now), now, None, iterations, settled, reason)

    def _doubtful(self) -> bool:
        """As `starts.doubtful`, on samples of f."""
        if self._parallel(starts.critical(self.data.eps, self.data.tau, 2)):
            return False
        m = max(1, int(self.data.eps / (2.5 * self.data.px)), -(-max(self.tiling.shape) // SAMPLES))
        axes = [np.unique([*range(0, n, m), n - 1]) for n in self.tiling.shape]  # the walls among them
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        samples = self.level.guide.at(points.reshape(-1, 2)).reshape(points.shape[:2])
        return starts.doubtful(samples, self.data.eps, self.data.tau, tuple(m * h for h in self.h))

    def _parallel(self, distances: Iterable[float]) -> bool:
        """Whether the points at these distances along the normals are that far from the front, on either side."""
        found = self.fields.curves(self.level)
        if None in found:
            return False
        frame = curvefront.CurveFront(found, self.h).frame
        for s in (sign * d for d in distances for sign in (1.0, -1.0)):
            ends = self.data.f.folded(frame.points + s * frame.normals / self.data.spacing)
            if np.abs(self.level.guide.at(ends) - s).max() > 0.1 * self.data.px:
                return False
        return True

    def _best(self, first: front.Candidate | None) -> front.Result:
        """As `front.step` where it is in doubt; other topologies are proposed on a lattice of at most COARSE a side."""
        m = max(1, int(self.data.eps / (2.5 * self.data.px)), -(-max(self.tiling.shape) // COARSE))
        means, wide = self._means(m), tuple(m * h for h in self.h)
        pulls = self._pulls()
        old = front.Candidate(self.fields.guide(self.level), gap=self.data.size)
        found = [] if first is None else [first]
        for propose in (starts.coarse, starts.predictor):
            w = propose(*means, self.data.eps, self.data.tau, wide)
            if starts.has_front(w):
                proposed = TiledLevel(tiles.Refined(w, m))
                self.fields.survey(proposed, proposed.data.near(self.tiling))
                if proposed.full is None:
                    found += filter(None, [self._candidate(proposed, "global")])
        better = any(c.settled and self._score(c, pulls) <= self._score(old, pulls) for c in found)
        if not better and self.fields.curves(self.level, 2.0 * self.data.tau**0.5):
            return self._dense()
        trivial = [front.Result(full, 0.0, False, 0, True, "full" if full else "empty") for full in (False, True)]
        pool = [*trivial, *found, old]
        scores = [self._score(c, pulls) for c in pool]
        while True:
            best = int(np.argmin(scores))
            c = pool[best]
            result = c if isinstance(c, front.Result) else c.result(self.data, self.tol)
            if result is not None:
                return result
            # not curves that one can trust, but a set all the same
            again = self.fields.redrawn(c.u, self._near(c.u, 3.0 * max(self.h)))
            pool[best] = front.Candidate(again, gap=self.data.px, reason=c.reason)
            scores[best] = self._score(pool[best], pulls)

    def _means(self, m: int) -> list[np.ndarray]:
        """Means of f and the densities over blocks of m x m cells."""
        fields = [self.level.data, *self.fields.densities]
        shape = tuple(-(-n // m) for n in self.tiling.shape)
        total = np.zeros((3, *shape))
        for i, j, part in self.fields.map(_tilework.block_sums, self.fields.all, fields, m).values():
            total[:, i : i + part.shape[1], j : j + part.shape[2]] += part
        counts = [np.minimum(m, n - m * np.arange(k)) for n, k in zip(self.tiling.shape, shape, strict=True)]
        return list(total / np.outer(*counts))

    def _pulls(self) -> np.ndarray:
        """Integrals of f rho over the tiles."""
        fields = [self.level.data, *self.fields.densities]
        return np.array(list(self.fields.map(_tilework.pull, self.fields.all, fields, self.h).values()))

    def _score(self, c: front.Candidate | front.Result, pulls: np.ndarray) -> float:
        """As `front._score`; tiles far from the front are known by `pulls`."""
        if isinstance(c, front.Result):
            return -float(pulls.sum()) / self.data.tau if c.u else 0.0
        if c.score is not None:
            return c.score
        close, inside = c.u.near(self.tiling, self.data.eps + 3.0 * max(self.h))
        rows = np.stack([0.0 * pulls, inside * pulls], 1)
        fields = [self.level.data, *self.fields.densities, c.u]
        near = self.fields.map(_tilework.energy, np.flatnonzero(close), fields, self.h, self.data.eps)
        rows[list(near)] = np.stack(list(near.values()))
        layers, pull = rows.sum(0)
        c.score = front.penalised(layers - pull / self.data.tau, layers, c)
        return c.score

    def _dense(self) -> front.Result:
        """The step on the box about the front in one task, where the method on curves fails."""
        x = self.level.guide.pieces[0][:, 0] / self.h
        pad = (self.data.eps + 3.0 * self.data.tau**0.5) / np.array(self.h) + 2 * tiles.MARGIN
        lo = np.maximum(np.floor(x.min(0) - pad), 0).astype(int)
        hi = np.minimum(np.ceil(x.max(0) + pad) + 1, self.tiling.shape).astype(int)
        if np.prod(hi - lo) > DENSE:
            raise RuntimeError(
                f"the front could not be followed as curves, and the box about it, {hi[0] - lo[0]} x {hi[1] - lo[1]} "
                f"cells, is too large to solve the step on the grid: take a smaller tau or a coarser grid"
            )
        corner, end = (tuple(int(a) for a in v) for v in (lo, hi))
        inner = tuple(slice(a, b) for a, b in zip(corner, end, strict=True))
        fields = (self.level.data, *self.fields.densities)
        slabs = [v[inner] if isinstance(v, da.Array) else dask.delayed(v, pure=False)(corner, end) for v in fields]
        task = dask.delayed(front.step, pure=False)(*slabs, self.data.eps, self.data.tau, self.h, tol=self.tol)
        (r,) = dask.compute(task)
        if np.isinf(r.u).all():
            r.u = bool(r.u.flat[0] > 0)
            return r
        crop = tiles.Crop(r.u, corner)
        r.u = self.fields.redrawn(crop, crop.near(self.tiling))
        return r
