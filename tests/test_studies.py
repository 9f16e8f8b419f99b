"""Measurements of the convergence notebooks, against cases whose answer is known."""

import numpy as np
import pytest
import xarray as xr

from mcfpaper import densities, grids, oracles, proximal, studies
from mcfpaper.geometry import contours, sample

GRID = grids.grid(64, -1.0, 1.0)
Y, X = grids.mesh(GRID)
R = np.hypot(X, Y)


def path(radii, tau):
    return xr.Dataset({"u": xr.concat([r - R for r in radii], dim="time")}, {"time": tau * np.arange(len(radii))})


def test_uniform_errors_of_concentric_circles():
    """Both kinds of error, at the steps and just before the next, are known for circles."""
    held, flow = np.array([0.7, 0.6, 0.5]), np.array([0.7, 0.65, 0.58])
    found = studies.uniform_errors(path(held, 0.1), lambda t: flow[round(t / 0.1)] - R)
    later = np.append(flow[1:], flow[-1])
    # splines of a distance on 64 cells give a radius of 0.5 to r (h/r)^4/384 = 2e-8, two of them 5e-8
    np.testing.assert_allclose(found["hausdorff"], abs(held - flow), atol=1e-7)
    np.testing.assert_allclose(found["hausdorff_held"], abs(held - later), atol=1e-7)
    np.testing.assert_allclose(found["l1"], np.pi * abs(held**2 - flow**2), atol=3e-7)  # times 2 pi r
    np.testing.assert_allclose(found["l1_held"], np.pi * abs(held**2 - later**2), atol=3e-7)


def test_uniform_errors_against_a_dataset():
    """A Dataset may hold more times than the run, but must hold those of the run."""
    fine = path([0.7, 0.65, 0.6, 0.55, 0.5], 0.05)
    found = studies.uniform_errors(path([0.7, 0.6, 0.5], 0.1), fine)
    np.testing.assert_allclose(found["hausdorff"], 0, atol=1e-12)
    np.testing.assert_allclose(found["hausdorff_held"], [0.1, 0.1, 0], atol=1e-7)
    with pytest.raises(ValueError, match="times of the run"):
        studies.uniform_errors(path([0.7, 0.6, 0.5], 0.07), fine)


def test_l1_distance_of_crossing_discs():
    """Two discs of radius r at distance d: the lens is 2 r^2 arccos(d/2r) - d/2 sqrt(4 r^2 - d^2)."""
    r, d = 0.5, 0.3
    u, v = r - np.hypot(X - d / 2, Y), r - np.hypot(X + d / 2, Y)
    lens = 2 * r**2 * np.arccos(d / (2 * r)) - d / 2 * np.sqrt(4 * r**2 - d**2)
    exact = 2 * np.pi * r**2 - 2 * lens
    # the kinks where the fronts cross are smeared over a cell at two places: measured a tenth of a cell's area
    assert abs(float(studies.l1_distance(u, v)) - exact) < 0.2 * (2 / 64) ** 2
    assert float(studies.l1_distance(u, u)) == 0


def test_orders():
    """Slopes between neighbours."""
    np.testing.assert_allclose(studies.orders([0.4, 0.2, 0.1], [0.16, 0.04, 0.02]), [2, 1])


def test_refine_follows_a_disc(tmp_path):
    """Errors fall with eps, the area is lost a little too fast, and T7 holds."""
    rho = densities.uniform(grids.grid(64, -2.0, 2.0))
    r = np.hypot(rho["rho0"]["x"], rho["rho0"]["y"]).transpose("y", "x")
    case = (1.4 - r, rho, lambda t: oracles.shrinking_radius(t, 1.4) - r)
    errors, runs = studies.refine({"disc": case}, (0.16, 0.1), 0.32, tmp_path / "runs")
    errors = errors.sel(case="disc")
    assert errors["steps"].values.tolist() == [2, 3]
    assert [run.sizes["time"] for run in runs["disc"]] == [3, 4]
    # largest at the end of the second step, where the first one's radius is still held; a step is within 0.01 h^2 of O1
    held = oracles.ball_step(1.4, 0.16) - oracles.shrinking_radius(0.32, 1.4)
    np.testing.assert_allclose(errors["hausdorff"][0], held, rtol=0, atol=0.01 * (4 / 64) ** 2)
    assert (np.diff(errors["hausdorff"]) < 0).all()
    assert (np.diff(errors["l1_steps"]) < 0).all()
    assert (errors["area_rate"] > 2 * np.pi).all()
    assert (errors["energy_margin"] > 0).all()
    assert (errors["hausdorff_steps"] <= errors["hausdorff"]).all()


def test_refine_refuses_runs_without_a_step(tmp_path):
    with pytest.raises(ValueError, match="t_end must"):
        studies.refine({"disc": None}, (0.16, 0.1), 0.15, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_error_budget_tells_the_parts_apart():
    """eps and tau count at first order, cells and extraction at higher ones."""
    parts = studies.error_budget(1.3, 1.2, 0.3, 0.2, 0.4, (64, 4.0), [1, 2])
    slope = {k: float(studies.orders(v["factor"], v["error"])[0]) for k, v in parts.items()}
    bells = [lambda r, m=m: m * np.exp(-(r**2) / 2.88) for m in (0.7, 0.3)]

    def radius(eps, tau):
        return oracles.radial_flow(1.3, *bells, eps, tau, round(0.4 / tau))[-1]

    # O1's own, 0.79 and 1.15 at budgets that large; the cells' 8e-5 of errors of 0.007 and more are 0.016 of a slope
    eps = [abs(radius(e, 0.2) - radius(0.2 / 256, 0.2)) for e in (0.1, 0.2)]
    tau = [abs(radius(0.2, t) - radius(0.2, 0.2 / 256)) for t in (0.1, 0.2)]
    assert slope["eps"] == pytest.approx(np.log2(eps[1] / eps[0]), abs=0.016)
    assert slope["tau"] == pytest.approx(np.log2(tau[1] / tau[0]), abs=0.016)
    assert slope["front extraction"] > 3.8  # fourth order
    assert float(parts["cell size"]["error"].max()) < 0.01 * float(parts["eps"]["error"].max())


@pytest.mark.parametrize("ball", ["lattice", "box"])
def test_level_cut_is_the_level_set_of_the_proximal_solution(ball):
    """T5: cut by cut against nested cuts; a level on the grid of halvings is decided exactly."""
    rng = np.random.default_rng(4)
    f = X.copy(data=rng.integers(0, 33, X.shape) / 32)  # values on the grid of levels
    rho = xr.Dataset({v: X.copy(data=rng.random(X.shape) + 0.1) for v in ("rho0", "rho1")})
    f[0, 0], f[0, 1] = 0.0, 1.0  # whatever was drawn, these bound the levels
    problem = {"densities": rho, "eps": 0.08, "tau": 0.01, "ball": ball}
    u = proximal(f, **problem, method="exact", levels=5)
    sizes = []
    for level in np.arange(4, 32, 4) / 32:
        low, high = (studies.level_cut(f, **problem, level=level, side=s) for s in ("minimal", "maximal"))
        np.testing.assert_array_equal(low, u > level)
        assert not (low & ~high).any()
        assert not (high & ~studies.level_cut(f, **problem, level=level - 1e-9)).any()
        sizes.append(int(low.sum()))
    assert sizes == sorted(sizes, reverse=True)
    assert 0 < sizes[3] < X.size


def test_centred_flow_of_a_disc():
    """It is consistent: below the bound of stability a circle follows r' = -1/r + r/s^2 (O5)."""
    s, tau, steps = 1.2, 2e-4, 100
    rho = densities.gaussian(GRID, [0.0, 0.0], s**2, [0.0, 0.0], s**2)
    run = studies.centred_flow(0.6 - R, rho, steps, tau)
    (curve,) = contours(run["u"][-1])
    radii = np.hypot(curve["x"], curve["y"])
    # second order in h: h^2/r^2 = 0.3% of a motion of 0.8 cells; measured 0.0025 cells
    assert float(abs(radii - oracles.gaussian_radius(steps * tau, 0.6, s)).max()) < 0.003 * 2 / 64


def test_centred_flow_says_when_nothing_is_left():
    with pytest.raises(ValueError, match="empty or full"):
        studies.centred_flow(0.12 - R, densities.uniform(GRID), 40, 2e-4)


def test_samples_do_not_depend_on_the_direction_of_the_axes():
    coords = grids.grid((9, 12), (-1.0, 2.0), (1.0, 5.0))
    rng = np.random.default_rng(1)
    u = xr.DataArray(rng.normal(size=(9, 12)), coords)
    at = xr.Dataset({"y": ("point", rng.uniform(-1.0, 1.0, 20)), "x": ("point", rng.uniform(2.0, 5.0, 20))})
    for turned in (u[::-1], u[:, ::-1], u[::-1, ::-1]):
        np.testing.assert_allclose(sample(turned, at), sample(u, at), atol=1e-12)


def test_l1_distance_knows_grids_that_differ_by_rounding():
    u, v = 0.6 - R, 0.5 - R
    moved = v.assign_coords(x=v["x"] * (1 + 1e-13))
    assert float(studies.l1_distance(u, moved)) == float(studies.l1_distance(u, v))
    with pytest.raises(ValueError, match="v must have"):
        studies.l1_distance(u, v[1:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eps": -1.0}, "eps must"),
        ({"tau": 0.0}, "tau must"),
        ({"side": "both"}, "side must"),
        ({"level": np.nan}, "level"),
    ],
)
def test_level_cut_names_bad_values(change, message):
    good = {"eps": 0.1, "tau": 0.1, "level": 0.0}
    with pytest.raises(ValueError, match=message):
        studies.level_cut(0.5 - R, densities.uniform(GRID), **(good | change))


def test_centred_step_takes_densities_in_any_order_of_dimensions():
    rho = densities.gaussian(GRID, (0.3, 0.0), np.eye(2), (-0.3, 0.2), np.eye(2))
    u = 0.5 - R
    np.testing.assert_array_equal(
        studies.centred_step(u, rho.transpose(*u.dims[::-1]), 1e-3), studies.centred_step(u, rho, 1e-3)
    )
    with pytest.raises(ValueError, match="u must have 2 dimensions"):
        studies.centred_step(u.expand_dims(z=[0.0, 1.0]), rho, 1e-3)
