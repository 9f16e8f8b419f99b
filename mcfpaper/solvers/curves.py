"""Curves in the plane as cubic splines through nodes half a cell apart, and how they are found on a grid.

A curve that ends on the box edge is continued by its mirror image, and so are f and the densities: this is the natural
boundary condition of the sup over ball ∩ box.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline

from mcfpaper.kernels import spline, surfaces

STEP = 0.5  # distance of nodes, in cells
GHOSTS = 12  # mirror nodes: a spline forgets its end to 0.27^12
LEAST = 12  # nodes on a curve; a shorter one is left to other methods


@dataclass
class Curve:
    """Nodes (m, 2) in physical units, {u > 0} to the left; walls: None, or axis and place of the walls at the ends.

    A front of the scheme meets walls at right angles. One that need not is not `mirrored`: its spline ends free there.
    """

    nodes: np.ndarray
    walls: tuple | None = None
    mirrored: bool = True

    def spline(self):
        """The spline over the chord length, and the parameters of the nodes."""
        x = self.nodes
        if self.walls is None:
            x = np.concatenate([x, x[:1]])
            t = _chords(x)
            return CubicSpline(t, x, bc_type="periodic"), t
        g = min(GHOSTS, len(x) - 1) if self.mirrored else 0
        first, last = (_mirrored(p, w) for p, w in zip((x[g:0:-1], x[-2 : -2 - g : -1]), self.walls, strict=True))
        t = _chords(np.concatenate([first, x, last]))
        return CubicSpline(t, np.concatenate([first, x, last])), t[g : g + len(x)]

    def resampled(self, step):
        """The same curve with nodes at equal distances of about `step`; None if it is too short."""
        curve, t = self.spline()
        count = round((t[-1] - t[0]) / step)
        if count < LEAST:
            return None
        s = np.linspace(t[0], t[-1], count + 1)
        nodes = curve(s if self.walls is not None else s[:-1])
        return self.moved_to(nodes)

    def doubled(self):
        """The same curve with nodes half way between as well."""
        curve, t = self.spline()
        s = np.empty(2 * len(t) - 1)
        s[::2], s[1::2] = t, 0.5 * (t[1:] + t[:-1])
        return self.moved_to(curve(s if self.walls is not None else s[:-1]))

    def turned(self, g):
        """The curve run through so that {u > 0} is to its left, `g` the gradient of u at the nodes."""
        t = np.roll(self.nodes, -1, 0) - self.nodes
        if (t[:-1, 0] * g[:-1, 1] - t[:-1, 1] * g[:-1, 0]).sum() >= 0:
            return self
        return replace(self, nodes=self.nodes[::-1], walls=self.walls[::-1] if self.walls else None)

    def moved_to(self, nodes):
        """The curve with other nodes, ends kept on their walls."""
        if self.walls is not None:
            for m, (axis, place) in zip((0, -1), self.walls, strict=True):
                nodes[m, axis] = place
        return replace(self, nodes=nodes)


def length(line, h):
    """Length of a line through index points."""
    return _chords(line * h)[-1]


def _chords(x):
    return np.r_[0.0, np.cumsum(np.sqrt((np.diff(x, axis=0) ** 2).sum(1)))]


def _mirrored(x, wall):
    axis, place = wall
    x = x.copy()
    x[:, axis] = 2.0 * place - x[:, axis]
    return x


def extract(u, spacing, negligible=0.0):
    """Curves of the front {u = 0}, but those shorter than `negligible`; None if another is too short or ends inside."""
    h = np.asarray(spacing, float)
    c = spline.prefilter(u)
    out = []
    for line in surfaces.curves(u):
        if length(line, h) >= negligible:
            out.append(fitted(line, lambda x: spline.derivatives(c, x, h)[:2], u.shape, h))
            if out[-1] is None:
                return None
    return out


def fitted(line, slopes, shape, h, mirrored=True):
    """Curve through nodes half a cell apart on the front of a level function, {u > 0} to its left.

    Parameters
    ----------
    line : ndarray (m, 2)
        Index points along it, the first one again at the end if it is closed.
    slopes : callable
        Value and gradient, per length unit, of the level function at index points.
    shape : tuple of int
    h : ndarray (2,)
        Spacing.
    mirrored : bool
        As in `Curve`.

    Returns
    -------
    Curve or None
        None where it is too short, or ends inside the box.
    """
    step, walls = STEP * min(h), ends(line, shape, h)
    if walls is not None and None in walls:
        return None
    nodes = _thinned(line * h, 0.6 * step, walls is None)
    curve = Curve(nodes, walls, mirrored).resampled(step) if len(nodes) >= 6 else None
    if curve is None:
        return None
    for _ in range(2):
        value, g = slopes(curve.nodes / h)
        move = np.clip(value / ((g * g).sum(1) + 1e-300), -step, step)[:, None] * g
        curve = curve.moved_to(curve.nodes - np.where(np.isfinite(move), move, 0.0))
    return curve.turned(g).resampled(step)


def ends(line, shape, h):
    """The walls that a line ends on, as in `Curve`; None in place of a wall where it ends inside the box."""
    return None if (line[0] == line[-1]).all() else tuple(_wall(p, shape, h) for p in line[[0, -1]])


def _wall(point, shape, h):
    for axis in (0, 1):
        for place in (-0.5, shape[axis] - 0.5):
            if abs(point[axis] - place) < 1e-9:
                return axis, place * h[axis]
    return None


def _thinned(line, least, closed):
    """Vertices at least `least` apart, ends kept."""
    t = _chords(line)
    keep, last = [0], 0.0
    for m in range(1, len(line) - 1):
        if t[m] - last >= least and t[-1] - t[m] >= least:
            keep.append(m)
            last = t[m]
    return line[keep] if closed else line[[*keep, len(line) - 1]]
