"""The report as one HTML page that needs nothing else, and back.

The page carries its report as JSON, so that it can be read back (`read`) and written again in
another language.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

import jinja2

from headstart.errors import BundleError
from headstart.manifest import read_json
from headstart.report import charts, view
from headstart.report.content import Report, shortened
from headstart.report.words import Words, clip, columns, visible

_START = '<script type="application/json" id="headstart-report">'
_END = "</script>"
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def render(report: Report, lang: str = "en") -> str:
    """The report as one HTML page: no request leaves it, no script runs in it.

    Args:
        report: what to show.
        lang: "en" or "zh".

    Raises:
        ConfigError: there is no such language.
    """
    w = Words(lang)
    template, css = _template()
    return template.render(
        v=view.page_view(report, w),
        w=w,
        charts=charts,
        clip=clip,
        columns=columns,
        css=css,
        data=jinja2.utils.markupsafe.Markup(_START + _data(report) + _END),
    )


def read(html: str) -> Report:
    """The report that a page shows.

    Raises:
        BundleError: the page holds none, or a damaged one.
    """
    start = html.find(_START)
    end = html.find(_END, start)
    if start < 0 or end < 0:
        raise BundleError(
            "This page holds no report of Headstart.", fix="give the report.html of a bundle"
        )
    return Report.from_json(read_json(html[start + len(_START) : end], "the report in the page"))


def _data(report: Report) -> str:
    """JSON that cannot end the script element or break a line of it."""
    text = json.dumps(
        shortened(report).to_json(), ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return text.translate(_ESCAPES)


@functools.cache
def _template() -> tuple[jinja2.Template, Any]:
    folder = resources.files("headstart.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    css = (folder / "page.css").read_text("utf-8")
    return environment.get_template("page.html.j2"), jinja2.utils.markupsafe.Markup(css)


def _shown(value: Any) -> Any:
    """Control characters of the data become visible; markup of our own stays."""
    return visible(value) if type(value) is str else value
