"""Closed balls on the lattice, as chords along the last axis.

A ball is the set of offsets z (in cells) whose physical length |z * spacing| is at most eps. It is kept as its
rows: every chord along the last axis is ``[-half, half]``, so a pair of integer arrays says it all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NORMS = ("lattice", "box", "diamond")
SLACK = 1e-9  # relative: a ball is closed, and eps/h may be off an integer by rounding
FAR = 2.0**62  # cells: beyond every array


def reach(eps: float, spacing: Sequence[float], shape: Sequence[int] | None = None) -> tuple[int, ...]:
    """Largest offset of the ball along each axis, in cells: the halo that a block needs.

    Parameters
    ----------
    eps : float
        Radius, in length units.
    spacing : sequence of float
        Grid spacing along each axis, in length units.
    shape : sequence of int, optional
        Shape of the array that the ball will act on: longer offsets leave it and are not counted.
    """
    cells = [min(eps * (1 + SLACK) / float(h), FAR) for h in spacing]
    if shape is not None:
        cells = [min(c, n - 1) for c, n in zip(cells, shape, strict=True)]
    return tuple(max(int(c), 0) for c in cells)


def lattice_ball(
    eps: float, spacing: Sequence[float], norm: str = "lattice", shape: Sequence[int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Chords of the closed ball {z : |z * spacing| <= eps (1 + 1e-9)}.

    Parameters
    ----------
    eps : float
        Radius, in length units.
    spacing : sequence of float
        Grid spacing along each of the d axes, in length units.
    norm : {"lattice", "box", "diamond"}
        Euclidean, largest-coordinate or sum-of-coordinates norm.
    shape : sequence of int, optional
        Leave out the offsets that lead from one cell of such an array to none of it.

    Returns
    -------
    rows : (m, d - 1) int64 array
        Offsets of the chords along all axes but the last, in lexicographic order.
    half : (m,) int64 array
        Half-lengths: the chord of a row is the offsets -half ... half along the last axis.

    Raises
    ------
    ValueError
        If the norm is unknown.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {NORMS}, got {norm!r}")
    cells = reach(eps, spacing, shape)
    axes = [np.arange(-n, n + 1) for n in cells[:-1]]
    rows = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes)) if axes else np.zeros((1, 0), int)
    unit = float(max(spacing))  # so that no square overflows
    length = np.abs(rows) * (np.asarray(spacing[:-1], float) / unit)
    limit = min(eps / unit * (1 + SLACK), FAR)
    if norm == "box":
        room = np.full(len(rows), limit)
    elif norm == "diamond":
        room = limit - length.sum(1)
    else:
        room = limit**2 - (length**2).sum(1)
        room = np.where(room >= 0, np.sqrt(np.abs(room)), -1.0)
    inside = room >= 0
    half = np.minimum(room[inside] / (spacing[-1] / unit), cells[-1])
    return rows[inside].astype(np.int64), half.astype(np.int64)


def offsets(rows: np.ndarray, half: np.ndarray) -> np.ndarray:
    """All offsets of a ball given by its chords: (k, d) int64, in lexicographic order."""
    last = np.concatenate([np.arange(-n, n + 1) for n in half])
    return np.column_stack([np.repeat(rows, 2 * half + 1, axis=0), last])
