"""O1: one step of the scheme (D8) on symmetric data, exactly, at finite eps and tau.

A ball, its complement and a half space stay what they are, so that a step is a minimisation over one number. The
complement of a ball obeys the law of the ball with rho0 and rho1 exchanged.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from mcfpaper import _checks
from mcfpaper.oracles._scalar import SPHERE, Density, density, dimension, integral, lengths, rising_roots


def _ordered(rho0: Density, rho1: Density, complement: bool):
    rho = density(rho0, "rho0"), density(rho1, "rho1")
    return rho[::-1] if complement else rho


def _radial_bracket(r, rho0, rho1, eps, d):
    """(1/eps) [...] of O1: derivative in r of the perimeter of the ball of radius r, over the unit sphere."""
    inner = np.maximum(r - eps, 0.0)
    gone = np.where(r >= eps, rho1(inner) * inner ** (d - 1), 0.0)
    kept = (rho1(r) - rho0(r)) * r ** (d - 1)
    return (rho0(r + eps) * (r + eps) ** (d - 1) + kept - gone) / eps


def radial_perimeter(r: float, rho0: Density, rho1: Density, eps: float, d: int = 2, complement=False) -> float:
    """Nonlocal perimeter (D5) of the ball of radius r > 0 in R^d, or of its complement; no limit is taken."""
    d, (rho0, rho1) = dimension(d), _ordered(rho0, rho1, complement)
    lengths(r=r, eps=eps)
    outer = integral(lambda s: rho0(s) * s ** (d - 1), r, r + eps)
    inner = integral(lambda s: rho1(s) * s ** (d - 1), max(r - eps, 0.0), r)
    return SPHERE[d] * (outer + inner) / eps


def radial_energy(
    r: float, r0: float, rho0: Density, rho1: Density, eps: float, tau: float, d: int = 2, complement: bool = False
) -> float:
    """Energy of D8 at the ball of radius r > 0 (or its complement) for a step from radius `r0` (O1).

    It is taken relative to the set that is left when the ball vanishes: the empty set, or the whole space for the
    complement of a ball. Those have energy 0.
    """
    perimeter = radial_perimeter(r, rho0, rho1, eps, d, complement)
    rho0, rho1 = _ordered(rho0, rho1, complement)
    inside = integral(lambda s: (r0 - s) * (rho0(s) + rho1(s)) * s ** (d - 1), 0.0, r)
    return perimeter - SPHERE[d] * inside / tau


def radial_step(
    r0: float,
    rho0: Density,
    rho1: Density,
    eps: float,
    tau: float,
    d: int = 2,
    *,
    complement: bool = False,
    level: float = 0.0,
    reach: float | None = None,
) -> float:
    """One exact step of the scheme (O1) from the ball of radius `r0` in R^d, or from its complement.

    Parameters
    ----------
    r0 : float
        Radius before the step, >= 0 (0: nothing there, which stays).
    rho0, rho1 : callable or float
        Densities as functions of the radius.
    eps, tau : float
        Budget and time step, in length units.
    d : int
        1, 2 or 3.
    complement : bool
        Whether the set is {|x| > r0} instead of {|x| < r0}.
    level : float
        t for the super-level set {u > t} of the proximal solution instead of {u > 0} (T5).
    reach : float, optional
        Largest radius looked at; default ``2 (r0 + eps) + 4 sqrt(tau)``.

    Returns
    -------
    float
        Radius after the step: of all local minima the one of least energy (a tie goes to the smaller). 0 where the
        ball vanishes (complement: where the hole closes and the whole space is left).

    Raises
    ------
    ValueError
        If the least energy lies at `reach`: the minimiser is larger, or the whole space.
    """
    d, r0 = dimension(d), _checks.number(r0, "r0")
    lengths(eps=eps, tau=tau)
    if r0 < 0:
        raise ValueError(f"r0 must be >= 0, got {r0:g}")
    if r0 == 0:
        return 0.0
    reach = 2 * (r0 + eps) + 4 * np.sqrt(tau) if reach is None else _checks.number(reach, "reach", above=0.0)
    centre = r0 + level if complement else r0 - level
    a, b = _ordered(rho0, rho1, complement)

    def slope(r):
        return _radial_bracket(r, a, b, eps, d) + (r - centre) * (a(r) + b(r)) * r ** (d - 1) / tau

    candidates = [*rising_roots(slope, 0.0, reach), reach]
    energies = [radial_energy(r, centre, rho0, rho1, eps, tau, d, complement) for r in candidates]
    best = int(np.argmin(energies))
    if energies[best] >= 0:
        return 0.0
    if best == len(candidates) - 1:
        raise ValueError(f"reach must exceed the radius of the minimiser, got {reach:g}, where the energy still falls")
    return float(candidates[best])


def radial_flow(
    r0: float,
    rho0: Density,
    rho1: Density,
    eps: float,
    tau: float,
    steps: int,
    d: int = 2,
    *,
    complement: bool = False,
    reach: float | None = None,
) -> np.ndarray:
    """Radii of `steps` exact steps of the scheme (O1), the first being `r0`; see `radial_step`."""
    radii = [_checks.number(r0, "r0")]
    for _ in range(steps):
        radii.append(radial_step(radii[-1], rho0, rho1, eps, tau, d, complement=complement, reach=reach))
    return np.array(radii)


def radial_subgradient(
    r: np.ndarray, rho0: Density, rho1: Density, eps: float, d: int = 2, complement: bool = False
) -> np.ndarray:
    """The T4 density p_eps at radii r > eps, for u that falls (complement: rises) strictly with the radius."""
    d, (a, b) = dimension(d), _ordered(rho0, rho1, complement)
    r = np.asarray(r, float)
    if (r <= eps).any():
        raise ValueError(f"r must be > eps = {eps:g}, got {r.min():g}")
    p = _radial_bracket(r, a, b, eps, d) / r ** (d - 1)
    return -p if complement else p


def radial_profile(
    x: np.ndarray,
    r0: float,
    rho0: Density,
    rho1: Density,
    eps: float,
    tau: float,
    d: int = 2,
    *,
    complement: bool = False,
    reach: float | None = None,
    nodes: int = 20001,
) -> np.ndarray:
    """Proximal solution u (T5) at the radii `x`, for f the signed distance to the ball of radius `r0` (O1).

    The energy of level t is that of level 0 plus (t/tau) times the mass of the ball. So u is -tau times the slope of
    the lower convex hull of the energy as a function of the mass; plateaus of u are where the energy leaves its hull.
    They are found on a table of `nodes` radii up to `reach` (an error of second order in its step).
    """
    d, x = dimension(d), np.asarray(x, float)
    lengths(r0=r0, eps=eps, tau=tau)
    reach = 2 * (r0 + eps) + 4 * np.sqrt(tau) if reach is None else reach
    if x.min() < 0 or x.max() > reach:
        raise ValueError(f"x must lie between 0 and reach = {reach:g}, got {x.min():g} to {x.max():g}")
    a, b = _ordered(rho0, rho1, complement)
    r = np.linspace(0.0, reach, nodes)
    s = np.linspace(0.0, reach + eps, nodes)
    m0, m1, m2 = (
        PchipInterpolator(s, q * s ** (d - 1)).antiderivative() for q in (a(s), b(s), (r0 - s) * (a(s) + b(s)))
    )
    energy = (m0(r + eps) - m0(r) + m1(r) - m1(np.maximum(r - eps, 0.0))) / eps - m2(r) / tau
    masses, energies = np.r_[0.0, m0(r) + m1(r)], np.r_[0.0, energy]  # the empty set, then the balls
    if (np.diff(masses[1:]) <= 0).any():
        raise ValueError(f"rho0 + rho1 must be > 0, and not negligible, up to reach = {reach:g}")
    hull = _lower_hull(masses, energies)
    left = np.maximum(np.searchsorted(r, x) - 1, 0)  # table interval of each x
    segment = np.clip(np.searchsorted(hull, left + 1, side="right") - 1, 0, hull.size - 2)
    i, j = hull[segment], hull[segment + 1]
    chord = -tau * (energies[j] - energies[i]) / (masses[j] - masses[i])
    # a chord over one interval of the table: the energy is its own hull here, and O1 solved for t is exact
    xs = np.maximum(x, r[1])
    exact = r0 - xs - tau * _radial_bracket(xs, a, b, eps, d) / ((a(xs) + b(xs)) * xs ** (d - 1))
    u = np.where((j - i > 1) | (i == 0), chord, exact)
    return -u if complement else u


def _lower_hull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the lower convex hull of points sorted by x (Andrew's monotone chain)."""
    hull: list[int] = []
    for k in range(x.size):
        while len(hull) > 1:
            i, j = hull[-2], hull[-1]
            if (y[j] - y[i]) * (x[k] - x[i]) < (y[k] - y[i]) * (x[j] - x[i]):
                break
            hull.pop()
        hull.append(k)
    return np.array(hull)


def _planar_bracket(b, rho0, rho1, eps):
    return (rho0(b) - rho0(b - eps) + rho1(b + eps) - rho1(b)) / eps


def planar_subgradient(b: np.ndarray, rho0: Density, rho1: Density, eps: float) -> np.ndarray:
    """The T4 density p_eps at coordinates b, for u that rises strictly with the coordinate."""
    return -_planar_bracket(np.asarray(b, float), density(rho0, "rho0"), density(rho1, "rho1"), eps)


def planar_energy(b: float, b0: float, rho0: Density, rho1: Density, eps: float, tau: float) -> float:
    """Energy of D8 per unit area at the half space {x_1 > b}, for a step from {x_1 > b0} (O1).

    Relative to {x_1 > b0} in the distance term.
    """
    lengths(eps=eps, tau=tau)
    rho0, rho1 = density(rho0, "rho0"), density(rho1, "rho1")
    near = integral(rho0, b - eps, b) + integral(rho1, b, b + eps)
    return near / eps + integral(lambda s: (s - b0) * (rho0(s) + rho1(s)), b0, b) / tau


def planar_step(
    b0: float,
    rho0: Density,
    rho1: Density,
    eps: float,
    tau: float,
    *,
    level: float = 0.0,
    reach: float | None = None,
) -> float:
    """One exact step of the scheme (O1) from the half space {x_1 > b0}: the new b.

    `level` is t for {u > t} instead of {u > 0}; `reach` the largest displacement looked at, by default
    ``|level| + 2 eps + 4 sqrt(tau)``. Of all local minima the one of least energy is returned; if the least energy
    lies at the end of the range, `ValueError` is raised.
    """
    b0 = _checks.number(b0, "b0")
    lengths(eps=eps, tau=tau)
    reach = abs(level) + 2 * eps + 4 * np.sqrt(tau) if reach is None else _checks.number(reach, "reach", above=0.0)
    f0, f1, centre = density(rho0, "rho0"), density(rho1, "rho1"), b0 + level

    def slope(b):
        return _planar_bracket(b, f0, f1, eps) + (b - centre) * (f0(b) + f1(b)) / tau

    roots = rising_roots(slope, b0 - reach, b0 + reach)
    candidates = [*roots, b0 - reach, b0 + reach]
    energies = [planar_energy(b, centre, rho0, rho1, eps, tau) for b in candidates]
    best = int(np.argmin(energies))
    if best >= len(roots):
        raise ValueError(f"reach must exceed the displacement of the minimiser, got {reach:g}")
    return float(candidates[best])


def planar_flow(
    b0: float, rho0: Density, rho1: Density, eps: float, tau: float, steps: int, *, reach: float | None = None
) -> np.ndarray:
    """Positions b of `steps` exact steps of the scheme (O1) from {x_1 > b0}, the first being `b0`."""
    path = [_checks.number(b0, "b0")]
    for _ in range(steps):
        path.append(planar_step(path[-1], rho0, rho1, eps, tau, reach=reach))
    return np.array(path)
