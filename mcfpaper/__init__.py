"""Executable companion to "A mean curvature flow arising in adversarial training" (Bungert, Laux, Stinson).

Fields are ``xarray.DataArray`` objects on a uniform Cartesian grid in 1 to 3 dimensions; sets are boolean or level-set
functions, positive inside; densities are a Dataset with `rho0` and `rho1`. Labels such as T1 or O2 in docstrings are
those of the map of theorems in notebook 00.
"""

import importlib
from importlib.metadata import version

from mcfpaper import densities, ledger
from mcfpaper.densities import bayes
from mcfpaper.geometry import contours, hausdorff, perimeter, signed_distance, volume
from mcfpaper.grids import grid
from mcfpaper.operators import (
    adversarial_risk,
    dilate,
    erode,
    nonlocal_perimeter,
    nonlocal_tv,
    risk,
    subgradient,
)
from mcfpaper.scheme import evolve, proximal, robust_classifier, step
from mcfpaper.trajectory import open_trajectory

__version__ = version("mcfpaper")

__all__ = [
    "adversarial_risk",
    "bayes",
    "contours",
    "densities",
    "dilate",
    "erode",
    "evolve",
    "grid",
    "hausdorff",
    "ledger",
    "limit_flow",
    "nonlocal_perimeter",
    "nonlocal_tv",
    "open_trajectory",
    "oracles",
    "perimeter",
    "plots",
    "proximal",
    "risk",
    "robust_classifier",
    "signed_distance",
    "step",
    "subgradient",
    "volume",
]


def __getattr__(name: str):
    """Load on first use what takes long to import: HoloViews takes a second, parts of scipy a few tenths."""
    if name in ("oracles", "plots"):
        return importlib.import_module(f"mcfpaper.{name}")
    if name == "limit_flow":
        return importlib.import_module("mcfpaper.limit").limit_flow
    raise AttributeError(f"module 'mcfpaper' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
