"""Executable companion to "A mean curvature flow arising in adversarial training" (Bungert, Laux, Stinson).

Fields are ``xarray.DataArray`` objects on a uniform Cartesian grid in 1 to 3 dimensions; sets are boolean or level-set
functions, positive inside; densities are a Dataset with `rho0` and `rho1`. Labels such as T1 or O2 in docstrings are
those of the map of theorems in notebook 00.

Every name loads on first use, so that the import itself takes no time and starts nothing.
"""

from importlib import import_module
from importlib.metadata import version

__version__ = version("mcfpaper")

_HOME = {  # where each public name lives; a sub-module lives in itself
    "CurvatureFlowClassifier": "classifier",
    "adversarial_risk": "operators",
    "bayes": "densities",
    "contours": "geometry",
    "densities": "densities",
    "dilate": "operators",
    "erode": "operators",
    "evolve": "scheme",
    "grid": "grids",
    "hausdorff": "geometry",
    "ledger": "ledger",
    "limit_flow": "limit",
    "nonlocal_perimeter": "operators",
    "nonlocal_tv": "operators",
    "open_trajectory": "trajectory",
    "oracles": "oracles",
    "perimeter": "geometry",
    "plots": "plots",
    "proximal": "_proximal",
    "risk": "operators",
    "robust_classifier": "scheme",
    "signed_distance": "geometry",
    "step": "scheme",
    "subgradient": "operators",
    "sweep": "sweeps",
    "volume": "geometry",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    """Load a public name."""
    if name not in _HOME:
        raise AttributeError(f"module 'mcfpaper' has no attribute {name!r}")
    module = import_module(f"mcfpaper.{_HOME[name]}")
    globals()[name] = found = module if name == _HOME[name] else getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
