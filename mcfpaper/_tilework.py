"""What blocks do for the tiles of a chunked problem: functions of the tile's number and windows of fields about it."""

import hashlib
from collections.abc import Callable

import numpy as np

from mcfpaper.kernels import quadrature, spline
from mcfpaper.kernels.boolean_distance import boolean_distance
from mcfpaper.solvers import tiles


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
    return np.array([*(_integral(w, spacing, tiling.part(t)) for w in windows), (windows[0] + windows[1]).max()])


def _mass(level, weights, spacing, part):
    """Integrals of the weights over the points of a tile where a level function is positive."""
    if not (level > 0).any():
        return np.zeros(len(weights))
    if (level > 0).all():
        return np.array([_integral(np.ones_like(level) if w is None else w, spacing, part) for w in weights])
    return np.array(quadrature.volume_integrals(level, spacing, weights, part))


def _integral(weight, spacing, part):
    """Integral over a tile of the spline through a window's values."""
    cells = quadrature.cell_integrals(spline.prefilter(weight), (1,) * (3 - weight.ndim) + weight.shape)
    return float(cells.reshape(cells.shape[3 - weight.ndim :])[part].sum() * np.prod(spacing))


def measure(tiling, t, windows, spacing, eps):
    """Perimeter, volume, the masses that make up the risks, and the two that make up the dissipation, of a tile."""
    u, rho0, rho1, *before = windows
    part, rho = tiling.part(t), rho0 + rho1
    length = 0.0
    if (u > 0).any() and not (u > 0).all():
        points, weights = quadrature.surface_rule(u, spacing, part)
        length = float((weights * spline.evaluate(spline.prefilter(rho), points)).sum())
    parts = [(u, (None, rho0)), (-u, (rho1,)), (u + eps, (rho0,)), (eps - u, (rho1,))]
    parts += [(v, (before[0] * rho,)) for v in (before[0], u)] if before else []
    found = [_mass(level, weights, spacing, part) for level, weights in parts]
    return np.concatenate([[length], *found, *([] if before else [[0.0, 0.0]])])


def energy(tiling, t, windows, spacing, eps):
    """Nonlocal perimeter and integral of f rho over the set (D8's energy by Gauss rules), of a tile."""
    f, rho0, rho1, u = windows
    part = tiling.part(t)
    in0, in1, pull = _mass(u, (rho0, rho1, f * (rho0 + rho1)), spacing, part)
    outer, inner = _mass(u + eps, (rho0,), spacing, part)[0], _mass(u - eps, (rho1,), spacing, part)[0]
    return np.array([(outer - in0 + in1 - inner) / eps, pull])


def pull(tiling, t, windows, spacing):
    """Integral of f rho over a tile."""
    f, rho0, rho1 = windows
    return _integral(f * (rho0 + rho1), spacing, tiling.part(t))


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
