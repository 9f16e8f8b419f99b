"""HoloViews figures: the one place for every choice of style.

Each function returns a HoloViews object with options for both backends: bokeh, interactive, in JupyterLab, and
matplotlib, from which `png` makes a still picture that needs no JavaScript. Colours are those of Okabe and Ito (2008)
for categories and cividis and viridis for quantities: all are told apart in colour-blind vision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import holoviews as hv
import numpy as np
import xarray as xr

from mcfpaper import _checks, _plotinput
from mcfpaper import _drawing as draw
from mcfpaper._stills import Png, png

__all__ = [
    "Png",
    "certificate",
    "compare",
    "convergence",
    "curves",
    "densities",
    "extension",
    "fronts",
    "image",
    "png",
    "series",
    "sets",
    "trajectory",
]
MAX_FRAMES = 12  # of a time slider: frames are stored in the notebook


def extension() -> None:
    """Load both backends in a notebook; bokeh draws."""
    hv.extension("bokeh", "matplotlib", logo=False)


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
    label = next(str(n) for n in names if n and n not in [a.label for a in draw.axes(field)])
    value = hv.Dimension("value", label=label, unit=draw.unit(field))
    if field.ndim == 1:
        return draw.line(hv.Curve((field[field.dims[0]].values, field.values), draw.axes(field)[0], value, label=title))
    if limits is None:
        low, high = float(field.min()), float(field.max())
        limits = (-max(-low, high), max(-low, high)) if low < 0 < high else (low, high)
    x, y = draw.axes(field)
    picture = hv.Image((field[x.name].values, field[y.name].values, field.values), [x, y], value, label=title)
    cmap = cmap or (draw.DIVERGING if limits[0] < 0 < limits[1] else draw.FIELD)
    picture = draw.both(picture, cmap=cmap, clim=limits, colorbar=True, **draw.box(field), _bokeh=draw.frame(field))
    shape = draw.shape(picture)
    return picture.opts(backend="matplotlib", aspect=shape, fig_inches=(draw.INCHES, draw.INCHES / shape))


def densities(rho: xr.Dataset, title: str = "") -> hv.Layout:
    """Pictures of both class densities, on one scale of colours."""
    rho = _checks.densities(rho, name="rho")
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
    layers = [] if points is None else draw.scatter(points, next(iter(planes.values())))
    for i, (name, field) in enumerate(planes.items()):
        layers.append(draw.front(field, name, draw.COLOURS[i % len(draw.COLOURS)], draw.DASHES[i % len(draw.DASHES)]))
    return draw.overlay(layers, title)


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
        layers = [] if points is None else draw.scatter(points, field)
        layers.append(draw.front(start, "start", draw.BLACK, "dashed"))
        if background is not None:
            layers.append(
                draw.front(
                    _plotinput.plane(background, "background"),
                    background.attrs.get("long_name", "reference"),
                    draw.RED,
                    "dotted",
                )
            )
        frames[float(run["time"][int(k)])] = draw.overlay([*layers, draw.front(field, "front", draw.BLUE, "solid")], "")
    return hv.HoloMap(frames, kdims=hv.Dimension("time", unit=draw.unit(run["time"]), value_format="{:.4g}".format))


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
    runs = {name: _plotinput.run(data, argument="named") for name, data in _plotinput.mapping(named, "named").items()}
    first = next(iter(runs.values()))
    if any(r.sizes["time"] != first.sizes["time"] for r in runs.values()):
        raise ValueError(f"named must hold equally many times, got {[r.sizes['time'] for r in runs.values()]}")
    frames = {}
    for k in np.unique(np.linspace(0, first.sizes["time"] - 1, MAX_FRAMES).round().astype(int)):
        frames[float(first["time"][k])] = sets({name: r["u"].isel(time=int(k), drop=True) for name, r in runs.items()})
    return hv.HoloMap(frames, kdims=hv.Dimension("time", unit=draw.unit(first["time"]), value_format="{:.4g}".format))


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
    if not every >= 1 or every % 1:
        raise ValueError(f"every must be a whole number of at least 1, got {every}")
    every = int(every)
    times = run["time"].values[::every]
    value = hv.Dimension("t", label="time", unit=draw.unit(run["time"]))
    first = _plotinput.plane(run["u"].isel(time=0), "run")
    paths = []
    for k, t in zip(range(0, run.sizes["time"], every), times, strict=True):
        x, y = draw.axes(first)
        for xs, ys in draw.boundaries(_plotinput.plane(run["u"].isel(time=k), "run")):
            paths.append({x.name: xs, y.name: ys, "t": float(t)})
    lines = hv.Contours(paths, draw.axes(first), value)
    options = {"cmap": draw.TIME, "clim": (float(times.min()), float(times.max())), "colorbar": True}
    lines = draw.both(
        lines, **options, **draw.box(first), _bokeh={**draw.frame(first), "line_width": 1.5}, _mpl={"linewidth": 1.2}
    )
    lines = lines.opts(backend="matplotlib", aspect=draw.shape(lines))  # the place of the colour bar follows from it
    return draw.overlay([lines], title)


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
    run = _plotinput.run(run, names, chosen_by="names")
    time = hv.Dimension("time", unit=draw.unit(run["time"]))
    first = run[names[0]]
    # HoloViews takes a curve's name for values to map if an axis has the same: the space tells them apart.
    value = hv.Dimension("value", label=(label or draw.named(first)) + " ", unit=draw.unit(first))
    curves = [
        draw.line(
            hv.Curve((run["time"].values, run[n].values.astype(float)), time, value, label=draw.named(run[n])),
            i,
            logy=logy,
        )
        for i, n in enumerate(names)
    ]
    ticks = draw.log_ticks(run[list(names)].to_array()) if logy else ()
    return draw.overlay(curves, title, frame=False, ticks=((), ticks))


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
        Slopes of the grey reference lines, drawn through the point of the first curve that has the smallest x.
    xlabel, ylabel, title : str
        Labels.
    units : (str, str)
        Units of the two axes.
    """
    x_dim, y_dim = hv.Dimension("x", label=xlabel, unit=units[0]), hv.Dimension("y", label=ylabel, unit=units[1])
    kept = {name: (x[y > 0], y[y > 0]) for name, (x, y) in _plotinput.curves(curves, "curves").items()}
    layers = []
    for i, (name, xy) in enumerate(kept.items()):
        style = {"loglog": xy[0].size > 0, "padding": 0.05}
        layers.append(draw.line(hv.Curve(xy, x_dim, y_dim, label=name), i, **style))
        layers.append(draw.markers(hv.Scatter(xy, x_dim, y_dim), i, **style))
    x, y = next(iter(kept.values()))
    for dash, order in zip(cycle(("dotted", "dashed", "dashdot")), orders if x.size else (), strict=False):
        anchor = np.argmin(x)
        line = hv.Curve((x, y[anchor] * (x / x[anchor]) ** order), x_dim, y_dim, label=f"order {order:g}")
        layers.append(
            draw.both(line, color=draw.GREY, _bokeh={"line_dash": dash}, _mpl={"linestyle": dash}, loglog=True)
        )
    xs, ys = (np.concatenate([xy[axis] for xy in kept.values()]) for axis in (0, 1))
    return draw.overlay(layers, title, frame=False, ticks=(draw.log_ticks(xs, own=True), draw.log_ticks(ys)))


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
    lines = [draw.line(hv.Curve((x, y), x_dim, y_dim, label=name), i) for i, (name, (x, y)) in enumerate(named.items())]
    return draw.overlay(lines, title, frame=False)


def certificate(run: xr.Dataset, title: str = "certificate") -> hv.Overlay:
    """The bound `gap` of every step of a trajectory, on a logarithmic axis; steps with gap 0 are left out."""
    run = _plotinput.run(run, ["gap"])
    kept = run[["gap"]].isel(time=np.flatnonzero(run["gap"].values > 0))
    return series(kept if kept.sizes["time"] else run, ["gap"], title, logy=kept.sizes["time"] > 0)
