"""The report in a real browser: it fits, asks for nothing, runs nothing, and can be read in the dark."""

import contextlib
import dataclasses
import shutil

import pytest

import report_examples as ex
import report_trials as rt
import report_trust as trust
from headstart.report import notebook, page

pytestmark = pytest.mark.browser


def bought(report):
    """The report with what the pretrained backbone bought."""
    evaluation = dataclasses.replace(report.evaluation, transfer=trust.transfer())
    return dataclasses.replace(report, evaluation=evaluation)


PAGES = {
    "waste": lambda: page.render(ex.waste(), "en"),
    "intents": lambda: page.render(ex.intents(), "zh"),
    "reviews": lambda: page.render(ex.reviews(), "zh"),
    "spam": lambda: page.render(ex.spam(), "en"),
    "tiny": lambda: page.render(ex.tiny(), "zh"),
    "hostile": lambda: page.render(ex.hostile(), "en"),
    "tried": lambda: page.render(rt.having(ex.waste(60), rt.many()), "zh"),
    "bought": lambda: page.render(bought(rt.having(ex.waste(60), rt.surer())), "en"),
}
# contrast of the text colours as WCAG 2.2 computes it, over the nearest ground that is not transparent
CONTRAST = """
() => {
  const parse = c => { const m = c.match(/[\\d.]+/g).map(Number); return [...m.slice(0, 3), m[3] ?? 1] }
  const over = (a, b) => a.slice(0, 3).map((v, i) => v * a[3] + b[i] * (1 - a[3]))
  const light = c => { const [r, g, b] = c.map(v => { v /= 255;
    return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4 }); return .2126 * r + .7152 * g + .0722 * b }
  const base = parse(getComputedStyle(document.body).backgroundColor).slice(0, 3)
  let worst = [99, '']
  for (const one of document.querySelectorAll('p, li, td, th, dt, dd, a, summary, h1, h2, h3, h4, span, b')) {
    if (![...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue
    const colour = parse(getComputedStyle(one).color)
    if (!colour[3] || !one.offsetWidth) continue
    const chain = []
    for (let e = one; e; e = e.parentElement) chain.unshift(parse(getComputedStyle(e).backgroundColor))
    const ground = chain.reduce((below, c) => over(c, below), base)
    const [a, b] = [light(over(colour, ground)), light(ground)].sort((x, y) => y - x)
    const ratio = (a + .05) / (b + .05)
    if (ratio < worst[0]) worst = [ratio, one.tagName + '.' + one.className + ' ' + one.textContent.slice(0, 40)]
  }
  return worst
}
"""

# text of the plots: too small, cut off, or on top of other text of the same plot
PLOTTED = """
() => {
  const wrong = []
  for (const svg of document.querySelectorAll('svg.plot, svg.scale')) {
    const seen = []
    for (const one of svg.querySelectorAll('text')) {
      const r = one.getBoundingClientRect(), name = svg.getAttribute('aria-label') + ': ' + one.textContent
      if (parseFloat(getComputedStyle(one).fontSize) < 11) wrong.push('small ' + name)
      if (r.left < 0 || r.right > innerWidth) wrong.push('cut ' + name)
      for (const [s, other] of seen)
        if (r.left < s.right && s.left < r.right && r.top < s.bottom && s.top < r.bottom)
          wrong.push('over ' + name + ' / ' + other)
      seen.push([r, one.textContent])
    }
  }
  return wrong
}
"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if program is None:
        pytest.skip("chromium is not installed")
    arguments = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    arguments += ["--disable-background-networking", "--disable-component-update"]
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


@contextlib.contextmanager
def shown(browser, path, **options):
    """A tab with the page, and what it said and asked for."""
    context = browser.new_context(**options)
    tab = context.new_page()
    heard, asked = [], []
    tab.on("console", lambda message: heard.append(message.text))
    tab.on("pageerror", lambda error: heard.append(str(error)))
    tab.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    yield tab, heard, asked
    context.close()


def outside(asked, path):
    return [url for url in asked if url != path.as_uri() and not url.startswith("data:")]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", PAGES)
def test_the_page_fits_and_is_silent(browser, tmp_path, name, width):
    path = tmp_path / "report.html"
    path.write_text(PAGES[name](), "utf-8")
    with shown(browser, path, viewport={"width": width, "height": 800}) as (tab, heard, asked):
        tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        tab.wait_for_timeout(100)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        assert heard == []
        assert outside(asked, path) == []


def test_hostile_data_runs_nothing_and_is_shown(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(PAGES["hostile"](), "utf-8")
    with shown(browser, path) as (tab, heard, asked):
        assert tab.locator("h1").inner_text() == ex.HOSTILE
        assert tab.evaluate("document.scripts.length") == 1
        assert tab.locator("[onerror], [onload], [onmouseover]").count() == 0
        tab.mouse.move(200, 400)
        assert heard == []
        assert outside(asked, path) == []


def test_the_policy_stops_even_a_script_that_got_in(browser, tmp_path):
    path = tmp_path / "report.html"
    attacked = PAGES["reviews"]().replace("</h1>", "</h1><script>document.title = 'pwned'</script>")
    path.write_text(attacked, "utf-8")
    with shown(browser, path) as (tab, heard, _):
        assert tab.title() != "pwned"
        assert any("Content Security Policy" in message for message in heard)


def test_the_page_is_whole_without_scripts(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(PAGES["waste"](), "utf-8")
    with shown(browser, path, java_script_enabled=False) as (tab, _, _):
        assert "Right on" in tab.locator("header").inner_text()
        assert tab.locator("section").count() == 8
        tab.locator("summary").first.click()
        assert tab.locator("details[open]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["waste", "intents", "spam", "tried", "bought"])
def test_text_has_the_contrast_that_everybody_can_read(browser, tmp_path, name, scheme):
    path = tmp_path / "report.html"
    path.write_text(PAGES[name](), "utf-8")
    with shown(browser, path, color_scheme=scheme) as (tab, _, _):
        ratio, where = tab.evaluate(CONTRAST)
        assert ratio >= 4.5, where


def test_the_notebook_card_runs_nothing(browser, tmp_path):
    path = tmp_path / "card.html"
    path.write_text(
        f"<!DOCTYPE html><meta charset=utf-8>{notebook.card(ex.hostile(4, 12, 2))}", "utf-8"
    )
    with shown(browser, path) as (tab, heard, asked):
        assert heard == []
        assert outside(asked, path) == []
        assert ex.HOSTILE in tab.locator("body").inner_text()


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("name", ["waste", "intents", "spam", "tiny", "hostile", "tried", "bought"])
def test_the_words_of_plots_can_be_read_at_every_width(browser, tmp_path, name, width):
    path = tmp_path / "report.html"
    path.write_text(PAGES[name](), "utf-8")
    with shown(browser, path, viewport={"width": width, "height": 800}) as (tab, _, _):
        tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert tab.locator("svg.plot").count() >= 1
        assert tab.evaluate(PLOTTED) == []


def test_plots_have_a_name_and_a_description_for_screen_readers(browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(PAGES["waste"](), "utf-8")
    with shown(browser, path) as (tab, _, _):
        plots = tab.get_by_role("img", name="Promised probability and share of right answers")
        assert plots.count() == 1
        assert "promised" in plots.locator("desc").text_content()


@pytest.mark.parametrize("width", [360, 700, 1280])
def test_every_candidate_is_drawn_beside_its_numbers(browser, tmp_path, width):
    path = tmp_path / "report.html"
    path.write_text(PAGES["tried"](), "utf-8")
    with shown(browser, path, viewport={"width": width, "height": 800}) as (tab, _, _):
        rows = tab.get_by_role("table", name="尝试过的方法").get_by_role("row")
        assert rows.count() == 1 + 6  # also where the table is laid out for a phone
        boxes = [one.bounding_box() for one in tab.locator("svg.interval[role=img]").all()]
        assert len(boxes) == 5
        assert len({(round(box["x"]), round(box["width"])) for box in boxes}) == 1
        assert all(box["width"] > 150 and box["height"] > 20 for box in boxes)
