"""Elements of the figures and their style, for both backends."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr
from contourpy import contour_generator

from mcfpaper import _plotinput, geometry

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
MPL_DASHES = {"dotdash": "dashdot", "dashdot": (0, (5, 1, 1, 1, 1, 1))}  # where matplotlib's name differs
GREY = "#777777"
FIELD, TIME, DIVERGING = "cividis", "viridis", "PuOr"
WIDTH, HEIGHT = 420, 340  # pixels of a bokeh figure
INCHES = 4.6  # width of a matplotlib figure


def load() -> None:
    for backend in ("bokeh", "matplotlib"):
        if backend not in hv.Store.renderers:
            import importlib

            importlib.import_module(f"holoviews.plotting.{'bokeh' if backend == 'bokeh' else 'mpl'}")
    if not hv.Store.current_backend:
        hv.Store.set_current_backend("bokeh")


def log_ticks(values: Sequence[float], own: bool = False) -> list[tuple[float, str]]:
    """Places and plain labels of the ticks of a logarithmic axis that shows the positive among `values`.

    1, 2 and 5 in every decade, powers of ten alone over more than two decades; with `own` the values
    themselves, if they are few and far enough apart.
    """
    values = np.unique(np.asarray(values, float))
    values = values[(values > 0) & np.isfinite(values)]
    if not values.size:
        return []
    ticks, low, high = values, values[0] / 1.3, values[-1] * 1.3
    if not own or values.size > 7 or (values[1:] / values[:-1] < 1.6).any():
        steps = (1, 2, 5) if high / low < 200 else (1,)
        decades = range(int(np.floor(np.log10(low))), int(np.log10(high)) + 1)
        ticks = [m * 10.0**k for k in decades for m in steps if low <= m * 10.0**k <= high]
    return [(float(t), f"{t:.4g}") for t in ticks]


def only_ticks(x: Sequence[tuple], y: Sequence[tuple]) -> tuple[dict, dict]:
    """Options, for bokeh and for matplotlib, of a figure that shows these ticks alone on the axes that have any."""

    def put(plot, _):
        for axis, ticks in ((plot.handles["axis"].xaxis, x), (plot.handles["axis"].yaxis, y)):
            if ticks:
                axis.set_ticks(*map(list, zip(*ticks, strict=True)))
                axis.set_ticks([], minor=True)

    return {name: list(ticks) for name, ticks in (("xticks", x), ("yticks", y)) if ticks}, {"hooks": [put]}


def both(element: hv.Element, _bokeh: dict | None = None, _mpl: dict | None = None, loglog: bool = False, **options):
    """Set options for both backends: those given by keyword for both, and each backend's own."""
    load()
    if loglog:
        options |= {"logx": True, "logy": True}
    element = element.opts(backend="bokeh", **options, **(_bokeh or {}))
    return element.opts(backend="matplotlib", **options, **(_mpl or {}))


def line(curve: hv.Curve, i: int = 0, **options) -> hv.Curve:
    dash = DASHES[i % len(DASHES)]
    size = {"width": WIDTH, "height": HEIGHT}
    return both(
        curve,
        color=COLOURS[i % len(COLOURS)],
        _bokeh={"line_dash": dash, "line_width": 2, "tools": ["hover"], **size},
        _mpl={"linestyle": MPL_DASHES.get(dash, dash), "linewidth": 1.6},
        **options,
    )


def markers(points: hv.Element, i: int, **options) -> hv.Element:
    return both(points, color=COLOURS[i % len(COLOURS)], _bokeh={"size": 6}, _mpl={"s": 18}, **options)


def front(field: xr.DataArray, name: str, colour: str, dash: str) -> hv.Path:
    path = hv.Path([np.column_stack(c) for c in boundaries(field)], axes(field), label=name)
    return both(
        path,
        color=colour,
        show_legend=True,
        **box(field),
        _bokeh={"line_dash": dash, "line_width": 2, **frame(field)},
        _mpl={"linestyle": MPL_DASHES.get(dash, dash), "linewidth": 1.6},
    )


def boundaries(field: xr.DataArray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boundary curves of {field > 0} as (x, y) pairs, of a boolean set along the edges of its cells."""
    inside = field.values > 0
    if inside.all() or not inside.any():
        return []
    x, y = (a.name for a in axes(field))
    if field.dtype != bool:
        return [(c[x].values, c[y].values) for c in geometry.contours(field)]
    ends = [np.add.outer(v := field[d].values, (v[1] - v[0]) * np.array([-0.4999, 0.4999])).ravel() for d in (x, y)]
    twice = np.kron(inside, np.ones((2, 2)))  # a cell has values at its ends: between those of two the line must pass
    return [(c[:, 0], c[:, 1]) for c in contour_generator(*ends, twice).lines(0.5)]


def scatter(points: tuple, field: xr.DataArray) -> list[hv.Points]:
    X, labels = _plotinput.points(points)
    layers = []
    for label, colour, marker in ((0, ORANGE, "o"), (1, SKY, "^")):
        chosen = X[labels == label][:, ::-1]  # columns follow the grid's dimensions, the last of which is horizontal
        layer = hv.Points(chosen, axes(field), label=f"class {label}")
        mark = "circle" if marker == "o" else "triangle"
        bokeh = {"size": 4, "alpha": 0.6, "marker": mark}
        layers.append(both(layer, color=colour, _bokeh=bokeh, _mpl={"s": 8, "alpha": 0.6, "marker": marker}))
    return layers


def overlay(
    layers: Sequence[hv.Element], title: str, frame: bool = True, ticks: tuple[Sequence, Sequence] = ((), ())
) -> hv.Overlay:
    overlay, (bokeh, mpl) = hv.Overlay(list(layers)), only_ticks(*ticks)
    options = {"show_legend": len(layers) > 1, "title": title or ""}
    size = (
        {"legend_position": "right"} if frame else {"width": WIDTH + 120, "height": HEIGHT, "legend_position": "right"}
    )
    overlay = overlay.opts(backend="bokeh", **options, **size, **bokeh)
    ratio = shape(layers[-1]) if frame else "auto"
    size = (1.15 * INCHES, INCHES / (ratio if frame else 1.4))
    mpl |= {"fig_inches": size, "legend_position": "right", "aspect": ratio}
    return overlay.opts(backend="matplotlib", **options, **mpl)


def axes(field: xr.DataArray) -> list[hv.Dimension]:
    """Horizontal (last) and vertical (first) dimension, labelled with their units."""
    return [
        hv.Dimension(str(d), label=field[d].attrs.get("long_name", str(d)), unit=unit(field[d]))
        for d in reversed(field.dims)
    ]


def box(field: xr.DataArray) -> dict:
    """Limits of the axes: the whole box, so that frames of a slider agree."""
    edges = []
    for d in reversed(field.dims):
        x = field[d].values
        half = abs(x[1] - x[0]) / 2
        edges.append((float(min(x[0], x[-1]) - half), float(max(x[0], x[-1]) + half)))
    return {"xlim": edges[0], "ylim": edges[1], "xticks": 5, "yticks": 5}


def shape(element: hv.Element) -> float:
    """Width of the box by its height; as the aspect of a matplotlib figure it makes lengths equal on both axes."""
    limits = hv.Store.lookup_options("matplotlib", element, "plot").kwargs
    (x0, x1), (y0, y1) = limits["xlim"], limits["ylim"]
    return (x1 - x0) / (y1 - y0)


def frame(field: xr.DataArray) -> dict:
    extent = [abs(float(field[d][-1] - field[d][0])) for d in reversed(field.dims)]
    width = 300
    return {"frame_width": width, "frame_height": max(120, round(width * extent[1] / extent[0]))}


def unit(variable: xr.DataArray) -> str | None:
    return variable.attrs.get("units") or None


def named(variable: xr.DataArray) -> str:
    return variable.attrs.get("long_name", str(variable.name))
