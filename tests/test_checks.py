"""Bad input: every public function names the argument, before any work starts (api.md)."""

import numpy as np
import pytest
import xarray as xr

from mcfpaper import _checks
from mcfpaper import densities as make
from mcfpaper import operators as op
from mcfpaper.grids import grid

X = np.arange(6.0)
U = xr.DataArray(np.sin(X), {"x": X}, "x")
RHO = xr.Dataset({"rho0": 0 * U + 0.1, "rho1": 0 * U + 0.2})
FIELD = {op.dilate: "u", op.erode: "u", op.nonlocal_tv: "u", op.subgradient: "u"}
WEIGHTED = {
    op.nonlocal_tv: "u",
    op.subgradient: "u",
    op.nonlocal_perimeter: "a",
    op.adversarial_risk: "a",
    op.risk: "a",
}
BALL = {**FIELD, **{f: n for f, n in WEIGHTED.items() if f is not op.risk}}


def call(function, u=U, rho=RHO, eps=2.0, **options):
    if function in (op.dilate, op.erode):
        return function(u, eps, **options)
    if function is op.risk:
        return function(u, rho, **options)
    return function(u, rho, eps, **options)


def holding(value, where=2):
    values = np.sin(X)
    values[where] = value
    return U.copy(data=values)


BAD_FIELDS = {
    "not a DataArray": (np.sin(X), TypeError),
    "complex": (U * 1j, TypeError),
    "text": (xr.DataArray(["a"] * 6, {"x": X}, "x"), TypeError),
    "NaN": (holding(np.nan), ValueError),
    "partly infinite": (holding(-np.inf), ValueError),
    "both infinities": (U.copy(data=np.where(X > 2, np.inf, -np.inf)), ValueError),
    "no coordinate": (xr.DataArray(X, dims="x"), ValueError),
    "one cell": (U[:1], ValueError),
    "no dimension": (U[0], ValueError),
    "four dimensions": (U * xr.DataArray(np.ones((2,) * 3), {d: [0, 1] for d in "abc"}, list("abc")), ValueError),
    "not uniform": (U.assign_coords(x=X**2), ValueError),
    "equal coordinates": (U.assign_coords(x=0 * X), ValueError),
    "NaN coordinate": (U.assign_coords(x=np.where(X == 2, np.nan, X)), ValueError),
    "infinite coordinate": (U.assign_coords(x=np.where(X == 5, np.inf, X)), ValueError),
    "named coordinate": (U.assign_coords(x=list("abcdef")), TypeError),
}


@pytest.mark.parametrize("bad", BAD_FIELDS)
@pytest.mark.parametrize("function", {**FIELD, **WEIGHTED})
def test_fields(function, bad):
    u, error = BAD_FIELDS[bad]
    with pytest.raises(error, match=rf"\b{ {**FIELD, **WEIGHTED}[function] }\b.* must "):
        call(function, u=u)


BAD_DENSITIES = {
    "not a Dataset": (RHO.rho0, TypeError, "densities must"),
    "rho1 missing": (RHO[["rho0"]], ValueError, "densities must"),
    "negative": (RHO.assign(rho1=-RHO.rho1), ValueError, "densities.rho1 must"),
    "NaN": (RHO.assign(rho0=holding(np.nan) ** 2), ValueError, "densities.rho0 must"),
    "infinite": (RHO.assign(rho0=holding(np.inf) ** 2), ValueError, "densities.rho0 must"),
    "boolean": (RHO > 0, TypeError, "densities.rho0 must"),
    "shifted": (RHO.assign_coords(x=X + 0.1), ValueError, "densities must"),
    "reversed": (RHO.isel(x=slice(None, None, -1)), ValueError, "densities must"),
    "longer": (RHO.pad(x=(0, 1), constant_values=0).assign_coords(x=np.arange(7.0)), ValueError, "densities must"),
    "other dimension": (RHO.rename(x="y"), ValueError, "densities must"),
    "mixed dimensions": (RHO.assign(rho1=RHO.rho1.rename(x="y")), ValueError, "densities.rho1 must"),
}


@pytest.mark.parametrize("bad", BAD_DENSITIES)
@pytest.mark.parametrize("function", WEIGHTED)
def test_densities(function, bad):
    rho, error, message = BAD_DENSITIES[bad]
    with pytest.raises(error, match=message):
        call(function, rho=rho)


def test_mismatched_densities_name_the_field_by_its_argument():
    with pytest.raises(ValueError, match="of a"):
        op.risk(U, RHO.rename(x="y"))


def test_a_field_may_have_coordinates_in_single_precision():
    x = grid(1500, 0.0, 10.0, dims=("x",))["x"]
    u, rho = np.sin(x), make.uniform(x.coords)
    single = u.assign_coords(x=x.astype(np.float32))
    # the box is as long as single precision has it
    assert float(op.risk(single, rho)) == pytest.approx(float(op.risk(u, rho)), rel=1e-6)
    with pytest.raises(ValueError, match="coordinate 'x' of a"):
        op.risk(single.assign_coords(x=single.x + np.float32(1e-3)), rho)


@pytest.mark.parametrize(
    ("eps", "error"),
    [(0.9, ValueError), (0, ValueError), (-1.0, ValueError), (np.inf, ValueError), (np.nan, ValueError)]
    + [("2", TypeError), (None, TypeError), (True, TypeError), ([1.0, 2.0], TypeError), (np.ones(2), TypeError)],
)
@pytest.mark.parametrize("function", BALL)
def test_eps(function, eps, error):
    with pytest.raises(error, match="eps must"):
        call(function, eps=eps)


def test_eps_is_held_against_the_largest_spacing():
    u = xr.DataArray(np.zeros((3, 4)), {"y": [0, 2, 4], "x": np.arange(4)}, ("y", "x"))
    with pytest.raises(ValueError, match="eps must be at least the largest grid spacing, 2, got 1"):
        op.dilate(u, 1)
    op.dilate(u, 2)


@pytest.mark.parametrize("function", {**BALL, op.risk: "a"})
def test_ball(function):
    with pytest.raises(ValueError, match=r"ball must be one of .*'lattice'.* got 'euclid'"):
        call(function, ball="euclid")
    with pytest.raises(TypeError, match="ball must"):
        call(function, ball=2)


@pytest.mark.parametrize("function", [op.dilate, op.erode, op.subgradient])
def test_boolean_sets_have_no_isotropic_dilation(function):
    with pytest.raises(TypeError, match="u must be a level-set function"):
        call(function, u=U > 0, ball="isotropic")


@pytest.mark.parametrize("function", [op.nonlocal_tv, op.subgradient])
def test_total_variation_needs_finite_fields(function):
    with pytest.raises(ValueError, match="u must be finite"):
        call(function, u=xr.full_like(U, np.inf))


def test_the_empty_and_the_full_set_are_valid():
    for sign in (1, -1):
        u = xr.full_like(U, sign * np.inf)
        xr.testing.assert_identical(op.dilate(u, 2.0), u)
        assert float(op.nonlocal_perimeter(u, RHO, 2.0)) == 0
        assert float(op.risk(u, RHO)) == float(op.adversarial_risk(u, RHO, 2.0))


G = grid(4, dims="x")
BAD_CALLS = {
    "n text": (lambda: grid("4"), TypeError, "n must"),
    "n one": (lambda: grid(1), ValueError, "n must"),
    "n fraction": (lambda: grid(4.5), ValueError, "n must"),
    "n NaN": (lambda: grid(np.nan), ValueError, "n must"),
    "n bool": (lambda: grid(True), TypeError, "n must"),
    "n length": (lambda: grid((4, 5, 6)), ValueError, "n must"),
    "lower above upper": (lambda: grid(4, lower=1, upper=0), ValueError, "upper must"),
    "lower infinite": (lambda: grid(4, lower=-np.inf), ValueError, "lower must"),
    "upper length": (lambda: grid(4, upper=(1, 2, 3)), ValueError, "upper must"),
    "dims number": (lambda: grid(4, dims=3), TypeError, "dims must"),
    "dims twice": (lambda: grid(4, dims=("x", "x")), ValueError, "dims must"),
    "dims four": (lambda: grid(4, dims=tuple("abcd")), ValueError, "dims must"),
    "grid number": (lambda: make.uniform(4), TypeError, "grid must"),
    "grid bare": (lambda: make.uniform(xr.DataArray(X, dims="x")), ValueError, "grid must"),
    "grid not uniform": (lambda: make.uniform(U.assign_coords(x=X**2)), ValueError, "grid must"),
    "prior": (lambda: make.uniform(G, prior=1.1), ValueError, "prior must"),
    "prior text": (lambda: make.uniform(G, prior="half"), TypeError, "prior must"),
    "prior NaN": (lambda: make.gaussian(G, 0, 1, 0, 1, prior=np.nan), ValueError, "prior must"),
    "mean0 length": (lambda: make.gaussian(G, [0, 1], 1, 0, 1), ValueError, "mean0 must"),
    "mean1 text": (lambda: make.gaussian(G, 0, 1, "a", 1), TypeError, "mean1 must"),
    "cov0 negative": (lambda: make.gaussian(G, 0, -1, 0, 1), ValueError, "cov0 must"),
    "cov1 shape": (lambda: make.gaussian(G, 0, 1, 0, np.eye(2)), ValueError, "cov1 must"),
    "cov1 skew": (lambda: make.gaussian(grid(4), [0, 0], 1, [0, 0], [[1, 1], [0, 1]]), ValueError, "cov1 must"),
    "cov1 NaN": (lambda: make.gaussian(G, 0, 1, 0, np.nan), ValueError, "cov1 must"),
    "means0 scalar": (lambda: make.mixture(G, 0, [1], [0], [1]), TypeError, "means0 must"),
    "means1 empty": (lambda: make.mixture(G, [0], [1], [], []), ValueError, "means1 must"),
    "covs1 length": (lambda: make.mixture(G, [0], [1], [0], [1, 1]), ValueError, "covs1 must"),
    "weights0": (lambda: make.mixture(G, [0], [1], [0], [1], weights0=[-1]), ValueError, "weights0 must"),
    "weights1 length": (lambda: make.mixture(G, [0], [1], [0], [1], weights1=[1, 1]), ValueError, "weights1 must"),
    "rho0 no function": (lambda: make.from_functions(G, 1.0, lambda x: x), TypeError, "rho0 must"),
    "rho1 other name": (lambda: make.from_functions(G, lambda x: x**2, lambda r: r), ValueError, "rho1 must"),
    "rho1 negative": (lambda: make.from_functions(G, lambda x: x**2, lambda x: x), ValueError, "rho1 must"),
    "rho0 shape": (lambda: make.from_functions(G, lambda x: np.ones(3), lambda x: x**2), ValueError, "rho0 must"),
    "rho0 complex": (lambda: make.from_functions(G, lambda x: x * 1j, lambda x: x**2), TypeError, "rho0 must"),
    "rho0 no mass": (lambda: make.from_functions(G, lambda x: 0, lambda x: 0), ValueError, "rho0 and rho1 must"),
    "prior, no mass": (lambda: make.from_functions(G, lambda x: 0, lambda: 1, prior=0.5), ValueError, "rho0 and rho1"),
    "prior unused": (lambda: make.from_functions(G, lambda: 1, lambda: 1, False, 0.5), ValueError, "prior needs"),
    "X columns": (lambda: make.from_samples(np.ones((8, 2)), [0, 1] * 4, G), ValueError, "X must"),
    "X NaN": (lambda: make.from_samples([np.nan] * 8, [0, 1] * 4, G), ValueError, "X must"),
    "X text": (lambda: make.from_samples(["a"] * 8, [0, 1] * 4, G), TypeError, "X must"),
    "X constant": (lambda: make.from_samples(np.ones(8), [0, 1] * 4, G), ValueError, "X must"),
    "y labels": (lambda: make.from_samples(X, [0, 1, 2] * 2, G), ValueError, "y must"),
    "y length": (lambda: make.from_samples(X, [0, 1], G), ValueError, "y must"),
    "y one class": (lambda: make.from_samples(X, [0] * 6, G), ValueError, "y must"),
    "bandwidth": (lambda: make.from_samples(X, [0, 1] * 3, G, bandwidth=0), ValueError, "bandwidth must"),
    "bandwidth name": (lambda: make.from_samples(X, [0, 1] * 3, G, bandwidth="wide"), ValueError, "bandwidth must"),
    "bayes": (lambda: make.bayes(RHO.assign(rho0=-RHO.rho0)), ValueError, "densities.rho0 must"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_grids_and_densities(name):
    function, error, message = BAD_CALLS[name]
    with pytest.raises(error, match=message):
        function()


@pytest.mark.parametrize("value", [np.array(True), np.array("a"), np.array(None), np.array(1j), True, "0.3", None])
def test_a_number_is_a_real_number(value):
    with pytest.raises(TypeError, match="eps must be a real number"):
        _checks.number(value, "eps")
