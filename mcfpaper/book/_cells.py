"""Cells of executed notebooks as HTML that needs no kernel and no network."""

import base64
import html
import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import latex2mathml.converter
from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from . import _bokeh

TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
STILL = re.compile(r"\s*[\w.]*\bpng\([^\n]*\)\s*")  # a cell that does nothing but draw the still picture
FORMATTER = HtmlFormatter(nowrap=True)


def code_style() -> str:
    """Style sheet of the colours of code."""
    return FORMATTER.get_style_defs("pre.code")


@dataclass
class Chapter:
    """A notebook as a page: title and sections for the contents, body, first picture, the figures' style sheets."""

    name: str
    title: str = ""
    sections: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""
    cover: str = ""
    styles: frozenset[str] = frozenset()


@dataclass
class Live:
    """An interactive figure on its way to a page; `still` is shown until, and unless, a browser draws it."""

    turn: int
    figure: _bokeh.Figure
    still: str = ""

    def __str__(self) -> str:
        return (
            f'<div class="figure"><div class="drawn" id="{self.figure.place}"></div>'
            f'<script type="application/json">{self.figure.document}</script>'
            f'<div class="still">{self.still}</div></div>\n'
        )


def chapter(notebook: dict, path: Path, names: frozenset[str]) -> Chapter:
    """Render a notebook.

    Parameters
    ----------
    notebook : dict
        Parsed, executed.
    path : Path
        Its file: pictures in its prose are read relative to it.
    names : frozenset of str
        The notebooks of the book, to which prose may link.

    Raises
    ------
    ValueError
        Naming the cell: not executed, a formula that cannot be read, an interactive figure without a still picture, a
        link that leads nowhere.
    """
    page = Chapter(path.stem)
    prose = _Prose(page, path.parent, names)
    parts, waiting = [], None
    code = [i for i, c in enumerate(notebook["cells"]) if c["cell_type"] == "code"]
    for place, cell in enumerate(notebook["cells"]):
        try:
            if cell["cell_type"] == "markdown":
                parts.append(f'<div class="prose">\n{prose.render("".join(cell["source"]))}</div>\n')
            elif cell["cell_type"] == "code":
                turn = code.index(place)
                waiting = _code(cell, turn, parts, waiting)
        except ValueError as error:
            raise ValueError(f"{path.name}, cell {place + 1}: {error}") from error
    if waiting:
        raise ValueError(f"{path.name}, cell {code[waiting.turn] + 1}: {NO_STILL}")
    if not page.title:
        raise ValueError(f"{path.name} has no level-1 heading, which the contents need")
    figures = [part for part in parts if isinstance(part, Live)]
    page.cover = figures[0].still if figures else ""
    page.styles = frozenset().union(*(live.figure.styles for live in figures))
    page.body = "".join(map(str, parts))
    return page


NO_STILL = "an interactive figure has no still picture; the next code cell must show it (mcf.plots.png)"


def _code(cell: dict, turn: int, parts: list, waiting: Live | None) -> Live | None:
    """Add a code cell's parts; the figure that waits for its still picture when the cell has ended."""
    source = "".join(cell["source"])
    if not source.strip():
        return waiting
    if cell.get("execution_count") is None:
        raise ValueError("it was not executed; `mcfpaper reproduce --inplace` executes the committed notebooks")
    if waiting and turn > waiting.turn + 1:
        raise ValueError(f"before it, {NO_STILL}")
    shown = []
    for output in cell["outputs"]:
        if _bokeh.is_set_up(output):
            continue
        if _bokeh.is_figure(output):
            if waiting:
                raise ValueError(f"before it, {NO_STILL}")
            waiting = Live(turn, _bokeh.figure(output))
            shown.append(waiting)
        elif waiting and "image/png" in output.get("data", {}):
            waiting.still, waiting = _output(output), None
        else:
            shown.append(f'<div class="output">{_output(output)}</div>\n')
    if not (STILL.fullmatch(source) and not shown):
        parts.append(f'<pre class="code">{highlight(source, PythonLexer(), FORMATTER).rstrip()}</pre>\n')
    parts += shown
    return waiting


def _output(output: dict) -> str:
    """One output, in the richest form that is still without a kernel."""
    if "text" in output:
        return f'<pre class="{output["name"]}">{_plain(output["text"])}</pre>'
    if "traceback" in output:
        return f'<pre class="stderr">{_plain(chr(10).join(output["traceback"]))}</pre>'
    data = {kind: "".join(value) for kind, value in output["data"].items() if isinstance(value, str | list)}
    if "image/png" in data:
        return f'<img alt="Figure" src="data:image/png;base64,{"".join(data["image/png"].split())}">'
    for kind in ("image/svg+xml", "text/html"):
        if kind in data:
            return data[kind]
    return f"<pre>{_plain(data.get('text/plain', ''))}</pre>"


def _plain(text: str | list[str]) -> str:
    return html.escape(TERMINAL.sub("", "".join(text)), quote=False)


class _Prose:
    """Markdown cells of one notebook, with formulas, headings for the contents and links between pages."""

    def __init__(self, page: Chapter, folder: Path, names: frozenset[str]):
        self.page, self.folder, self.names = page, folder, names
        self.md = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        dollarmath_plugin(self.md, allow_labels=False, double_inline=True)
        for kind in ("math_inline", "math_inline_double", "math_block"):
            self.md.add_render_rule(kind, _formula)

    def render(self, source: str) -> str:
        tokens = self.md.parse(source)
        for i, token in enumerate(tokens):
            for inner in token.children or ():
                self._link(inner)
            if token.type == "heading_open":
                self._heading(token, tokens[i + 1])
        return self.md.renderer.render(tokens, self.md.options, {})

    def _heading(self, opening: Token, content: Token) -> None:
        """Give a heading an address, and the contents its text."""
        text = self.md.renderer.renderInline(content.children, self.md.options, {})
        if opening.tag == "h1":
            self.page.title = self.page.title or text
        elif opening.tag == "h2":
            slug = re.sub(r"[^a-z0-9]+", "-", content.content.lower()).strip("-")
            taken = {address for address, _ in self.page.sections}
            slug = next(s for s in _numbered(slug) if s not in taken)
            opening.attrSet("id", slug)
            self.page.sections.append((slug, text))

    def _link(self, token: Token) -> None:
        """Lead a link to a notebook to its page; take a picture from its file into the page."""
        if token.type == "link_open":
            target, mark, rest = token.attrGet("href").partition("#")
            if target.endswith(".ipynb") and target.removesuffix(".ipynb") in self.names:
                token.attrSet("href", f"{target.removesuffix('.ipynb')}.html{mark}{rest}")
            elif target and not re.match(r"(https?|mailto):", target):
                raise ValueError(f"it links to {target}, which is not in the book")
        elif token.type == "image":
            source = token.attrGet("src")
            file = self.folder / source
            if re.match(r"\w+:", source) or not file.is_file():
                raise ValueError(f"it shows the picture {source}, which is no file beside the notebook")
            kind, content = mimetypes.guess_type(source)[0], base64.b64encode(file.read_bytes()).decode()
            token.attrSet("src", f"data:{kind};base64,{content}")


def _formula(renderer, tokens, i: int, options, env) -> str:
    """A formula as MathML, which browsers set by themselves, with its TeX to read at the pointer."""
    tex = tokens[i].content.strip()
    kind, display = ("inline", "inline") if tokens[i].type == "math_inline" else ("display", "block")
    try:
        formula = latex2mathml.converter.convert(tex, display=display)
    except Exception as error:  # its own errors have no base class
        raise ValueError(f"the formula {tex} cannot be read: {type(error).__name__}") from error
    return f'<span class="tex {kind}" title="{html.escape(tex)}">{formula}</span>'


def _numbered(slug: str) -> Iterator[str]:
    yield slug
    number = 2
    while True:
        yield f"{slug}-{number}"
        number += 1
