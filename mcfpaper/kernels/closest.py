"""Closest point of the front {u = 0} near a given front point: Newton on the cubic spline, inside the box.

Lengths are physical: node i of an axis sits at i h, the box reaches from -h/2 to `box`, which is 0 on missing axes.
"""

import numpy as np

from mcfpaper.kernels._jit import njit
from mcfpaper.kernels.spline import jet

FLAT = 1e-3  # least curvature of |x - y|^2/2 along the front that Newton believes (0 at a focal point)


@njit
def foot(c, h, box, x, seed, start, out):
    """Closest point to x on the front near a seed, written to out[:3], its outward normal to out[3:6]; the distance."""
    good = _newton(c, h, box, x, seed, out)
    r = np.sqrt((x[0] - out[0]) ** 2 + (x[1] - out[1]) ** 2 + (x[2] - out[2]) ** 2)
    if good and r <= start * (1.0 + 1e-12) + 1e-12 * h[2]:
        return r
    return _descend(c, h, box, x, seed, start, out)


@njit
def _newton(c, h, box, x, seed, y):
    """Newton for min |x - y| on the front in the box, active set for the box faces. True if it converged."""
    hmax = max(h[0], h[1], h[2])
    y[0], y[1], y[2] = seed[0], seed[1], seed[2]
    p = (0.0, 0.0, 0.0)
    for _ in range(25):
        w = jet(c, y[0] / h[0], y[1] / h[1], y[2] / h[2])
        free0, free1, free2 = box[0] > 0.0, box[1] > 0.0, box[2] > 0.0
        for _ in range(3):
            ok, p, normal = _step(w, h, x, y, free0, free1, free2)
            if not ok:
                return False
            b0 = free0 and _blocked(y[0], p[0], h[0], box[0])
            b1 = free1 and _blocked(y[1], p[1], h[1], box[1])
            b2 = free2 and _blocked(y[2], p[2], h[2], box[2])
            if not (b0 or b1 or b2):
                break
            free0, free1, free2 = free0 and not b0, free1 and not b1, free2 and not b2
        y[3], y[4], y[5] = normal
        size = np.sqrt(p[0] ** 2 + p[1] ** 2 + p[2] ** 2)
        scale = min(1.0, hmax / (size + 1e-300))
        for k in range(3):
            if box[k] > 0.0:
                y[k] = min(max(y[k] + scale * p[k], -0.5 * h[k]), box[k])
        if size < 1e-5 * hmax:  # quadratic: the error is now far below
            return True
    return False


@njit
def _blocked(y, p, h, upper):
    return (y <= -0.5 * h and p < 0.0) or (y >= upper and p > 0.0)


@njit
def _step(w, h, x, y, free0, free1, free2):
    """Newton step in the free coordinates: to the tangent plane, and within it to the stationary point.

    Returns success, the step and the outward unit normal.
    """
    gx, gy, gz = w[1] / h[0], w[2] / h[1], w[3] / h[2]
    size = np.sqrt(gx * gx + gy * gy + gz * gz)
    full = (-gx / (size + 1e-300), -gy / (size + 1e-300), -gz / (size + 1e-300))
    gx, gy, gz = gx * free0, gy * free1, gz * free2
    g2 = gx * gx + gy * gy + gz * gz
    if g2 <= 1e-12 * size * size:
        return False, (0.0, 0.0, 0.0), full
    rx, ry, rz = (y[0] - x[0]) * free0, (y[1] - x[1]) * free1, (y[2] - x[2]) * free2
    lam = -(rx * gx + ry * gy + rz * gz) / g2
    xx, yy, zz = 1.0 + lam * w[4] / (h[0] * h[0]), 1.0 + lam * w[7] / (h[1] * h[1]), 1.0 + lam * w[9] / (h[2] * h[2])
    xy, xz, yz = lam * w[5] / (h[0] * h[1]), lam * w[6] / (h[0] * h[2]), lam * w[8] / (h[1] * h[2])
    a = -w[0] / g2
    px, py, pz = a * gx, a * gy, a * gz
    free = int(free0) + int(free1) + int(free2)
    if free == 1:
        return True, (px, py, pz), full
    qx, qy, qz = rx + xx * px + xy * py + xz * pz, ry + xy * px + yy * py + yz * pz, rz + xz * px + yz * py + zz * pz
    sx, sy, sz = _tangent(gx, gy, gz, free0, free1, free2)
    ux, uy, uz = xx * sx + xy * sy + xz * sz, xy * sx + yy * sy + yz * sz, xz * sx + yz * sy + zz * sz
    m11 = sx * ux + sy * uy + sz * uz
    b1 = -(sx * qx + sy * qy + sz * qz)
    if free == 2:
        a = b1 / max(abs(m11), FLAT)
        return True, (px + a * sx, py + a * sy, pz + a * sz), full
    n = 1.0 / np.sqrt(g2)
    tx, ty, tz = n * (gy * sz - gz * sy), n * (gz * sx - gx * sz), n * (gx * sy - gy * sx)
    m12 = tx * ux + ty * uy + tz * uz
    m22 = tx * (xx * tx + xy * ty + xz * tz) + ty * (xy * tx + yy * ty + yz * tz) + tz * (xz * tx + yz * ty + zz * tz)
    b2 = -(tx * qx + ty * qy + tz * qz)
    lowest = 0.5 * (m11 + m22) - np.sqrt(0.25 * (m11 - m22) ** 2 + m12 * m12)
    shift = max(FLAT - lowest, -2.0 * lowest, 0.0)  # a descent direction near focal points too
    m11, m22 = m11 + shift, m22 + shift
    det = m11 * m22 - m12 * m12
    a, b = (b1 * m22 - b2 * m12) / det, (b2 * m11 - b1 * m12) / det
    return True, (px + a * sx + b * tx, py + a * sy + b * ty, pz + a * sz + b * tz), full


@njit
def _tangent(gx, gy, gz, free0, free1, free2):
    """A unit vector orthogonal to g in the free coordinates (two or three of them; g vanishes in the others)."""
    ax, ay, az = abs(gx), abs(gy), abs(gz)
    if not free0 or (free1 and free2 and ax <= ay and ax <= az):
        n = 1.0 / np.sqrt(gy * gy + gz * gz)
        return 0.0, -gz * n, gy * n
    if not free1 or (free2 and ay <= az):
        n = 1.0 / np.sqrt(gx * gx + gz * gz)
        return -gz * n, 0.0, gx * n
    n = 1.0 / np.sqrt(gx * gx + gy * gy)
    return -gy * n, gx * n, 0.0


@njit
def _descend(c, h, box, x, seed, start, out):
    """Where Newton fails (kinks, noise): slide along the front while the distance falls."""
    out[0], out[1], out[2] = seed[0], seed[1], seed[2]
    best, step = start, 0.5
    y = np.empty(3)
    for _ in range(40):
        w = jet(c, out[0] / h[0], out[1] / h[1], out[2] / h[2])
        gx, gy, gz = w[1] / h[0], w[2] / h[1], w[3] / h[2]
        g2 = gx * gx + gy * gy + gz * gz + 1e-300
        n = 1.0 / np.sqrt(g2)
        out[3], out[4], out[5] = -gx * n, -gy * n, -gz * n
        a = ((x[0] - out[0]) * gx + (x[1] - out[1]) * gy + (x[2] - out[2]) * gz) / g2
        y[0] = out[0] + step * (x[0] - out[0] - a * gx)
        y[1] = out[1] + step * (x[1] - out[1] - a * gy)
        y[2] = out[2] + step * (x[2] - out[2] - a * gz)
        off = settle(c, h, box, y)
        r = np.sqrt((x[0] - y[0]) ** 2 + (x[1] - y[1]) ** 2 + (x[2] - y[2]) ** 2)
        if off < 1e-10 * h[2] and r < best:
            best = r
            out[0], out[1], out[2] = y[0], y[1], y[2]
        else:
            step *= 0.5
            if step < 1e-3:
                break
    return best


@njit
def settle(c, h, box, y):
    """Move y onto the front along the gradient, inside the box; the last move's length."""
    move = np.inf
    for _ in range(8):
        w = jet(c, y[0] / h[0], y[1] / h[1], y[2] / h[2])
        gx, gy, gz = w[1] / h[0], w[2] / h[1], w[3] / h[2]
        g2 = gx * gx + gy * gy + gz * gz
        move = abs(w[0]) / (np.sqrt(g2) + 1e-300)
        if move < 1e-12 * h[2] or not move < 4.0 * max(h[0], h[1], h[2]):
            break
        y[0], y[1], y[2] = y[0] - w[0] * gx / g2, y[1] - w[0] * gy / g2, y[2] - w[0] * gz / g2
        for k in range(3):
            y[k] = min(max(y[k], -0.5 * h[k]), box[k]) if box[k] > 0.0 else 0.0
    return move


@njit
def over_patches(x, cand, r2, near, reach):
    """Distance from x to the nearest of the paraboloids at seeds that may hold the closest point within reach."""
    best = near
    for s in range(cand.shape[1]):
        # the seed of a patch is farther than the closest point y by about reach^2 (1/|x - y| + curvature)/2 at most
        if r2[s] < (near + 0.5 * reach * reach * (1.0 / near + cand[6, s])) ** 2:
            best = min(best, _over_patch(x, cand[:, s], reach))
    return best


@njit
def _over_patch(x, p, reach):
    """Distance from x to the paraboloid that osculates the front at a seed, within reach of it."""
    rx, ry, rz = x[0] - p[0], x[1] - p[1], x[2] - p[2]
    a = rx * p[3] + ry * p[4] + rz * p[5]
    tx, ty, tz = rx - a * p[3], ry - a * p[4], rz - a * p[5]
    xx, xy, xz, yy, yz, zz = p[7], p[8], p[9], p[10], p[11], p[12]
    trace = xx + yy + zz
    product = 0.5 * (trace * trace - xx * xx - yy * yy - zz * zz - 2.0 * (xy * xy + xz * xz + yz * yz))
    det = 1.0 + a * trace + a * a * product
    if p[6] * reach > 0.33 or det < 0.1:  # a kink, or all but a focal point: the seed itself
        return np.sqrt(rx * rx + ry * ry + rz * rz)
    # (I + a D)^-1 t, D the derivative of the normal
    sx = ((1.0 + a * trace) * tx - a * (xx * tx + xy * ty + xz * tz)) / det
    sy = ((1.0 + a * trace) * ty - a * (xy * tx + yy * ty + yz * tz)) / det
    sz = ((1.0 + a * trace) * tz - a * (xz * tx + yz * ty + zz * tz)) / det
    scale = min(1.0, reach / (np.sqrt(sx * sx + sy * sy + sz * sz) + 1e-300))
    sx, sy, sz = scale * sx, scale * sy, scale * sz
    fall = 0.5 * (xx * sx * sx + yy * sy * sy + zz * sz * sz) + xy * sx * sy + xz * sx * sz + yz * sy * sz
    tx, ty, tz, a = tx - sx, ty - sy, tz - sz, a + fall
    return np.sqrt(tx * tx + ty * ty + tz * tz + a * a)
