"""What blocks do for the tiles of a chunked problem: functions of the tile's number and windows of fields about it."""

import hashlib
from collections.abc import Callable

import numpy as np

from mcfpaper.kernels import quadrature
from mcfpaper.kernels.boolean_distance import boolean_distance
from mcfpaper.solvers import energies, tiles


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
    """Masses of the classes in a tile and the largest value of the sum of their densities."""
    return np.array([*_whole(tiling, t, windows, spacing), (windows[0] + windows[1]).max()])


def _whole(tiling, t, weights, spacing):
    """Integrals over a tile."""
    return quadrature.integrals(np.ones_like(weights[0]), spacing, weights, tiling.part(t))


def measure(tiling, t, windows, spacing, eps):
    """Shares of a tile in the figures of a set, see `energies.masses`."""
    u, rho0, rho1, *before = windows
    return np.array(energies.masses(u, rho0, rho1, spacing, eps, *before, part=tiling.part(t)))


def energy(tiling, t, windows, spacing, eps):
    """Shares of a tile in the energy of a set, see `energies.terms`."""
    f, rho0, rho1, u = windows
    return np.array(energies.terms(u, f, rho0, rho1, spacing, eps, tiling.part(t)))


def pull(tiling, t, windows, spacing):
    """Integral of f rho over a tile."""
    f, rho0, rho1 = windows
    return _whole(tiling, t, [f * (rho0 + rho1)], spacing)[0]


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
