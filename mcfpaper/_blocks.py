"""Numpy kernels over dask blocks that overlap."""

from __future__ import annotations

from collections.abc import Callable

import dask.array as da
import numpy as np
import xarray as xr

from mcfpaper import _checks


def blockwise(function: Callable, halo: tuple[int, ...], *fields: xr.DataArray) -> np.ndarray | da.Array:
    """Apply a function of numpy blocks to `fields`, each block with `halo` cells around it.

    Lazy, in the chunks of the first lazy field, if there is one. The result has the dtype of the first field.
    """
    if not any(_checks.is_lazy(f) for f in fields):
        return function(*(f.values for f in fields))
    chunks = next(f for f in fields if _checks.is_lazy(f)).chunks
    wide = tuple(_merged(c, r) for c, r in zip(chunks, halo, strict=True))
    depth = {axis: (r if len(c) > 1 else 0) for axis, (c, r) in enumerate(zip(wide, halo, strict=True))}
    out = da.map_overlap(
        function,
        *(da.asarray(f.data).rechunk(wide) for f in fields),
        depth=[depth] * len(fields),
        boundary="none",
        allow_rechunk=False,
        align_arrays=False,
        meta=np.empty((0,) * len(halo), fields[0].dtype),
    )
    return out.rechunk(chunks)


def _merged(chunks: tuple[int, ...], least: int) -> tuple[int, ...]:
    """Merge neighbouring chunks until each holds `least` cells (dask would rechunk in a way of its own)."""
    merged = [0]
    for size in chunks:
        if merged[-1] >= least and merged[-1] > 0:
            merged.append(0)
        merged[-1] += size
    if len(merged) > 1 and merged[-1] < least:
        last = merged.pop()
        merged[-1] += last
    return tuple(merged)
