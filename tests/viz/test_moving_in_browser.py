"""The stored HTML of a moving figure, as Colab shows it: drawn, moved by keyboard, labelled."""

import shutil
from pathlib import Path

import plotly
import plotly.graph_objects as go
import pytest

from llmlib.viz import selector, slider
from llmlib.viz.display import PLOTLY_SCRIPT, _bundle

CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)
LIBRARY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
HEIGHTS = "[...document.querySelectorAll('.bars path')].map(bar => bar.getBBox().height)"
PICTURE = "document.querySelector('.hm image').getAttribute('href')"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def open_figure(browser):
    """Opens the HTML form, with the library served in place of the network's copy."""
    pages, faults = [], []

    def call(figure, width=900, scripts=True):
        page = browser.new_page(
            viewport={"width": width, "height": 700}, java_script_enabled=scripts
        )
        pages.append(page)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(request.url))
        page.route("https://**", lambda route: route.abort())
        page.route(PLOTLY_SCRIPT, lambda route: route.fulfill(path=LIBRARY))
        page.set_content(_bundle(figure, "figure", "Two bars")["text/html"])
        if scripts:
            page.wait_for_selector("label")
        return page

    yield call
    for page in pages:
        page.close()
    assert faults == []


@pytest.mark.parametrize("width", [900, 360])
def test_a_slider_moves_by_keyboard(open_figure, width):
    frames = {n: [go.Bar(x=["a", "b"], y=[n, 4 - n])] for n in (1, 2, 3)}
    page = open_figure(slider(frames, prefix="n = ", title="Two bars"), width)
    before = page.evaluate(HEIGHTS)
    control = page.get_by_role("slider", name="n")
    control.press("End")
    page.wait_for_function(f"{HEIGHTS}[0] > {before[0] + 1}")
    after = page.evaluate(HEIGHTS)
    assert after == pytest.approx(before[::-1], rel=0.01)
    assert control.get_attribute("aria-valuetext") == "3"
    assert page.get_by_role("img", name="Two bars").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_menu_changes_a_heat_map(open_figure):
    frames = {name: [go.Heatmap(z=z)] for name, z in (("one", [[0, 1]]), ("two", [[1, 0]]))}
    page = open_figure(selector(frames, prefix="map"))
    before = page.evaluate(PICTURE)
    page.get_by_role("combobox", name="map").select_option("two")
    page.wait_for_function(f"{PICTURE} !== {before!r}")


def test_without_scripts_a_note_says_so(open_figure):
    frames = {n: [go.Bar(y=[n])] for n in (1, 2)}
    page = open_figure(slider(frames, prefix="n = "), scripts=False)
    assert "Two bars (This figure moves only where JavaScript" in page.inner_text("body")
