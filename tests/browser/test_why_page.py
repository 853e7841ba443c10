"""The page about one answer in a real browser."""

import numpy as np
import pytest

import report_examples as ex
from browser.test_report_page import CONTRAST, browser, outside, shown  # noqa: F401  a fixture
from headstart.report import why
from test_report_why import of_picture, of_text

pytestmark = pytest.mark.browser

PAGES = {
    "picture": lambda lang: why.render([of_picture()], [""], lang, model="waste.headstart"),
    "text": lambda lang: why.render([of_text("a lovely shop with 很好 的 things")], ["a lovely shop with 很好 的 things"], lang),
    "hostile": lambda lang: why.render(
        [of_text(f"{ex.HOSTILE} {'x' * 300}", label=ex.HOSTILE, answer=ex.HOSTILE)],
        [f"{ex.HOSTILE} {'x' * 300}"], lang, model=ex.HOSTILE,
    ),
}  # fmt: skip


@pytest.fixture
def page(tmp_path):
    def write(name, lang="en"):
        path = tmp_path / "why.html"
        path.write_text(PAGES[name](lang), "utf-8")
        return path

    return write


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_the_page_fits_and_is_silent(browser, page, name, width):  # noqa: F811
    path = page(name, "zh" if width == 360 else "en")
    with shown(browser, path, viewport={"width": width, "height": 800}) as (tab, heard, asked):
        tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        assert heard == []
        assert outside(asked, path) == []


def test_the_slider_fades_the_heat_map(browser, page):  # noqa: F811
    with shown(browser, page("picture")) as (tab, heard, _):
        slider, layer = tab.locator("input[type=range]"), tab.locator(".layer")
        assert slider.is_visible()
        for value in ("0", "40", "100"):
            slider.fill(value)
            opacity = float(layer.evaluate("e => getComputedStyle(e).opacity"))
            assert np.isclose(opacity, int(value) / 100)
        boxes = [tab.locator(".stack img").nth(i).bounding_box() for i in range(2)]
        assert boxes[0] == boxes[1]
        assert heard == []


def test_without_scripts_there_is_no_slider_and_the_rest_stands(browser, page):  # noqa: F811
    with shown(browser, page("picture"), java_script_enabled=False) as (tab, _, _):
        assert not tab.locator("input[type=range]").is_visible()
        assert tab.locator(".layer").is_visible()
        assert "glass/1.jpg" in tab.locator("main").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["picture", "text"])
def test_text_has_the_contrast_that_everybody_can_read(browser, page, name, scheme):  # noqa: F811
    with shown(browser, page(name), color_scheme=scheme) as (tab, _, _):
        ratio, where = tab.evaluate(CONTRAST.replace("span, b'", "span, b, mark, q'"))
        assert ratio >= 4.5, where


def test_the_policy_stops_any_other_script(browser, page):  # noqa: F811
    path = page("text")
    attacked = path.read_text("utf-8").replace(
        "</h1>", "</h1><script>document.title = 'pwned'</script>"
    )
    path.write_text(attacked, "utf-8")
    with shown(browser, path) as (tab, heard, _):
        assert tab.title() != "pwned"
        assert any("Content Security Policy" in message for message in heard)
