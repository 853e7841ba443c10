"""Explanations as one HTML page that needs nothing else.

The one script, which fades the heat maps, stands in the page and is allowed by its hash alone; without it
the page shows the same, faded halfway.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import jinja2

from headstart.report import why_view
from headstart.report.why_words import WhyWords
from headstart.report.words import clip, visible
from headstart.runtime.explanation import Explanation

_SCRIPT = """\
for (const fade of document.querySelectorAll('.fade')) {
  const range = fade.querySelector('input');
  const layer = fade.closest('figure').querySelector('.layer');
  const show = () => { layer.style.opacity = range.value / 100; };
  range.addEventListener('input', show);
  fade.hidden = false;
  show();
}
"""


def render(
    explanations: Sequence[Explanation],
    texts: Sequence[str],
    lang: str = "en",
    *,
    model: str = "",
    contents: Mapping[str, Any] | None = None,
) -> str:
    """Explanations as one HTML page: no request leaves it.

    Args:
        explanations: at least one; those of inputs that could not be read are listed at the end.
        texts: for each, the text that was given; anything for pictures.
        lang: "en" or "zh".
        model: the bundle's name, for the heading.
        contents: name -> input of training examples, to show the neighbours' contents.

    Raises:
        ConfigError: there is no such language.
    """
    w = WhyWords(lang)
    pairs = [(one, text) for one, text in zip(explanations, texts) if one.label is not None]
    sections = [why_view.section(one, text, contents or {}, w) for one, text in pairs]
    template, css = _template()
    return template.render(
        w=w,
        title=_title([one for one, _ in pairs], w),
        model=model,
        sections=sections,
        pictured=any(one.picture is not None for one, _ in pairs),
        worded=any(one.picture is None for one, _ in pairs),
        known=bool(contents),
        skipped=[
            (one.input, w.words.said(one.prediction.reason))
            for one in explanations
            if one.label is None
        ],
        clip=clip,
        css=css,
        script=jinja2.utils.markupsafe.Markup(_SCRIPT),
        allowed=base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode(),
    )


def _title(explained: Sequence[Explanation], w: WhyWords) -> str:
    if len(explained) != 1:
        return w("title.several", n=len(explained))
    (one,) = explained
    label = clip(one.label or "", 60)
    return w("title" if one.label == one.prediction.label else "title.not", label=label)


@functools.cache
def _template() -> tuple[jinja2.Template, Any]:
    folder = resources.files("headstart.report")
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    styles = [(folder / name).read_text("utf-8") for name in ("page.css", "why.css")]
    source = (folder / "why.html.j2").read_text("utf-8")
    return environment.from_string(source), jinja2.utils.markupsafe.Markup("\n".join(styles))
