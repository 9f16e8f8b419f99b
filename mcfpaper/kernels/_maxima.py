"""The machine that runs a program of maxima (see `cascade`) over an array, as one flat vector.

The rows of the array, each followed by a margin of the least value as wide as the ball, make one vector, in which every
offset is one number: a stage is the maximum of two or four stretches of earlier ones. All stages advance together by
a chunk of a few rows at a time, each as far behind the input as its reads ask for, and keep no more of their past
than is read again: what is worked on stays in the cache, whatever the size of the array.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from mcfpaper.kernels._jit import njit

LINE = 64  # bytes of a cache line: stretches that are written begin on one
CHUNK = 1 << 16  # bytes, at most, that a stage makes at a time (one row if that is more)


class Plan(NamedTuple):
    """What the kernel needs to know. Stage 0 is the input, the last one the result.

    A stage makes at step t its cells ``t chunk - lag ... (t + 1) chunk - lag``. They go to one of its `slots` in turn,
    each of one chunk, from ``home + front`` on; `front` cells before them repeat the end of the last slot, so
    that every stretch that is read lies in one piece. A term reads `delay` cells before what its stage makes now.
    """

    size: int  # of the memory
    chunk: int
    stride: int  # cells from row to row
    lag: int  # rows of the result behind the input
    home: np.ndarray
    front: np.ndarray
    slots: np.ndarray
    count: np.ndarray  # terms of a stage: 2 or 4
    source: np.ndarray  # (stages, 4)
    delay: np.ndarray  # (stages, 4)


def plan(stages: list[list[tuple[int, int, int, int]]], height: int, width: int, itemsize: int) -> Plan:
    """Lay out a program for planes of `height` rows of `width` cells, margins counted in.

    A term is (stage, plane offset, row offset, column offset); stage i + 1 is the maximum over the terms in stages[i].
    """
    line = LINE // itemsize
    stride = -(-width // line) * line
    chunk = max(1, min(CHUNK // itemsize // stride, height)) * stride
    flat = _in_fours([[(s, (dz * height + dy) * stride + dx) for s, dz, dy, dx in terms] for terms in stages])
    lag = _lags(flat, line, stride)
    delay = [[lag[i] - lag[s] - d for s, d in terms] for i, terms in enumerate(flat)]
    past = [0] * len(flat)
    for terms, waits in zip(flat, delay, strict=True):
        for (s, _), wait in zip(terms, waits, strict=True):
            past[s] = max(past[s], wait)
    # A long past goes round; a short one is moved to the front each time.
    slots = [1 if 5 * n <= 2 * chunk else -(-n // chunk) + 1 for n in past]
    front = [min(-(-n // line) * line, chunk) for n in past]
    home = np.cumsum([0] + [f + m * chunk for f, m in zip(front, slots, strict=True)])
    full = [(terms * 4)[:4] for terms in [[(0, 0)], *flat[1:]]]
    return Plan(
        int(home[-1]) + line,
        chunk,
        stride,
        lag[-1] // stride,
        home[:-1],
        np.array(front),
        np.array(slots),
        np.array([len(terms) for terms in flat]),
        np.array([[s for s, _ in terms] for terms in full]),
        np.array([(waits * 4 or [0] * 4)[:4] for waits in delay]),
    )


def _in_fours(stages):
    """Stages of one, two or four terms (a third makes it four, twice there), with the input as stage 0.

    Longer ones are made in parts; a stage of two that only the next one reads, of two as well, is made as part of it.
    """
    readers = Counter(s for terms in stages for s, _ in terms)
    flat, number = [[]], [0]
    for terms in stages:
        rest = [(number[s], d) for s, d in terms]
        s = terms[0][0]
        if len(terms) == readers[s] == 2 and terms[1][0] == s and number[s] == len(flat) - 1 and len(flat[-1]) == 2:
            inner = flat.pop()
            rest = [(k, d + e) for _, d in rest for k, e in inner]
        while len(rest) > 4:
            flat.append(rest[:4])
            rest = [*rest[4:], (len(flat) - 1, 0)]
        flat.append(rest if len(rest) != 3 else [*rest, rest[0]])
        number.append(len(flat) - 1)
    return flat


def _lags(flat, line, stride):
    """How far each stage is behind the input: the result as little as can be, the others as much as they may."""
    lag = [0] * len(flat)
    for i, terms in enumerate(flat[1:], 1):
        lag[i] = -(-max(lag[s] + d for s, d in terms) // line) * line
    lag[-1] = -(-lag[-1] // stride) * stride
    latest = [lag[-1]] * len(flat)
    for i in range(len(flat) - 1, 0, -1):
        lag[i] = latest[i] // line * line
        for s, d in flat[i]:
            latest[s] = min(latest[s], lag[i] - d)
    return lag


def memory(size: int, dtype: np.dtype, low: object) -> np.ndarray:
    """`size` cells of the least value that begin on a cache line."""
    room = np.full(size + LINE // dtype.itemsize, low, dtype)
    skip = -room.ctypes.data % LINE // dtype.itemsize
    return room[skip : skip + size]


# `a if a > b else b` becomes one vector instruction; max() does not, for the sake of NaN. Slices come first and
# the index is the bare loop variable: with an offset in the index LLVM gives up on vector loads. Slices are made
# here and not by the caller, where each would cost an atomic count of references.
@njit
def _max2(ring, o, a, b, n):
    out, a, b = ring[o : o + n], ring[a : a + n], ring[b : b + n]
    for j in range(n):
        out[j] = a[j] if a[j] > b[j] else b[j]


@njit
def _max4(ring, o, a, b, c, d, n):
    out, a, b, c, d = ring[o : o + n], ring[a : a + n], ring[b : b + n], ring[c : c + n], ring[d : d + n]
    for j in range(n):
        x = a[j] if a[j] > b[j] else b[j]
        y = c[j] if c[j] > d[j] else d[j]
        out[j] = x if x > y else y


@njit
def _copy(ring, o, a, n):
    out, a = ring[o : o + n], ring[a : a + n]
    for j in range(n):
        out[j] = a[j]


@njit
def _enter(ring, o, n, source, a, b, sign, base, low):
    """Cells [a, b) of the source and then the least value, n in all; adding a base of 0.0 makes 0.0 of -0.0."""
    row, rest, source = ring[o : o + b - a], ring[o + b - a : o + n], source[a:b]
    for j in range(row.size):
        row[j] = sign * source[j] + base
    for j in range(rest.size):
        rest[j] = low


@njit
def _leave(ring, o, n, target, a, base, back):
    row, target = ring[o : o + n], target[a : a + n]
    if back:
        for j in range(n):
            target[j] = base - row[j]
    else:
        for j in range(n):
            target[j] = row[j]


@njit
def sweep(u, out, box, lead, height, sign, base, low, back, ring, plan):
    """The program's result for u in a box (first and last row, first and last column) of each plane, into out.

    Works on ``base + sign u``, with `low` outside; with `back` the result x is turned into ``base - x``. Planes follow
    each other at `height` rows. The first lead[0] rows and lead[1] columns lie before the box. `ring` is
    memory(plan.size), all `low`.
    """
    _, chunk, stride, lag, home, front, slots, count, source, delay = plan
    nz, ny, nx = u.shape
    y0, y1, x0, x1 = box
    above, left = lead
    start = max(x0 - left, 0)
    stop, skip = min(x0 - left + stride, nx), start - x0 + left
    u, out = u.reshape(-1), out.reshape(-1)
    at = np.empty(4, np.int64)
    block = chunk // stride
    for t in range(-(-(nz * height + lag) // block)):
        for i in range(home.size):
            slot = t % slots[i]
            o = home[i] + front[i] + slot * chunk
            if slot == 0 and front[i]:
                _copy(ring, home[i], home[i] + slots[i] * chunk, front[i])
            if i == 0:
                for r in range(t * block, (t + 1) * block):
                    z, y = divmod(r, height)
                    y += y0 - above
                    row = (z * ny + y) * nx
                    a, b = (row + start, row + stop) if z < nz and 0 <= y < ny else (0, 0)
                    _enter(ring, o + skip, stride - skip, u, a, b, sign, base, low)
                    o += stride
                continue
            for k in range(count[i]):
                s = source[i, k]
                a = front[s] + t % slots[s] * chunk - delay[i, k]
                at[k] = home[s] + (a if a >= 0 else a + slots[s] * chunk)
            if count[i] == 4:
                _max4(ring, o, at[0], at[1], at[2], at[3], chunk)
            else:
                _max2(ring, o, at[0], at[count[i] - 1], chunk)
        for b in range(block):
            r = t * block + b - lag
            if r >= 0:
                z, y = divmod(r, height)
                y += y0 - above
                if z < nz and y0 <= y < y1:
                    _leave(ring, o + b * stride + left, x1 - x0, out, (z * ny + y) * nx + x0, base, back)
