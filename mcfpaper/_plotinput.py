"""Validation of what the figures are given: like `_checks`, before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from mcfpaper import _checks


def plane(field: object, name: str) -> xr.DataArray:
    """Return a field that has boundary curves to draw: in two dimensions, or the middle plane of three."""
    field = _checks.on_grid(field, name)
    if field.ndim == 1:
        raise ValueError(f"{name} must have 2 or 3 dimensions, got 1: {field.dims}")
    return middle(field)


def middle(field: xr.DataArray) -> xr.DataArray:
    """A field in at most two dimensions: of three, the middle plane along the first."""
    return field if field.ndim < 3 else field.isel({field.dims[0]: field.shape[0] // 2}, drop=True)


def run(data: object, names: Sequence[str] = ("u",), argument: str = "run", chosen_by: str = "") -> xr.Dataset:
    """Return a trajectory that has a time and the variables `names`; `chosen_by`: the argument that names these."""
    if not isinstance(data, xr.Dataset):
        raise TypeError(f"{argument} must be an xarray.Dataset, got {type(data).__name__}")
    if "time" not in data.coords or not data.sizes.get("time"):
        raise ValueError(f"{argument} must have a coordinate time with at least one value, got {list(data.coords)}")
    if not len(names) or any(name not in data or "time" not in data[name].dims for name in names):
        found = [str(name) for name, v in data.data_vars.items() if "time" in v.dims]
        if chosen_by:
            raise ValueError(f"{chosen_by} must name variables over time of {argument}, {found}, got {list(names)}")
        raise ValueError(f"{argument} must have the variables {list(names)} over time, got {found}")
    return data


def mapping(named: object, name: str) -> dict:
    """Return a mapping from labels that is not empty."""
    if not hasattr(named, "items"):
        raise TypeError(f"{name} must be a mapping from labels, got {type(named).__name__}")
    if not named:
        raise ValueError(f"{name} must hold at least one entry, got none")
    return dict(named)


def curves(named: object, name: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return labelled pairs (x, y) of arrays of one length."""
    out = {}
    for label, pair in mapping(named, name).items():
        x, y = (np.asarray(v, float) for v in pair)
        if x.ndim != 1 or x.shape != y.shape:
            raise ValueError(f"{name} must hold pairs of equally many numbers, got {x.shape}, {y.shape} for {label!r}")
        out[label] = (x, y)
    return out


def points(data: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Return points in the plane, shape (n, 2), and their n labels."""
    X, labels = np.asarray(data[0], float), np.asarray(data[1])
    if X.ndim != 2 or X.shape[1] != 2 or labels.shape != X.shape[:1]:
        raise ValueError(f"points must be arrays of shapes (n, 2) and (n,), got {X.shape} and {labels.shape}")
    return X, labels
