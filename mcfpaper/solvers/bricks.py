"""The step in space on bricks: what is done for one brick of the grid, from windows of fields about it.

Bricks are tiles (`tiles.Tiling`) of SIDE cells a side, cut from the grid's first cell on whatever chunks it is stored
in, so that results do not depend on these. A window needs as many cells about a brick as distances reach (WIDTH) and
splines remember (FORGET: what lies beyond counts to 0.27^8 = 3e-5, and smooth fields are continued well). At the walls
fields are reflected, and a brick has WALL cells beyond them, as the padded box of a single block (`newton.StepData`).
"""

import numpy as np

from mcfpaper.kernels import distance
from mcfpaper.kernels.boolean_distance import boolean_distance
from mcfpaper.solvers import newton
from mcfpaper.solvers.force import Field

SIDE, FORGET, WALL = 64, 8, 6
KNOWN = 28.0  # cells: bricks with cells nearer to the front than this (or eps) are kept, others count as that far
LOST = 18.0  # cells: a front that moved farther than this from the old one has to be found otherwise


class Setup:
    """The parameters of a step, and how many cells about a brick it needs of each field."""

    def __init__(self, tiling, spacing, eps, tau, floor):
        self.tiling, self.spacing, self.eps, self.tau, self.floor = tiling, tuple(spacing), eps, tau, floor
        self.px = max(spacing)
        near, width = (int(np.ceil(k * self.px / min(spacing))) for k in (newton.BAND, newton.WIDTH))
        reach = int(np.ceil(eps / min(spacing))) + 1
        self.view = near + FORGET  # signed distances
        self.level = max(self.view + width + 2 + FORGET, near + 2 * reach + 2)  # level functions, to find these
        self.data, self.mass = near + FORGET, near + reach + FORGET  # f, the densities
        self.cut = width + 2 + FORGET

    def own(self, t):
        """First cell and the one after the last of a brick, with those beyond the walls."""
        lo, hi = (np.array(v) for v in self.tiling.box(t))
        return lo - WALL * (lo == 0), hi + WALL * (hi == np.array(self.tiling.shape))


class WindowData(newton.StepData):
    """`newton.StepData` on windows about a brick; coordinates are relative to the window of the signed distance."""

    def __init__(self, setup, t, f, rho0, rho1):
        self.spacing, self.px, self.shape = np.array(setup.spacing), setup.px, None
        self.eps, self.tau, self.floor = setup.eps, setup.tau, setup.floor
        self.f = Field(f, setup.spacing, corner=setup.view - setup.data)
        self.rho0, self.rho1 = (Field(v, setup.spacing, 0.0, setup.view - setup.mass) for v in (rho0, rho1))
        lo, hi = setup.own(t)
        self.margin, self.size = setup.view, hi - lo

    def inner(self, cells):
        """Of `cells`, those of the brick."""
        return cells[((cells >= self.margin) & (cells < self.margin + self.size)).all(1)]


def slices(lo, hi):
    """Slices from lo to hi."""
    return tuple(slice(int(a), int(b)) for a, b in zip(lo, hi, strict=True))


def window(tiling, pieces, lo, hi, fill=None):
    """Values from lo to before hi, evenly reflected at the walls, from the bricks there.

    `fill`: values, by number, of the bricks that `pieces` lacks.
    """
    first, last = np.maximum(lo, 0), np.minimum(hi, tiling.shape)
    out = np.empty(last - first)
    for t in tiling.meeting(first, last):
        a, b = (np.array(v) for v in tiling.box(t))
        start, stop = np.maximum(a, first), np.minimum(b, last)
        value = pieces[t][slices(start - a, stop - a)] if t in pieces else fill[t]
        out[slices(start - first, stop - first)] = value
    walls = list(zip(first - lo, hi - last, strict=True))
    return np.pad(out, walls, mode="symmetric") if np.any(walls) else out


def look(setup, t, fields, fills, fresh):
    """What a step needs to know at the front in a brick: the signed distance, and `newton.Band` without its front.

    `fields`: pieces of the level function, of f and of the densities.
    """
    lo, hi = setup.own(t)

    def about(number, margin):
        fill = fills[number] if number < len(fills) else None
        return window(setup.tiling, fields[number], lo - margin, hi + margin, fill)

    w = about(0, setup.level)
    if not (w > 0).any() or (w > 0).all():
        return None, None
    problem = WindowData(setup, t, about(1, setup.data), about(2, setup.mass), about(3, setup.mass))
    skip = setup.level - setup.view
    band = newton.Band(w, problem, fresh, tuple(slice(skip, n - skip) for n in w.shape))
    band.cells = band.cells + (lo - setup.view)
    lost = np.abs(problem.f(band.points)).max(initial=0.0) > LOST * setup.px
    d, band.front, band.points = band.front.w, None, None
    return d, (band, lost)


def cells(view):
    """The cells next to the front that were looked at."""
    return None if view[1] is None else view[1][0].cells


def move(setup, t, view, pieces, fill, moves, size):
    """The level function of the moved front in a brick, and what `summed` says of it.

    `moves`: cells about the brick and by how much the front next to them moves outward, pairs.
    """
    lo, hi = (np.array(b) for b in setup.tiling.box(t))
    reach = newton.reach(size, setup.px)
    if size < setup.px:
        if view[0] is None:
            return summed(pieces[t])
        corner = setup.own(t)[0] - setup.view
        w = view[0]
    else:
        corner = lo - FORGET
        w = window(setup.tiling, pieces, corner, hi + FORGET, fill)
    problem = _Cells(setup, lo - corner, hi - corner)
    front = newton.GridFront(w, problem, reach)
    margin = int(np.ceil(reach / min(setup.spacing))) + 4
    first, last = lo - margin, hi + margin
    eta = np.zeros(last - first)
    for at, v in moves:
        inside = ((at >= first) & (at < last)).all(1)
        eta[tuple((at[inside] - first).T)] = v[inside]
    return summed(front.moved(eta, size, corner - first)[slices(lo - corner, hi - corner)])


class _Cells:
    """The little that `newton.GridFront` asks of a problem."""

    def __init__(self, setup, lo, hi):
        self.spacing, self.px, self.lo, self.hi = np.array(setup.spacing), setup.px, lo, hi

    def inner(self, cells):
        return cells[((cells >= self.lo) & (cells < self.hi)).all(1)]


def summed(w):
    """A level function in a brick, and its least size and whether it has cells in- and outside."""
    return w, (float(np.abs(w).min()), bool((w > 0).any()), bool((w <= 0).any()))


def first(pair):
    """First of a pair."""
    return pair[0]


def second(pair):
    """Second of a pair."""
    return pair[1]


def read(values, spacing, core):
    """A brick of a level function as it was given, from a window."""
    if values.dtype == bool:
        width = FORGET * min(spacing)
        values = np.clip(boolean_distance(values, spacing), -width, width)
    return values[core].astype(float)


def surveyed(values):
    """What `summed` says of a brick; whether values are infinite, of which sign, or finite."""
    return summed(values)[1], [bool(f(values).any()) for f in (np.isposinf, np.isneginf, np.isfinite)]


def patches(setup, t, pieces, fill):
    """Curved patches (m, 13) of the front in a brick (`SplineFront.patches`), lengths from the grid's first cell."""
    lo, hi = (np.array(v) for v in setup.tiling.box(t))
    corner = np.maximum(lo - FORGET, 0)
    w = window(setup.tiling, pieces, corner, np.minimum(hi + FORGET, setup.tiling.shape), fill)
    if not (w > 0).any() or (w > 0).all():
        return np.empty((0, 13))
    out, h = distance.SplineFront(w, setup.spacing).patches(True), np.array(setup.spacing)
    cells = np.rint(out[:, :3] / h).astype(int) + corner
    cells = np.clip(cells, 0, np.array(setup.tiling.shape) - 1)
    out[:, :3] += corner * h
    return out[((cells >= lo) & (cells < hi)).all(1)]


def signed_distance(setup, t, pieces, fill, seeds):
    """Signed distance in a brick to the front of a level function; `seeds`: the patches of all of the front."""
    lo, hi = (np.array(v) for v in setup.tiling.box(t))
    corner, last = np.maximum(lo - setup.cut, 0), np.minimum(hi + setup.cut, setup.tiling.shape)
    w, part = window(setup.tiling, pieces, corner, last, fill), slices(lo - corner, hi - corner)
    inside = w > 0
    far = distance.patch_distances(seeds, lo, np.ascontiguousarray(inside[part]), setup.spacing)
    if inside.all() or not inside.any():
        return far
    width = newton.WIDTH * setup.px
    d = distance.redistance(w, setup.spacing, width, part=part)
    return np.where(np.abs(d) < width, d, far)


def far_distance(setup, t, inside, seeds):
    """Signed distance in a brick that the front does not meet."""
    lo, hi = setup.tiling.box(t)
    shape = tuple(b - a for a, b in zip(lo, hi, strict=True))
    if seeds is None:
        return np.full(shape, np.inf if inside else -np.inf)
    return distance.patch_distances(seeds, lo, np.full(shape, inside), setup.spacing)
