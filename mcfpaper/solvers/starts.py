"""Where a step may change the topology of a set, and other starts for it than the old front."""

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, label

from mcfpaper.kernels import spline
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers import mincut
from mcfpaper.solvers.energies import by_cells

SLACK = 1.1  # for energies by sums over cells: those of thin corners differed from Gauss rules by up to 5 %


def has_front(w):
    return bool((w > 0).any() and (w <= 0).any())


def parts(w):
    """Numbers of pieces and holes."""
    return label(w > 0)[1], label(w <= 0)[1]


def critical(eps, tau, d):
    """Half widths of necks and radii of balls below which a set might change its topology in one step.

    In the plane a strip of half width sqrt(2 tau) = 1.41 sqrt(tau) is not cut (O2), and a ball of radius r has less
    energy than the empty set if r^3 > 3 tau (2 r + eps), whatever the shares of the classes: then it survives. In space
    a tube is cut like that disc, and a ball survives from r* + 2 tau/r* on. With a ball, by T6, every piece that
    contains one; gaps narrower than 2 eps attract. The same holds for the complement. Margins allow for densities that
    vary.
    """
    root = np.sqrt(tau)
    least = np.sqrt(2.0 * tau + 2.0 * root * np.hypot(root, eps))
    ball = least + 2.0 * tau / least if d == 3 else float(np.roots([1.0, 0.0, -6.0 * tau, -3.0 * tau * eps]).real.max())
    return max((2.4 if d == 3 else 1.6) * root, eps), 1.04 * ball


def doubtful(f, eps, tau, spacing):
    """Whether the set might change its topology in this step: whether the level sets of f do so near the front."""
    m = max(1, int(eps / (2.5 * max(spacing))))
    neck, reach = critical(eps, tau, f.ndim)
    if _changes(f, m, np.linspace(-neck, neck, 12)):
        return True
    f = f[(slice(None, None, m),) * f.ndim]
    return label(f > reach)[1] < label(f > 0)[1] or label(f <= -reach)[1] < label(f <= 0)[1]


def _changes(f, m, levels):
    """Whether level sets differ in their numbers of pieces or holes, in the box or on a wall: every m-th cell is seen.

    A front near a wall is near its mirror image.
    """
    seen = f[(slice(None, None, m),) * f.ndim]
    if len({parts(seen - s) for s in levels}) > 1:
        return True
    return f.ndim > 1 and any(_changes(f.take(i, axis), m, levels) for axis in range(f.ndim) for i in (0, -1))


def _blocks(values, m):
    """Means over blocks of m cells a side."""
    v = np.pad(values, [(0, (-n) % m) for n in values.shape], mode="edge")
    for axis in range(v.ndim):
        v = v.reshape((*v.shape[:axis], -1, m, *v.shape[axis + 1 :])).mean(axis + 1)
    return v


def _refined(w, m, shape):
    """A function on the blocks, at the cells."""
    if m == 1:
        return w
    axes = [(np.arange(n) + 0.5) / m - 0.5 for n in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    return spline.evaluate(spline.prefilter(w), points.reshape(-1, len(shape))).reshape(shape)


def coarse(f, rho0, rho1, eps, tau, spacing):
    """Level function of the exact minimiser on a lattice of 2 to 5 cells per eps, smoothed: rough shape.

    The lattice is cut to the surroundings of the old front.
    """
    if f.ndim == 2 and max(spacing) <= eps < 2.0 * max(spacing):  # a lattice has few directions in so small a ball
        f, rho0, rho1 = (_refined(v, 2, [2 * n for n in v.shape]) for v in (f, rho0, rho1))
        densities = np.maximum(rho0, 0.0), np.maximum(rho1, 0.0)
        return _blocks(coarse(f, *densities, eps, tau, tuple(h / 2.0 for h in spacing)), 2)
    m = max(1, int(eps / (2.5 * max(spacing))) if f.ndim < 3 else round(eps / (2.0 * max(spacing))))
    m = min(m, max(f.shape))
    g, a, b = (_blocks(v, m) for v in (f, rho0, rho1))
    wide = tuple(m * h for h in spacing)
    reach = eps + 4.0 * np.sqrt(tau) + 2.0 * max(wide)
    near = np.argwhere(np.abs(g) <= max(reach, np.abs(g).min()))
    box = tuple(slice(i, j + 1) for i, j in zip(near.min(0), near.max(0), strict=True))
    cut, pull = g > 0, g * (a + b) / tau
    guess = mincut.predicted(g, tau, wide)[box]
    cut[box] = mincut.solve(a[box], b[box], pull[box], max(eps, max(wide)), wide, side="minimal", guess=guess).minimal
    if cut.all() or not cut.any():
        return np.full(f.shape, np.inf if cut.all() else -np.inf)
    return _refined(gaussian_filter(redistance(np.where(cut, 1.0, -1.0), wide), 1.5), m, f.shape)


def predictor(f, rho0, rho1, eps, tau, spacing):
    """First-order prediction for rough fronts: heat flow of f over time tau, weighted so that it drifts as D10 says."""
    spread = min(np.sqrt(2.0 * tau), max(f.shape) * max(spacing))  # beyond the box nothing changes any more
    m = max(1, int(spread / (4.0 * max(spacing))))
    root = np.sqrt(_blocks(rho0 + rho1, m)) + 1e-6 * np.sqrt((rho0 + rho1).max())
    sigma = [spread / (m * h) for h in spacing]
    w = gaussian_filter(root * _blocks(f, m), sigma) / gaussian_filter(root, sigma)
    return _refined(w, m, f.shape)


def wasteful(u, problem):
    """Whether the set might have less energy without one of its pieces, or with one of its holes full.

    By rough sums over every m-th cell.
    """
    m = max(1, int(problem.eps / (2.5 * problem.px)))
    u, *data = (v[(slice(None, None, m),) * u.ndim] for v in (u, *problem.data))
    return bool(_turns(u, *data, problem.eps, problem.tau, m * problem.spacing, least=1))


def rearranged(u, problem, measure):
    """The set without those pieces, and with those holes filled, that cost it energy; None if there are none.

    A start finds its pieces as one set, with energies of its own: here each has to be worth what `measure` says.
    """
    spacing = tuple(problem.spacing)
    better = _turns(u, *problem.data, problem.eps, problem.tau, problem.spacing)
    if not better:
        return None
    least, single = measure(u), [_turned(u, spacing, [change]) for change in better]
    scores = [measure(w) for w in single]
    better = [change for change, score in zip(better, scores, strict=True) if score < least]
    if len(better) < 2:
        return single[int(np.argmin(scores))] if better else None
    return min(single[int(np.argmin(scores))], _turned(u, spacing, better), key=measure)


def _turns(u, f, rho0, rho1, eps, tau, spacing, least=2):
    """Pieces (1) and holes (-1) that might cost energy, if there are at least so many: the sign, and the cells near it.

    The layers along the front of one are a bound for what it saves to turn it, as others may share them.
    """
    layers, pull, whole = by_cells(u, f, rho0, rho1, eps, tau, spacing)
    found = []
    for sign, lost in ((1, pull), (-1, pull - whole)):
        names, n = label(sign * u > 0)
        if n < least:
            continue
        near = names[tuple(distance_transform_edt(names == 0, return_distances=False, return_indices=True))]
        saved, lost = (np.bincount(near.ravel(), v.ravel()) for v in (layers, lost))
        found += [(sign, near == k) for k in range(1, n + 1) if SLACK * saved[k] > lost[k]]
    return found


def _turned(u, spacing, changes):
    """Distance to the front once pieces (sign 1) are empty and holes (sign -1) are full."""
    w = u.copy()
    for sign, there in changes:
        w[there] = -sign * np.maximum(np.abs(u[there]), max(spacing))
    return redistance(w, spacing)
