"""What blocks do for the tiles of a chunked problem: functions of the tile's number and windows of fields about it."""

import hashlib
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from mcfpaper.kernels import quadrature, spline
from mcfpaper.kernels.boolean_distance import boolean_distance
from mcfpaper.solvers import front, tiles


def on_tiles(function: Callable, tiling: tiles.Tiling, numbers: list, corner: tuple, args: tuple, *fields: object):
    """Apply a function to the windows of tiles; `fields` are functions on windows or arrays that begin at `corner`."""
    out = {}
    for t in numbers:
        lo, hi = tiling.box(t, tiles.MARGIN)
        inner = tuple(slice(a - c, b - c) for a, b, c in zip(lo, hi, corner, strict=True))
        out[t] = function(tiling, t, [f(lo, hi) if callable(f) else f[inner] for f in fields], *args)
    return out


def _values(u: np.ndarray, spacing: tuple) -> np.ndarray:
    """A level function from a window of what was given."""
    if u.dtype == bool:
        width = tiles.MARGIN * min(spacing)
        return np.clip(boolean_distance(u, spacing), -width, width)
    return u.astype(float)


def survey(tiling, t, windows, spacing):
    """What values there are in a tile, as "-inf", "outside", "inside" and "inf"; pieces of front and the spline."""
    u = _values(windows[0], spacing)
    inside, infinite = u > 0, np.isinf(u)
    kinds = {"inf": infinite & inside, "-inf": infinite & ~inside, "inside": inside & ~infinite}
    found = {name for name, where in (kinds | {"outside": ~(infinite | inside)}).items() if where.any()}
    if found != {"inside", "outside"}:
        return found, [], None
    return found, tiles.lines(tiling, t, u), tiles.coefficients(tiling, t, u)


def coefficients(tiling, t, windows, spacing):
    """Splines of the fields on a tile."""
    return [tiles.coefficients(tiling, t, _values(w, spacing)) for w in windows]


def masses(tiling, t, windows, spacing):
    """Integrals of the densities over a tile and the largest value of their sum."""
    part, cell = tiling.part(t), float(np.prod(spacing))
    boxes = []
    for w in windows:
        cells = quadrature.cell_integrals(spline.prefilter(w), (1,) * (3 - w.ndim) + w.shape)
        boxes.append(cells.reshape(cells.shape[3 - w.ndim :])[part].sum() * cell)
    return np.array([*boxes, (windows[0] + windows[1]).max()])


def measure(tiling, t, windows, spacing, eps):
    """Perimeter, volume, the masses that make up the risks, and the two that make up the dissipation, of a tile."""
    u, rho0, rho1, *before = windows
    part, rho = tiling.part(t), rho0 + rho1

    def mass(level, *weights):
        inside = level > 0
        if not inside.any():
            return [0.0] * len(weights)
        return quadrature.volume_integrals(np.ones_like(u) if inside.all() else level, spacing, weights, part)

    length = 0.0
    if (u > 0).any() and not (u > 0).all():
        points, weights = quadrature.surface_rule(u, spacing, part)
        length = float((weights * spline.evaluate(spline.prefilter(rho), points)).sum())
    risks = [*mass(u, None, rho0), *mass(-u, rho1), *mass(u + eps, rho0), *mass(eps - u, rho1)]
    moved = [mass(v, before[0] * rho)[0] for v in (before[0], u)] if before else [0.0, 0.0]
    return np.array([length, *risks, *moved])


def energies(tiling, t, windows, spacing, eps, tau):
    """Energy and nonlocal perimeter (`front.energy`) of several fronts in a tile."""
    f, rho0, rho1, *levels = windows
    only = np.zeros(f.shape)
    only[tiling.core(t)] = 1.0
    problem = SimpleNamespace(data=(f, rho0 * only, rho1 * only), eps=eps, tau=tau, spacing=spacing)
    return np.array([front.energy(u, problem) for u in levels])


def block_sums(tiling, t, windows, m):
    """Sums over blocks of m x m cells of the part in a tile, and the first of these blocks."""
    lo, hi = tiling.box(t)
    rows, columns = (np.arange(a, b) // m for a, b in zip(lo, hi, strict=True))
    number = (rows - rows[0])[:, None] * (columns[-1] - columns[0] + 1) + (columns - columns[0])
    shape = (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1)
    v = [np.bincount(number.ravel(), w[tiling.core(t)].ravel(), shape[0] * shape[1]).reshape(shape) for w in windows]
    return rows[0], columns[0], np.stack(v)


def fingerprint(tiling, t, windows):
    """Hash of the values in a tile."""
    digest = hashlib.sha256()
    for w in windows:
        digest.update(np.ascontiguousarray(w[tiling.core(t)]).tobytes())
    return digest.digest()


def block(field, block_info=None):
    """The values of a level function on a block of the grid."""
    where = block_info[None]["array-location"]
    return field(tuple(a for a, _ in where), tuple(b for _, b in where))


def constant(lo, hi, full):
    """The level function of the full or the empty set on a window."""
    return np.full([b - a for a, b in zip(lo, hi, strict=True)], np.inf if full else -np.inf)
