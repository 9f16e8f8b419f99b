"""Exact dilation and erosion of arrays by lattice balls.

Sup and inf run over ball ∩ box, everywhere: beyond the array there is nothing. In the plane a ball is a short
program of maxima (`cascade`); a solid ball is the maximum over a stack of plane ones. A program runs down the array in
blocks of a few rows, and what it keeps stays in the cache (`_maxima`). Cost per cell grows more slowly than the number
of rows of the ball. Results are exact to the last bit, but for the sign of zero: a zero comes out as +0.0. Booleans
go the same way, as bytes: measured on 1024² cells at R = 4 to 32, ten times as fast as distance transforms or more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache, reduce
from itertools import pairwise
from queue import SimpleQueue
from threading import Lock, Thread

import numpy as np

from mcfpaper.kernels import _maxima
from mcfpaper.kernels.balls import lattice_ball, reach
from mcfpaper.kernels.cascade import compile_ball

PANEL = 1 << 14  # bytes of a row, about, that are worked on at a time
PLANES = 128  # that a sweep keeps for later maxima


def halo(eps: float, spacing: Sequence[float]) -> tuple[int, ...]:
    """Cells beyond a block, along each axis, that its dilation or erosion reads (the same for all norms)."""
    return reach(eps, spacing)


def dilate(u: np.ndarray, eps: float, spacing: Sequence[float], norm: str = "lattice", threads: int = 1) -> np.ndarray:
    """Sup of `u` over the closed ball around each cell, cut at the edge of the array (theory.md D3).

    Parameters
    ----------
    u : array in 1 to 3 dimensions
        Values without NaN (not checked here), -inf and inf allowed; never modified. float32, float64 and bool
        are kept, other types become float64.
    eps : float
        Radius of the ball, in length units; it may exceed the box.
    spacing : sequence of float
        Grid spacing along each axis, in length units.
    norm : {"lattice", "box", "diamond"}
        Euclidean, largest-coordinate or sum-of-coordinates norm.
    threads : {1, 2}
        With 2 another thread works from the other end of the array. Leave it at 1 under dask.

    Returns
    -------
    array
        Of the shape of `u`: the exact maximum; a zero is +0.0.

    Raises
    ------
    ValueError
        If the norm is unknown.
    """
    return _morph(u, eps, spacing, norm, threads, 1)


def erode(u: np.ndarray, eps: float, spacing: Sequence[float], norm: str = "lattice", threads: int = 1) -> np.ndarray:
    """Inf of `u` over the closed ball around each cell, cut at the edge of the array: ``-dilate(-u)``.

    Parameters, result and errors are those of `dilate`; for booleans - means the complement.
    """
    return _morph(u, eps, spacing, norm, threads, -1)


def argdilate(u: np.ndarray, eps: float, spacing: Sequence[float], norm: str = "lattice") -> np.ndarray:
    """Flat index (int64) of a maximiser of `u` in the ball around each cell.

    Of several, it is the cell itself, or else the first in the order of flat indices. Parameters as for `dilate`.
    """
    u = np.ascontiguousarray(u)
    order = u.size - 1 - np.argsort(u.reshape(-1)[::-1], kind="stable")
    return _arg(u, order, eps, spacing, norm)


def _arg(u, order, eps, spacing, norm):
    # `order` sorts the cells from worst to best: dilating their ranks finds the best cell, with no ties left.
    rank = np.empty(u.size)
    rank[order] = np.arange(u.size)
    best = order[_run(rank.reshape(u.shape), eps, spacing, norm, 1, 1, -np.inf).astype(np.int64)]
    here = np.arange(u.size).reshape(u.shape)
    return np.where(u == u.reshape(-1)[best], here, best)


def _morph(u, eps, spacing, norm, threads, sign):
    u = np.asarray(u)
    if u.dtype == np.bool_:
        return _run(u.view(np.uint8), eps, spacing, norm, threads, sign, 0).view(np.bool_)
    if u.dtype not in (np.float32, np.float64):
        u = u.astype(np.float64)
    return _run(u, eps, spacing, norm, threads, sign, -np.inf)


def _run(u, eps, spacing, norm, threads, sign, low):
    """Dilate ``u`` (sign > 0), or turn it over, dilate and turn back (sign < 0)."""
    if u.size == 0:
        return u.copy()
    solid = np.ascontiguousarray(u).reshape((1,) * (3 - u.ndim) + u.shape)
    ball = float(eps), tuple(map(float, spacing)), norm, reach(eps, spacing, u.shape)
    _, tall, wide = (0, 0, *ball[-1])[-3:]
    base, low = u.dtype.type(sign < 0 and u.dtype == np.uint8), u.dtype.type(low)
    factor = u.dtype.type(sign % 256 if u.dtype == np.uint8 else sign)
    _, ny, nx = solid.shape
    panels = max(1, nx // max(PANEL // u.itemsize, 8 * wide))
    columns = list(pairwise(nx * k // panels for k in range(panels + 1)))
    height = ny + tall  # what lies below the last row of a plane is above the first of the next

    def work(to, claims, end, ring, plan):
        for panel, claim in zip(columns, claims, strict=True):
            _maxima.sweep(solid, to, panel, height, end, claim, factor, base, low, ring, plan)

    def result(plan):
        to, claims = np.empty_like(solid), np.zeros((panels, 2), np.int64)
        rings = [_maxima.memory(plan.size, u.dtype) for _ in range(threads)]
        helped = threads > 1 and _other().start(work, to, claims, 1, rings[1], plan)
        work(to, claims, 0, rings[0], plan)
        if helped and (error := helped.get()):
            raise error
        return to

    better = np.minimum if sign < 0 else np.maximum
    widest = max(b - a for a, b in columns)
    return reduce(better, map(result, _plans(*ball, height, widest, u.itemsize))).reshape(u.shape)


class _Parked:
    """A thread that waits for work, with less between a call and its start than a pool of threads has."""

    def __init__(self):
        self._free, self._work = Lock(), SimpleQueue()
        try:
            Thread(target=self._run, name="mcfpaper dilation", daemon=True).start()
        except RuntimeError:  # no thread is to be had: busy for ever
            self._free.acquire()

    def start(self, work, *args):
        """Let it run ``work(*args)``; .get() of the answer waits for its end and gives its error. None: it is busy."""
        if not self._free.acquire(blocking=False):
            return None
        done = SimpleQueue()
        self._work.put((work, args, done))
        return done

    def _run(self):
        while True:
            work, args, done = self._work.get()
            error = None
            try:
                work(*args)
            except BaseException as failure:  # raised where it is waited for
                error = failure
            self._free.release()
            done.put(error)
            del work, args, done, error  # the arrays


@lru_cache(maxsize=1)
def _other():
    """The thread that works from the other end. Who finds it busy does its work himself."""
    return _Parked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_other.cache_clear)


@lru_cache(maxsize=64)
def _plans(eps, spacing, norm, cells, height, width, itemsize):
    """The programs of a ball (whose offsets of more than `cells` never matter) laid out for the kernel."""
    return [_maxima.plan(stages, height, width, itemsize) for stages in _parts(eps, spacing, norm, cells)]


@lru_cache(maxsize=64)
def _parts(eps, spacing, norm, cells):
    """Programs whose maximum is the dilation by a ball: one, unless that would keep too many planes at a time.

    Each has the stages of some of the distinct plane discs in the ball, and the maximum over their planes.
    """
    rows, half = lattice_ball(eps, spacing, norm, tuple(n + 1 for n in cells))
    rows = np.pad(rows, ((0, 0), (2 - rows.shape[1], 0)))
    discs = {}
    for dz in np.unique(rows[:, 0]):
        lines = rows[:, 0] == dz
        discs.setdefault((tuple(rows[lines, 1].tolist()), tuple(half[lines].tolist())), []).append(int(dz))
    parts, stages, top, kept = [], [], [], 0
    for disc, planes in discs.items():
        kept += planes[-1] - planes[0]
        if top and kept > PLANES:
            parts.append([*stages, top])
            stages, top, kept = [], [], planes[-1] - planes[0]
        first = len(stages)
        for terms in _program(*disc):
            stages.append([(s and first + s, 0, dy, dx) for s, dy, dx in terms])
        top += [(len(stages), dz, 0, 0) for dz in planes]
    return [*parts, [*stages, top] if len(top) > 1 else stages]


@lru_cache(maxsize=256)
def _program(rows, half):
    return compile_ball(np.array(rows), np.array(half)).stages
