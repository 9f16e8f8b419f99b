"""HoloViews figures: the one place for every choice of style.

Each function returns a HoloViews object with options for both backends: bokeh, interactive, in JupyterLab, and
matplotlib, from which `png` makes a still picture that needs no JavaScript. Colours are those of Okabe and Ito (2008)
for categories and cividis and viridis for quantities: all are told apart in colour-blind vision.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from mcfpaper import _checks, _plotinput, geometry

BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#000000",
)
COLOURS = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("solid", "dashed", "dotted", "dotdash", "dashdot")
FIELD, TIME, DIVERGING = "cividis", "viridis", "PuOr"
WIDTH, HEIGHT = 420, 340  # pixels of a bokeh figure
INCHES = 4.6  # width of a matplotlib figure
MAX_FRAMES = 12  # of a time slider: frames are stored in the notebook


def extension() -> None:
    """Load both backends in a notebook; bokeh draws."""
    hv.extension("bokeh", "matplotlib", logo=False)


class Png:
    """A still picture that a notebook shows as PNG."""

    def __init__(self, data: bytes):
        self.data = data

    def _repr_png_(self) -> bytes:
        return self.data

    def __repr__(self) -> str:
        return "figure (PNG)"


def png(figure: object, columns: int = 3, dpi: int = 90) -> Png:
    """Draw a HoloViews object with matplotlib, a HoloMap as frames side by side.

    Parameters
    ----------
    figure : HoloViews object
        What a function of this module returns, or a layout of several.
    columns : int
        Pictures in a row of a layout.
    dpi : int
        Dots per inch.

    Returns
    -------
    Png
        Displayed as a picture; `data` holds the bytes.
    """
    import matplotlib

    _load()
    if isinstance(figure, hv.HoloMap):
        keys = figure.keys()
        chosen = [keys[i] for i in np.unique(np.linspace(0, len(keys) - 1, columns).round().astype(int))]
        dim = figure.kdims[0]
        figure = hv.Layout(
            [
                figure[k].opts(
                    title=f"{dim.label} = {dim.pprint_value(k)}", show_legend=bool(k == keys[-1]), backend="matplotlib"
                )
                for k in chosen
            ]
        )
    if isinstance(figure, hv.Layout):
        figure = figure.cols(min(columns, len(figure))).opts(
            backend="matplotlib", fig_inches=INCHES * 0.8, sublabel_format="", hspace=0.75, vspace=0.3
        )
    with matplotlib.rc_context({"font.size": 9, "axes.titlesize": 10, "figure.facecolor": "white"}):
        renderer = hv.renderer("matplotlib").instance(fig="png", dpi=dpi)
        plot = renderer.get_plot(figure)
        buffer = io.BytesIO()
        plot.state.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    matplotlib.pyplot.close(plot.state)
    return Png(buffer.getvalue())


def image(field: xr.DataArray, title: str = "", cmap: str | None = None, limits: tuple | None = None) -> hv.Element:
    """Picture of a field in two dimensions, or a curve in one; colours are symmetric about 0 when it changes sign.

    Parameters
    ----------
    field : xarray.DataArray
        In 1 or 2 dimensions; of three dimensions the middle plane along the first is shown.
    title : str
        Title of the figure.
    cmap : str, optional
        Name of a colour map.
    limits : (float, float), optional
        Range of the colours.

    Returns
    -------
    holoviews.Image or holoviews.Curve
    """
    field = _plotinput.middle(_checks.on_grid(field, "field")).compute().astype(float)
    # Arithmetic hands the attributes of coordinates on, and HoloViews confuses values with an axis of the same label.
    names = [field.attrs.get("long_name"), field.name, "value"]
    label = next(str(n) for n in names if n and n not in [a.label for a in _axes(field)])
    value = hv.Dimension("value", label=label, unit=_unit(field))
    if field.ndim == 1:
        return _line(hv.Curve((field[field.dims[0]].values, field.values), _axes(field)[0], value, label=title))
    if limits is None:
        low, high = float(field.min()), float(field.max())
        limits = (-max(-low, high), max(-low, high)) if low < 0 < high else (low, high)
    x, y = _axes(field)
    picture = hv.Image((field[x.name].values, field[y.name].values, field.values), [x, y], value, label=title)
    cmap = cmap or (DIVERGING if limits[0] < 0 < limits[1] else FIELD)
    picture = _both(picture, cmap=cmap, clim=limits, colorbar=True, **_box(field), _bokeh=_frame(field))
    shape = _shape(picture)
    return picture.opts(backend="matplotlib", aspect=shape, fig_inches=(INCHES, INCHES / shape))


def densities(rho: xr.Dataset, title: str = "") -> hv.Layout:
    """Pictures of both class densities, on one scale of colours."""
    rho = _checks.densities(rho)
    top = float(max(rho["rho0"].max(), rho["rho1"].max()))
    return hv.Layout(
        [image(rho[v], f"{title} class {i}".strip(), limits=(0.0, top)) for i, v in enumerate(("rho0", "rho1"))]
    )


def sets(named: Mapping[str, xr.DataArray], points: tuple | None = None, title: str = "") -> hv.Overlay:
    """Boundaries of sets in the plane, over data points if given.

    Parameters
    ----------
    named : mapping from str to xarray.DataArray
        Level-set functions or boolean sets in two dimensions (of three: the middle plane), by their names in the
        legend. An empty set and the whole box have no boundary and appear in the legend alone.
    points : (array of shape (n, 2), array of shape (n,)), optional
        Points, in the order of the grid's dimensions, with labels 0 or 1.
    title : str
        Title of the figure.

    Returns
    -------
    holoviews.Overlay
    """
    planes = {name: _plotinput.plane(field, "named") for name, field in _plotinput.mapping(named, "named").items()}
    layers = [] if points is None else _points(points, next(iter(planes.values())))
    for i, (name, field) in enumerate(planes.items()):
        layers.append(_front(field, name, COLOURS[i % len(COLOURS)], DASHES[(i // 2) % len(DASHES)]))
    return _overlay(layers, title)


def trajectory(run: xr.Dataset, background: xr.DataArray | None = None, points: tuple | None = None) -> hv.HoloMap:
    """Time slider of a front in the plane, the initial front dashed.

    Parameters
    ----------
    run : xarray.Dataset
        A trajectory: `u` with dimension `time`. At most 12 times are shown, evenly chosen.
    background : xarray.DataArray, optional
        A level-set function whose boundary is drawn dotted in every frame (the Bayes classifier, the limit flow).
    points : optional
        Data points, as in `sets`.

    Returns
    -------
    holoviews.HoloMap
        Over time.
    """
    run = _plotinput.run(run)
    chosen = np.unique(np.linspace(0, run.sizes["time"] - 1, MAX_FRAMES).round().astype(int))
    start, frames = _plotinput.plane(run["u"].isel(time=0), "run"), {}
    for k in chosen:
        field = _plotinput.plane(run["u"].isel(time=int(k)), "run")
        layers = [] if points is None else _points(points, field)
        layers.append(_front(start, "start", BLACK, "dashed"))
        if background is not None:
            layers.append(
                _front(
                    _plotinput.plane(background, "background"),
                    background.attrs.get("long_name", "reference"),
                    RED,
                    "dotted",
                )
            )
        frames[float(run["time"][int(k)])] = _overlay([*layers, _front(field, "front", BLUE, "solid")], "")
    return hv.HoloMap(frames, kdims=hv.Dimension("time", unit=_unit(run["time"]), value_format="{:.4g}".format))


def compare(named: Mapping[str, xr.Dataset]) -> hv.HoloMap:
    """Time slider of the fronts of several trajectories that share their times, by their names in the legend.

    Parameters
    ----------
    named : mapping from str to xarray.Dataset
        Trajectories: `u` with dimension `time`. At most 12 times are shown, evenly chosen.

    Returns
    -------
    holoviews.HoloMap
        Over time.
    """
    runs = {name: _plotinput.run(data) for name, data in _plotinput.mapping(named, "named").items()}
    first = next(iter(runs.values()))
    if any(r.sizes["time"] != first.sizes["time"] for r in runs.values()):
        raise ValueError(f"named must hold equally many times, got {[r.sizes['time'] for r in runs.values()]}")
    frames = {}
    for k in np.unique(np.linspace(0, first.sizes["time"] - 1, MAX_FRAMES).round().astype(int)):
        frames[float(first["time"][k])] = sets({name: r["u"].isel(time=int(k), drop=True) for name, r in runs.items()})
    return hv.HoloMap(frames, kdims=hv.Dimension("time", unit=_unit(first["time"]), value_format="{:.4g}".format))


def fronts(run: xr.Dataset, title: str = "", every: int | None = None) -> hv.Overlay:
    """Front positions over time in one picture, coloured by time from dark to light.

    Parameters
    ----------
    run : xarray.Dataset
        A trajectory: `u` with dimension `time`.
    title : str
        Title of the figure.
    every : int, optional
        Show every so many steps; about 20 fronts by default.
    """
    run = _plotinput.run(run)
    every = max(1, run.sizes["time"] // 20) if every is None else every
    if not every >= 1:
        raise ValueError(f"every must be at least 1, got {every}")
    times = run["time"].values[::every]
    value = hv.Dimension("t", label="time", unit=_unit(run["time"]))
    first = _plotinput.plane(run["u"].isel(time=0), "run")
    paths = []
    for k, t in zip(range(0, run.sizes["time"], every), times, strict=True):
        x, y = _axes(first)
        for xs, ys in _curves(_plotinput.plane(run["u"].isel(time=k), "run")):
            paths.append({x.name: xs, y.name: ys, "t": float(t)})
    lines = hv.Contours(paths, _axes(first), value)
    options = {"cmap": TIME, "clim": (float(times.min()), float(times.max())), "colorbar": True}
    lines = _both(lines, **options, **_box(first), _bokeh={**_frame(first), "line_width": 1.5}, _mpl={"linewidth": 1.2})
    return _overlay([lines], title)


def series(run: xr.Dataset, names: Sequence[str], title: str = "", logy: bool = False, label: str = "") -> hv.Overlay:
    """Per-time figures of a trajectory as curves over time, in one frame.

    Parameters
    ----------
    run : xarray.Dataset
        Variables with the one dimension `time`.
    names : sequence of str
        Which variables; their long names make the legend.
    title, label : str
        Title, and label of the vertical axis (by default the first variable's long name and units).
    logy : bool
        Logarithmic vertical axis.
    """
    run = _plotinput.run(run, names, "names")
    time = hv.Dimension("time", unit=_unit(run["time"]))
    first = run[names[0]]
    # HoloViews takes a curve's name for values to map if an axis has the same: the space tells them apart.
    value = hv.Dimension("value", label=(label or _named(first)) + " ", unit=_unit(first))
    curves = [
        _line(
            hv.Curve((run["time"].values, run[n].values.astype(float)), time, value, label=_named(run[n])), i, logy=logy
        )
        for i, n in enumerate(names)
    ]
    return _overlay(curves, title, frame=False)


def convergence(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    orders: Sequence[float] = (1.0,),
    xlabel: str = "eps",
    ylabel: str = "error",
    title: str = "",
    units: tuple[str, str] = ("length", "length"),
) -> hv.Overlay:
    """Errors against a small parameter on logarithmic axes, with reference slopes.

    Parameters
    ----------
    curves : mapping from str to (x, error)
        One or more named curves; errors that are 0 are left out.
    orders : sequence of float
        Slopes of the dotted reference lines, drawn through the last point of the first curve.
    xlabel, ylabel, title : str
        Labels.
    units : (str, str)
        Units of the two axes.
    """
    x_dim, y_dim = hv.Dimension("x", label=xlabel, unit=units[0]), hv.Dimension("y", label=ylabel, unit=units[1])
    layers = []
    kept = {name: (x[y > 0], y[y > 0]) for name, (x, y) in _plotinput.curves(curves, "curves").items()}
    for i, (name, xy) in enumerate(kept.items()):
        layers.append(_line(hv.Curve(xy, x_dim, y_dim, label=name), i, loglog=xy[0].size > 0))
        layers.append(_markers(hv.Scatter(xy, x_dim, y_dim), i))
    x, y = next(iter(kept.values()))
    for order in orders if x.size else ():
        anchor = np.argmin(x)
        line = hv.Curve((x, y[anchor] * (x / x[anchor]) ** order), x_dim, y_dim, label=f"order {order:g}")
        layers.append(
            _both(line, color="#777777", _bokeh={"line_dash": "dotted"}, _mpl={"linestyle": "dotted"}, loglog=True)
        )
    return _overlay(layers, title, frame=False)


def curves(
    named: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    units: tuple[str | None, str | None] = (None, None),
) -> hv.Overlay:
    """Named curves (x, y) in one frame, with the labels and units of the axes."""
    named = _plotinput.curves(named, "named")
    x_dim, y_dim = hv.Dimension("x", label=xlabel, unit=units[0]), hv.Dimension("y", label=ylabel, unit=units[1])
    lines = [_line(hv.Curve((x, y), x_dim, y_dim, label=name), i) for i, (name, (x, y)) in enumerate(named.items())]
    return _overlay(lines, title, frame=False)


def error(run: xr.Dataset, measured: Sequence[float], exact: Sequence[float], title: str = "") -> hv.Overlay:
    """Error of a trajectory's figure against its oracle over time, with the certificate `gap` beside it."""
    run = _plotinput.run(run, ["gap"])
    if not np.shape(measured) == np.shape(exact) == run["gap"].shape:
        shapes = np.shape(measured), np.shape(exact)
        raise ValueError(f"measured and exact must have a value for each of {run.sizes['time']} times, got {shapes}")
    size = np.abs(np.asarray(measured, float) - np.asarray(exact, float))
    table = xr.Dataset({"error": ("time", size, {"long_name": "error", "units": "length"}), "gap": run["gap"]})
    table["time"] = run["time"]
    return series(table, ["error", "gap"], title, label="error and bound")


def certificate(run: xr.Dataset, title: str = "certificate") -> hv.Overlay:
    """The bound `gap` of every step of a trajectory, on a logarithmic axis; steps with gap 0 are left out."""
    run = _plotinput.run(run, ["gap"])
    kept = run[["gap"]].isel(time=np.flatnonzero(run["gap"].values > 0))
    return series(kept if kept.sizes["time"] else run, ["gap"], title, logy=kept.sizes["time"] > 0)


def _load() -> None:
    for backend in ("bokeh", "matplotlib"):
        if backend not in hv.Store.renderers:
            import importlib

            importlib.import_module(f"holoviews.plotting.{'bokeh' if backend == 'bokeh' else 'mpl'}")
    if not hv.Store.current_backend:
        hv.Store.set_current_backend("bokeh")


def _both(element: hv.Element, _bokeh: dict | None = None, _mpl: dict | None = None, loglog: bool = False, **options):
    """Set options for both backends: those given by keyword for both, and each backend's own."""
    _load()
    if loglog:
        options |= {"logx": True, "logy": True}
    element = element.opts(backend="bokeh", **options, **(_bokeh or {}))
    return element.opts(backend="matplotlib", **options, **(_mpl or {}))


def _line(curve: hv.Curve, i: int = 0, **options) -> hv.Curve:
    dash = DASHES[i % len(DASHES)]
    size = {"width": WIDTH, "height": HEIGHT}
    mpl_dash = {"dotdash": "dashdot", "dashdot": (0, (5, 1, 1, 1, 1, 1))}.get(dash, dash)
    return _both(
        curve,
        color=COLOURS[i % len(COLOURS)],
        _bokeh={"line_dash": dash, "line_width": 2, "tools": ["hover"], **size},
        _mpl={"linestyle": mpl_dash, "linewidth": 1.6},
        **options,
    )


def _markers(points: hv.Element, i: int) -> hv.Element:
    return _both(points, color=COLOURS[i % len(COLOURS)], _bokeh={"size": 6}, _mpl={"s": 18})


def _front(field: xr.DataArray, name: str, colour: str, dash: str) -> hv.Path:
    path = hv.Path([np.column_stack(c) for c in _curves(field)], _axes(field), label=name)
    mpl_dash = {"dotdash": "dashdot", "dashdot": (0, (5, 1, 1, 1, 1, 1))}.get(dash, dash)
    return _both(
        path,
        color=colour,
        show_legend=True,
        **_box(field),
        _bokeh={"line_dash": dash, "line_width": 2, **_frame(field)},
        _mpl={"linestyle": mpl_dash, "linewidth": 1.6},
    )


def _curves(field: xr.DataArray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boundary curves of {field > 0} as (x, y) pairs; none for an empty set or the whole box."""
    values = field.values
    if values.all() if values.dtype == bool else (values > 0).all():
        return []
    if not (values > 0).any():
        return []
    x, y = (a.name for a in _axes(field))
    return [(c[x].values, c[y].values) for c in geometry.contours(field)]


def _points(points: tuple, field: xr.DataArray) -> list[hv.Points]:
    X, labels = _plotinput.points(points)
    layers = []
    for label, colour, marker in ((0, ORANGE, "o"), (1, SKY, "^")):
        chosen = X[labels == label][:, ::-1]  # columns follow the grid's dimensions, the last of which is horizontal
        layer = hv.Points(chosen, _axes(field), label=f"class {label}")
        mark = "circle" if marker == "o" else "triangle"
        bokeh = {"size": 4, "alpha": 0.6, "marker": mark}
        layers.append(_both(layer, color=colour, _bokeh=bokeh, _mpl={"s": 8, "alpha": 0.6, "marker": marker}))
    return layers


def _overlay(layers: Sequence[hv.Element], title: str, frame: bool = True) -> hv.Overlay:
    overlay = hv.Overlay(list(layers))
    options = {"show_legend": len(layers) > 1, "title": title or ""}
    size = (
        {"legend_position": "right"} if frame else {"width": WIDTH + 120, "height": HEIGHT, "legend_position": "right"}
    )
    overlay = overlay.opts(backend="bokeh", **options, **size)
    shape = _shape(layers[-1]) if frame else 1.4
    mpl = {"fig_inches": (1.15 * INCHES, INCHES / shape), "legend_position": "right", "aspect": shape}
    return overlay.opts(backend="matplotlib", **options, **mpl)


def _axes(field: xr.DataArray) -> list[hv.Dimension]:
    """Horizontal (last) and vertical (first) dimension, labelled with their units."""
    return [
        hv.Dimension(str(d), label=field[d].attrs.get("long_name", str(d)), unit=_unit(field[d]))
        for d in reversed(field.dims)
    ]


def _box(field: xr.DataArray) -> dict:
    """Limits of the axes: the whole box, so that frames of a slider agree."""
    edges = []
    for d in reversed(field.dims):
        x = field[d].values
        half = abs(x[1] - x[0]) / 2
        edges.append((float(min(x[0], x[-1]) - half), float(max(x[0], x[-1]) + half)))
    return {"xlim": edges[0], "ylim": edges[1], "xticks": 5, "yticks": 5}


def _shape(element: hv.Element) -> float:
    """Width of the box by its height; as the aspect of a matplotlib figure it makes lengths equal on both axes."""
    limits = hv.Store.lookup_options("matplotlib", element, "plot").kwargs
    (x0, x1), (y0, y1) = limits["xlim"], limits["ylim"]
    return (x1 - x0) / (y1 - y0)


def _frame(field: xr.DataArray) -> dict:
    extent = [abs(float(field[d][-1] - field[d][0])) for d in reversed(field.dims)]
    width = 300
    return {"frame_width": width, "frame_height": max(120, round(width * extent[1] / extent[0]))}


def _unit(variable: xr.DataArray) -> str | None:
    return variable.attrs.get("units") or None


def _named(variable: xr.DataArray) -> str:
    return variable.attrs.get("long_name", str(variable.name))
