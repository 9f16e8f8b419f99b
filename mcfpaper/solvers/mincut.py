"""Exact minimisers on the lattice, by minimum cuts (theory.md D8, T5-T7). Plain numpy arrays.

Every problem has the form: minimise over the subsets A of the grid

    F(A) = (cell/eps) [ sum rho0 over A⊕ \\ A  +  sum rho1 over A \\ A⊖ ] - cell * sum of g over A,

⊕ and ⊖ over the closed lattice ball, cut at the edge of the box. A step of the scheme has g = rho f/tau, the
adversarial risk g = (rho1 - rho0)/eps. Masses are rounded to integer multiples of a quantum, a power of two of about
2^-60 of all the mass that could move, and the rounded problem is solved exactly: ties, and so the minimal and the
maximal minimiser, are exact. The quantum depends on rho0, rho1, eps and the grid but not on g, and rounding is
monotone: from g <= g' follow the inclusions of T5 and T6 with no tolerance. Small grids have the quantum of one of
SMALL cells: it must be coarse beside the error of eps g in floating point, which would break ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from mcfpaper.kernels.morphology import dilate, erode
from mcfpaper.solvers.cutgraph import CutProblem, ball_offsets

SIDES = ("minimal", "maximal", "both")
SMALL = 1 << 12  # cells: weights stay below 2^48 quanta, of which rounding (a few units of 2^-53) loses 1/8


class Cut(NamedTuple):
    """Minimal and maximal minimiser (None where not asked for) and what it took to find them."""

    minimal: np.ndarray | None
    maximal: np.ndarray | None
    info: dict


class Levels(NamedTuple):
    """Bounds lower <= u <= upper on the proximal solution and what it took to find them."""

    lower: np.ndarray
    upper: np.ndarray
    info: dict


class Quantiser:
    """Rounding of densities and weights to integers (theory.md T5, T6 survive it: it is monotone)."""

    def __init__(self, rho0, rho1, eps: float, spacing: Sequence[float], norm: str) -> None:
        points = len(ball_offsets(eps, spacing, norm, rho0.shape)) + 1
        top = max(rho0.max(initial=0), rho1.max(initial=0))
        room = 60 - np.log2(max(rho0.size, SMALL) * (points + 5.0))
        self.places = int(np.floor(room - np.log2(top))) if top > 0 else 0  # binary ones that are kept
        self.masses = [self._rounded(r).astype(np.int64) for r in (rho0, rho1)]
        # More than all the mass that a cell can receive: a larger weight decides the cell by itself.
        self.limit = (points + 1) * max(int(q.max(initial=0)) for q in self.masses) + 1
        self.eps = eps

    def weight(self, g: np.ndarray) -> np.ndarray:
        """eps g in quanta, cut off at +-limit (which changes no minimiser)."""
        with np.errstate(over="ignore"):
            quanta = self._rounded(self.eps * g)
        return np.clip(quanta, -self.limit, self.limit).astype(np.int64)

    @property
    def quantum(self) -> float:
        return float(np.ldexp(1.0, -self.places))

    def _rounded(self, v):
        return np.rint(np.ldexp(v, self.places))


def _arrays(rho0, rho1, g, spacing):
    rho0, rho1, g = (np.asarray(v, np.float64) for v in (rho0, rho1, g))
    shapes = [v.shape for v in (rho0, rho1, g)]
    if len(set(shapes)) > 1 or g.ndim != len(spacing):
        raise ValueError(
            f"rho0, rho1 and g need one shape with an axis per spacing, got {shapes}, {len(spacing)} spacings"
        )
    for name, rho in (("rho0", rho0), ("rho1", rho1)):
        if not (np.isfinite(rho).all() and (rho >= 0).all()):
            raise ValueError(f"{name} must be finite and not negative")
    if np.isnan(g).any():
        raise ValueError("g must have no NaN")
    return rho0, rho1, g


def _potential(g, rho):
    """g per mass, finite: near an optimum its ascent tells which points of a ball matter."""
    v = np.divide(g, rho, out=np.zeros_like(rho), where=rho > 0)
    finite = v[np.isfinite(v)]
    return np.clip(v, finite.min(initial=0), finite.max(initial=0))


def energy(a, rho0, rho1, g, eps: float, spacing: Sequence[float], norm: str = "lattice") -> float:
    """F of the set `a` (module docstring) in floating point; cells with infinite g are left out of the last sum."""
    a = np.asarray(a, bool)
    grown, shrunk = (move(a.astype(np.float64), eps, spacing, norm) > 0 for move in (dilate, erode))
    nonlocal_part = np.sum(rho0[grown & ~a]) + np.sum(rho1[a & ~shrunk])
    return float(np.prod(spacing) * (nonlocal_part / eps - np.sum(g[a & np.isfinite(g)])))


def predicted(f: np.ndarray, tau: float, spacing: Sequence[float]) -> np.ndarray:
    """A guess for `solve` with g = rho f/tau: heat flow of f over time tau, which moves as fronts do to first order."""
    return gaussian_filter(f, np.minimum(np.sqrt(2.0 * tau) / np.asarray(spacing), f.shape))


def solve(
    rho0: np.ndarray,
    rho1: np.ndarray,
    g: np.ndarray,
    eps: float,
    spacing: Sequence[float],
    norm: str = "lattice",
    side: str = "both",
    guess: np.ndarray | None = None,
) -> Cut:
    """Minimise F over all subsets of the grid (theory.md D8, T5; form in the module docstring).

    Parameters
    ----------
    rho0, rho1 : (n_1, ..., n_d) array
        Densities per unit volume, d = 1, 2 or 3.
    g : array of the same shape
        Weight per unit volume; inf (-inf) forces a cell in (out).
    eps : float
        Radius of the ball, in length units.
    spacing : sequence of float
        Grid spacing, one per axis.
    norm : {"lattice", "box", "diamond"}
        Norm of the ball.
    side : {"both", "minimal", "maximal"}
        Which minimiser.
    guess : array, optional
        A level-set function, larger inside, that predicts the answer. It saves time and never changes the answer.

    Returns
    -------
    Cut
        Boolean arrays `minimal`, `maximal` and `info`: `value` (F of the minimiser), `quantum` (of mass density),
        `rounds` (of the relaxation) and `edges` (in its last graph).

    Raises
    ------
    ValueError
        If shapes disagree, a density is negative or not finite, g has a NaN, or norm or side is unknown.
    """
    rho0, rho1, g = _arrays(rho0, rho1, g, spacing)
    if side not in SIDES:
        raise ValueError(f"side must be one of {SIDES}, got {side!r}")
    quanta = Quantiser(rho0, rho1, eps, spacing, norm)
    potential = _potential(g, rho0 + rho1) if guess is None else np.asarray(guess, np.float64)
    problem = CutProblem(*quanta.masses, eps, spacing, norm, potential)
    sets = problem.solve(quanta.weight(g), side=side)
    info = problem.info() | {
        "quantum": quanta.quantum,
        "value": energy(sets[0], rho0, rho1, g, eps, spacing, norm),
    }
    return Cut(sets[0] if side != "maximal" else None, sets[-1] if side != "minimal" else None, info)


def proximal(
    rho0: np.ndarray,
    rho1: np.ndarray,
    f: np.ndarray,
    eps: float,
    tau: float,
    spacing: Sequence[float],
    norm: str = "lattice",
    depth: int = 8,
    bounds: tuple[float, float] | None = None,
) -> Levels:
    """u = argmin TV_eps(u) + (1/(2 tau)) sum rho (u - f)^2 between levels, by halving (theory.md T5, T6).

    Round by round each cell halves its interval: {u > t} is the minimal minimiser for g = rho (f - t)/tau, and cuts at
    different levels are nested, so that one graph decides all intervals at once.

    Parameters
    ----------
    rho0, rho1, eps, spacing, norm
        As in `solve`.
    f : (n_1, ..., n_d) array
        Data, in length units.
    tau : float
        Time step, in length units.
    depth : int
        Number of halvings: the levels are bounds[0] + j (bounds[1] - bounds[0]) / 2^depth.
    bounds : (float, float), optional
        Lowest and highest level, default min f and max f (u lies between). With narrower ones u is cut off there.

    Returns
    -------
    Levels
        Arrays `lower` < u <= `upper` (u = min f also in the lowest interval) and `info`: `resolution` = upper - lower,
        `cuts`, `rounds`, `edges`, `quantum`. {u > t} is {lower >= t} for every level t.
    """
    rho0, rho1, f = _arrays(rho0, rho1, f, spacing)
    low, high = (f.min(), f.max()) if bounds is None else bounds
    quanta = Quantiser(rho0, rho1, eps, spacing, norm)
    problem = CutProblem(*quanta.masses, eps, spacing, norm, f)
    rho = rho0 + rho1
    k = np.zeros(f.shape, np.int64)
    for j in range(1, depth + 1):
        level = low + (2 * k + 1) * ((high - low) / 2**j)
        (a,) = problem.solve(quanta.weight(rho * (f - level) / tau), k, "minimal")
        k = 2 * k + a
    step = (high - low) / 2**depth
    info = problem.info() | {"quantum": quanta.quantum, "resolution": float(step), "cuts": depth}
    return Levels(low + k * step, low + (k + 1) * step, info)
