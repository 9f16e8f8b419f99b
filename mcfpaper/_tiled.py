"""Fields in the plane that stay where they are, in blocks; what is known of them on the tiles about a front."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import dask
import dask.array as da
import numpy as np

from mcfpaper import _tilework
from mcfpaper.solvers import curvefront, curves, tiles


class TiledLevel:
    """A level function, a dask array or a function on windows, and its front.

    `guide`: the signed distance to its front (`tiles.CurveField`); None where `full` says that there is no front.
    """

    def __init__(self, data, guide=None):
        self.data, self.guide = data, guide
        self.full: bool | None = None
        self.known: tiles.Tiles | None = None
        self.lines: list = []


class Tiled:
    """The densities and level functions of a problem on one grid, looked at by tasks on blocks."""

    def __init__(self, shape: tuple, chunks: tuple, spacing: tuple, densities: list[da.Array]):
        self.tiling, self.chunks, self.h, self.densities = tiles.Tiling(shape), chunks, spacing, densities
        self.all = range(self.tiling.size)
        self.known = [tiles.Tiles(self.tiling, self._fetch_densities) for _ in densities]

    def map(self, function: Callable, numbers: Iterable[int], fields: list, *args: object) -> dict:
        """Results of a function of tiles (`_tilework`), by their numbers; one task for the tiles of a block."""
        groups: dict[tuple, list] = {}
        edges = [np.cumsum(c) for c in self.chunks]
        for t in sorted(int(t) for t in numbers):
            first = self.tiling.box(t)[0]
            block = tuple(int(np.searchsorted(e, a, "right")) for e, a in zip(edges, first, strict=True))
            groups.setdefault(block, []).append(t)
        fields = [f if isinstance(f, da.Array) else dask.delayed(f, pure=False) for f in fields]
        tasks = []
        for group in groups.values():
            boxes = np.array([self.tiling.box(t, tiles.MARGIN) for t in group])
            lo, hi = boxes[:, 0].min(0), boxes[:, 1].max(0)
            slabs = [f[lo[0] : hi[0], lo[1] : hi[1]] if isinstance(f, da.Array) else f for f in fields]
            corner = tuple(int(a) for a in lo)
            tasks.append(
                dask.delayed(_tilework.on_tiles, pure=False)(function, self.tiling, group, corner, args, *slabs)
            )
        found = {t: value for part in dask.compute(*tasks) for t, value in part.items()}
        return {t: found[t] for t in sorted(found)}

    def _fetch_densities(self, numbers: list[int]) -> list[dict]:
        found = self.map(_tilework.coefficients, numbers, self.densities, self.h)
        for k, known in enumerate(self.known):
            known.add({t: c[k] for t, c in found.items()})

    def survey(self, level: TiledLevel, numbers: Iterable[int]) -> None:
        """Find the front of a level function, which lies in the given tiles."""

        def fetch(numbers: list[int]) -> None:
            found = self.map(_tilework.coefficients, numbers, [level.data], self.h)
            level.known.add({t: c[0] for t, c in found.items()})

        found = self.map(_tilework.survey, numbers, [level.data], self.h)
        level.known = tiles.Tiles(self.tiling, fetch)
        level.known.add({t: c for t, (_, _, c) in found.items() if c is not None})
        kinds = set().union(*(v[0] for v in found.values()))
        if kinds & {"inf", "-inf"} and len(kinds) > 1:
            raise ValueError(
                f"u must be finite everywhere, or infinite of one sign, got values of several kinds: {kinds}"
            )
        if len(kinds) == 1:
            level.full = kinds <= {"inf", "inside"}
        level.lines = tiles.joined([line for v in found.values() for line in v[1]], self.tiling.shape)

    def curves(self, level: TiledLevel, negligible: float = 0.0) -> list[curves.Curve | None]:
        """Curves of the front, but those shorter than `negligible`; None for those too short for Newton's method."""
        lines = [line for line in level.lines if curves.length(line, self.h) >= negligible]
        return [curves.fitted(line, *self._fit(level)) for line in lines]

    def _fit(self, level: TiledLevel) -> tuple:
        h = np.array(self.h)
        return partial(level.known.slopes, spacing=h), self.tiling.shape, h

    def guide(self, level: TiledLevel) -> tiles.CurveField:
        """Signed distance to the front, however short its curves are."""
        lines = [line for line in level.lines or [] if curves.length(line, self.h) > 0.0]
        if not lines:
            raise RuntimeError("the front could not be followed as curves: take a smaller tau or a finer grid")
        fit = self._fit(level)
        found = [curves.fitted(line, *fit, mirrored=False) or tiles.polygon(line, *fit) for line in lines]
        return tiles.CurveField(curvefront.CurveFront(found, self.h).pieces(), self.tiling.shape, self.h)

    def redrawn(self, data: Callable, numbers: Iterable[int]) -> tiles.CurveField:
        """The signed distance to the front of a function on windows, which lies in the given tiles."""
        level = TiledLevel(data)
        self.survey(level, numbers)
        return self.guide(level)

    def near(self, level: TiledLevel, width: float) -> tuple[np.ndarray, np.ndarray]:
        """Which tiles are within `width` of the front, and which of the others are inside."""
        if level.full is not None:
            return np.zeros(self.tiling.size, bool), np.full(self.tiling.size, level.full)
        return level.guide.near(self.tiling, width)
