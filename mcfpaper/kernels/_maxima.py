"""The machine that runs a program of maxima (see `cascade`) over an array.

All stages advance together, by a block of rows at a time, each as far behind the input as its reads ask for. A stage
keeps its last rows in a ring, no more of them than are read again, so that what is worked on stays in the cache,
whatever the size of the array. The rows of a ring follow each other at one stride, so that a block is worked on as one
vector, in which every offset is one number; it is cut where a ring that is read begins anew.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from mcfpaper.kernels._jit import njit

MOST = 8  # terms of a maximum that is made at once
LINE = 64  # bytes of a cache line: rows begin on one
CACHE = 1 << 20  # bytes that all rings together should fit in
CHUNKS = 1 << 14, 1 << 16  # bytes of a block: as few as outweigh the start of a loop, and as many as are of use


class Plan(NamedTuple):
    """What the kernel needs to know. Stage 0 is the input, the last one the result.

    At step t a stage makes its rows ``t block - lag ... (t + 1) block - lag``. A row of a ring holds the columns of
    the panel and what later stages read beside them. A term reads its stage's rows `delay` before what that
    makes now, from the cell `shift` of the row on.
    """

    size: int  # of the memory
    block: int  # rows
    stride: int  # cells from row to row
    lag: int  # rows of the result behind the input
    left: int  # columns of the input before the panel
    home: np.ndarray  # where the rings begin, and a row for the result
    rows: np.ndarray  # of each ring
    extra: np.ndarray  # columns of a row beside those of the panel
    count: np.ndarray  # terms of a stage, made even
    source: np.ndarray  # (stages, MOST)
    delay: np.ndarray  # (stages, MOST)
    shift: np.ndarray  # (stages, MOST)


def plan(stages: list[list[tuple[int, int, int, int]]], height: int, width: int, itemsize: int) -> Plan:
    """Lay out a program for planes of `height` rows, margins counted in, and panels of at most `width` columns.

    A term is (stage, plane offset, row offset, column offset); stage i + 1 is the maximum over the terms in stages[i].
    """
    flat = _merged([[(s, dz * height + dy, dx) for s, dz, dy, dx in terms] for terms in stages])
    lag = _lags(flat)
    past, low, high = [0] * len(flat), [0] * len(flat), [0] * len(flat)
    for i in range(len(flat) - 1, 0, -1):
        for s, dy, dx in flat[i]:
            past[s] = max(past[s], lag[i] - lag[s] - dy)
            low[s], high[s] = min(low[s], low[i] + dx), max(high[s], high[i] + dx)
    line = LINE // itemsize
    stride = -(-(width + high[0] - low[0]) // line) * line
    block = _block(past[:-1], stride * itemsize, height)
    rows = [_rows(n, block) for n in past[:-1]]
    full = [[(0, 0, 0)] * MOST, *[(terms * MOST)[:MOST] for terms in flat[1:]]]
    return Plan(
        (sum(rows) + 1) * stride,
        block,
        stride,
        lag[-1],
        -low[0],
        np.cumsum([0, *rows]) * stride,
        np.array(rows),
        np.array(high) - low,
        np.array([max(2, len(terms) + len(terms) % 2) for terms in flat]),
        np.array([[s for s, _, _ in terms] for terms in full]),
        np.array([[lag[i] - lag[s] - dy for s, dy, _ in terms] for i, terms in enumerate(full)]),
        np.array([[low[i] + dx - low[s] for s, _, dx in terms] for i, terms in enumerate(full)]),
    )


def _rows(past, block):
    """Rows of a ring that lets its stage read `past` rows back: a block is never cut where it is written."""
    return -(-(past + block) // block) * block


def _block(past, row, height):
    """Rows worked on at a time: as many as the cache has room for."""
    few, many = CHUNKS
    block = max(1, min(few // row, height))
    while 2 * block * row <= many and 2 * block <= height and sum(_rows(n, 2 * block) for n in past) * row <= CACHE:
        block *= 2
    return block


def _merged(stages):
    """Stages of one to MOST terms, with the input as stage 0.

    Longer ones are made in parts; a stage of two that only the next one reads, and twice, is made as part of it.
    """
    readers = Counter(s for terms in stages for s, _, _ in terms)
    flat, number = [[]], [0]
    for terms in stages:
        rest = [(number[s], dy, dx) for s, dy, dx in terms]
        s = terms[0][0]
        twice = len(terms) > 1 and readers[s] == 2 and terms[1][0] == s
        if twice and number[s] == len(flat) - 1 and len(flat[-1]) == 2 and len(terms) + 2 <= MOST:
            inner = flat.pop()
            rest = [(k, dy + ey, dx + ex) for _, dy, dx in rest[:2] for k, ey, ex in inner] + rest[2:]
        while len(rest) > MOST:
            flat.append(rest[:MOST])
            rest = [*rest[MOST:], (len(flat) - 1, 0, 0)]
        flat.append(rest)
        number.append(len(flat) - 1)
    return flat


def _lags(flat):
    """Rows by which each stage is behind the input: the result as little as can be, the others as much as they may."""
    lag = [0] * len(flat)
    for i, terms in enumerate(flat[1:], 1):
        lag[i] = max(lag[s] + dy for s, dy, _ in terms)
    latest = [lag[-1]] * len(flat)
    for i in range(len(flat) - 1, 0, -1):
        lag[i] = latest[i]
        for s, dy, _ in flat[i]:
            latest[s] = min(latest[s], lag[i] - dy)
    return lag


def memory(size: int, dtype: np.dtype) -> np.ndarray:
    """`size` cells, of any content, that begin on a cache line."""
    room = np.empty(size + LINE // dtype.itemsize, dtype)
    skip = -room.ctypes.data % LINE // dtype.itemsize
    return room[skip : skip + size]


# `a if a > b else b` becomes one vector instruction; max() does not, for the sake of NaN. Slices come first and
# the index is the bare loop variable: with an offset in the index LLVM gives up on vector loads. Slices are made
# here and not by the caller, where each would cost an atomic count of references.
@njit
def _max2(out, o, ring, a, b, n):
    out, a, b = out[o : o + n], ring[a : a + n], ring[b : b + n]
    for j in range(n):
        out[j] = a[j] if a[j] > b[j] else b[j]


@njit
def _max4(out, o, ring, a, b, c, d, n):
    out, a, b, c, d = out[o : o + n], ring[a : a + n], ring[b : b + n], ring[c : c + n], ring[d : d + n]
    for j in range(n):
        x = a[j] if a[j] > b[j] else b[j]
        y = c[j] if c[j] > d[j] else d[j]
        out[j] = x if x > y else y


@njit
def _max6(out, o, ring, a, b, c, d, e, f, n):
    out, a, b, c = out[o : o + n], ring[a : a + n], ring[b : b + n], ring[c : c + n]
    d, e, f = ring[d : d + n], ring[e : e + n], ring[f : f + n]
    for j in range(n):
        x = a[j] if a[j] > b[j] else b[j]
        y = c[j] if c[j] > d[j] else d[j]
        z = e[j] if e[j] > f[j] else f[j]
        x = x if x > y else y
        out[j] = x if x > z else z


@njit
def _max8(out, o, ring, a, b, c, d, e, f, g, h, n):
    out, a, b, c, d = out[o : o + n], ring[a : a + n], ring[b : b + n], ring[c : c + n], ring[d : d + n]
    e, f, g, h = ring[e : e + n], ring[f : f + n], ring[g : g + n], ring[h : h + n]
    for j in range(n):
        x = a[j] if a[j] > b[j] else b[j]
        y = c[j] if c[j] > d[j] else d[j]
        z = e[j] if e[j] > f[j] else f[j]
        w = g[j] if g[j] > h[j] else h[j]
        x = x if x > y else y
        z = z if z > w else w
        out[j] = x if x > z else z


@njit
def _maximum(out, o, ring, at, count, n):
    if count == 2:
        _max2(out, o, ring, at[0], at[1], n)
    elif count == 4:
        _max4(out, o, ring, at[0], at[1], at[2], at[3], n)
    elif count == 6:
        _max6(out, o, ring, at[0], at[1], at[2], at[3], at[4], at[5], n)
    else:
        _max8(out, o, ring, at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], n)


@njit
def _fill(ring, o, n, low):
    row = ring[o : o + n]
    for j in range(n):
        row[j] = low


@njit
def _enter(ring, o, source, a, n, sign, base):
    """Adding a base of 0.0 makes 0.0 of -0.0."""
    row, source = ring[o : o + n], source[a : a + n]
    for j in range(n):
        row[j] = sign * source[j] + base


@njit
def _row(u, t, height, end):
    """Where row t of a sweep begins in u as one line, from the first row or (end 1) from the last; -1: nowhere."""
    nz, ny, nx = u.shape
    z, y = divmod(t, height)
    if t < 0 or z >= nz or y >= ny:
        return -1
    return (nz * ny - 1 - z * ny - y if end else z * ny + y) * nx


@njit
def sweep(u, out, columns, height, end, claims, sign, base, low, ring, plan):
    """The program's result for u, in some columns (first, last) of all rows, into out.

    Works on ``base + sign u``, with `low` outside, and turns the result back the same way. Planes follow each other at
    `height` rows. A sweep goes from the first row (end 0) or, the ball being symmetric, from the last (end 1) until all
    is done or claimed from the other end: claims[end] counts rows that will be done from there. No lock is needed: what
    two sweeps do twice, when they meet, they do alike. `ring` is memory(plan.size).
    """
    _, block, stride, lag, left, home, rows, extra, count, source, delay, shift = plan
    x0, x1 = columns
    given, flat, last = u.reshape(-1), out.reshape(-1), rows.size
    start, stop = max(x0 - left, 0), min(x1 + extra[0] - left, u.shape[2])
    now = np.zeros(last, np.int64)  # the row of each ring where this step begins
    at, row = np.empty(MOST, np.int64), np.empty(MOST, np.int64)
    total = (u.shape[0] - 1) * height + u.shape[1]
    _fill(ring, 0, ring.size, low)
    for t in range(0, total + lag, block):
        if t - lag >= total - claims[1 - end]:
            break
        claims[end] = max(0, t + block - lag)
        for r in range(block):
            o, a = (now[0] + r) * stride + start - x0 + left, _row(u, t + r, height, end)
            if a < 0:
                _fill(ring, o, stop - start, low)
            else:
                _enter(ring, o, given, a + start, stop - start, sign, base)
        for i in range(1, last + 1):
            for k in range(count[i]):
                row[k] = now[source[i, k]] - delay[i, k]
            done = 0
            while done < block:
                many = block - done if i < last else 1
                for k in range(count[i]):
                    s = source[i, k]
                    r = row[k] + done
                    r += rows[s] if r < 0 else -rows[s] if r >= rows[s] else 0
                    many = min(many, rows[s] - r)
                    at[k] = home[s] + r * stride + shift[i, k]
                if i < last:
                    n = (many - 1) * stride + x1 - x0 + extra[i]
                    _maximum(ring, home[i] + (now[i] + done) * stride, ring, at, count[i], n)
                else:
                    a = _row(u, t + done - lag, height, end)
                    if a >= 0 and sign == 1:
                        _maximum(flat, a + x0, ring, at, count[i], x1 - x0)
                    elif a >= 0:
                        _maximum(ring, home[last], ring, at, count[i], x1 - x0)
                        _enter(flat, a + x0, ring, home[last], x1 - x0, sign, base)
                done += many
        for i in range(last):
            now[i] = now[i] + block if now[i] + block < rows[i] else 0
