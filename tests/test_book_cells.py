"""Cells of notebooks as pages: nothing is lost or mistaken for markup, and what cannot be shown is refused."""

import copy
import html
import json
import re
from pathlib import Path

import pytest
from bookparts import NAMES, code, is_figure, outputs, picture, prose
from hypothesis import given
from hypothesis import strategies as st

from mcfpaper.book import _cells


@pytest.fixture(scope="module")
def live():
    """Output of an interactive figure, from a committed notebook."""
    return next(output for output in outputs(NAMES[0]) if is_figure(output))


def render(*cells):
    """A chapter of a notebook with these cells after its title."""
    path = Path("nowhere") / "01_one.ipynb"
    return _cells.chapter({"cells": [*prose("# Title"), *cells]}, path, frozenset({"01_one", "02_two"}))


@given(st.text('ab1 <>&"*[]|~`#-!', min_size=1).filter(str.strip))
def test_a_formula_is_kept_as_it_was_written(tex):
    """Whatever Markdown or HTML might take its signs for: its TeX stands beside it."""
    inline, display = (render(*prose(f"Here {d}{tex}{d} stands")).body for d in ("$", "$$"))
    for body, kind in ((inline, "inline"), (display, "display")):
        assert f'<span class="tex {kind}" title="{html.escape(tex.strip())}"><math ' in body


def test_a_formula_is_set():
    """Fractions, indices, symbols; one that cannot be read names its cell."""
    body = render(*prose(r"As $\tfrac1\varepsilon x_k^2$ says")).body
    formula = re.search(r"<math.*</math>", body)[0]
    assert "<mfrac><mn>1</mn><mi>&#x003B5;</mi></mfrac>" in formula
    assert "<msubsup><mi>x</mi><mi>k</mi><mn>2</mn></msubsup>" in formula
    with pytest.raises(ValueError, match=r"cell 2: the formula x\^2\^3 cannot be read"):
        render(*prose("As $x^2^3$ says"))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\x1b\0")))
def test_printed_text_is_shown_as_it_was_printed(text):
    """Tags and all."""
    body = render(code("x", {"output_type": "stream", "name": "stdout", "text": text})).body
    assert html.unescape(re.search(r'<pre class="stdout">(.*)</pre>', body, flags=re.DOTALL)[1]) == html.unescape(text)


def test_outputs_of_other_kinds():
    """Colours of a terminal go; an error is shown; a picture by itself keeps its code."""
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[31mE\x1b[0m: <v>"]}
    assert '<pre class="stderr">E: &lt;v&gt;</pre>' in render(code("x", error)).body
    plain = {"output_type": "execute_result", "data": {"text/plain": ["a\n", "<b>"]}, "metadata": {}}
    assert "<pre>a\n&lt;b&gt;</pre>" in render(code("x", plain)).body
    assert 'class="code"' in render(code("mcf.plots.png(x)", picture())).body


def test_setting_up_figures_leaves_nothing_in_the_page():
    """What fetches libraries is left out with its empty places."""
    set_up = [output for output in outputs(NAMES[0])[:4] if not is_figure(output)]
    assert set_up
    body = render(code("x", *set_up)).body
    assert "output" not in body
    assert "<script" not in body


def test_headings_of_one_name_have_places_of_their_own():
    """And a formula in one is none of its address."""
    sections = render(*prose("## Same\n\ntext\n\n## Same", "## Same", "## $x$")).sections
    assert [address for address, _ in sections][:3] == ["same", "same-2", "same-3"]


def test_still_picture_gives_way_to_its_figure_without_its_code(live):
    """The figure's own cell keeps its code; the next still picture stands alone."""
    body = render(code("figure", live), code("mcf.plots.png(figure)", picture()), code("more", picture())).body
    assert "mcf.plots" not in re.sub(r"<[^>]*>", "", body)
    assert body.count('<div class="still"><img') == 1
    assert body.count('<div class="output"><img') == 1


def test_a_script_in_a_document_cannot_end_the_one_that_holds_it(live):
    """Titles may hold tags."""
    changed = copy.deepcopy(live)
    changed["data"]["text/html"] = "".join(live["data"]["text/html"]).replace(
        '"title":"Bokeh', '"title":"</script>Bokeh'
    )
    body = render(code("f", changed), code("png(f)", picture())).body
    assert body.count("</script>") == 1
    assert json.loads(re.search(r'json">(.*)</script>', body)[1])["documents"]


def altered(live, old, new):
    """The figure with its text changed."""
    text = "".join(live["data"]["text/html"])
    assert re.search(old, text)
    return {**live, "data": {**live["data"], "text/html": re.sub(old, new, text)}}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version":"[^"]*"', '"version":"1.0"', "made by Bokeh 1.0, but"),
        (r"panel/[\d.]+/dist", "panel/0.1/dist", "made by Panel 0.1, but"),
        (r"https://cdn\.holoviz\.org/panel", "https://example.org", "reads https://example.org"),
        ("var docs_json", "var other", "has no docs_json"),
    ],
)
def test_a_figure_that_would_not_draw_is_refused(live, old, new, message):
    """Rather than left blank in the reader's browser."""
    with pytest.raises(ValueError, match=rf"01_one\.ipynb, cell 2: .*{re.escape(message)}"):
        render(code("figure", altered(live, old, new)), code("png(figure)", picture()))


def refused(live):
    """Cells that make no page, with what is said of them."""
    return [
        ([code("x", count=None)], "cell 2: it was not executed"),
        ([code("f", live)], "cell 2: an interactive figure has no still picture"),
        ([code("f", live), code("g", live), code("h", picture())], "cell 3: before it, an interactive figure has no"),
        ([code("f", live), code("1"), code("h", picture())], "cell 4: before it, an interactive figure has no still"),
        (prose("[text](03_three.ipynb)"), "cell 2: it links to 03_three.ipynb"),
        (prose("![text](https://example.org/x.png)"), "it shows the picture https://example.org/x.png"),
        (prose("![text](x.png)"), "it shows the picture x.png"),
    ]


@pytest.mark.parametrize("case", range(7))
def test_a_notebook_that_makes_no_page_is_named_with_its_cell(live, case):
    """Each fault by its own message."""
    given, message = refused(live)[case]
    with pytest.raises(ValueError, match=rf"01_one\.ipynb, {message}|01_one\.ipynb, cell 2: {message}"):
        render(*given)
