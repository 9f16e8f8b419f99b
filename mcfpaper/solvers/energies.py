"""What sets given by their signed distance weigh, sub-cell, and their energy in a step (theory.md D2-D8)."""

import numpy as np

from mcfpaper.kernels.quadrature import integrals, surface_integral

MASSES = ("perimeter", "volume", "hit0", "missed1", "outer0", "inner1", "was", "is")


def masses(u, rho0, rho1, spacing, eps, before=None, part=None):
    """Figures of {u > 0} in the order of MASSES, all of them or their shares of a part of the box (`integrals`).

    The weighted perimeter; the volume; the mass of class 0 inside and of class 1 outside, whose sum is the risk; these
    for the set grown and shrunk by `eps`: the adversarial risk; integrals of f rho over the set {f > 0} before a step
    and over {u > 0}, f = `before`: tau times the distance term is the first minus the second.
    """
    rho = rho0 + rho1
    pull = [] if before is None else [before * rho]
    volume, hit0, *now = integrals(u, spacing, [None, rho0, *pull], part)
    was = [0.0, 0.0] if before is None else [*integrals(before, spacing, pull, part), *now]
    changed = ((-u, rho1), (u + eps, rho0), (eps - u, rho1))
    others = [integrals(level, spacing, [weight], part)[0] for level, weight in changed]
    return [surface_integral(u, spacing, rho, part), volume, hit0, *others, *was]


def terms(u, f, rho0, rho1, spacing, eps, part=None):
    """Nonlocal perimeter of {u > 0} and the integral of f rho over it, by Gauss rules; `part` as in `masses`."""
    in0, in1, pull = integrals(u, spacing, [rho0, rho1, f * (rho0 + rho1)], part)
    (outer,), (inner,) = integrals(u + eps, spacing, [rho0], part), integrals(u - eps, spacing, [rho1], part)
    return (outer - in0 + in1 - inner) / eps, pull


def fine_energy(u, problem):
    """As `energy`, by Gauss rules on the cells that the splines of u, u - eps and u + eps cut."""
    layers, pull = terms(u, *problem.data, problem.spacing, problem.eps)
    return layers - pull / problem.tau, layers


def energy(u, problem):
    """D8's energy of {u > 0}, u a signed distance, and its nonlocal perimeter.

    Sub-cell: each cell counts by its share on the inner side of a plane.
    """
    if np.isinf(u).all():
        f, rho0, rho1 = problem.data
        whole = float(np.prod(problem.spacing)) * float((f * (rho0 + rho1)).sum())
        return (0.0 if u.flat[0] < 0 else -whole / problem.tau), 0.0
    layers, pull, _ = by_cells(u, *problem.data, problem.eps, problem.tau, problem.spacing)
    return float((layers - pull).sum()), float(layers.sum())


def by_cells(u, f, rho0, rho1, eps, tau, spacing):
    """What each cell adds to the two terms of `energy`, and what it would add to the second one if it were inside."""
    cell = float(np.prod(spacing))
    slopes = np.gradient(u, *spacing) if u.ndim > 1 else [np.gradient(u, *spacing)]
    width = sum(np.abs(s) * h for s, h in zip(slopes, spacing, strict=True)) + 0.1 * min(spacing)

    def share(level):
        return np.clip(0.5 + (u - level) / width, 0.0, 1.0)

    inside, pull = share(0.0), cell * f * (rho0 + rho1) / tau
    layers = cell * (rho0 * (share(-eps) - inside) + rho1 * (inside - share(eps))) / eps
    return layers, pull * inside, pull
