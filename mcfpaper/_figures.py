"""Measured figures against their bounds: does it hold, and in which words that read the same elsewhere.

A figure is a list of numbers (one, or several observations that must each meet the bound); a bound is a
dict with "at_least", "at_most" or both.
"""

import math
from collections.abc import Mapping

import numpy as np

ROUNDING = 1e-8  # figures this small are taken to be rounding errors, which differ between machines


def as_figures(measured) -> dict[str, list]:
    """Named lists of plain numbers from a number, a sequence of numbers or a mapping to either."""
    named = measured if isinstance(measured, Mapping) else {"measured": measured}
    if not named:
        raise ValueError("measured is empty; a claim needs at least one figure")
    return {str(name): _numbers(str(name), value) for name, value in named.items()}


def _numbers(name: str, value) -> list:
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"measured[{name!r}] is {array.dtype}; it must hold numbers (count violations)")
    if not array.size:
        raise ValueError(f"measured[{name!r}] is empty; it needs at least one number")
    return array.ravel().tolist()


def as_bounds(names, at_most, at_least, between) -> dict[str, dict[str, float]]:
    """One bound per figure from three arguments, each a bound for every figure or a mapping by name."""
    bounds = {name: {} for name in names}
    low, high = _halves(between)
    for kind, given in (("at_least", at_least), ("at_most", at_most), ("at_least", low), ("at_most", high)):
        by_name = given if isinstance(given, Mapping) else dict.fromkeys(names, given)
        if unknown := set(by_name) - set(bounds):
            raise ValueError(f"a bound names {sorted(unknown)}; the measured figures are {list(bounds)}")
        for name, value in by_name.items():
            if value is None:
                continue
            if kind in bounds[name]:
                raise ValueError(f"the figure {name!r} has two bounds of the kind {kind}; give one")
            bounds[name][kind] = _finite(name, kind, value)
    for name, bound in bounds.items():
        if not bound:
            raise ValueError(f"the figure {name!r} has no bound; give at_most, at_least or between")
        if bound.get("at_least", -math.inf) > bound.get("at_most", math.inf):
            raise ValueError(f"the bound of {name!r} is empty: {bound}")
    return bounds


def _halves(between):
    if between is None:
        return None, None
    if isinstance(between, Mapping):
        return {n: _pair(p)[0] for n, p in between.items()}, {n: _pair(p)[1] for n, p in between.items()}
    return _pair(between)


def _pair(between) -> tuple:
    if not isinstance(between, tuple | list) or len(between) != 2:
        raise ValueError(f"between is {between!r}; it must be a pair (low, high)")
    return tuple(between)


def _finite(name: str, kind: str, value) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{kind} of the figure {name!r} is {value}; a bound must be finite")
    return number


def meets(values: list, bound: dict) -> bool:
    """Whether every number is finite and within the bound."""
    low, high = bound.get("at_least", -math.inf), bound.get("at_most", math.inf)
    return all(math.isfinite(v) and low <= v <= high for v in values)


def bound_text(bound: dict) -> str:
    """The bound in words."""
    if len(bound) == 2:
        return f"between {bound['at_least']:g} and {bound['at_most']:g}"
    ((kind, value),) = bound.items()
    return f"{kind.replace('_', ' ')} {value:g}"


def bounds_text(bounds: dict[str, dict]) -> str:
    """The bounds of several figures in words, by name unless one bound holds for all."""
    texts = {name: bound_text(bound) for name, bound in bounds.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{name} {text}" for name, text in texts.items())


def value_text(values: list, bound: dict, digits: int = 2) -> str:
    """The figure in few digits, several as middle ± half their range, rounding errors by their bound."""
    if not all(math.isfinite(v) for v in values):
        return ", ".join(f"{v}" for v in values if not math.isfinite(v))
    if all(isinstance(v, int) for v in values):
        return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"
    size = max(abs(v) for v in values)
    if meets(values, bound) and size <= ROUNDING:
        if len(bound) == 2:
            return "0"
        return bound_text(bound).replace("at most", "below") if bound.get("at_most") else bound_text(bound)
    middle, half = (max(values) + min(values)) / 2, (max(values) - min(values)) / 2
    if half <= ROUNDING * max(1.0, size):
        return _short(middle, digits)
    places = max(0, -math.floor(math.log10(half)))
    return f"{_steady(middle):.{places}f} ± {_steady(half):.{places}f}"


def _steady(value: float) -> float:
    """Nine digits first, so that an exact tie (0.125) falls to the same side whatever its last bit."""
    return float(f"{value:.9g}")


def _short(value: float, digits: int) -> str:
    return f"{_steady(value):.{digits}g}"
