"""Every figure draws in both backends, names its axes and units, and comes out the same twice."""

import holoviews as hv
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr

import mcfpaper as mcf
from mcfpaper import _drawing as draw
from mcfpaper import plots

PNG = b"\x89PNG\r\n\x1a\n"


def disc(n=16, dims=("y", "x"), radius=0.6):
    coords = mcf.grid(n, dims=dims)
    return (radius - sum(coords[d] ** 2 for d in coords) ** 0.5).transpose(*dims).rename("u")


def run_of(u, times=4):
    """What plots need of a trajectory, without running one."""
    t = 0.1 * np.arange(times)
    time = xr.DataArray(t, dims="time", attrs={"long_name": "time", "units": "length^2"})
    per_time = {"long_name": "bound on the front's error", "units": "length"}
    out = xr.Dataset({"u": (u - xr.DataArray(t, dims="time")).transpose("time", *u.dims)})
    return out.assign(gap=("time", 1e-3 * np.arange(times), per_time)).assign_coords(time=time)


POINTS = (np.array([[0.1, -0.2], [0.5, 0.4], [-0.3, 0.0]]), np.array([0, 1, 1]))
SLOPES = {"h": ([0.1, 0.05, 0.025], [0.2, 0.1, 0.05]), "none": ([0.1, 0.05], [0.0, 0.0])}
RHO = mcf.densities.uniform(mcf.grid(8))
EMPTY, FULL = disc(8) * 0 - 1, xr.full_like(disc(8), np.inf)
FIGURES = {
    "image": lambda: plots.image(disc()),
    "image 1-D": lambda: plots.image(disc(dims=("x",)), "a"),
    "image 3-D": lambda: plots.image(disc(8, ("z", "y", "x")), "a"),
    "image constant": lambda: plots.image(disc() * 0),
    "image boolean": lambda: plots.image(disc() > 0),
    "image infinite": lambda: plots.image(FULL),
    "densities": lambda: plots.densities(RHO, "two"),
    "densities 1-D": lambda: plots.densities(mcf.densities.uniform(mcf.grid(8, dims=("x",)))),
    "sets": lambda: plots.sets({"a": disc(), "b": disc(radius=0.4) > 0}, POINTS, "sets"),
    "sets 3-D": lambda: plots.sets({"a": disc(8, ("z", "y", "x"))}),
    "sets empty and full": lambda: plots.sets({"empty": EMPTY, "full": FULL, "all": EMPTY < 0}),
    "trajectory": lambda: plots.trajectory(run_of(disc()), disc(radius=0.5), POINTS),
    "trajectory 3-D": lambda: plots.trajectory(run_of(disc(8, ("z", "y", "x")))),
    "trajectory dying": lambda: plots.trajectory(run_of(disc(), 9).chunk(time=1)),
    "trajectory empty": lambda: plots.trajectory(run_of(EMPTY)),
    "trajectory of one time": lambda: plots.trajectory(run_of(disc(), 1)),
    "compare": lambda: plots.compare({"a": run_of(disc()), "b": run_of(disc(radius=0.4))}),
    "compare dying": lambda: plots.compare({"a": run_of(disc(), 9), "b": run_of(EMPTY, 9).chunk(time=1)}),
    "fronts": lambda: plots.fronts(run_of(disc()), "fronts", every=2),
    "fronts dying": lambda: plots.fronts(run_of(disc(), 9)),
    "fronts empty": lambda: plots.fronts(run_of(EMPTY)),
    "fronts of one time": lambda: plots.fronts(run_of(disc(), 1)),
    "series": lambda: plots.series(run_of(disc()), ["gap", "gap"], "gaps", label="size"),
    "series logarithmic": lambda: plots.series(run_of(disc()), ["gap"], logy=True),
    "convergence": lambda: plots.convergence(SLOPES, (1, 2), title="order"),
    "convergence exact": lambda: plots.convergence({"a": SLOPES["none"]}),
    "curves": lambda: plots.curves({"a": SLOPES["h"]}, "h", "error", "curve", ("length", "length")),
    "certificate": lambda: plots.certificate(run_of(disc())),
    "certificate of zeros": lambda: plots.certificate(run_of(disc(), 1)),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_draws_in_both_backends(name):
    figure = FIGURES[name]()
    assert isinstance(figure, hv.core.Dimensioned)
    hv.renderer("bokeh").get_plot(figure)
    open_before = plt.get_fignums()
    first = plots.png(figure)
    assert plt.get_fignums() == open_before
    assert first.data.startswith(PNG)
    assert first._repr_png_() == first.data
    if name in ("image", "sets", "trajectory dying", "fronts", "convergence"):  # one of each kind: drawing takes time
        assert plots.png(figure).data == first.data
        assert plots.png(FIGURES[name]()).data == first.data


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("image", "x (length)", "y (length)"),
        ("image 3-D", "x (length)", "y (length)"),
        ("image 1-D", "x (length)", "u (length)"),
        ("sets", "x (length)", "y (length)"),
        ("fronts", "x (length)", "y (length)"),
        ("series", "time (length^2)", "size  (length)"),
        ("convergence", "eps (length)", "error (length)"),
        ("curves", "h (length)", "error (length)"),
        ("certificate", "time (length^2)", "bound on the front's error  (length)"),
    ],
)
def test_axes_are_named_with_units(name, x, y):
    axes = hv.renderer("bokeh").get_plot(FIGURES[name]()).state
    assert (axes.xaxis.axis_label, axes.yaxis.axis_label) == (x, y)


def test_logarithmic_axes_in_bokeh_have_plain_labels_over_their_whole_range():
    figure = plots.convergence({"a": ([0.04, 0.08, 0.16], [0.0051, 0.02, 0.21])})
    axes = hv.renderer("bokeh").get_plot(figure).state
    found = [(axis.ticker.ticks, list(axis.major_label_overrides.values())) for axis in (axes.xaxis[0], axes.yaxis[0])]
    assert found[0] == ([0.04, 0.08, 0.16], ["0.04", "0.08", "0.16"])
    assert found[1][1] == ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]


def test_slider_has_the_times_as_keys_and_few_frames():
    figure = plots.trajectory(run_of(disc(8), 4))
    assert figure.keys() == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert str(figure.kdims[0]) == "time"
    assert figure.kdims[0].unit == "length^2"
    long = plots.trajectory(run_of(disc(8), 50))
    assert len(long) == plots.MAX_FRAMES
    assert (long.keys()[0], long.keys()[-1]) == (0.0, pytest.approx(4.9))


def test_compared_runs_share_their_times():
    figure = plots.compare({"a": run_of(disc(8), 30), "b": run_of(disc(8, radius=0.4), 30)})
    assert (len(figure), figure.keys()[-1]) == (plots.MAX_FRAMES, pytest.approx(2.9))
    assert [layer.label for layer in figure.last] == ["a", "b"]
    with pytest.raises(ValueError, match=r"equally many times, got \[3, 4\]"):
        plots.compare({"a": run_of(disc(8), 3), "b": run_of(disc(8), 4)})


def test_curves_are_the_boundaries():
    """The picture shows what `contours` finds: radii of a disc, at the right coordinates."""
    shown = plots.sets({"a": disc(64).transpose("x", "y")}).get(0)
    xy = shown.dimension_values("x"), shown.dimension_values("y")
    np.testing.assert_allclose(np.hypot(*xy), 0.6, atol=1e-7)  # splines: r (h/r)^4/384 = 1e-8
    front = plots.fronts(run_of(disc(64), 3)).get(0)
    radii = [float(np.hypot(*p.array(["x", "y"]).T).mean()) for p in front.split()]
    assert radii == pytest.approx([0.6, 0.5, 0.4], abs=1e-7)
    assert [float(p.dimension_values("t")[0]) for p in front.split()] == pytest.approx([0, 0.1, 0.2])


def test_boolean_sets_are_drawn_along_their_cells():
    """Blocks of cells that touch at a corner, one of them at the edge of the box: places and length of the edges."""
    cells = disc(8) * 0 > 1
    cells[1:3, 1:3] = cells[3:5, 3:8] = True
    shown = plots.sets({"a": cells}).get(0).split()
    x, y = (np.concatenate([p.dimension_values(d) for p in shown]) for d in "xy")
    np.testing.assert_allclose(np.abs(4 * x - np.round(4 * x)), 0, atol=1e-3)  # edges of cells of width 1/4
    assert (np.round(4 * y.min()), np.round(4 * y.max())) == (-3, 1)
    length = sum(np.hypot(*np.diff(p.array(["x", "y"]), axis=0).T).sum() for p in shown)
    assert length == pytest.approx((4 * 2 + 5 + 2 + 5) / 4, rel=1e-3)  # the box edge is no boundary


@pytest.mark.parametrize(
    ("values", "own", "expected"),
    [
        ([0.16, 0.08, 0.04, 0.04], True, ["0.04", "0.08", "0.16"]),
        ([0.1, 0.11, 0.4], True, ["0.1", "0.2", "0.5"]),
        ([0.02, 0.3], False, ["0.02", "0.05", "0.1", "0.2"]),
        ([1e-6, 0.3], False, ["1e-06", "1e-05", "0.0001", "0.001", "0.01", "0.1"]),
        ([0.0, -1.0, np.inf], False, []),
    ],
)
def test_logarithmic_ticks(values, own, expected):
    assert [label for _, label in draw.log_ticks(values, own)] == expected


@pytest.mark.parametrize("count", [3, 4, 7])
def test_tick_labels_do_not_overlap(count):
    """Halved budgets, as many as a notebook has."""
    budgets = 0.16 / 2.0 ** np.arange(count)
    plot = hv.renderer("matplotlib").get_plot(plots.convergence({"a": (budgets, budgets), "b": (budgets, budgets**3)}))
    plot.state.canvas.draw()
    for axis in (plot.handles["axis"].xaxis, plot.handles["axis"].yaxis):
        boxes = [t.get_window_extent() for t in axis.get_ticklabels(which="both") if t.get_text()]
        assert len(boxes) >= 3
        assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[k + 1 :])
    plt.close(plot.state)


def test_points_follow_the_order_of_the_grid():
    layer = plots.sets({"a": disc()}, POINTS).get(0)
    assert (layer.label, layer.dimension_values("y")[0], layer.dimension_values("x")[0]) == ("class 0", 0.1, -0.2)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: plots.image(np.zeros((3, 3))), TypeError, "field must be"),
        (lambda: plots.image(disc().drop_vars("x")), ValueError, "field must have a coordinate"),
        (lambda: plots.densities(disc()), TypeError, "rho must be"),
        (lambda: plots.sets({}), ValueError, "named must"),
        (lambda: plots.sets([disc()]), TypeError, "named must"),
        (lambda: plots.sets({"a": disc(dims=("x",))}), ValueError, "named must have 2 or 3 dimensions"),
        (lambda: plots.sets({"a": disc()}, (np.zeros((4, 3)), np.zeros(4))), ValueError, "points must"),
        (lambda: plots.sets({"a": disc()}, (np.zeros((4, 2)), np.zeros(3))), ValueError, "points must"),
        (lambda: plots.trajectory(disc()), TypeError, "run must be"),
        (lambda: plots.trajectory(xr.Dataset({"u": disc()})), ValueError, "run must have"),
        (lambda: plots.trajectory(run_of(disc(dims=("x",)))), ValueError, "run must have 2 or 3 dimensions"),
        (lambda: plots.trajectory(run_of(disc()).drop_vars("u")), ValueError, "run must have the variables .'u'. over"),
        (lambda: plots.compare({"a": disc()}), TypeError, "named must be"),
        (lambda: plots.fronts(disc()), TypeError, "run must be"),
        (lambda: plots.fronts(run_of(disc()), every=0), ValueError, "every must be"),
        (lambda: plots.fronts(run_of(disc()), every=1.5), ValueError, "every must be"),
        (lambda: plots.png(plots.densities(RHO), columns=0), ValueError, "columns must be"),
        (lambda: plots.series(run_of(disc()), ["risk"]), ValueError, "names must name variables over time of run"),
        (lambda: plots.series(run_of(disc()), []), ValueError, "names must"),
        (lambda: plots.convergence({}), ValueError, "curves must"),
        (lambda: plots.convergence({"a": ([1, 2], [1])}), ValueError, "curves must"),
        (lambda: plots.curves({}, "x", "y"), ValueError, "named must"),
    ],
)
def test_bad_input(call, error, said):
    with pytest.raises(error, match=said):
        call()
