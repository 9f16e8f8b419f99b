"""The energy of a step (theory.md D8) of sets given by their signed distance, sub-cell."""

import numpy as np

from mcfpaper.kernels import quadrature


def fine_energy(u, problem):
    """As `energy`, by Gauss rules on the cells that the splines of u, u - eps and u + eps cut."""
    if np.isinf(u).all():
        return energy(u, problem)
    f, rho0, rho1 = problem.data
    spacing = tuple(problem.spacing)

    def inside(level, *weights):
        v = u - level
        if (v <= 0).all():
            return [0.0] * len(weights)
        if (v > 0).all():
            return quadrature.box_integrals(u.shape, spacing, weights)
        return quadrature.volume_integrals(v, spacing, weights)

    in0, in1, pull = inside(0.0, rho0, rho1, f * (rho0 + rho1))
    layers = (inside(-problem.eps, rho0)[0] - in0 + in1 - inside(problem.eps, rho1)[0]) / problem.eps
    return layers - pull / problem.tau, layers


def energy(u, problem):
    """D8's energy of {u > 0}, u a signed distance, and its nonlocal perimeter.

    Sub-cell: each cell counts by its share on the inner side of a plane.
    """
    f, rho0, rho1 = problem.data
    eps, tau, spacing = problem.eps, problem.tau, problem.spacing
    cell = float(np.prod(spacing))
    if np.isinf(u).all():
        return (0.0 if u.flat[0] < 0 else -cell * float((f * (rho0 + rho1)).sum()) / tau), 0.0
    slopes = np.gradient(u, *spacing) if u.ndim > 1 else [np.gradient(u, *spacing)]
    width = sum(np.abs(s) * h for s, h in zip(slopes, spacing, strict=True)) + 0.1 * min(spacing)

    def share(level):
        return np.clip(0.5 + (u - level) / width, 0.0, 1.0)

    inside = share(0.0)
    layers = (rho0 * (share(-eps) - inside) + rho1 * (inside - share(eps))) / eps
    return cell * float((layers - f * (rho0 + rho1) * inside / tau).sum()), cell * float(layers.sum())
