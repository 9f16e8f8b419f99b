"""Minimum cuts for nonlocal perimeters, with the ball's constraints found as they are needed.

The problem, in integers: over binary fields a, minimise

    sum_x q0 (s_x - a_x) + q1 (a_x - i_x) - w_x a_x,    s_x >= a_y and i_x <= a_y for every y in the ball of x.

As a graph, a_y -> s_x and i_x -> a_y, one edge per cell and ball point. Few of them matter, so a *relaxation* keeps
few and is solved again with those that its minimiser violates until it violates none. Then nothing was lost:

Let F be the full energy, G <= F the relaxed one, A the minimal minimiser of G, and G(A) = F(A) (nothing violated).
Then min F >= min G = G(A) = F(A), so A minimises F. Any other minimiser B of F has G(B) <= F(B) = min G, so it
minimises G too and contains A: A is the minimal minimiser of F. The maximal one likewise, and no guess enters.

Several thresholds are solved in one graph. Cells carry a class k, an integer, and a_x asks whether x belongs to the
upper half of its class; all cells of a higher class count as inside, those of a lower one as outside. Hence the sup
at x is decided by the highest class in its ball alone, and the inf by the lowest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ortools.graph.python import max_flow

from mcfpaper.kernels.balls import lattice_ball
from mcfpaper.kernels.morphology import dilate, erode

CONE = 0.6  # cosine: first edges lie within 53 degrees of the gradient (of 0.5 ... 0.85 the fastest on the disc)


def ball_offsets(eps: float, spacing: Sequence[float], norm: str, shape: Sequence[int]) -> np.ndarray:
    """All offsets of the ball but 0, in cells, as an (m, d) array."""
    rows, half = lattice_ball(eps, spacing, norm, shape)
    row = np.repeat(np.arange(len(half)), 2 * half + 1)
    first = np.cumsum(2 * half + 1) - (2 * half + 1)
    last = np.arange(len(row)) - first[row] - half[row]
    z = np.column_stack([rows[row], last])
    return z[np.any(z != 0, axis=1)]


def extreme_offsets(z: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Offsets that reach farthest in some direction: a front with a locally flat face needs no others."""
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * z.shape[1], indexing="ij"), -1).reshape(-1, z.shape[1])
    far = np.argmax((grid[np.any(grid != 0, axis=1)] * z.max(0).clip(1)) @ (z * np.square(spacing)).T, axis=1)
    return z[np.unique(far)]


def _windows(shape, z):
    """Slices of the cells x whose x + z lies in the box, and of those x + z."""
    near = tuple(slice(max(0, -o), n - max(0, o)) for o, n in zip(z, shape, strict=True))
    far = tuple(slice(max(0, o), n - max(0, -o)) for o, n in zip(z, shape, strict=True))
    return near, far


class Side:
    """The sup (sign 1) or inf (sign -1) constraints that a relaxation keeps: edges from cells x to y in their balls."""

    def __init__(self, mass: np.ndarray, sign: int, ball: tuple) -> None:
        self.mass, self.sign, self.ball = mass, sign, ball
        self.x = np.zeros(0, np.int32)
        self.y = np.zeros(0, np.int32)
        self.again = np.zeros(mass.size, bool)  # cells that had to be mended before

    def add(self, x, y) -> None:
        self.x = np.concatenate([self.x, np.asarray(x, np.int32)])
        self.y = np.concatenate([self.y, np.asarray(y, np.int32)])

    def extreme(self, v: np.ndarray) -> np.ndarray:
        """Sup (inf) of an integer field over the ball."""
        return (dilate if self.sign > 0 else erode)(v.astype(np.float64), *self.ball).astype(np.int64)

    def first_edges(self, potential: np.ndarray, z: np.ndarray) -> None:
        """Edges to the extreme offsets z within a cone about the ascent (descent) direction of the potential."""
        spacing = np.asarray(self.ball[1])
        slope = [
            np.gradient(potential, h, axis=i) if n > 1 else np.zeros(potential.shape)
            for i, (n, h) in enumerate(zip(potential.shape, spacing, strict=True))
        ]
        size = CONE * np.sqrt(sum(s * s for s in slope))
        cells = np.arange(potential.size, dtype=np.int32).reshape(potential.shape)
        for o in z:
            near, far = _windows(potential.shape, o)
            step = self.sign * o * spacing / np.linalg.norm(o * spacing)
            keep = sum(t * s[near] for t, s in zip(step, slope, strict=True)) >= size[near]
            keep &= self.mass[near] > 0
            self.add(cells[near][keep], cells[far][keep])

    def prepare(self, k: np.ndarray) -> None:
        """Keep the edges that a problem with classes k sees, and note the cells that have any."""
        self.top = self.extreme(k)
        self.own = (self.top == k).ravel()
        seen = k.ravel()[self.y] == self.top.ravel()[self.x]
        self.x, self.y = self.x[seen], self.y[seen]

    def violated(self, k: np.ndarray, a: np.ndarray, z: np.ndarray, far: np.ndarray, potential: np.ndarray) -> int:
        """Add edges for the cells whose edges miss the true sup (inf) of 2 k + a; return how many there are."""
        v = 2 * k + a
        true = self.extreme(v)
        hit = a.ravel() if self.sign > 0 else ~a.ravel()
        kept = self.own & hit
        kept[self.x[hit[self.y]]] = True
        missed = ((true & 1) == (self.sign > 0)) & ~kept.reshape(k.shape) & (self.mass > 0)
        if not missed.any():
            return 0
        self._mend(np.argwhere(missed), v, true[missed], z, far, potential)
        return np.count_nonzero(missed)

    def _mend(self, cells, v, true, z, far, potential) -> None:
        """Edges to the deepest and the extreme points that attain the sup (inf); to all of them the second time."""
        x = np.ravel_multi_index(tuple(cells.T), v.shape).astype(np.int32)
        again, self.again[x] = self.again[x], True
        depth, v = self.sign * potential.ravel(), v.ravel()
        best, where = np.full(len(x), -np.inf), x.copy()
        for o in z:
            y = cells + o
            good = np.all((y >= 0) & (y < potential.shape), axis=1)
            y = np.ravel_multi_index(tuple(np.where(good[:, None], y, cells).T), potential.shape).astype(np.int32)
            good &= v[y] == true
            deeper = good & (depth[y] > best)
            best[deeper], where[deeper] = depth[y[deeper]], y[deeper]
            good &= again | (far == o).all(axis=1).any()
            self.add(x[good], y[good])
        self.add(x[~again], where[~again])

    def arcs(self, first: int) -> tuple[list, np.ndarray, tuple, int]:
        """Arcs of the auxiliary nodes, numbered from `first`; what each cell pays; those nodes; the next number."""
        has = np.zeros(self.mass.size, bool)
        has[self.x] = True
        node = np.cumsum(has, dtype=np.int32) + np.int32(first - 1)
        q = self.mass.ravel()
        own, aux = (np.flatnonzero(m).astype(np.int32) for m in (has & self.own, has))
        # an edge as wide as its auxiliary node's own arc is as good as an infinite one
        arcs = [(self.y, node[self.x], q[self.x]), (own, node[own], q[own])]
        if self.sign < 0:
            arcs = [(head, tail, cap) for tail, head, cap in arcs]
        # an own cell without edges has s_x = a_x (i_x = a_x), which costs nothing
        return arcs, np.where(has | ~self.own, q, 0), (node[aux], q[aux]), first + len(aux)


class CutProblem:
    """min over a of the energy above for masses q0, q1 (int64 arrays) and any weights and classes.

    Edges found for one problem start the next one. `potential` (larger inside) only guides the choice of edges.
    """

    def __init__(self, q0, q1, eps, spacing, norm, potential) -> None:
        self.z = ball_offsets(eps, spacing, norm, q0.shape)
        self.far = extreme_offsets(self.z, spacing) if len(self.z) else self.z
        self.potential = potential
        self.sides = [Side(q0, 1, (eps, spacing, norm)), Side(q1, -1, (eps, spacing, norm))]
        self.rounds = self.edges = 0
        for side in self.sides:
            side.first_edges(potential, self.far)

    def solve(self, weight: np.ndarray, k: np.ndarray | None = None, side: str = "both") -> list[np.ndarray]:
        """The minimal and/or maximal minimiser, as boolean arrays, for classes k (default: one class)."""
        k = np.zeros(weight.shape, np.int64) if k is None else k
        for s in self.sides:
            s.prepare(k)
        while True:
            sets = self._relaxed(weight, side)
            self.rounds += 1
            different = sets[:1] if all(np.array_equal(sets[0], a) for a in sets[1:]) else sets
            missed = [s.violated(k, a, self.z, self.far, self.potential) for a in different for s in self.sides]
            if not any(missed):
                return sets

    def info(self) -> dict:
        """Rounds so far and arcs of the last graph."""
        return {"rounds": self.rounds, "edges": self.edges}

    def _relaxed(self, weight, side):
        sup, inf = self.sides
        sup_arcs, sup_paid, s, nodes = sup.arcs(weight.size)
        inf_arcs, inf_paid, i, nodes = inf.arcs(nodes)
        source, sink = np.int32(nodes), np.int32(nodes + 1)
        cost = inf_paid - sup_paid - weight.ravel()
        out, into = np.flatnonzero(cost > 0).astype(np.int32), np.flatnonzero(cost < 0).astype(np.int32)
        ends = [(s[0], sink, s[1]), (source, i[0], i[1]), (out, sink, cost[out]), (source, into, -cost[into])]
        ends.append((source, sink, np.zeros(1, np.int64)))  # the library leaves a graph without source or sink unsolved
        flow = max_flow.SimpleMaxFlow()
        for tail, head, cap in sup_arcs + inf_arcs + ends:
            flow.add_arcs_with_capacity(*(np.ascontiguousarray(v) for v in np.broadcast_arrays(tail, head, cap)))
        self.edges = flow.num_arcs()
        return self._cuts(flow, source, sink, weight.shape, cost, side)

    @staticmethod
    def _cuts(flow, source, sink, shape, cost, side):
        size = cost.size
        if flow.solve(source, sink) != flow.OPTIMAL:
            raise RuntimeError("the maximum-flow library failed; this is a bug, please report it")
        sets = []
        if side != "maximal":
            inside = np.zeros(max(flow.num_nodes(), sink + 1), bool)
            inside[np.asarray(flow.get_source_side_min_cut(), np.int64)] = True
            sets.append(inside[:size].reshape(shape))
        if side != "minimal":
            inside = np.ones(max(flow.num_nodes(), sink + 1), bool)
            inside[np.asarray(flow.get_sink_side_min_cut(), np.int64)] = False
            sets.append(inside[:size].reshape(shape))
        return sets
