"""Steps on dask-backed fields in the plane: blocks do what needs the grid, the caller's process what needs the front.

The unknown of a step is the front, one dimension less than the grid. The blocks that it passes report pieces of it and
splines of the data near it (`tiles`), Newton's method and its certificate run on the curves as they do for a single
block, and the new signed distance is a lazy array made from the curves, block by block, where and when it is wanted.
Nothing is summed or cut along chunk borders, so that results do not depend on the chunks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from functools import partial

import dask
import dask.array as da
import numpy as np
import xarray as xr

from mcfpaper import _checks, _tilework
from mcfpaper._problem import Problem
from mcfpaper.solvers import curves, front, newton, tiles

COARSE = 160  # blocks a side of the lattice on which a minimum cut proposes another topology, at most
SAMPLES = 1024  # samples a side of f that tell whether its level sets change their topology, at most
DENSE = 8e6  # cells of the box about a front in trouble that one task solves as a whole, at most
FIGURES = ("perimeter", "volume", "hit0", "missed1", "outer0", "inner1", "was", "is")


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


class TileProblem(newton.Problem):
    """The data of a step as `newton.Problem` has them, on tiles."""

    def __init__(self, f, rho0, rho1, eps, tau, spacing, floor):
        self.spacing, self.px, self.pad = np.asarray(spacing, float), float(max(spacing)), 0
        self.eps, self.tau, self.shape, self.floor = eps, tau, f.tiling.shape, floor
        self.size = float(np.sqrt((np.array(self.shape) ** 2 * self.spacing**2).sum()))
        self.f, self.rho0, self.rho1 = (TileField(v, spacing, low) for v, low in ((f, None), (rho0, 0.0), (rho1, 0.0)))

    def distance(self, front):
        """Signed distance to a front of curves, as a function on windows."""
        return tiles.CurveField(front.pieces(), self.shape, self.spacing)


class Level:
    """A level function, a dask array or a function on windows, and its front.

    `guide`: the signed distance to its front (`tiles.CurveField`); None where `full` says that there is no front.
    """

    def __init__(self, data, guide=None):
        self.data, self.guide = data, guide
        self.full: bool | None = None
        self.known: tiles.Tiles | None = None
        self.lines: list = []


class ChunkedProblem(Problem):
    """A problem in the plane for the smooth method whose fields stay where they are; see `Problem`."""

    def _load(self, u: xr.DataArray, rho: xr.Dataset) -> None:
        lazy = next(v for v in (u, rho["rho0"], rho["rho1"]) if _checks.is_lazy(v))
        self.chunks = lazy.chunks
        layout = dict(zip(u.dims, self.chunks, strict=True))
        self.u = u if _checks.is_lazy(u) else u.chunk(layout)
        self.rho = rho.map(lambda v: v if _checks.is_lazy(v) else v.chunk(layout))
        self.densities = [self.rho[v].data for v in ("rho0", "rho1")]
        self.tiling = tiles.Tiling(u.shape)
        self.levels: dict[str, Level] = {}
        self.initial = Level(self.u.data)
        self._survey(self.initial, range(self.tiling.size))
        masses = self._map(_tilework.masses, range(self.tiling.size), self.densities, self.h)
        self.masses = np.array(list(masses.values()))
        if self.masses[:, 2].max() <= 0:
            raise ValueError("densities must not vanish everywhere: rho0 + rho1 is 0")
        self.known = [tiles.Tiles(self.tiling, self._fetch_densities) for _ in self.densities]

    def digest(self) -> str:
        """Digest of the input of a run, whatever its chunks."""
        digest = hashlib.sha256(json.dumps(self.parameters, sort_keys=True, default=str).encode())
        for d in self.u.dims:
            digest.update(np.ascontiguousarray(self.u[d].values, float).tobytes())
        found = self._map(_tilework.fingerprint, range(self.tiling.size), [self.u.data, *self.densities])
        digest.update(b"".join(found.values()))
        return digest.hexdigest()[:32]

    def _map(self, function: Callable, numbers: Iterable[int], fields: list, *args: object) -> dict:
        """Results of a function of tiles (`_tilework`), by their numbers; one task for the tiles of a block."""
        groups: dict[tuple, list] = {}
        edges = [np.cumsum(c) for c in self.chunks]
        for t in sorted(int(t) for t in numbers):
            first = self.tiling.box(t)[0]
            block = tuple(int(np.searchsorted(e, a, "right")) for e, a in zip(edges, first, strict=True))
            groups.setdefault(block, []).append(t)
        fields = [f if isinstance(f, da.Array) else dask.delayed(f, pure=False) for f in fields]
        tasks = []
        for group in groups.values():
            boxes = np.array([self.tiling.box(t, tiles.MARGIN) for t in group])
            lo, hi = boxes[:, 0].min(0), boxes[:, 1].max(0)
            slabs = [f[lo[0] : hi[0], lo[1] : hi[1]] if isinstance(f, da.Array) else f for f in fields]
            corner = tuple(int(a) for a in lo)
            tasks.append(
                dask.delayed(_tilework.on_tiles, pure=False)(function, self.tiling, group, corner, args, *slabs)
            )
        found = {t: value for part in dask.compute(*tasks) for t, value in part.items()}
        return {t: found[t] for t in sorted(found)}

    def _fetch_densities(self, numbers: list[int]) -> list[dict]:
        found = self._map(_tilework.coefficients, numbers, self.densities, self.h)
        for k, known in enumerate(self.known):
            known.add({t: c[k] for t, c in found.items()})

    def _survey(self, level: Level, numbers: Iterable[int]) -> None:
        """Find the front of a level function, which lies in the given tiles."""

        def fetch(numbers: list[int]) -> None:
            found = self._map(_tilework.coefficients, numbers, [level.data], self.h)
            level.known.add({t: c[0] for t, c in found.items()})

        found = self._map(_tilework.survey, numbers, [level.data], self.h)
        level.known = tiles.Tiles(self.tiling, fetch)
        level.known.add({t: c for t, (_, _, c) in found.items() if c is not None})
        kinds = set().union(*(v[0] for v in found.values()))
        if kinds & {"inf", "-inf"} and len(kinds) > 1:
            raise ValueError(
                f"u must be finite everywhere, or infinite of one sign, got values of several kinds: {kinds}"
            )
        if len(kinds) == 1:
            level.full = kinds <= {"inf", "inside"}
        level.lines = tiles.joined([line for v in found.values() for line in v[1]], self.tiling.shape)

    def _curves(self, level: Level, negligible: float = 0.0) -> list[curves.Curve]:
        slopes = partial(level.known.slopes, spacing=np.array(self.h))
        return tiles.fitted(level.lines or [], slopes, self.tiling.shape, self.h, negligible)

    def _distance(self, lines: list[curves.Curve]) -> tiles.CurveField:
        return tiles.CurveField(curves.Front(lines, self.h).pieces(), self.tiling.shape, self.h)

    def _level(self, u: xr.DataArray) -> Level:
        """What is known of a field of a state; one that was read from a store is looked through."""
        if u.data.name not in self.levels:
            level = Level(u.data)
            self._survey(level, range(self.tiling.size))
            if level.lines is None:
                raise RuntimeError("u has a front whose pieces do not join to curves")
            level.guide = None if level.full is not None else self._distance(self._curves(level))
            self._remember(u.data.name, level)
        level = self.levels[u.data.name]
        if level.full is None and level.known is None:
            self._survey(level, np.flatnonzero(level.guide.near(self.tiling, 3.0 * max(self.h))[0]))
        return level

    def _remember(self, name: str, level: Level) -> None:
        self.levels[name] = level
        for old in list(self.levels)[:-3]:
            del self.levels[old]

    def _lazy(self, field: tiles.CurveField | bool) -> xr.DataArray:
        """The signed distance as a lazy field; -inf or inf where a truth value says that the set is empty or full."""
        if isinstance(field, bool):
            level = Level(partial(_tilework.constant, full=field))
            level.full = field
        else:
            level = Level(field, field)
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
        return self._lazy(self._distance(self._curves(level)))

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

    def _solve(self, level: Level) -> front.Result:
        """As `front.step`; `u` of the result is the signed distance as a function on windows, or False, True."""
        for known in self.known:
            known.keep(np.flatnonzero(level.guide.near(self.tiling, self.eps + tiles.TILE * max(self.h))[0]))
        floor = 1e-12 * self.masses[:, 2].max() + 1e-300
        data = TileProblem(level.known, *self.known, self.eps, self.tau, self.h, floor)
        first = self._candidate(level, data)
        if first is not None and first.settled and not self._doubtful(level, data):
            result = first.result(data, self.tol)
            if result is not None and result.converged and result.certified:
                return result
        return self._best(first, level, data)

    def _candidate(self, w: Level, data: TileProblem, reason: str = "") -> front.Candidate | None:
        """The local minimiser that Newton's method finds from the front of `w`; None where it fails."""
        start = self._curves(w, 2.0 * self.tau**0.5)
        if w.lines is None or not start or tiles.short(start):
            return None
        now = curves.Front(start, self.h)
        x, n = now.frame.points, self.eps * now.frame.normals / data.spacing
        reached = [self.tiling.numbers(data.f.folded(p)) for p in (x, x - n, x + n)]
        self.known[0].need(np.concatenate(reached))
        now, iterations = curves.newton(data, now)
        if now is None:
            return None
        found = {"u": data.distance(now), "curves": now, "iterations": iterations, "reason": reason}
        return front.Candidate(settled=now.rest < front.ROUGH * data.px, **found)

    def _doubtful(self, level: Level, data: TileProblem) -> bool:
        """As `front._doubtful`, on samples of f; no doubt if the parallel curves are all at their distance."""
        frame = curves.Front(self._curves(level), self.h).frame
        for s in (max(1.6 * self.tau**0.5, self.eps), 2.4 * self.tau**0.5):
            for sign in (s, -s):
                ends = data.f.folded(frame.points + sign * frame.normals / data.spacing)
                if np.abs(level.guide.at(ends) - sign).max() > 0.1 * data.px:
                    break
            else:
                continue
            break
        else:
            return False
        m = max(1, int(self.eps / (2.5 * data.px)), -(-max(self.tiling.shape) // SAMPLES))
        points = np.stack(np.meshgrid(*(np.arange(0, n, m) for n in self.tiling.shape), indexing="ij"), -1)
        samples = level.guide.at(points.reshape(-1, 2)).reshape(points.shape[:2])
        return front._doubtful(samples, self.eps, self.tau, tuple(m * h for h in self.h))

    def _best(self, first: front.Candidate | None, level: Level, data: TileProblem) -> front.Result:
        """As `front._best`, other topologies proposed on a lattice of at most COARSE blocks a side."""
        m = max(1, int(self.eps / (2.5 * data.px)), -(-max(self.tiling.shape) // COARSE))
        means, wide = self._means(level, m), tuple(m * h for h in self.h)
        candidates = [first]
        for propose in (front._coarse, front._predictor):
            w = propose(*means, self.eps, self.tau, wide)
            if (w > 0).any() and (w <= 0).any():
                proposed = Level(tiles.Refined(w, m))
                self._survey(proposed, proposed.data.near(self.tiling))
                if proposed.full is None:
                    candidates.append(self._candidate(proposed, data, "global"))
            candidates = [c for c in candidates if c is not None]
            if any(c.settled for c in candidates):
                break
        else:
            if self._curves(level, 2.0 * self.tau**0.5):
                return self._dense(level)
        candidates += [front.Result(full, 0.0, False, 0, True, "full" if full else "empty") for full in (False, True)]
        scores = []
        for c, (energy, perimeter) in zip(candidates, self._energies(level, candidates), strict=True):
            doubt = 0.0 if isinstance(c, front.Result) or c.settled else 1e-2
            scores.append(energy + perimeter * (doubt + (1e-4 if c.reason == "global" else 0.0)))
        for best in np.argsort(scores, kind="stable"):
            c = candidates[best]
            result = c if isinstance(c, front.Result) else c.result(data, self.tol)
            if result is not None:
                return result
        raise AssertionError("unreachable: the empty set is always a result")

    def _means(self, level: Level, m: int) -> list[np.ndarray]:
        """Means of f and the densities over blocks of m x m cells."""
        fields = [level.data, *self.densities]
        shape = tuple(-(-n // m) for n in self.tiling.shape)
        total = np.zeros((3, *shape))
        for i, j, part in self._map(_tilework.block_sums, range(self.tiling.size), fields, m).values():
            total[:, i : i + part.shape[1], j : j + part.shape[2]] += part
        counts = [np.minimum(m, n - m * np.arange(k)) for n, k in zip(self.tiling.shape, shape, strict=True)]
        return list(total / np.outer(*counts))

    def _energies(self, level: Level, candidates: list) -> np.ndarray:
        """Energies and nonlocal perimeters (k, 2)."""
        levels = [partial(_tilework.constant, full=r.u) if isinstance(r.u, bool) else r.u for r in candidates]
        fields = [level.data, *self.densities, *levels]
        found = self._map(_tilework.energies, range(self.tiling.size), fields, self.h, self.eps, self.tau)
        return np.sum(list(found.values()), axis=0)

    def _dense(self, level: Level) -> front.Result:
        """The step on the box about the front in one task, where the method on curves fails."""
        x = level.guide.pieces[0][:, 0] / self.h
        pad = (self.eps + 3.0 * self.tau**0.5) / np.array(self.h) + 2 * tiles.MARGIN
        lo = np.maximum(np.floor(x.min(0) - pad), 0).astype(int)
        hi = np.minimum(np.ceil(x.max(0) + pad) + 1, self.tiling.shape).astype(int)
        if np.prod(hi - lo) > DENSE:
            raise RuntimeError(
                f"the front could not be followed as curves, and the box about it, {hi[0] - lo[0]} x {hi[1] - lo[1]} "
                f"cells, is too large to solve the step on the grid: take a smaller tau or a coarser grid"
            )
        corner, end = (tuple(int(a) for a in v) for v in (lo, hi))
        inner = tuple(slice(a, b) for a, b in zip(corner, end, strict=True))
        fields = (level.data, *self.densities)
        slabs = [v[inner] if isinstance(v, da.Array) else dask.delayed(v, pure=False)(corner, end) for v in fields]
        task = dask.delayed(front.step, pure=False)(*slabs, self.eps, self.tau, self.h, tol=self.tol)
        (r,) = dask.compute(task)
        if np.isinf(r.u).all():
            r.u = bool(r.u.flat[0] > 0)
            return r
        crop = Level(tiles.Crop(r.u, corner))
        self._survey(crop, crop.data.near(self.tiling))
        r.u = self._distance(self._curves(crop))
        return r

    def vanished(self, before: xr.DataArray, after: xr.DataArray) -> str:
        """As `Problem.vanished`."""
        full = self._level(after).full
        if full is None or self._level(before).full is not None:
            return ""
        return self._wiped_out(full)

    def _measure_subcell(self, u: xr.DataArray, before: xr.DataArray | None) -> dict[str, float]:
        now, was = self._level(u), None if before is None else self._level(before)
        total = dict.fromkeys(FIGURES, 0.0)
        active, inside = self._near(now, self.eps + 3.0 * max(self.h))
        fields = [now.data, *self.densities]
        if was is not None and was.full is None:
            close, was_inside = self._near(was, 3.0 * max(self.h))
            active |= close | (was_inside != inside)
            fields.append(was.data)
        cells = self.tiling.cells() * float(np.prod(self.h))
        near = self._map(_tilework.measure, np.flatnonzero(active), fields, self.h, self.eps)
        far = np.stack([0 * cells, inside * cells, inside * self.masses[:, 0], ~inside * self.masses[:, 1]], 1)
        rows = np.zeros((self.tiling.size, len(FIGURES)))
        rows[:, :4], rows[:, 4:6] = far, far[:, 2:4]
        if near:
            rows[list(near)] = np.stack(list(near.values()))
        total = dict(zip(FIGURES, rows.sum(0).tolist(), strict=True))
        risk, adversarial = total["hit0"] + total["missed1"], total["outer0"] + total["inner1"]
        return {
            "perimeter": total["perimeter"],
            "nonlocal_perimeter": (adversarial - risk) / self.eps,
            "volume": total["volume"],
            "risk": risk,
            "adversarial_risk": adversarial,
            "dissipation": (total["was"] - total["is"]) / self.tau,
        }

    def _near(self, level: Level, width: float) -> tuple[np.ndarray, np.ndarray]:
        """Which tiles are within `width` of the front, and which of the others are inside."""
        if level.full is not None:
            return np.zeros(self.tiling.size, bool), np.full(self.tiling.size, level.full)
        return level.guide.near(self.tiling, width)
