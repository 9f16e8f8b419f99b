"""The limit flow D10 in the plane: front tracking, with a short level-set stage where a front meets the box edge.

Each component moves on its own. Disjoint pieces of front stay disjoint for smooth densities (the comparison principle:
where two come close, their equations differ by their curvatures alone, which part them), however thin the gap, so
nothing ever merges or pinches off. A closed curve can meet the box edge and open; a rough start can be beyond what the
markers resolve. Then finite differences carry the set through, and its front is traced anew. That stage, which also
joins pieces closer than a hundredth of a cell, is of first to second order in the spacing; the rest is spectrally
accurate in space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mcfpaper.solvers import fronts, levelset
from mcfpaper.solvers.fronts import SampledFront
from mcfpaper.solvers.fronttracking import Path, Spline, first_true, follow

TOUCH = 0.01  # pieces of front closer than this many cells count as one
STAGE = 4.0  # shortest level-set stage, over the square of the spacing: a new neck is then some cells wide
VANISH = 0.05  # radius in cells below which a component follows the round point's law


@dataclass(frozen=True)
class Resolution:
    """What the error estimate varies."""

    degree: int  # of the spline through u, which may have kinks away from its front
    smooth: int  # of the spline through log rho
    markers: float  # times the number that resolves a curve
    tolerance: float  # of the ODE solver, over the size of the box
    refine: int  # cells of a level-set stage per cell, along an axis


FINE = Resolution(degree=3, smooth=5, markers=1.5, tolerance=1e-9, refine=2)
COARSE = Resolution(degree=5, smooth=3, markers=1.0, tolerance=1e-7, refine=1)


class PlaneFlow:
    """Fronts at the given times: lists of `SampledFront`, or -inf (empty) or inf (full) once no front is left."""

    def __init__(self, u: np.ndarray, log_rho: np.ndarray, h: tuple[float, float], at: Resolution):
        self.u, self.h, self.at, self.shape = u, h, at, u.shape
        self.log_rho = Spline(log_rho, h, at.smooth)
        self.box = np.array([[-0.5 * s for s in h], [(n - 0.5) * s for n, s in zip(u.shape, h, strict=True)]])
        self.step = max(h) / at.refine  # of the level-set stages
        self.width = TOUCH * max(h)
        self.smallest = VANISH * max(h)
        self.last = _most(u)  # what is left when the last component is gone

    def run(self, times: np.ndarray) -> list[list[SampledFront] | float]:
        """Fronts at increasing `times` >= 0."""
        found: list = [None] * len(times)
        now, parts, stage = 0.0, fronts.trace(self.u, self.h, self.at.degree, self.at.markers), STAGE
        end = times[-1]
        while True:
            paths, stop = self._track(parts, now, end) if end > now else (None, now)
            for i in np.flatnonzero([f is None for f in found]):
                if paths is None and times[i] <= now:
                    found[i] = [fronts.front(*p, self._gap) for p in parts] or self.last
                elif paths is not None and times[i] <= stop:
                    found[i] = self._at(paths, times[i]) or self.last
            if all(f is not None for f in found):
                return found
            stage = 2 * stage if stop - now < stage * self.step**2 else STAGE  # stuck: a longer stage
            target = min(stop + stage * self.step**2, min(t for t in times if t > stop))
            parts, now = self._through(self._at(paths, stop), target - stop), target

    @property
    def _gap(self) -> float:
        return max(self.h) / 4

    def _track(self, parts: list, now: float, end: float) -> tuple[list[Path], float]:
        """Follow all components up to `end`, or to their first collision."""
        if not parts:
            return [], end
        slanted = any(basis.slanted for basis, _, _ in parts)
        if slanted or fronts.collided([fronts.front(*p, max(self.h)) for p in parts], self.box, self.width):
            return [Path.still(*p, now) for p in parts], now
        tolerance = self.at.tolerance * float((self.box[1] - self.box[0]).max())
        paths = []
        for basis, state, side in parts:

            def blocked(y, basis=basis, side=side):
                return fronts.collided([fronts.front(basis, y, side, max(self.h))], self.box, self.width)

            path = follow(basis, state, side, (now, end), self.log_rho, tolerance, self.smallest, blocked)
            paths.append(path)
            end = end if path.gone else min(end, path.end)
        if len(paths) > 1:
            ticks = np.unique(np.concatenate([p.steps for p in paths]))
            ticks = ticks[ticks <= end]
            good = now
            for t in ticks[:: max(1, len(ticks) // 300)]:
                if self._together(paths, t):
                    return paths, first_true(lambda t: self._together(paths, t), good, t)
                good = t
        return paths, end

    def _together(self, paths: list[Path], t: float) -> bool:
        alive = self._at(paths, t, max(self.h))
        return len(alive) > 1 and fronts.collided(alive, self.box, self.width)

    def _at(self, paths: list[Path], t: float, gap: float | None = None) -> list[SampledFront]:
        """Components at time t; one that is about to vanish shrinks as a circle does in its last moments."""
        found = []
        for p in paths:
            late = t - p.end
            f = fronts.front(p.basis, p.solution(min(t, p.end)), p.side, gap or self._gap)
            if late <= 0 or not p.gone:
                found.append(f)
            elif late < f.radius**2 / 2:
                shrink = np.sqrt(1 - 2 * late / f.radius**2)
                found.append(fronts.front(p.basis, p.solution(p.end), p.side, gap or self._gap, shrink))
            if not found or p is paths[-1]:
                inside = np.sum(f.bends * f.normals) < 0  # the set is on the hollow side: what vanishes is the set
                self.last = -np.inf if inside else np.inf
        return found

    def _through(self, alive: list[SampledFront], duration: float) -> list:
        """Level-set stage: components after `duration`, traced anew."""
        if not alive:
            return []
        k = self.at.refine
        h = tuple(s / k for s in self.h)
        axes = [((np.arange(n * k) + 0.5) / k - 0.5) * s for n, s in zip(self.shape, self.h, strict=True)]
        at = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        u = fronts.signed_distance(alive, axes)
        drift = self.log_rho.gradient(at).T.reshape(2, *u.shape)
        u = levelset.advance(u, drift, h, duration, renewed=False)
        self.last = _most(u)
        if (u > 0).all() or not (u > 0).any():
            return []
        shift = np.array([0.5 * (s - t) for s, t in zip(self.h, h, strict=True)])  # first cell of the finer grid
        return fronts.trace(u, h, 3, self.at.markers, origin=-shift)


def _most(u: np.ndarray) -> float:
    """What is left of a set but for a speck too small to be traced: nothing (-inf) or the box (inf)."""
    return np.inf if (u > 0).mean() > 0.5 else -np.inf
