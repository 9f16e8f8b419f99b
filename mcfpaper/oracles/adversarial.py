"""O7: exact minimisers of the adversarial risk (D4) on symmetric data."""

from __future__ import annotations

import numpy as np

from mcfpaper import _checks
from mcfpaper.oracles._scalar import Density, density, dimension, integral, lengths, rising_roots


def adversarial_radius(
    rho0: Density, rho1: Density, eps: float, d: int = 2, *, reach: float, complement: bool = False
) -> float:
    """Radius of the ball (or of the hole, for `complement`) of least adversarial risk (O7).

    All local minima up to `reach` are compared, with the empty set and the whole space. `reach` is a radius beyond
    which the data are negligible.

    Returns
    -------
    float
        The radius; 0 and inf stand for the empty set and the whole space (for `complement`: the other way round).
    """
    d = dimension(d)
    lengths(eps=eps, reach=reach)
    a, b = density(rho0, "rho0"), density(rho1, "rho1")
    if complement:
        a, b = b, a

    def slope(r):
        inner = np.maximum(r - eps, 0.0)
        kept = np.where(r >= eps, b(inner) * inner ** (d - 1), 0.0)
        return a(r + eps) * (r + eps) ** (d - 1) - kept

    def risk(r):  # up to a constant: the mass of the class inside
        lost = integral(lambda s: a(s) * s ** (d - 1), 0.0, r + eps)
        return lost - integral(lambda s: b(s) * s ** (d - 1), 0.0, max(r - eps, 0.0))

    risks = {r: risk(r) for r in rising_roots(slope, 0.0, reach)}
    risks[0.0] = 0.0
    risks[np.inf] = integral(lambda s: (a(s) - b(s)) * s ** (d - 1), 0.0, reach)
    return min(risks, key=risks.get)


def adversarial_plane(rho0: Density, rho1: Density, eps: float, *, lower: float, upper: float) -> float:
    """b of the half space {x_1 > b} of least adversarial risk (O7).

    All local minima between `lower` and `upper` are compared, with the whole space (-inf) and the empty set (inf).
    The data beyond the two ends must be negligible.
    """
    lengths(eps=eps)
    lower, upper = _checks.number(lower, "lower"), _checks.number(upper, "upper", above=lower)
    a, b = density(rho0, "rho0"), density(rho1, "rho1")

    def risk(x):
        return integral(a, max(x - eps, lower), upper) + integral(b, lower, min(x + eps, upper))

    risks = {x: risk(x) for x in rising_roots(lambda x: b(x + eps) - a(x - eps), lower, upper)}
    risks[-np.inf] = integral(a, lower, upper)
    risks[np.inf] = integral(b, lower, upper)
    return min(risks, key=risks.get)
