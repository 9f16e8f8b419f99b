"""Helpers for problems with one unknown number: densities, arguments, integrals and least values."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy.integrate import IntegrationWarning, quad
from scipy.optimize import brentq

from mcfpaper import _checks

Density = Callable[[np.ndarray], np.ndarray] | float
SPHERE = {1: 2.0, 2: 2 * np.pi, 3: 4 * np.pi}  # measure of the unit sphere in R^d
SCAN = 4001  # points between which every sign change is looked for


def density(rho: Density, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a density as a function of arrays; a number is a constant density."""
    if not callable(rho):
        value = _checks.number(rho, name)
        if value < 0:
            raise ValueError(f"{name} must be >= 0, got {value:g}")
        return lambda s: np.full(np.shape(s), value)
    return lambda s: np.broadcast_to(np.asarray(rho(s), float), np.shape(s))


def dimension(d: int) -> int:
    """Return d if it is 1, 2 or 3."""
    if d not in SPHERE:
        raise ValueError(f"d must be 1, 2 or 3, got {d!r}")
    return int(d)


def lengths(**values: float) -> None:
    """Refuse values that are not finite positive numbers."""
    for name, value in values.items():
        _checks.number(value, name, above=0.0)


def integral(f: Callable, a: float, b: float) -> float:
    """Integrate f over [a, b]."""
    with warnings.catch_warnings():
        # adaptive quadrature says so when rounding stops it short of 1e-13, which is as good as it gets
        warnings.simplefilter("ignore", IntegrationWarning)
        return float(quad(f, a, b, epsabs=1e-14, epsrel=1e-13, limit=200)[0])


def rising_roots(g: Callable, lower: float, upper: float) -> list[float]:
    """Return all points of (lower, upper) where g turns from negative to positive: the local minima of its integral.

    A pair of roots closer than (upper - lower) / 4000 can be missed.
    """
    s = np.linspace(lower, upper, SCAN)
    values = g(s)
    signs, where = np.sign(values[values != 0]), s[values != 0]
    turns = np.flatnonzero((signs[:-1] < 0) & (signs[1:] > 0))
    return [brentq(lambda x: float(g(np.asarray(x))), where[i], where[i + 1], xtol=1e-15) for i in turns]
