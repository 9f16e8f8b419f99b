"""Sets of plane curves as fronts: sampling, signed distance, collisions, and tracing them on a grid.

Lengths are physical; cell i of an axis sits at i h, and the box reaches half a cell further on either side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from mcfpaper.solvers.fronttracking import Closed, Open, Spline, radius

SLANT = 0.5  # a front at less than 30 degrees to the box edge is turned upright by a level-set stage first
MIRRORED = 6  # cells kept beyond the box edge after a level-set stage
SIZES = (32, 48, 64, 96, 128, 192, 256, 384)  # markers tried for a curve


@dataclass
class SampledFront:
    """Closely spaced points of one component, with unit tangents, curvature vectors and outward normals."""

    points: np.ndarray
    tangents: np.ndarray
    bends: np.ndarray
    normals: np.ndarray
    gap: float
    radius: float
    closed: bool


def front(basis: Closed | Open, state: np.ndarray, side: int, gap: float, shrink: float = 1.0) -> SampledFront:
    """Sample a component at most about `gap` apart; `shrink` scales it about its centre (its last moments)."""
    _, first, _ = basis.samples(state, 2 * basis.n + 1)
    length = np.hypot(*first.T).mean() * (2 * np.pi if basis.closed else 2)
    count = int(np.clip(16 * np.ceil(1.5 * length / gap / 16), 2 * basis.n, 20000))  # the same for many lengths
    x, first, second = basis.samples(state, count)
    size = np.hypot(*first.T)[:, None]
    tangents = first / size
    bends = (second - tangents * np.sum(tangents * second, axis=1, keepdims=True)) / size**2
    normals = side * np.stack([tangents[:, 1], -tangents[:, 0]], axis=1)
    centre = x.mean(axis=0)
    if not basis.closed:  # shrink towards the edges it stands on
        for axis, place in basis.ends:
            centre[axis] = place
    spacing = shrink * float(np.linalg.norm(np.diff(x, axis=0), axis=1).max())
    points, size = centre + shrink * (x - centre), shrink * radius(basis, state)
    return SampledFront(points, tangents, bends / shrink, normals, spacing, size, basis.closed)


def distance(fronts: list[SampledFront], at: np.ndarray) -> np.ndarray:
    """Distance of the points `at` (m, 2) to the fronts (at least one), positive where the nearest normal says inside.

    That sign can be trusted near smooth fronts only.
    """
    x = np.concatenate([f.points for f in fronts])
    tangents = np.concatenate([f.tangents for f in fronts])
    bends = np.concatenate([f.bends for f in fronts])
    normals = np.concatenate([f.normals for f in fronts])
    near = cKDTree(x).query(at)[1]
    away, t, k = at - x[near], tangents[near], bends[near]
    gap = max(f.gap for f in fronts)
    s = np.clip(np.sum(away * t, axis=1), -gap, gap)
    for _ in range(4):  # foot on the parabola through the sample: its error is of third order in the spacing
        r = away - t * s[:, None] - k * (s**2 / 2)[:, None]
        slope = t + k * s[:, None]
        curve = np.maximum(np.sum(slope * slope - r * k, axis=1), 0.1)
        s = np.clip(s + np.sum(r * slope, axis=1) / curve, -gap, gap)
    r = away - t * s[:, None] - k * (s**2 / 2)[:, None]
    inward = np.sum(r * normals[near], axis=1) < 0
    return np.where(inward, 1.0, -1.0) * np.linalg.norm(r, axis=1)


def signed_distance(fronts: list[SampledFront], axes: list[np.ndarray]) -> np.ndarray:
    """Signed distance on the grid with the given axes, positive inside.

    Away from the front the sign is the parity of the crossings on a path through the grid, which a badly resolved
    component elsewhere cannot spoil.
    """
    at = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    d = distance(fronts, at).reshape(axes[0].size, axes[1].size)
    odd = np.zeros(d.shape, bool)
    for f in fronts:
        odd ^= _crossings(f, axes)
    near = np.abs(d) < 0.5 * max(f.gap for f in fronts)
    agree = np.where(odd, -1, 1) * np.sign(d) * np.exp(-np.abs(d) / np.abs(d).min().clip(axes[0][1] - axes[0][0]))
    inside = odd == (agree.sum() < 0)
    return np.where(near, d, np.where(inside, 1, -1) * np.abs(d))


def _crossings(f: SampledFront, axes: list[np.ndarray]) -> np.ndarray:
    """Parity of the crossings of one component: down the first column, then along the row of each cell."""
    a = f.points
    b = np.roll(a, -1, axis=0) if f.closed else a[1:]
    a = a[: len(b)]
    x, y = axes
    down = np.zeros((x.size, y.size), int)

    def crossings(lines, along, i):  # on the lines {coordinate i = lines}, in index units of `along`
        p, q = np.searchsorted(lines, a[:, i]), np.searchsorted(lines, b[:, i])
        k = np.flatnonzero(p != q)  # the samples lie closer than the lines: at most one line a segment
        line = np.minimum(p, q)[k]
        share = (lines[line] - a[k, i]) / (b[k, i] - a[k, i])
        place = a[k, 1 - i] + share * (b[k, 1 - i] - a[k, 1 - i])
        return line, np.searchsorted(along, place)

    row, column = crossings(x, y, 0)
    keep = (column > 0) & (column < y.size)
    np.add.at(down, (row[keep], column[keep]), 1)
    along = np.cumsum(down, axis=1)
    _, place = crossings(y[:1], x, 1)
    first = np.bincount(place, minlength=x.size + 1)[: x.size]
    first[0] = 0
    return (along + np.cumsum(first)[:, None]) % 2 == 1


def apart(a: list[SampledFront], b: list[SampledFront]) -> float:
    """How far two fronts are from each other: Hausdorff, where a component may also be matched by its own vanishing."""

    def reach(one: list[SampledFront], other: list[SampledFront]) -> float:
        far = 0.0
        for f in one:
            d = np.abs(distance(other, f.points)).max() if other else np.inf
            far = max(far, min(d, 2 * f.radius))
        return far

    return float(max(reach(a, b), reach(b, a)))


def collided(fronts: list[SampledFront], box: np.ndarray, width: float) -> bool:
    """Whether two opposite pieces of front are closer than `width`, or have left the box (rows: lower, upper)."""
    x = np.concatenate([f.points for f in fronts])
    slack = 1e-7 * (box[1] - box[0])
    if (x < box[0] - slack).any() or (x > box[1] + slack).any():
        return True
    tangents, bends, normals = (
        np.concatenate([getattr(f, name) for f in fronts]) for name in ("tangents", "bends", "normals")
    )
    sizes = np.concatenate([np.full(len(f.points), f.radius) for f in fronts])
    gap = max(f.gap for f in fronts)
    pairs = cKDTree(x).query_pairs(np.hypot(width, gap), output_type="ndarray")
    i, j = pairs.T
    facing = (np.sum(normals[i] * normals[j], axis=1) < -0.5) & (np.maximum(sizes[i], sizes[j]) > 2 * width)
    i, j = i[facing], j[facing]
    s = np.sum((x[i] - x[j]) * tangents[j], axis=1, keepdims=True)
    between = np.linalg.norm(x[i] - x[j] - tangents[j] * s - bends[j] * s**2 / 2, axis=1)
    return bool((between < width).any())


def trace(u: np.ndarray, h: tuple[float, float], degree: int, more: float, origin: np.ndarray | None = None) -> list:
    """Components of {u = 0} as (basis, state, side), with `more` times the markers that resolve each curve.

    `origin` is where the first cell sits, by default 0. With it u is the result of a level-set stage, which meets the
    box edge at a right angle: it is mirrored there.
    """
    if origin is not None:
        u = np.pad(u, MIRRORED, mode="symmetric")
    sharp = u.dtype == bool
    start = np.zeros(2) if origin is None else origin
    first = start if origin is None else start - MIRRORED * np.array(h)
    field = Spline(np.where(u, 0.5, -0.5) if sharp else u, h, 1 if sharp else degree, first)
    u = u if origin is None else u[MIRRORED:-MIRRORED, MIRRORED:-MIRRORED]
    axes = [a + np.r_[-0.5, np.arange(n), n - 0.5] * step for n, step, a in zip(u.shape, h, start, strict=True)]
    box = np.array([[a[0] for a in axes], [a[-1] for a in axes]])
    mesh = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    values = np.pad(np.where(u, 0.5, -0.5) if sharp else u, 1, mode="edge")
    if not sharp:  # up to the box edge, half a cell; where that would change the sign it is not trusted
        beyond = field(mesh)
        values = np.where((beyond > 0) == (values > 0), beyond, values)
    lines = contour_generator(x=axes[1], y=axes[0], z=values).lines(0.0)
    lines = [np.asarray(line)[:, ::-1] for line in lines]
    return [_fit(line, field, box, max(h), more, sharp) for line in lines if _length(line) > 1e-6 * max(h)]


def _length(line: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def _fit(line: np.ndarray, field: Spline, box: np.ndarray, h: float, more: float, sharp: bool) -> tuple:
    closed = bool(np.allclose(line[0], line[-1], atol=1e-12))
    keep = np.r_[True, np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-3 * h]
    keep[-1] = True
    line = line[keep]
    if closed:
        line[-1] = line[0]
    if not sharp:
        line = _onto(line, field, box, h, closed)
    curve = _even(line, closed)
    fine = curve(np.linspace(0, 1, 1024, endpoint=not closed))
    fine = fine if sharp else _onto(fine, field, box, h, closed)
    n = round(_enough(fine, closed, h) * more / 2) * 2
    basis = Closed(n) if closed else Open(n, tuple(_edge(p, box) for p in (line[0], line[-1])))
    if closed:
        points = curve(basis.alpha())
        points = points if sharp else _onto(points, field, box, h, closed)
    else:  # markers crowd at the ends: no Newton step there, which could change their order
        points = _even(fine, closed)(basis.alpha())
    tangent = np.gradient(points, axis=0)
    left = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    if not closed:  # the last half cell at either end, against the edge
        last = int(np.clip(0.5 * h / _length(fine) * len(fine), 1, len(fine) - 1))
        arrive = np.stack([fine[last] - fine[0], fine[-1] - fine[-1 - last]])
        share = [abs(v[axis]) / np.linalg.norm(v) for v, (axis, _) in zip(arrive, basis.ends, strict=True)]
        basis.slanted = min(share) < SLANT
    votes = np.sign(np.sum(field.gradient(points) * left, axis=1)).sum()
    return basis, basis.state(points), 1 if votes > 0 else -1


def _onto(points: np.ndarray, field: Spline, box: np.ndarray, h: float, closed: bool) -> np.ndarray:
    """Move points to the zero set of the field along its gradient, by less than a cell; ends stay on their edges."""
    moved = points.copy()
    for _ in range(6):
        g = field.gradient(moved)
        if not closed:
            for k in (0, -1):
                g[k, _edge(points[k], box)[0]] = 0.0
        square = np.maximum(np.sum(g * g, axis=1), 1e-300)
        step = -field(moved)[:, None] * g / square[:, None]
        size = np.linalg.norm(step, axis=1, keepdims=True)
        moved += step * np.minimum(1.0, 0.3 * h / np.maximum(size, 1e-300))
    moved = np.clip(moved, box[0], box[1])
    lost = np.linalg.norm(moved - points, axis=1) > h  # a kink, not a root: keep the point of the contour
    moved[lost] = points[lost]
    if closed and np.array_equal(points[0], points[-1]):
        moved[-1] = moved[0]
    return moved


def _even(line: np.ndarray, closed: bool):
    """Curve through the points as a function of its arc length, as a fraction of the whole."""
    bc = "periodic" if closed else "not-a-knot"
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    keep = np.r_[True, steps > 1e-9 * steps.sum()]
    line, t = line[keep], np.r_[0.0, np.cumsum(steps[keep[1:]])]
    if closed:
        line[-1] = line[0]
    if len(line) < 4 and not closed:
        return lambda a: np.stack([np.interp(a * t[-1], t, c) for c in line.T], axis=-1)
    spline = CubicSpline(t, line, bc_type=bc)
    dense = np.linspace(0, t[-1], 40 * len(t))
    s = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(spline(dense), axis=0), axis=1))]
    return lambda a: spline(np.interp(a * s[-1], s, dense))


def _enough(fine: np.ndarray, closed: bool, h: float) -> int:
    """Least number of markers that leaves 1e-6 of the curve unresolved, as far as the grid can tell."""
    whole = fine if closed else np.concatenate([fine, fine[-2:0:-1]])
    c = np.abs(np.fft.fft(whole[:, 0] + 1j * whole[:, 1]))[: len(whole)]
    k = np.abs(np.fft.fftfreq(len(whole), 1 / len(whole)))
    scale = np.ptp(fine, axis=0).max() * len(whole)
    limit = max(2 * _length(fine) / h, SIZES[0])
    if closed:
        fits = [n for n in SIZES if c[k >= n / 2].sum() < 1e-6 * scale or n >= limit]
        return fits[0] if fits else SIZES[-1]
    # the even continuation has kinks, so its spectrum says little; Chebyshev points are dense at the ends
    return int(np.clip(24 * np.ceil(_turning(fine)), 40, np.clip(limit, 40, 160)))


def _turning(line: np.ndarray) -> float:
    steps = np.diff(line[::8], axis=0)
    angle = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    return float(np.abs(np.diff(angle)).sum())


def _edge(point: np.ndarray, box: np.ndarray) -> tuple[int, float]:
    """The box edge nearest to a point, as (axis, coordinate)."""
    gaps = np.abs(point - box)
    end, axis = np.unravel_index(np.argmin(gaps), gaps.shape)
    return int(axis), float(box[end, axis])
