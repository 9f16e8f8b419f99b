"""Points of the front {u = 0}: roots of the cubic spline on grid edges whose ends differ in sign.

A node is inside where u > 0. The lattice can be widened by the faces of the box, half a cell beyond the outermost
nodes, so that a front cut by the box edge gets its end points. Three embedded axes as in `spline`.
"""

import numpy as np

from mcfpaper.kernels._jit import njit
from mcfpaper.kernels.spline import derivatives, jet, prefilter, value


def widened(c, u):
    """Values on the lattice widened by the box faces, and its index coordinates (a tuple of three arrays)."""
    u = np.ascontiguousarray(u, dtype=np.float64)
    u = u.reshape((1,) * (3 - u.ndim) + u.shape)
    axes = tuple(np.r_[-0.5, np.arange(n), n - 0.5] if n > 1 else np.zeros(1) for n in u.shape)
    return _widen(c, u, *axes), axes


@njit
def _widen(c, u, x, y, z):
    out = np.empty((len(x), len(y), len(z)))
    di, dj, dk = len(x) > 1, len(y) > 1, len(z) > 1  # False and True count as 0 and 1
    for i in range(len(x)):
        for j in range(len(y)):
            for k in range(len(z)):
                on_face = (
                    (di and (i == 0 or i == len(x) - 1))
                    or (dj and (j == 0 or j == len(y) - 1))
                    or (dk and (k == 0 or k == len(z) - 1))
                )
                out[i, j, k] = value(c, x[i], y[j], z[k]) if on_face else u[i - di, j - dj, k - dk]
    return out


@njit
def root(c, x, y, z, axis, end, fa, fb):
    """Coordinate along `axis` of a root between the point (x, y, z) and coordinate `end`; fa, fb differ in sign.

    Regula falsi with the Illinois rule: bracketed, superlinear.
    """
    a = x if axis == 0 else (y if axis == 1 else z)
    b = end
    if fa == 0.0 or fb == 0.0:
        return a if fa == 0.0 else b
    last = a
    for _ in range(80):
        t = b - fb * (b - a) / (fb - fa)
        if not (min(a, b) <= t <= max(a, b)):
            t = 0.5 * (a + b)
        f = value(c, t if axis == 0 else x, t if axis == 1 else y, t if axis == 2 else z)
        if f == 0.0 or abs(t - last) < 1e-13:
            return t
        last = t
        if (f > 0.0) == (fb > 0.0):
            fa *= 0.5
        else:
            a, fa = b, fb
        b, fb = t, f
    return b


@njit
def edge_roots(c, v, x, y, z):
    """Index points (m, 3) of the front on the edges of the lattice with values v and coordinates x, y, z."""
    step = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    axes = (x, y, z)
    out = np.empty((0, 3))
    for write in (False, True):  # count, then fill
        m = 0
        for i in range(len(x)):
            for j in range(len(y)):
                for k in range(len(z)):
                    f = v[i, j, k]
                    for axis in range(3):
                        p, q, r = i + step[axis][0], j + step[axis][1], k + step[axis][2]
                        if p == len(x) or q == len(y) or r == len(z) or (f > 0.0) == (v[p, q, r] > 0.0):
                            continue
                        if write:
                            out[m, 0], out[m, 1], out[m, 2] = x[i], y[j], z[k]
                            end = axes[axis][(p, q, r)[axis]]
                            out[m, axis] = root(c, x[i], y[j], z[k], axis, end, f, v[p, q, r])
                        m += 1
        if not write:
            out = np.empty((m, 3))
    return out


@njit
def frames(c, points, spacing, reach):
    """Outward unit normals (m, 3) at index points of the front, bounds (m,) on the curvatures, 1/length, there, and the
    largest of these bounds there and at `reach` from there along the front.
    """
    hx, hy, hz = spacing
    normals, bend, around = np.empty((len(points), 3)), np.empty(len(points)), np.empty(len(points))
    for m in range(len(points)):
        x, y, z = points[m, 0], points[m, 1], points[m, 2]
        nx, ny, nz, bend[m] = _bent(c, x, y, z, spacing)
        normals[m, 0], normals[m, 1], normals[m, 2] = nx, ny, nz
        # n x e and n x (n x e), with e the axis that n is least along
        if abs(nx) <= min(abs(ny), abs(nz)):
            tx, ty, tz = 0.0, nz, -ny
        elif abs(ny) <= abs(nz):
            tx, ty, tz = -nz, 0.0, nx
        else:
            tx, ty, tz = ny, -nx, 0.0
        size = reach / (np.sqrt(tx * tx + ty * ty + tz * tz) + 1e-300)
        tx, ty, tz = size * tx, size * ty, size * tz
        sx, sy, sz = ny * tz - nz * ty, nz * tx - nx * tz, nx * ty - ny * tx
        most = bend[m]
        for way in (-1.0, 1.0):
            most = max(most, _bent(c, x + way * tx / hx, y + way * ty / hy, z + way * tz / hz, spacing)[3])
            most = max(most, _bent(c, x + way * sx / hx, y + way * sy / hy, z + way * sz / hz, spacing)[3])
        around[m] = most
    return normals, bend, around


@njit
def _bent(c, x, y, z, spacing):
    """Outward unit normal of the level set through an index point and a bound on its curvatures there."""
    hx, hy, hz = spacing
    _, gx, gy, gz, xx, xy, xz, yy, yz, zz = jet(c, x, y, z)
    gx, gy, gz = gx / hx, gy / hy, gz / hz
    xx, yy, zz = xx / (hx * hx), yy / (hy * hy), zz / (hz * hz)
    xy, xz, yz = xy / (hx * hy), xz / (hx * hz), yz / (hy * hz)
    size = np.sqrt(gx * gx + gy * gy + gz * gz) + 1e-300
    most = np.sqrt(xx * xx + yy * yy + zz * zz + 2.0 * (xy * xy + xz * xz + yz * yz)) / size
    return -gx / size, -gy / size, -gz / size, most


def front_points(u, spacing):
    """Where the front crosses the edges between cell centres.

    Parameters
    ----------
    u : ndarray
        Level-set function, positive inside.
    spacing : tuple of float
        Size of a cell along each axis.

    Returns
    -------
    points : (m, d) ndarray
        In index units.
    normals : (m, d) ndarray
        Outward unit normals (not a number where the gradient vanishes).
    curvature : (m,) ndarray
        div of the outward normal, 1/length (theory.md D7).
    """
    u = np.ascontiguousarray(u, dtype=np.float64)
    c = prefilter(u)
    v = u.reshape((1,) * (3 - u.ndim) + u.shape)
    points = edge_roots(c, v, *(np.arange(n, dtype=np.float64) for n in v.shape))[:, 3 - u.ndim :]
    _, gradient, hessian = derivatives(c, points, spacing)
    size = np.linalg.norm(gradient, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        normals = -gradient / size[:, None]
        bent = np.einsum("mi,mij,mj->m", normals, hessian, normals)
        return points, normals, (bent - np.trace(hessian, axis1=1, axis2=2)) / size
