"""The force on a smooth front: subgradient density of TV_eps in closed form (theory.md T4), sub-cell.

On the level set of a smooth level function u (positive inside) through y, with unit normal n = grad u/|grad u| and
principal values l_i of Dn there, the mass that the suprema (infima) over eps-balls push to y comes from y - eps n
(y + eps n):

    p_eps(y) = [rho0(y - eps n) J+ - rho0(y) + rho1(y) - rho1(y + eps n) J-] / eps,  J± = prod_i max(1 ∓ eps l_i, 0).

A factor that would be negative belongs to a point beyond the focal distance, from which nothing is pushed to y.
"""

from dataclasses import dataclass

import numpy as np

from mcfpaper.kernels import spline
from mcfpaper.solvers.rays import reflected


class Field:
    """A cubic spline in length units; a field given as one number or a constant array costs nothing.

    `corner`: index, along every axis, of the first of the values.
    """

    def __init__(self, values, spacing, floor=None, corner=0):
        self.spacing = np.asarray(spacing, float)
        self.floor, self.corner = floor, corner
        values = np.asarray(values, float)
        self.shape = values.shape
        self.constant = float(values.flat[0]) if np.ptp(values) == 0 else None
        self.coefficients = None if self.constant is not None else spline.prefilter(values)

    def __call__(self, points):
        """Values at index points (m, d)."""
        if self.constant is not None:
            return np.full(len(points), self.constant)
        v = spline.evaluate(self.coefficients, self.folded(points - self.corner))
        return v if self.floor is None else np.maximum(v, self.floor)

    def folded(self, points):
        """Index points reflected into the box: the field is continued evenly."""
        return reflected(points, self.shape)[0]


@dataclass
class Frame:
    """Front points (m, d) in index units, unit normals into the set, principal values (m, 2) of Dn (0 if missing).

    `open` (m, 2): the shares of the mass at y - eps n and y + eps n that are pushed to y (`rays`), all if None.
    """

    points: np.ndarray
    normals: np.ndarray
    bends: np.ndarray
    open: np.ndarray | None = None
    smear: float | None = None

    def shifted(self, s, spacing):
        """The parallel front at distance s inward."""
        safe = np.maximum(1.0 + s * self.bends, 0.1)
        return Frame(self.points + s * self.normals / spacing, self.normals, self.bends / safe, self.open)


def frame(u, points, spacing):
    """Normals and principal values at front points of the level function `u` (a Field)."""
    _, g, hessian = spline.derivatives(u.coefficients, points, u.spacing)
    size = np.sqrt((g * g).sum(1)) + 1e-300
    size = np.maximum(size, 1e-12)
    n = g / size[:, None]
    hn = np.einsum("mij,mj->mi", hessian, n)
    nhn = (n * hn).sum(1)
    trace = (np.trace(hessian, axis1=1, axis2=2) - nhn) / size
    # squared norm of P H P, P = I - n n^T, gives the product of the two principal values
    square = ((hessian**2).sum((1, 2)) - 2.0 * (hn * hn).sum(1) + nhn * nhn) / size**2
    product = 0.5 * (trace * trace - square) if len(spacing) == 3 else 0.0
    root = np.sqrt(np.maximum(0.25 * trace * trace - product, 0.0))
    return Frame(points, n, np.stack([0.5 * trace + root, 0.5 * trace - root], 1))


@dataclass
class Force:
    """p_eps and, for Newton's method, the mass pushed here per area of front (both sides), at front points."""

    p: np.ndarray
    pushed: np.ndarray


def force(front, rho0, rho1, eps):
    """T4 at the points of `front` (a Frame), densities as Fields."""
    shift = eps * front.normals / rho0.spacing
    outer = rho0(front.points - shift)
    inner = rho1(front.points + shift)
    if front.open is not None:
        outer, inner = outer * front.open[:, 0], inner * front.open[:, 1]
    plus = np.maximum(1.0 - eps * front.bends, 0.0)
    minus = np.maximum(1.0 + eps * front.bends, 0.0)
    gained, lost = outer * plus.prod(1), inner * minus.prod(1)
    p = (gained - rho0(front.points) + rho1(front.points) - lost) / eps
    # derivative of p by a principal value (its mean over the two in 3-D), with a floor for stability
    if front.points.shape[1] == 3:
        pushed = 0.5 * (outer * plus.sum(1) + inner * minus.sum(1))
    else:
        pushed = outer * (plus[:, 0] + plus[:, 1] > 1.0) + inner * (minus[:, 0] + minus[:, 1] > 1.0)
    return Force(p, np.maximum(pushed, 0.1 * (outer + inner)))
