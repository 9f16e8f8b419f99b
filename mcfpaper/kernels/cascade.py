"""Programs of few maxima that dilate by a plane lattice ball.

The lattice points of a ball are convex and centrally symmetric, and a plane convex polygon with a centre of
symmetry is the Minkowski sum of its edges (a zonotope). Dilation by a sum is a cascade of dilations, and dilation by
an edge is one maximum of two shifted arrays: about R^(2/3) of them instead of the R^2 points of the ball. On the
lattice the sum of the edges leaves holes; so some edges are kept back, which leaves a small convex *seed* in place
of a point, and the few points that the sum misses still are added at the end by shifted copies of earlier stages.
Every program is checked against the ball that it was made for when it is made.
"""

from __future__ import annotations

from itertools import pairwise
from math import gcd
from typing import NamedTuple

import numpy as np

Term = tuple[int, int, int]  # stage (0: the input), row offset, column offset


class Program(NamedTuple):
    """Stage i + 1 is the max over its terms, each an earlier stage, shifted; the last stage is the result."""

    stages: list[list[Term]]

    @property
    def cost(self) -> int:
        """Loads per cell."""
        return sum(map(len, self.stages))

    def sets(self, shape: tuple[int, int]) -> list[np.ndarray]:
        """The set by which each stage dilates, as images with the origin in the middle."""
        images = [np.zeros(shape, bool)]
        images[0][shape[0] // 2, shape[1] // 2] = True
        for terms in self.stages:
            images.append(np.logical_or.reduce([shifted(images[s], dy, dx) for s, dy, dx in terms]))
        return images


def shifted(image: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """Move an image by (dy, dx) cells; what leaves the frame is lost."""
    out = np.zeros_like(image)
    ny, nx = image.shape
    out[max(dy, 0) : ny + min(dy, 0), max(dx, 0) : nx + min(dx, 0)] = image[
        max(-dy, 0) : ny + min(-dy, 0), max(-dx, 0) : nx + min(-dx, 0)
    ]
    return out


def compile_ball(rows: np.ndarray, half: np.ndarray) -> Program:
    """A short program for a convex, symmetric set of rows (offsets, half-lengths)."""
    chords = by_chords([(int(dy), -int(n), int(n)) for dy, n in zip(rows, half, strict=True)])
    image = _image(rows, half)
    best = chords
    drafts = [d for segments in _choices(image) if (d := _cascade(image, segments)) is not None]
    for _, program in sorted(drafts, key=lambda d: d[0])[:2]:
        if (program := _completed(program, image)).cost < best.cost:
            best = program
    if not np.array_equal(best.sets(image.shape)[-1], image):
        raise AssertionError("the program does not make the ball")
    return best


def by_chords(chords: list[tuple[int, int, int]]) -> Program:
    """Union of chords (row, first, last column): two overlapping entries of a table of dyadic lengths for each."""
    longest = max(last - first + 1 for _, first, last in chords)
    middle = [(1 << k) // 2 for k in range(longest.bit_length())]  # entry k covers [-middle, 2^k - middle)
    table = [[(k, 0, a - b), (k, 0, a - b + (1 << k))] for k, (a, b) in enumerate(pairwise(middle))]
    terms = []
    for dy, first, last in chords:
        k = (last - first + 1).bit_length() - 1
        terms += [(k, dy, x + middle[k]) for x in sorted({first, last + 1 - (1 << k)})]
    points = [(0, dy, x) for dy, first, last in chords for x in range(first, last + 1)]
    return Program([points] if len(points) <= len(terms) + 2 * len(table) else [*table, terms])


def _image(rows: np.ndarray, half: np.ndarray) -> np.ndarray:
    ny, nx = int(np.abs(rows).max()), int(half.max())
    image = np.zeros((2 * ny + 1, 2 * nx + 1), bool)
    for dy, n in zip(rows, half, strict=True):
        image[ny + dy, nx - n : nx + n + 1] = True
    return image


def _edges(image: np.ndarray) -> dict[tuple[int, int], int]:
    """Primitive edges (dy, dx) of one half of the convex hull, with their multiplicities."""
    ys, xs = np.nonzero(image)
    chain: list[tuple[int, int]] = []
    for x, y in sorted(zip(xs.tolist(), ys.tolist(), strict=True)):
        while len(chain) > 1 and _cross(chain[-2], chain[-1], (x, y)) <= 0:
            chain.pop()
        chain.append((x, y))
    edges = {}
    for (x0, y0), (x1, y1) in pairwise(chain):
        g = gcd(x1 - x0, y1 - y0)
        edges[(y1 - y0) // g, (x1 - x0) // g] = g
    if upright := int(image[:, xs.min()].sum()) - 1:
        edges[1, 0] = upright
    return edges


def _cross(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])


def _choices(image: np.ndarray):
    """Multisets of edges worth trying: for each size of edge, all of its multiplicity or less."""
    edges = _edges(image)
    orbits = sorted({_size(v) for v in edges}, reverse=True)
    full = {v: n for v, n in edges.items()}
    yield full
    for less in range(1, 1 + max(edges.values(), default=0)):
        yield {v: max(n - less * (_size(v) <= (1, 1)), 0) for v, n in edges.items()}
        yield {v: max(n - less * (_size(v) == (1, 1)), 0) for v, n in edges.items()}
        yield {v: max(n - less * (_size(v) == (0, 1)), 0) for v, n in edges.items()}
    for orbit in orbits:
        yield {v: n - (_size(v) == orbit) - (n > 1 and _size(v) == (1, 1)) for v, n in edges.items()}


def _size(v: tuple[int, int]) -> tuple[int, int]:
    a, b = abs(v[0]), abs(v[1])
    return (min(a, b), max(a, b))


def _cascade(image: np.ndarray, segments: dict[tuple[int, int], int]) -> tuple[float, Program] | None:
    """Seed, then one stage for each doubling of a segment, then what is missing."""
    steps = []
    for (dy, dx), count in segments.items():
        done = 1
        while done <= count:
            step = min(done, count + 1 - done)
            steps.append((step * dy, step * dx))
            done += step
    seed = image
    for dy, dx in steps:
        seed = seed & shifted(seed, -dy, -dx)
    if not steps or not seed.any():
        return None
    oy, ox = (n // 2 for n in image.shape)
    chords = [
        (int(y) - oy, int(line.argmax()) - ox, int(line.nonzero()[0][-1]) - ox)
        for y, line in enumerate(seed)
        if line.any()
    ]
    stages = by_chords(chords).stages
    for dy, dx in steps:
        stages = [*stages, [(len(stages), 0, 0), (len(stages), dy, dx)]]
    program = Program(stages)
    missing = image & ~program.sets(image.shape)[-1]
    return program.cost + missing.sum() / 2, program


def _completed(program: Program, image: np.ndarray) -> Program:
    """Add shifted copies of earlier stages, greedily, until the last one makes the whole image."""
    sets = program.sets(image.shape)
    missing = image & ~sets.pop()
    allowed = [_erosion(image, piece) for piece in sets]
    extra = []
    while missing.any():
        best = (0, None)
        for k, piece in enumerate(sets):
            gain = np.where(allowed[k], _overlaps(missing, piece), 0)
            where = np.unravel_index(gain.argmax(), gain.shape)
            if gain[where] > best[0]:
                best = (gain[where], (k, *(int(i) - n // 2 for i, n in zip(where, image.shape, strict=True))))
        extra.append(best[1])
        missing &= ~shifted(sets[best[1][0]], *best[1][1:])
    return Program([*program.stages[:-1], program.stages[-1] + extra])


def _erosion(image: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Where the piece can be moved without leaving the image."""
    out = np.ones_like(image)
    for dy, dx in (
        np.argwhere(piece & ~shifted(piece, 1, 0) | piece & ~shifted(piece, -1, 0)) - np.array(image.shape) // 2
    ):
        out &= shifted(image, -dy, -dx)
    return out


def _overlaps(missing: np.ndarray, piece: np.ndarray) -> np.ndarray:
    """Number of missing points that the piece meets, for each move of it."""
    out = np.zeros(missing.shape, np.int64)
    mirrored = piece[::-1, ::-1]
    for dy, dx in np.argwhere(missing) - np.array(missing.shape) // 2:
        out += shifted(mirrored, dy, dx)
    return out
