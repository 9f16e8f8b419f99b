"""Velocities of one step at points of a curve, against curves and steps that are known."""

import numpy as np
import pytest

from mcfpaper import densities, grids, oracles, velocities
from mcfpaper.geometry import sample, signed_distance

GRID = grids.grid(64, -1.0, 1.0)
Y, X = grids.mesh(GRID)
R = np.hypot(X, Y)


def test_polar_curve_of_an_ellipse():
    """Normals and curvature of an ellipse against the formulae of the oracles."""
    a, b = 0.8, 0.5
    curve = velocities.polar_curve(lambda t: a * b / np.hypot(b * np.cos(t), a * np.sin(t)))
    points = np.stack([curve["y"], curve["x"]], axis=1)
    n, Dn = oracles.ellipse_normals(points, (b, a))
    np.testing.assert_allclose(curve["nu"], -n, atol=1e-11)
    np.testing.assert_allclose(curve["curvature"], -np.trace(Dn, axis1=1, axis2=2), atol=1e-9)


@pytest.mark.parametrize("n", [255, 256])
def test_polar_curve_turns_once(n):
    """The integral of the curvature is 2 pi, and a circle is a circle."""
    curve = velocities.polar_curve(lambda t: 1 + 0.15 * np.cos(3 * t), n)
    ring = np.hypot(*(np.fft.irfft(1j * np.arange(n // 2 + 1) * np.fft.rfft(curve[d]), n) for d in "xy"))
    assert abs(float((curve["curvature"] * ring).mean()) - 1) < 1e-9
    np.testing.assert_allclose(velocities.polar_curve(lambda t: 0 * t + 2.0, n)["curvature"], 0.5)
    with pytest.raises(ValueError, match="radius"):
        velocities.polar_curve(np.cos, n)


def test_sample_and_normal_velocity():
    """A cubic is read exactly, whatever the order of the dimensions; a circle that shrank has velocity -1."""
    curve = velocities.polar_curve(lambda t: 0 * t + 0.5)
    cubic = X**3 - 2 * X * Y**2 + Y
    exact = curve["x"] ** 3 - 2 * curve["x"] * curve["y"] ** 2 + curve["y"]
    for field in (cubic, cubic.transpose("x", "y")):
        np.testing.assert_allclose(sample(field, curve), exact, atol=1e-12)
    velocity = velocities.normal_velocity(signed_distance(0.4 - R), curve, 0.1)
    np.testing.assert_allclose(velocity, -1, atol=1e-4)  # the spline of a distance on 64 cells: 1e-5 / tau


def test_step_velocities_of_a_circle_and_its_complement():
    """The exact step of circles (O1), in the order of cases and budgets."""
    s, r0, ring = 1.2, 0.75, velocities.polar_curve(lambda t: 0 * t + 0.75, 32)
    rho = densities.gaussian(GRID, [0.0, 0.0], s**2, [0.0, 0.0], s**2, prior=0.3)
    found = velocities.step_velocities({"in": (r0 - R, rho, ring), "out": (R - r0, rho, ring)}, [0.08, 0.06])
    assert found.dims == ("case", "eps", "point")
    law = [lambda q, m=m: m * np.exp(-(q**2) / (2 * s**2)) for m in (0.7, 0.3)]
    for case, sign in (("in", 1), ("out", -1)):
        for eps in (0.08, 0.06):
            exact = sign * (oracles.radial_step(r0, *law, eps, eps, complement=sign < 0) - r0) / eps
            # 1e-4 cells, as the smooth step has on circles, over eps
            np.testing.assert_allclose(found.sel(case=case, eps=eps), exact, atol=1e-3 * (2 / 64) / eps)
