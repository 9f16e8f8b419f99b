"""Still pictures of figures, which need no JavaScript."""

from __future__ import annotations

import io

import holoviews as hv
import numpy as np

from mcfpaper import _drawing as draw


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

    if not columns >= 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    draw.load()
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
            backend="matplotlib", fig_inches=draw.INCHES * 0.8, sublabel_format="", hspace=0.75, vspace=0.3
        )
    with matplotlib.rc_context({"font.size": 9, "axes.titlesize": 10, "figure.facecolor": "white"}):
        renderer = hv.renderer("matplotlib").instance(fig="png", dpi=dpi)
        plot = renderer.get_plot(figure)
        buffer = io.BytesIO()
        plot.state.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", metadata={"Software": None})
    matplotlib.pyplot.close(plot.state)
    return Png(buffer.getvalue())
