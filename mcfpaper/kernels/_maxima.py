"""The machine that runs a program of maxima (see `cascade`) over the plane, row by row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mcfpaper.kernels._jit import njit
from mcfpaper.kernels.cascade import Program


class Schedule(NamedTuple):
    """A program with its stages in step: arrays for the kernel. Stage 0 is the input.

    Stage i makes its row y at time ``y + lag[i]``, when the rows that it reads are there; it keeps its last
    ``depth[i]`` rows. To make an output of ny rows and nx columns it has to cover the rows
    [above[i], ny + below[i]) and the columns [left[i], nx + right[i]).
    """

    start: np.ndarray  # the terms of stage i are start[i] ... start[i + 1]
    terms: np.ndarray  # (k, 3): stage, row offset, column offset
    lag: np.ndarray
    depth: np.ndarray
    span: np.ndarray  # (stages, 4): above, below, left, right


def schedule(program: Program) -> Schedule:
    """Work out the order, the memory and the extent of each stage."""
    stages = [[], *program.stages]
    lag = [0]
    for terms in stages[1:]:
        lag.append(max(lag[s] + dy for s, dy, _ in terms))
    depth = [1] * len(stages)
    span = [[0, 0, 0, 0] for _ in stages]
    for i in range(len(stages) - 1, 0, -1):
        for s, dy, dx in stages[i]:
            depth[s] = max(depth[s], lag[i] - lag[s] - dy + 1)
            above, below, left, right = span[i]
            a, b, c, d = span[s]
            span[s] = [min(a, above + dy), max(b, below + dy), min(c, left + dx), max(d, right + dx)]
    depth = [1 << (n - 1).bit_length() for n in depth]  # a power of two: rows are found by masking
    start = np.cumsum([0] + [len(terms) for terms in stages])
    flat = np.array([t for terms in stages for t in terms], np.int64)
    return Schedule(start, flat, *(np.array(a, np.int64) for a in (lag, depth, span)))


# `a if a > b else b` becomes one vector instruction; max() does not, for the sake of NaN. Slices come first and
# the index is the bare loop variable: with an offset in the index LLVM gives up on vector loads. Slices are made
# here and not by the caller, where each would cost an atomic count of references.
@njit
def _set2(to, o, n, ring, a, b):
    out, a, b = to[o : o + n], ring[a : a + n], ring[b : b + n]
    for j in range(n):
        out[j] = a[j] if a[j] > b[j] else b[j]


@njit
def _set4(to, o, n, ring, a, b, c, d):
    out, a, b, c, d = to[o : o + n], ring[a : a + n], ring[b : b + n], ring[c : c + n], ring[d : d + n]
    for j in range(n):
        x = a[j] if a[j] > b[j] else b[j]
        y = c[j] if c[j] > d[j] else d[j]
        out[j] = x if x > y else y


@njit
def _add2(to, o, n, ring, a, b):
    out, a, b = to[o : o + n], ring[a : a + n], ring[b : b + n]
    for j in range(n):
        x = a[j] if a[j] > b[j] else b[j]
        out[j] = x if x > out[j] else out[j]


@njit
def _add4(to, o, n, ring, a, b, c, d):
    out, a, b, c, d = to[o : o + n], ring[a : a + n], ring[b : b + n], ring[c : c + n], ring[d : d + n]
    for j in range(n):
        x = a[j] if a[j] > b[j] else b[j]
        y = c[j] if c[j] > d[j] else d[j]
        x = x if x > y else y
        out[j] = x if x > out[j] else out[j]


@njit
def _enter(ring, o, n, u, y, margin, sign, base, low):
    """Copy row y of the input between margins; adding a base of 0.0 makes 0.0 of -0.0."""
    row, inner = ring[o : o + n], u[y]
    row[:margin] = low
    row[margin + inner.size :] = low
    middle = row[margin : margin + inner.size]
    for j in range(inner.size):
        middle[j] = sign * inner[j] + base


@njit
def _fill(ring, o, n, low):
    ring[o : o + n] = low


@njit
def _mirror(to, o, n, base):
    row = to[o : o + n]
    for j in range(n):
        row[j] = base - row[j]


@njit
def _combine(to, o, n, ring, at):
    """Max over the stretches of the ring that begin at `at`."""
    k, last = 0, at.size - 1
    while k <= last:
        a, b = at[k], at[min(k + 1, last)]
        if last - k < 2:
            if k == 0:
                _set2(to, o, n, ring, a, b)
            else:
                _add2(to, o, n, ring, a, b)
        elif k == 0:
            _set4(to, o, n, ring, a, b, at[k + 2], at[min(k + 3, last)])
        else:
            _add4(to, o, n, ring, a, b, at[k + 2], at[min(k + 3, last)])
        k += 4


def run(program, u, y0, y1, sign, base, low, back, out):
    """Rows [y0, y1) of the program's result for the plane u, into the same rows of out.

    Works on ``base + sign u``, with `low` outside the plane; with `back` the result x is turned into
    ``base - x``. Both arrays are contiguous.
    """
    # Whole vectors only: what lies between a row's width and the next multiple of 256 bytes is never used. The gap
    # keeps a row that is read apart from the one that is written, or LLVM's check for overlap picks the slow loop.
    nx, block = u.shape[1], 256 // u.itemsize
    width = nx - program.span[:, 2] + program.span[:, 3]
    width[:-1] = -(-width[:-1] // block) * block
    stride = width + block + 16
    home = np.concatenate([[0], np.cumsum(program.depth[:-1] * stride[:-1])])
    ring = np.empty(home[-1], u.dtype)
    at = np.empty(len(program.terms), np.int64)
    _run(u, y0, y1, sign, base, low, back, *program, width, stride, home, ring, at, out.reshape(-1))


@njit
def _run(u, y0, y1, sign, base, low, back, start, terms, lag, depth, span, width, stride, home, ring, at, flat):
    stages, (ny, nx) = lag.size, u.shape
    last = stages - 1
    for t in range(y0 + span[0, 0], y1 + lag[last]):
        for i in range(stages):
            y = t - lag[i]
            if y < y0 + span[i, 0] or y >= y1 + span[i, 1]:
                continue
            o, n = home[i] + (y & (depth[i] - 1)) * stride[i], width[i]
            if i == 0:
                if 0 <= y < ny:
                    _enter(ring, o, n, u, y, -span[0, 2], sign, base, low)
                else:
                    _fill(ring, o, n, low)
                continue
            for k in range(start[i], start[i + 1]):
                s = terms[k, 0]
                at[k] = (
                    home[s] + ((y + terms[k, 1]) & (depth[s] - 1)) * stride[s] + span[i, 2] + terms[k, 2] - span[s, 2]
                )
            here = at[start[i] : start[i + 1]]
            # One call for both, since what is inlined twice is compiled twice.
            to, o = (ring, o) if i < last else (flat, y * nx)
            _combine(to, o, n, ring, here)
            if i == last and back:
                _mirror(flat, o, n, base)


@njit
def raise_rows(out, plane, y0, y1):
    """Replace rows [y0, y1) of out by the larger of out and plane."""
    to, row = out[y0:y1].reshape(-1), plane[y0:y1].reshape(-1)
    for j in range(row.size):
        to[j] = row[j] if row[j] > to[j] else to[j]
