"""Parts of books: the committed notebooks, cells made up for a test, and a reader of pages."""

import base64
import json
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
VOID = {"img", "link", "meta", "br", "hr", "input", "col", "source", "wbr"}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n not looked into").decode()


class Page(HTMLParser):
    """What the tests look at: addresses, ids, and text, by the tags and classes around it."""

    def __init__(self, path):
        super().__init__()
        self.around, self.addresses, self.ids, self.texts, self.pictures, self.titles = [], [], [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.around == []  # every tag is closed

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.addresses += [(tag, given[key]) for key in ("src", "href", "data") if key in given]
        self.ids += [given["id"]] if "id" in given else []
        if "tex" in (given.get("class") or "").split() and "main" in self.tags():
            self.titles.append(given["title"])
        if tag == "img":
            self.pictures.append((given["src"], self.classes()))
        if tag not in VOID:
            self.around.append((tag, set((given.get("class") or "").split())))
            self.texts.append([self.tags(), self.classes(), ""])

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.around.pop()[0] == tag

    def handle_data(self, data):
        self.texts.append([self.tags(), self.classes(), data])

    def tags(self):
        return {tag for tag, _ in self.around}

    def classes(self):
        return set().union(*(classes for _, classes in self.around))

    def text(self, tag, *classes, but=frozenset()):
        """All text within a tag and within classes, but not within others."""
        kept = (t for tags, c, t in self.texts if tag in tags and c >= set(classes) and not (c | tags) & set(but))
        return "".join(kept)

    def formulas(self):
        """TeX, one a formula."""
        return self.titles


def notebook(name):
    """A committed notebook."""
    return json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))


def cells(name, kind):
    """Its cells of a kind."""
    return [cell for cell in notebook(name)["cells"] if cell["cell_type"] == kind]


def outputs(name):
    """Its outputs."""
    return [output for cell in cells(name, "code") for output in cell["outputs"]]


def is_figure(output):
    """A Bokeh document that holds a plot."""
    return '"name":"Figure"' in "".join(output.get("data", {}).get("text/html", ""))


def prose(*sources):
    """Markdown cells."""
    return [{"cell_type": "markdown", "source": source, "metadata": {}} for source in sources]


def code(source="x", *outputs, count=1):
    """A code cell that was executed."""
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "execution_count": count, "metadata": {}}


def picture():
    """Output of a still picture."""
    return {"output_type": "display_data", "data": {"image/png": PNG}, "metadata": {}}
