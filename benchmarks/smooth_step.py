"""One smooth step of a disc from the old front, one thread, against the plain minimum cut of PyMaxflow."""

import time
import tracemalloc

import maxflow
import numpy as np

from benchmarks.run import paired
from mcfpaper.solvers import front

CASES = ((128, 0.05), (256, 0.05), (512, 0.05), (1024, 0.05), (1024, 0.025))
PEER_UP_TO = 256  # where the plain graph takes a minute or more: one pair there


def run(quick):
    """Rows: grid, ball radius in cells, milliseconds of CPU of both, peak memory of numpy arrays."""
    rows = []
    for n, eps in CASES[: 1 if quick else None]:
        n = 48 if quick else n
        h = 2.0 / n
        x, y = np.meshgrid(*[(np.arange(n) + 0.5) * h - 1.0] * 2, indexing="ij")
        f, half = 0.6 - np.hypot(x, y), np.full((n, n), 0.5)
        args = (f, half, half, eps, 0.0125, (h, h))
        rivals = {"ours": lambda args=args: front.step(*args)}
        if n <= PEER_UP_TO:
            rivals["pymaxflow"] = lambda args=args: plain_cut(*args)
        times = paired(rivals, 1 if quick or n == PEER_UP_TO else 3)
        start = time.process_time()
        front.step(*args)
        cpu = (time.process_time() - start) * 1e3
        tracemalloc.start()
        front.step(*args)
        peak = tracemalloc.get_traced_memory()[1] / 2**20
        tracemalloc.stop()
        peer = times.get("pymaxflow", float("nan"))
        rows.append(
            {
                "cells": f"{n}²",
                "R": eps / h,
                "step": times["ours"],
                "step CPU": cpu,
                "peak MiB": peak,
                "pymaxflow": peer,
            }
            | {"x pymaxflow": peer / times["ours"]}
        )
    return rows


def plain_cut(f, rho0, rho1, eps, tau, spacing):
    """The lattice problem as one graph: a cell node and two auxiliary nodes a cell, infinite edges over each ball."""
    shape, cell = f.shape, float(np.prod(spacing))
    graph = maxflow.Graph[float](3 * f.size, 40 * f.size)
    nodes, sup, inf = (graph.add_grid_nodes(shape) for _ in range(3))
    gain = cell * f * (rho0 + rho1) / tau + cell * (rho0 - rho1) / eps
    graph.add_grid_tedges(nodes, np.maximum(gain, 0.0), np.maximum(-gain, 0.0))
    graph.add_grid_tedges(sup, 0.0 * f, cell * rho0 / eps)
    graph.add_grid_tedges(inf, cell * rho1 / eps, 0.0 * f)
    reach = [int(eps / h) for h in spacing]
    for i in range(-reach[0], reach[0] + 1):
        for j in range(-reach[1], reach[1] + 1):
            if (i * spacing[0]) ** 2 + (j * spacing[1]) ** 2 > eps**2 * (1 + 1e-9) ** 2:
                continue
            a = tuple(slice(max(-k, 0), m - max(k, 0)) for k, m in zip((i, j), shape, strict=True))
            b = tuple(slice(max(k, 0), m - max(-k, 0)) for k, m in zip((i, j), shape, strict=True))
            graph.add_edges(nodes[b].ravel(), sup[a].ravel(), np.full(nodes[a].size, 1e9), np.zeros(nodes[a].size))
            graph.add_edges(inf[a].ravel(), nodes[b].ravel(), np.full(nodes[a].size, 1e9), np.zeros(nodes[a].size))
    graph.maxflow()
    return ~graph.get_grid_segments(nodes)
