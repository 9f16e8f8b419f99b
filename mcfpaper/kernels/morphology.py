"""Exact dilation and erosion of arrays by lattice balls.

Sup and inf run over ball ∩ box, everywhere: beyond the array there is nothing (-inf for a sup).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from mcfpaper.kernels.balls import lattice_ball, reach


@njit(nogil=True)
def _first(a, b):
    return a if a > b else b


@njit(nogil=True)
def _chords(padded, pad, rows, half, out):
    """Max over the chords by two overlapping entries of a table of running maxima over dyadic lengths."""
    levels = 0
    while 2 ** (levels + 1) <= 2 * half.max() + 1:
        levels += 1
    table = np.empty((levels + 1, *padded.shape), padded.dtype)
    table[0] = padded
    for k in range(levels):
        step = 2**k
        for p in range(padded.shape[0]):
            for y in range(padded.shape[1]):
                n = padded.shape[2] - 2 * step + 1
                left, right, new = table[k, p, y, :n], table[k, p, y, step : step + n], table[k + 1, p, y, :n]
                for j in range(n):
                    new[j] = left[j] if left[j] > right[j] else right[j]
    n = out.shape[2]
    for p in range(out.shape[0]):
        for y in range(out.shape[1]):
            best = out[p, y]
            for i in range(half.size):
                length = 2 * half[i] + 1
                k = 0
                while 2 ** (k + 1) <= length:
                    k += 1
                row = table[k, p + pad[0] + rows[i, 0], y + pad[1] + rows[i, 1]]
                start = pad[2] - half[i]
                stop = start + length - 2**k
                left, right = row[start : start + n], row[stop : stop + n]
                for j in range(n):
                    value = left[j] if left[j] > right[j] else right[j]
                    best[j] = best[j] if best[j] > value else value


def halo(eps: float, spacing: Sequence[float], norm: str = "lattice") -> tuple[int, ...]:
    """Cells beyond a block, along each axis, that its dilation or erosion reads."""
    return reach(eps, spacing)


def dilate(u: np.ndarray, eps: float, spacing: Sequence[float], norm: str = "lattice", threads: int = 1) -> np.ndarray:
    """Sup of `u` over the ball around each cell, cut at the edge of the array (theory.md D3)."""
    return _morph(u, eps, spacing, norm, 1)


def erode(u: np.ndarray, eps: float, spacing: Sequence[float], norm: str = "lattice", threads: int = 1) -> np.ndarray:
    """Inf of `u` over the ball around each cell, cut at the edge of the array (theory.md D3)."""
    return _morph(u, eps, spacing, norm, -1)


def argdilate(u: np.ndarray, eps: float, spacing: Sequence[float], norm: str = "lattice") -> np.ndarray:
    """Flat index of a maximiser of `u` in the ball around each cell: the cell itself, or else the first."""
    return _arg(u, eps, spacing, norm, 1)


def argerode(u: np.ndarray, eps: float, spacing: Sequence[float], norm: str = "lattice") -> np.ndarray:
    """Flat index of a minimiser of `u` in the ball around each cell: the cell itself, or else the first."""
    return _arg(u, eps, spacing, norm, -1)


def _prepare(u, eps, spacing, norm):
    u = np.asarray(u)
    if u.dtype not in (np.float32, np.float64, np.bool_):
        u = u.astype(np.float64)
    rows, half = lattice_ball(eps, spacing, norm, u.shape)
    rows = np.pad(rows, ((0, 0), (2 - rows.shape[1], 0)))
    full = (1,) * (3 - u.ndim) + u.shape
    pad = np.array((0,) * (3 - u.ndim) + reach(eps, spacing, u.shape))
    return u, rows, half, full, pad


def _morph(u, eps, spacing, norm, sign):
    u, rows, half, full, pad = _prepare(u, eps, spacing, norm)
    if u.size == 0:
        return u.copy()
    if u.dtype == np.bool_:
        inside = u if sign > 0 else ~u
        work = inside.reshape(full).astype(np.uint8)
        low = 0
    else:
        work, low = (sign * u).reshape(full), -np.inf
    padded = np.pad(work, [(n, n) for n in pad], constant_values=low)
    out = work.copy()
    _chords(padded, pad, rows, half, out)
    out = out.reshape(u.shape)
    if u.dtype == np.bool_:
        return out.astype(bool) if sign > 0 else out == 0
    return sign * out


@njit(nogil=True)
def _arg_chords(u, rows, half):
    out = np.empty(u.shape, np.int64)
    planes, lines, n = u.shape
    for p in range(planes):
        for y in range(lines):
            for x in range(n):
                best = u[p, y, x]
                where = (p * lines + y) * n + x
                for i in range(half.size):
                    q, z = p + rows[i, 0], y + rows[i, 1]
                    if 0 <= q < planes and 0 <= z < lines:
                        for w in range(max(x - half[i], 0), min(x + half[i] + 1, n)):
                            if u[q, z, w] > best:
                                best = u[q, z, w]
                                where = (q * lines + z) * n + w
                out[p, y, x] = where
    return out


def _arg(u, eps, spacing, norm, sign):
    u, rows, half, full, _ = _prepare(u, eps, spacing, norm)
    work = u.astype(np.int8) if u.dtype == np.bool_ else u
    return _arg_chords(np.ascontiguousarray(sign * work).reshape(full), rows, half).reshape(u.shape)
