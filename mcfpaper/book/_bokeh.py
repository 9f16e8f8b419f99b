"""Interactive figures of executed notebooks, drawn from files of the installed wheels instead of a network.

A figure in a notebook's output is a script that holds a Bokeh document and waits for libraries that another script
fetches. The book keeps the document alone, and draws it with libraries that lie beside its pages.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import bokeh
import panel

LOADED, DRAWN = "application/vnd.holoviews_load.v0+json", "application/vnd.holoviews_exec.v0+json"
SCRIPTS = ("bokeh", "bokeh-widgets", "bokeh-tables")  # in the order in which they must load
FOLDER = "assets"
PANEL_FILE = re.compile(r"https://cdn\.holoviz\.org/panel/([^/\"]+)/dist/([^\"?]+)(?:\?[^\"]*)?")
ADDRESS = re.compile(r'"url": ?"(https?:[^"]*)"')


@dataclass(frozen=True)
class Figure:
    """A Bokeh document as text of JSON, the id of its place in the page, and the style sheets it reads."""

    document: str
    place: str
    styles: frozenset[str]


def is_set_up(output: dict) -> bool:
    """Whether an output is a part of `plots.extension()`: it fetches libraries, and shows nothing."""
    data = output.get("data", {})
    html = "".join(data.get("text/html", ""))
    manages = DRAWN in data and "panel.models.comm_manager.CommManager" in html
    return LOADED in data or manages or html.startswith('<script type="esms-options">')


def is_figure(output: dict) -> bool:
    """Whether an output is an interactive figure."""
    return DRAWN in output.get("data", {}) and not is_set_up(output)


def figure(output: dict) -> Figure:
    """Read an interactive figure from its output.

    Raises
    ------
    ValueError
        For an output of another form, of another version of Bokeh or Panel, or one that needs the network.
    """
    html = "".join(output["data"]["text/html"])
    documents, items = _literal(html, "docs_json"), _literal(html, "render_items")
    for document in documents.values():
        _same_version("Bokeh", document["version"], bokeh.__version__)
    text = json.dumps({"documents": documents, "items": items}, separators=(",", ":"))
    styles = set()

    def local(match: re.Match) -> str:
        _same_version("Panel", match[1], panel.__version__)
        styles.add(match[2])
        return f"{FOLDER}/panel/{match[2]}"

    text = PANEL_FILE.sub(local, text)
    if left := ADDRESS.search(text):
        raise ValueError(f"an interactive figure reads {left[1]}, which a book without a network cannot")
    (place,) = items[0]["roots"].values()
    return Figure(text.replace("<", "\\u003c"), place, frozenset(styles))


def _literal(html: str, name: str):
    """The value that a script gives to a variable."""
    opening = f"var {name} = "
    start = html.find(opening)
    if start < 0:
        raise ValueError(f"an interactive figure has no {name}: it was made by a version of Panel that is not known")
    return json.JSONDecoder().raw_decode(html, start + len(opening))[0]


def _same_version(name: str, made: str, here: str) -> None:
    if made != here:
        raise ValueError(f"an interactive figure was made by {name} {made}, but {here} is installed and draws no other")


def write_assets(folder: Path, styles: frozenset[str]) -> None:
    """Copy the libraries, and the style sheets that the figures read, to the book's assets."""
    js, dist = Path(bokeh.__file__).parent / "server/static/js", Path(panel.__file__).parent / "dist"
    wanted = {f"{name}.min.js": js / f"{name}.min.js" for name in SCRIPTS}
    wanted |= {f"panel/{name}": dist / name for name in ("panel.min.js", *styles)}
    for name, source in wanted.items():
        if not source.is_file():
            raise ValueError(f"the installed packages lack {name}, which the book's figures need")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
