"""Which points at distance eps from a front transport mass to it: those that no other piece of front is nearer to.

The point y + eps n of the ray from a front point y along its normal n has y as its closest point iff eps is at most the
radius of the largest ball that touches the front at y and contains no other point of it.
"""

import numpy as np
from scipy.spatial import cKDTree


def reflected(points, shape):
    """Index points folded into the box by reflections at its walls, and the sign of the fold along every axis.

    Without a shape there are no walls.
    """
    size = np.inf if shape is None else np.asarray(shape, float)
    if shape is None or ((points >= -0.5) & (points <= size - 0.5)).all():
        return points, np.ones_like(points)
    r = np.mod(points + 0.5, 2.0 * size)
    outside = (points < -0.5) | (points > size - 0.5)
    sign = np.where(outside & (r > size), -1.0, 1.0)
    return np.where(outside, np.where(r > size, 2.0 * size - r, r) - 0.5, points), sign


def radii(points, normals, shape, spacing, limit, others=None, slack=0.0):
    """Radii of the touching balls on the side of `normals`, at most `limit`, in length units.

    The ball shrinks: as long as another front point lies inside, it is made to pass through the nearest one.
    `points` (m, d) in index units; `others`, or else they, are all of the front, which is continued evenly at the walls
    of the box. What is less than `slack` inside a ball does not count.
    """
    tree = cKDTree((points if others is None else others) * spacing)
    t = np.full(len(points), float(limit))
    active = np.arange(len(points))
    for _ in range(30):
        x = points[active] + t[active, None] * normals[active] / spacing
        inside, sign = reflected(x, shape)
        distance, near = tree.query(inside * spacing)
        hit = distance < t[active] - 1e-6 * limit - slack
        active = active[hit]
        if not len(active):
            break
        other = (x + sign * (tree.data[near] / spacing - inside))[hit]
        gap = (other - points[active]) * spacing
        along = (gap * normals[active]).sum(1)
        t[active] = np.clip((gap * gap).sum(1) / np.maximum(2.0 * along, 1e-300), 0.0, t[active])
    return t


def open_shares(frame, shape, spacing, eps, smear, others=None):
    """Share (m, 2) of the mass at y - eps n and y + eps n (n into the set) that goes to y, in [0, 1].

    `others`: points of the front in index units, all of it as far as balls reach; those of `frame` by default. They may
    be off those of `frame` by a tenth of `smear`.

    0 or 1, but for balls of radius eps - smear to eps + smear, where it rises linearly.
    """
    shares, slack = [], 0.0 if others is None else 0.1 * smear
    for sign in (-1.0, 1.0):
        t = radii(frame.points, sign * frame.normals, shape, spacing, eps + smear, others, slack)
        shares.append(np.where(t < eps + smear, np.clip(0.5 + 0.5 * (t - eps) / smear, 0.0, 1.0), 1.0))
    return np.stack(shares, 1)
