"""What the scheme says and refuses: bad input, values that are not finite, tolerances not reached, progress."""

import itertools

import numpy as np
import pytest
import xarray as xr
from test_scheme import EXACT, disc, problem, quiet

import mcfpaper as mcf
from mcfpaper.solvers import front, mincut


def with_value(u, value):
    values = np.array(u)
    values.flat[5] = value
    return values if isinstance(u, np.ndarray) else u.copy(data=values)


def unread(u):
    """The field, lazy; that it is computed is an error."""

    def computed(values):
        raise AssertionError("work began")

    return u.chunk().map_blocks(computed, template=u.chunk())


BAD = {  # name of the argument that the message must hold, and what replaces the good arguments
    "u": [
        (TypeError, {"u": lambda u: u.values}),
        (ValueError, {"u": lambda u: with_value(u, np.nan)}),
        (ValueError, {"u": lambda u: with_value(u, np.inf)}),
        (ValueError, {"u": lambda u: with_value(u.chunk(x=3), np.nan)}),
        (ValueError, {"u": lambda u: u.expand_dims(a=[0, 1], b=[0, 1])}),
        (ValueError, {"u": lambda u: u.drop_vars("x")}),
        (ValueError, {"u": lambda u: u.assign_coords(x=u.x**3)}),
        (ValueError, {"u": lambda u: u.rename(x="time")}),
        (ValueError, {"u": lambda u: u.rename(x="gap")}),
    ],
    "densities": [
        (TypeError, {"densities": lambda r: r.rho0}),
        (ValueError, {"densities": lambda r: r.drop_vars("rho1")}),
        (ValueError, {"densities": lambda r: r.isel(x=slice(1, None))}),
        (ValueError, {"densities": lambda r: r.assign_coords(x=r.x + 0.1)}),
        (ValueError, {"densities": lambda r: r * -1}),
        (ValueError, {"densities": lambda r: r.map(with_value, value=np.nan)}),
        (ValueError, {"densities": lambda r: (-r).chunk(x=3)}),
        (ValueError, {"densities": lambda r: r * 0}),
    ],
    "eps": [(ValueError, {"eps": e}) for e in (0.1, 0.0, -1.0, np.nan, np.inf)] + [(TypeError, {"eps": "a"})],
    "tau": [(ValueError, {"tau": t}) for t in (0.0, -0.1, np.nan, np.inf)] + [(TypeError, {"tau": [0.1]})],
    "tol": [(ValueError, {"tol": 0.0}), (TypeError, {"tol": True})],
    "method": [(ValueError, {"method": "fast"}), (TypeError, {"method": None})],
    "ball": [(ValueError, {"ball": "isotropic"}), (ValueError, {"ball": "box", "method": "smooth"})],
    "side": [(ValueError, {"side": "both"})],
    "t_end": [(ValueError, {"t_end": t}) for t in (-0.1, np.nan, np.inf, 1e300)]
    + [(TypeError, {"t_end": None}), (ValueError, {"t_end": -0.1, "u": unread})],
    "store": [(TypeError, {"store": 5}), (TypeError, {"store": 5, "u": unread})],
    "levels": [(ValueError, {"levels": n}) for n in (0, 41, 2.5, [0.0], True)]
    + [(ValueError, {"levels": n, "method": "smooth"}) for n in (1, [1.0, 0.0], [np.nan], [[1.0]])]
    + [(TypeError, {"levels": "abc", "method": "smooth"})],
}
USED_BY = {"t_end": ["evolve"], "store": ["evolve"], "levels": ["proximal"], "side": ["step", "evolve"]}


@pytest.mark.parametrize(
    ("name", "function", "error", "changes"),
    [
        (name, function, *case)
        for name, cases in BAD.items()
        for function in USED_BY.get(name, ["step", "evolve", "proximal"])
        for case in cases
    ],
)
def test_bad_input_is_named_before_anything_is_done(name, function, error, changes, tmp_path, monkeypatch):
    def work(*args, **kwargs):
        raise AssertionError("work began")

    for module, call in ((front, "step"), (mincut, "solve"), (mincut, "proximal")):
        monkeypatch.setattr(module, call, work)
    a, rho = problem(12)
    arguments = {"u": disc(a.coords, 0.7), "densities": rho, "eps": 0.2, "tau": 0.05, "method": "exact"}
    arguments |= {"t_end": 0.1, "store": tmp_path / "run.zarr"} if function == "evolve" else {}
    for key, value in changes.items():
        arguments[key] = value(arguments[key]) if callable(value) else value
    with pytest.raises(error, match=name):
        getattr(mcf, function)(**arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", ["smooth", "exact"])
def test_other_variables_of_the_densities_do_not_count(method):
    a, rho = problem(12)
    u, other = disc(a.coords, 0.7), xr.DataArray(np.zeros(3), dims="z").chunk()
    mine, plain = (mcf.step(u, r, 0.2, 0.05, method) for r in (rho.assign(other=other), rho))
    xr.testing.assert_identical(mine, plain)


@pytest.mark.parametrize("value", [True, np.inf, -np.inf])
def test_proximal_needs_a_finite_field(value):
    a, rho = problem(8)
    with pytest.raises(ValueError, match="u must be a finite field"):
        mcf.proximal(xr.full_like(a, value, type(value)), rho, 0.3)


@pytest.mark.parametrize(
    ("name", "error", "changes"),
    [
        ("densities", TypeError, {"densities": None}),
        ("densities", ValueError, {"densities": lambda r: -r}),
        ("eps", ValueError, {"eps": 0.01}),
        ("side", ValueError, {"side": "both"}),
        ("ball", ValueError, {"ball": "isotropic"}),
    ],
)
def test_bad_input_of_the_robust_classifier(name, error, changes):
    arguments = {"densities": problem(8)[1], "eps": 0.3}
    for key, value in changes.items():
        arguments[key] = value(arguments[key]) if callable(value) else value
    with pytest.raises(error, match=name):
        mcf.robust_classifier(**arguments)


def broken(at, **outcome):
    """A step of the smooth method that moves the front a little and comes out as told the `at`-th time."""
    calls = itertools.count(1)

    def step(f, *args, **options):
        good = front.Result(f - 0.01, gap=1e-9, certified=True, iterations=1, converged=True)
        if next(calls) == at:
            for key, value in outcome.items():
                setattr(good, key, value(f) if callable(value) else value)
        return good

    return step


@pytest.mark.parametrize(
    ("outcome", "place"),
    [
        ({"u": lambda f: with_value(f, np.nan)}, "'y': -0.9"),
        ({"u": lambda f: with_value(f, np.inf)}, "'x': -0.0"),
        ({"gap": np.nan}, "gap = nan"),
        ({"gap": np.inf}, "gap = inf"),
    ],
)
def test_a_value_that_is_not_finite_names_step_and_place_and_keeps_the_store(outcome, place, tmp_path, monkeypatch):
    a, rho = problem(12)
    u, store = disc(a.coords, 0.7), tmp_path / "run.zarr"
    arguments = {"u": u, "densities": rho, "eps": 0.2, "t_end": 0.25, "tau": 0.05, "store": store}
    monkeypatch.setattr(front, "step", broken(3, **outcome))
    with pytest.raises(FloatingPointError, match=f"step 3 of 5.*{place}"):
        mcf.evolve(**arguments)
    assert mcf.open_trajectory(store).sizes["time"] == 3
    monkeypatch.setattr(front, "step", broken(0))
    resumed = mcf.evolve(**arguments)
    whole = mcf.evolve(**arguments | {"store": None})
    xr.testing.assert_equal(resumed.compute(), whole)
    monkeypatch.setattr(front, "step", broken(1, **outcome))
    with pytest.raises(FloatingPointError, match=place):
        mcf.step(u, rho, 0.2, 0.05)


def test_a_tolerance_that_is_not_reached_is_said(monkeypatch):
    a, rho = problem(12)
    u = disc(a.coords, 0.7)
    for function, said in (
        (lambda: mcf.step(u, rho, 0.2), r"gap 0\.3, above tol"),
        (lambda: mcf.evolve(u, rho, 0.2, 0.1, 0.05), "1 of 2 steps did not reach tol"),
        (lambda: mcf.proximal(u, rho, 0.2, levels=3), "1 levels did not reach the tolerance"),
    ):
        monkeypatch.setattr(front, "step", broken(1, gap=0.3, converged=False))
        with pytest.warns(UserWarning, match=said) as caught:
            function()
        assert [w.filename for w in caught] == [__file__]


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False), (None, False)])
def test_progress_bar(progress, shown, capsys):
    """It shows time reached, steps, estimated end (within < >) and gap; by default on a terminal only."""
    a, rho = problem(8)
    quiet(mcf.evolve, a, rho, 0.3, 0.2, 0.05, progress=progress, **EXACT)
    said = capsys.readouterr().err
    assert bool(said) is shown
    for part in ("evolve", "4/4", "t=0.2", "gap=0", "<") if shown else ():
        assert part in said


def test_progress_bar_on_a_terminal(capsys, monkeypatch):
    a, rho = problem(8)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    quiet(mcf.evolve, a, rho, 0.3, 0.2, 0.05, **EXACT)
    assert "4/4" in capsys.readouterr().err
