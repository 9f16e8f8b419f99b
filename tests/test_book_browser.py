"""The book as a reader sees it: in a headless Chromium, from files, without a network; with and without JavaScript.

`MCFPAPER_SCREENSHOTS=FOLDER make test-slow` keeps a picture of every page.
"""

import os
from pathlib import Path

import pytest
from bookparts import NAMES, is_figure, outputs
from test_browser import COLOURS, INNER, wait_until

from mcfpaper import book

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The book of the committed notebooks."""
    return book.build(tmp_path_factory.mktemp("book") / "a book").parent


def opened(browser, path, script):
    """A page without a network, and the list of what went wrong in it."""
    context = browser.new_context(viewport={"width": 1350, "height": 1000}, java_script_enabled=script, offline=True)
    page, wrong = context.new_page(), []
    page.on("request", lambda r: None if r.url.split(":")[0] in ("file", "data", "blob") else wrong.append(r.url))
    page.on("requestfailed", lambda r: wrong.append(r.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    return page, wrong


def keep_picture(page, name):
    """A picture of a page, where somebody asked for them."""
    if folder := os.environ.get("MCFPAPER_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"book_{name}.png", full_page=True)


@pytest.mark.parametrize("name", ["index", *NAMES, "claims"])
def test_page_draws_from_a_file_without_a_network(browser, folder, name):
    """Every figure is painted in the place of its still picture, sliders repaint, formulas are set."""
    page, wrong = opened(browser, folder / f"{name}.html", script=True)
    figures = page.locator(".figure")
    assert figures.count() == (sum(map(is_figure, outputs(name))) if name in NAMES else 0)
    for figure in figures.all():
        figure.locator(".bk-Figure").first.wait_for()
        figure.scroll_into_view_if_needed()
        for canvas in figure.locator(".bk-Figure canvas:first-of-type").all():
            wait_until(page, lambda canvas=canvas: canvas.evaluate(COLOURS) > 2, "a canvas with a picture")
        assert not figure.locator(".still img").is_visible()
    sliding = page.locator(".figure", has=page.locator(".noUi-handle"))
    assert sliding.count() == sum(map(has_slider, outputs(name) if name in NAMES else ()))
    for figure in sliding.all():
        move_slider(page, figure)
    for formula in page.locator("main .tex").all():
        assert_set(formula)
    assert wrong == []
    keep_picture(page, name)


def assert_set(formula):
    """MathML that the browser sets: it has a size, and no TeX is left in its text."""
    box = formula.locator("math").bounding_box()
    assert min(box["width"], box["height"]) > 3
    assert "\\" not in formula.inner_text()


def has_slider(output):
    """Whether a figure has frames to choose from: they are kept as states of the document."""
    return "panel.models.state.State" in "".join(output.get("data", {}).get("text/html", ""))


def test_some_notebook_has_a_slider():
    """So that the test above moves one."""
    assert any(has_slider(output) for name in NAMES for output in outputs(name))


def move_slider(page, figure):
    """Push it by the arrow key, three times: each time the figure changes."""
    canvas, handle = figure.locator(".bk-Figure canvas").first, figure.locator(".noUi-handle").first
    handle.scroll_into_view_if_needed()
    handle.focus()
    for _ in range(3):
        before = canvas.evaluate(INNER)
        page.keyboard.press("ArrowRight")
        wait_until(page, lambda before=before: canvas.evaluate(INNER) != before, "a figure that follows its slider")


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_seen_without_javascript(browser, folder, name):
    """Each still picture has its size and stands in the page, and formulas are set."""
    page, wrong = opened(browser, folder / f"{name}.html", script=False)
    pictures = page.locator("main img")
    assert pictures.count() == sum("image/png" in o.get("data", {}) for o in outputs(name))
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        assert picture.is_visible()
        box = picture.bounding_box()
        assert min(box["width"], box["height"]) > 100
    assert page.get_by_text("Without JavaScript").is_visible()
    for formula in page.locator("main .tex").all():
        assert_set(formula)
    assert wrong == []
    keep_picture(page, f"{name}_still")
