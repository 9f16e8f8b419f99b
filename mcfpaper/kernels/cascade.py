"""Programs of few maxima that dilate by a plane lattice ball.

The lattice points of a ball are convex and centrally symmetric, and a plane convex polygon with a centre of
symmetry is the Minkowski sum of its edges (a zonotope). Dilation by a sum is a cascade of dilations, and dilation by
an edge is one maximum of two shifted arrays: about R^(2/3) of them instead of the R^2 points of the ball. On the
lattice the sum of the edges leaves holes; so some edges are kept back, which leaves a small convex *seed* in place
of a point, and the few points that the sum misses still are made by *patches*: shifted copies of earlier stages that
join the cascade where they do most, for what joins early is multiplied by the edges that follow.
Every program is checked against the ball that it was made for when it is made.

Sets of offsets are integers here, one bit an offset: a shift moves a set, and ``&`` and ``|`` do the rest.
"""

from __future__ import annotations

import heapq
from itertools import pairwise
from math import gcd
from typing import NamedTuple

import numpy as np

Term = tuple[int, int, int]  # stage (0: the input), row offset, column offset
TRIES = 2  # drafts that are completed


class Program(NamedTuple):
    """Stage i + 1 is the max over its terms, each an earlier stage, shifted; the last stage is the result."""

    stages: list[list[Term]]

    @property
    def cost(self) -> int:
        """Loads per cell."""
        return sum(map(len, self.stages))


class Frame(NamedTuple):
    """Where the bits of a set lie: offset (dy, dx) is bit ``middle + dy pitch + dx``."""

    pitch: int
    middle: int

    def bits(self, chords: list[Term]) -> int:
        """The set of some chords (row, first, last column)."""
        return sum(((1 << last - first + 1) - 1) << self.middle + self.step(dy, first) for dy, first, last in chords)

    def step(self, dy: int, dx: int) -> int:
        """By how many bits an offset moves a set."""
        return dy * self.pitch + dx

    def offset(self, bit: int) -> tuple[int, int]:
        """The offset of a bit."""
        dy = (bit - self.middle + self.pitch // 2) // self.pitch
        return dy, bit - self.middle - dy * self.pitch

    def chords(self, bits: int) -> list[Term]:
        """The rows of a convex set, as chords."""
        chords = []
        while bits:
            dy, first = self.offset((bits & -bits).bit_length() - 1)
            end = self.middle + self.step(dy, self.pitch // 2) + 1
            row = bits & (1 << end) - 1
            chords.append((dy, first, self.offset(row.bit_length() - 1)[1]))
            bits ^= row
        return chords

    def spread(self, stages: list[list[Term]], start: int) -> list[int]:
        """The set that each stage makes of `start`, the input first."""
        sets = [start]
        for terms in stages:
            sets.append(0)
            for s, dy, dx in terms:
                sets[-1] |= _moved(sets[s], self.step(dy, dx))
        return sets

    def room(self, stages: list[list[Term]], bits: int) -> list[int]:
        """Where the set of each stage, the input first, can be moved without leaving `bits`."""
        rooms = [bits]
        for terms in stages:
            rooms.append(-1)
            for s, dy, dx in terms:
                rooms[-1] &= _moved(rooms[s], -self.step(dy, dx))
        return rooms


def _moved(bits: int, step: int) -> int:
    return bits << step if step >= 0 else bits >> -step


def _ones(bits: int):
    while bits:
        yield (bits & -bits).bit_length() - 1
        bits &= bits - 1


def compile_ball(rows: np.ndarray, half: np.ndarray) -> Program:
    """A short program for a convex, symmetric set of rows (offsets, half-lengths)."""
    chords = [(int(dy), -int(n), int(n)) for dy, n in zip(rows, half, strict=True)]
    ny, nx = chords[-1][0], max(last for _, _, last in chords)
    pitch = 4 * nx + 3  # differences of two offsets stay apart
    frame = Frame(pitch, (2 * ny + 1) * pitch)
    ball = frame.bits(chords)
    best = by_chords(chords)
    drafts = [d for steps in _choices(chords) if (d := _cascade(frame, ball, steps)) is not None]
    for _, program, steps in sorted(drafts, key=lambda d: d[0])[:TRIES]:
        if (program := _completed(frame, ball, program, steps)).cost < best.cost:
            best = program
    if frame.spread(best.stages, 1 << frame.middle)[-1] != ball:
        raise AssertionError("the program does not make the ball")
    return best


def by_chords(chords: list[Term]) -> Program:
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


def _edges(chords: list[Term]) -> dict[tuple[int, int], int]:
    """Primitive edges (dy, dx) of one half of the convex hull, with their multiplicities."""
    chain: list[tuple[int, int]] = []
    for x, y in sorted((x, dy) for dy, first, last in chords for x in {first, last}):
        while len(chain) > 1 and _cross(chain[-2], chain[-1], (x, y)) <= 0:
            chain.pop()
        chain.append((x, y))
    edges = {}
    for (x0, y0), (x1, y1) in pairwise(chain):
        g = gcd(x1 - x0, y1 - y0)
        edges[(y1 - y0) // g, (x1 - x0) // g] = g
    longest = max(last for _, _, last in chords)
    if upright := sum(last == longest for _, _, last in chords) - 1:
        edges[1, 0] = upright
    return edges


def _cross(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])


def _choices(chords: list[Term]) -> set[tuple[tuple[int, int], ...]]:
    """Sets of steps worth trying: for each size of edge, all of its multiplicity or less, by doubling."""
    edges = _edges(chords)
    several = [edges]
    for less in range(1, 1 + max(edges.values(), default=0)):
        for sizes in ([(0, 1), (1, 1)], [(1, 1)], [(0, 1)]):
            several.append({v: max(n - less * (_size(v) in sizes), 0) for v, n in edges.items()})
    for orbit in {_size(v) for v in edges}:
        several.append({v: n - (_size(v) == orbit) - (n > 1 and _size(v) == (1, 1)) for v, n in edges.items()})
    return {_steps(counts) for counts in several}


def _size(v: tuple[int, int]) -> tuple[int, int]:
    a, b = abs(v[0]), abs(v[1])
    return (min(a, b), max(a, b))


def _steps(counts: dict[tuple[int, int], int]) -> tuple[tuple[int, int], ...]:
    """Edges with their doublings, in an order that puts mirror images together: they share rows and patches."""
    steps = []
    for (dy, dx), count in counts.items():
        done = 1
        while done <= count:
            step = min(done, count + 1 - done)
            steps.append((step * dy, step * dx))
            done += step
    return tuple(sorted(steps, key=lambda v: (abs(v[0]), abs(v[1]), v)))


def _cascade(frame: Frame, ball: int, steps: tuple[tuple[int, int], ...]) -> tuple | None:
    """Seed, then one stage for each step, and what it may cost when what is missing has been added."""
    seed = ball
    for v in steps:
        seed &= _moved(seed, -frame.step(*v))
    if not steps or not seed:
        return None
    stages = by_chords(frame.chords(seed)).stages
    for dy, dx in steps:
        stages = [*stages, [(len(stages), 0, 0), (len(stages), dy, dx)]]
    program = Program(stages)
    missing = ball & ~frame.spread(stages, 1 << frame.middle)[-1]
    return program.cost + missing.bit_count() / 4, program, steps


def _completed(frame: Frame, ball: int, program: Program, steps: tuple[tuple[int, int], ...]) -> Program:
    """Add patches, greedily, until the last stage makes the whole ball.

    The best patch of a stage is looked for again when its last known gain tops the others': gains seldom grow.
    """
    stages = [list(terms) for terms in program.stages]
    rooms = [ball]  # what each stage may make, so that the steps after it stay in the ball
    for v in reversed(steps):
        rooms.append(rooms[-1] & _moved(rooms[-1], -frame.step(*v)))
    ways = [(-ball.bit_count(), after) for after in range(len(steps))]
    while missing := ball & ~frame.spread(stages, 1 << frame.middle)[-1]:
        _, after = heapq.heappop(ways)
        best = _patch(frame, stages[: len(stages) - after - 1], rooms[after], steps[len(steps) - after :], missing)
        if best is None:
            continue
        gain, term = best
        if not ways or gain >= -ways[0][0]:
            stages[-1 - after].append(term)
            # A patch copied from a later stage has grown as well, and must not leave the ball.
            if frame.spread(stages, 1 << frame.middle)[-1] & ~ball:
                stages[-1 - after].pop()
                continue
        heapq.heappush(ways, (-gain, after))
    return Program(stages)


def _patch(frame: Frame, stages: list[list[Term]], room: int, steps: tuple, missing: int) -> tuple[int, Term] | None:
    """The term that adds most of the missing points, where `steps` will follow: their number, and the term."""
    counts: list[list[int]] = [[] for _ in range(len(stages) + 1)]  # binary digits, as sets
    where = frame.room(stages, room)
    back = [[(s, -dy, -dx) for s, dy, dx in terms] for terms in stages]
    for point in _ones(missing):
        target = 1 << point
        for v in steps:
            target |= _moved(target, -frame.step(*v))
        for digits, free, hits in zip(counts, where, frame.spread(back, target), strict=True):
            carry = hits & free
            for i, digit in enumerate(digits):
                digits[i], carry = digit ^ carry, digit & carry
            if carry:
                digits.append(carry)
    best = (0, 0, 0)
    for s, digits in enumerate(counts):
        gain, most = 0, -1
        for i in reversed(range(len(digits))):
            if most & digits[i]:
                gain, most = gain | 1 << i, most & digits[i]
        if gain > best[0]:
            best = (gain, s, (most & -most).bit_length() - 1)
    gain, s, bit = best
    return (gain, (s, *frame.offset(bit))) if gain else None
